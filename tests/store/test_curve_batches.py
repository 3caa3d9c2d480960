"""Many curves from JSON to bytes and back: each as if it were alone."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from assay.store import curves
from assay.store.curve_batches import last_points, packed_texts, texts
from assay.store.curves import EMPTY, CurveError, load, packed, packed_text, points_of, text_of
from tests.store.test_curves import SMALL, drawn


def regular(draw: random.Random) -> dict[str, list[Any]]:
    """Columns without a missing value, whose encodings differ from curve to curve."""
    count = draw.choice([1, 2, 20])
    steps = sorted(draw.sample(range(draw.choice([count, 1000, 2**40, 2**62])), count))
    size = draw.choice([0, 1, 3, 32])
    columns: dict[str, list[Any]] = {"iteration": steps, "examples": [step * size % 2**63 for step in steps]}
    if draw.random() < 0.3:
        columns["examples"] = [draw.randrange(2**63) for _ in steps]
    clock = draw.choice([0.0, 52_345.123456789])
    columns["seconds"] = [(clock + step * draw.uniform(1e-4, 2e-4)) - clock for step in steps]
    columns["train_loss"] = [draw.choice([draw.random(), 0.5, -0.0, 5e-324]) for _ in steps]
    total = draw.choice([360, 1437, 10_000, 0])
    columns["test_accuracy"] = [draw.randrange(total + 1) / total if total else draw.random() for _ in steps]
    return columns


@pytest.mark.parametrize("seed", range(20))
def test_many_curves_have_the_bytes_that_each_has_alone(seed: int) -> None:
    draw = random.Random(seed)
    written = [json.dumps(draw.choice([regular, drawn])(draw)) for _ in range(60)]
    curves._recent_counts.clear()
    together = packed_texts(written)
    curves._recent_counts.clear()
    assert together == [packed_text(text) for text in written]


def test_a_damaged_text_among_many_has_the_error_that_it_has_alone() -> None:
    damaged = ["[]", "{", "7", '{"iteration":3}', "[" * 100_000, '{"iteration":[0.5]}', '{"speed":[1.0]}', "{}"]
    for text, made in zip(damaged, packed_texts([*damaged, json.dumps(SMALL)]), strict=False):
        try:
            assert made == packed_text(text)
        except ValueError as error:
            assert isinstance(made, CurveError)
            assert str(made) == str(error)


def test_many_curves_have_the_text_and_the_last_point_that_each_has_alone() -> None:
    draw = random.Random(1)
    cells = [EMPTY, *(packed(draw.choice([regular, drawn])(draw)) for _ in range(60)), packed(SMALL)]
    written = texts(cells, load(cells))
    for cell, text in zip(cells, written, strict=True):
        try:
            assert text == text_of(cell)
        except ValueError:  # NaN or infinity
            assert text is None
    ends = [points_of(cell)[-1] if points_of(cell) else None for cell in cells]
    assert list(map(repr, last_points(cells))) == list(map(repr, ends))


def test_a_regular_curve_is_not_encoded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    written = [json.dumps(regular(draw)) for _ in range(200)]
    packed_texts(written)  # the numbers of examples are known then
    monkeypatch.setattr(curves, "_encoded", lambda *_: pytest.fail("encoded alone"))
    packed_texts(written)
