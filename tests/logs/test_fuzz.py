"""Whatever a file holds: a curve or a sentence, and every line counted once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import AssayError
from assay.logs import FORMATS, Options, looks_like
from assay.logs.curves import LogFile, counts, history_of
from assay.logs.lines import lines_of
from tests.logs import samples
from tests.logs.samples import SAMPLES

some = settings(max_examples=150, deadline=None)
options = st.builds(
    Options,
    accuracy=st.sampled_from(["", "percent", "share"]),
    seconds=st.sampled_from(["", "elapsed", "each"]),
    iterations_per_epoch=st.sampled_from([None, 1, 100]),
    batch_size=st.sampled_from([None, 600]),
    evaluated_on=st.sampled_from(["validation", "test"]),
)


def survives(format: str, content: bytes, asked: Any) -> None:
    """Read without another exception than AssayError; the counts add up, and what is stored can be stored."""
    looks_like(content)
    try:
        reading = FORMATS[format].read(content, asked)
    except AssayError:
        return
    found = counts(reading)
    assert found["lines"] == sum(count for name, count in found.items() if name != "lines")
    if format != "tensorboard":
        assert found["lines"] == len(lines_of(content))
    try:
        history = history_of(reading, asked, LogFile(format, "x", "0" * 64), name="x")
    except AssayError:
        return
    steps = [point.iteration for point in history.points]
    assert steps == sorted(set(steps))
    for point in history.points:
        for name in ("train_accuracy", "validation_accuracy", "test_accuracy"):
            value = getattr(point, name)
            assert value is None or 0 <= value <= 1
    known = [point.seconds for point in history.points if point.seconds is not None]
    assert all(second >= 0 for second in known)


@pytest.mark.parametrize("format", FORMATS)
@some
@given(content=st.binary(max_size=400), asked=options)
def test_random_bytes(format: str, content: bytes, asked: Any) -> None:
    survives(format, content, asked)


@pytest.mark.parametrize("format", FORMATS)
@some
@given(data=st.data(), asked=options)
def test_logs_with_changed_removed_and_added_bytes(format: str, data: Any, asked: Any) -> None:
    content = bytearray(SAMPLES[format])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["change", "remove", "add", "cut"]))
        if how == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif how == "remove":
            del content[at : at + data.draw(st.integers(1, 30))]
        elif how == "add":
            content[at:at] = data.draw(
                st.sampled_from([b"\n", b"|", b",", b"nan", b"--->", b"9" * 400, b"-", b"%", b"e9"])
            )
        else:
            del content[at:]
        if not content:
            break
    survives(format, bytes(content), asked)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "tensorboard"])
@some
@given(seed=st.integers(0, 2**32), asked=options)
def test_shuffled_lines_of_a_log_mixed_with_those_of_others(format: str, seed: int, asked: Any) -> None:
    lines = [line for name, content in SAMPLES.items() if name != "tensorboard" for line in content.split(b"\n")]
    draw = random.Random(seed)
    draw.shuffle(lines)
    survives(format, b"\n".join(lines[: draw.randrange(len(lines))]), asked)


@pytest.mark.parametrize("format", ["pytorch", "flux"])
@some
@given(seed=st.integers(0, 2**32))
def test_the_order_of_records_does_not_matter(format: str, seed: int) -> None:
    lines = SAMPLES[format].splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    asked = Options()
    whole, mixed = (FORMATS[format].read(content, asked) for content in (SAMPLES[format], b"".join(lines)))
    assert dict(sorted(whole.records.items())) == dict(sorted(mixed.records.items()))


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_count_that_no_training_has_is_a_malformed_line(digits: int) -> None:
    content = samples.pytorch().replace("epoch 1", "epoch 1" + "9" * digits, 1)
    reading = FORMATS["pytorch"].read(content.encode(), Options())
    assert any("counts beyond" in problem.reason for problem in reading.problems)
    survives("pytorch", content.encode(), Options())
