"""Whatever a file holds: a curve or a sentence, and every line counted once."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import AssayError
from assay.logs import FORMATS, Options, looks_like
from assay.logs import pattern as patterns
from assay.logs.curves import LogFile, counts, histories_of
from assay.logs.folders import read_folder
from assay.logs.lines import lines_of
from assay.training.history import History
from tests.logs import samples
from tests.logs.samples import SAMPLES

FUZZED = [name for name in FORMATS if name != "pattern"]  # a pattern is matched in a process of its own, see below
some = settings(max_examples=150, deadline=None)
options = st.builds(
    Options,
    accuracy=st.sampled_from(["", "percent", "fraction"]),
    seconds=st.sampled_from(["", "elapsed", "per-epoch", "unix"]),
    steps=st.sampled_from(["", "epoch", "iteration"]),
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
    if reading.kind == "line":
        assert found["lines"] == len(lines_of(content))
    try:
        histories = histories_of(reading, asked, LogFile(format, "x", "0" * 64), name="x")
    except AssayError:
        return
    assert len({history.source.key for history in histories if history.source}) == len(histories)
    for history in histories:
        sound(history)


def sound(history: History) -> None:
    """A curve whose points rise in steps and seconds, with accuracies that are fractions and no empty point."""
    steps = [point.iteration for point in history.points]
    assert steps == sorted(set(steps))
    for point in history.points:
        for name in ("train_accuracy", "validation_accuracy", "test_accuracy"):
            value = getattr(point, name)
            assert value is None or 0 <= value <= 1
    known = [point.seconds for point in history.points if point.seconds is not None]
    assert all(second >= 0 for second in known)


@pytest.mark.parametrize("format", FUZZED)
@some
@given(content=st.binary(max_size=400), asked=options)
def test_random_bytes(format: str, content: bytes, asked: Any) -> None:
    survives(format, content, asked)


@pytest.mark.parametrize("format", FUZZED)
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
                st.sampled_from(
                    [
                        b"\n",
                        b"|",
                        b",",
                        b"nan",
                        b"--->",
                        b"9" * 400,
                        b"-",
                        b"%",
                        b"e9",
                        b"{",
                        b"]",
                        b":",
                        b"/",
                        b"\r",
                        b"(" * 99,
                    ]
                )
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


def matched_here(expressions: Any, lines: Any) -> Any:
    """What the process for patterns gives, without the process."""
    found = [next((m for e in expressions if (m := re.search(e, line))), None) for line in lines]
    return [m and {name: text for name, text in m.groupdict().items() if text is not None} for m in found]


@some
@given(content=st.text(alphabet="e12 .l5%a:\n-n", max_size=200), asked=options)
def test_lines_of_a_pattern(content: str, asked: Any) -> None:
    asked = replace(asked, patterns=(r"e(?P<epoch>\S+) ?(?:l(?P<loss>\S+))?", r"a(?P<test_accuracy>\S+)"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "_matches", matched_here)
        survives("pattern", content.encode(), asked)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), asked=options)
def test_folders_with_changed_event_files(data: Any, asked: Any) -> None:
    with TemporaryDirectory() as folder:
        for i, place in enumerate(("train", "validation", "train", ".")):
            content = bytearray(SAMPLES["tensorboard"])
            for _ in range(data.draw(st.integers(0, 3))):
                at = data.draw(st.integers(0, len(content) - 1))
                content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
            (Path(folder) / place).mkdir(exist_ok=True)
            (Path(folder) / place / f"events.out.tfevents.{i}.host").write_bytes(content)
        try:
            reading, digest = read_folder(Path(folder), asked, 2**20)
            histories = histories_of(reading, asked, LogFile("tensorboard", "x", digest), name="x")
        except AssayError:
            return
    found = counts(reading)
    assert found["lines"] == sum(count for name, count in found.items() if name != "lines")
    for history in histories:
        sound(history)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"{'loss': " + b"(" * 5000 + b"1" + b")" * 5000 + b", 'epoch': 1}",
        b"Epoch 1/2\n" + b"1/1 [==] - " * 5000 + b"loss: 1\n",
        b"epoch 1 loss " + b"1 " * 40_000,
        b"epoch 1 " + b"[1/2]" * 900 + b" loss 1",
        b"epoch,loss\n1,tensor(" + b"1," * 5000 + b"\n",
        b"12:" * 5000 + b"epoch 1 loss 2",
        b"\x08" * 50_000 + b"Epoch 1/1\n",
    ],
)
def test_lines_that_nest_or_repeat_end_soon(content: bytes) -> None:
    begin = perf_counter()
    for format in FUZZED:
        survives(format, content, Options())
    assert perf_counter() - begin < 20  # milliseconds on an idle machine; a machine under load is allowed more
