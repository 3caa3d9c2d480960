"""A few cases of every fuzzer, and the limits that the fuzzers keep."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from assay.errors import AssayError

from . import (
    fuzz_exports,
    fuzz_idx,
    fuzz_logs,
    fuzz_npz,
    fuzz_pictures,
    fuzz_safetensors,
    fuzz_set,
    fuzz_stores,
    fuzz_studies,
    fuzzing,
)

LIGHT = {
    "idx": fuzz_idx,
    "logs": fuzz_logs,
    "npz": fuzz_npz,
    "pictures": fuzz_pictures,
    "safetensors": fuzz_safetensors,
    "set": fuzz_set,
    "studies": fuzz_studies,
}


@pytest.mark.parametrize("name", LIGHT)
def test_a_part_of_each_fuzzer_finds_nothing(name: str) -> None:
    counts = LIGHT[name].run(7, 40)
    assert (counts["cases"], counts["failures"]) == (40, 0)


@pytest.mark.parametrize("fuzzer", [fuzz_exports, fuzz_stores])
def test_a_part_of_the_fuzzers_of_stores_finds_nothing(fuzzer) -> None:
    counts = fuzzer.run(7, 2)
    assert (counts["cases"], counts["failures"]) == (2, 0)


def _takes(draw: random.Random, place: Path) -> str:
    kept = bytearray(draw.choice((1, 1200)) * 2**20)
    kept[::4096] = bytes(len(kept[::4096]))  # so that the memory is resident
    return "taken"


def _fails(draw: random.Random, place: Path) -> str:
    kind = draw.randrange(3)
    if kind == 0:
        raise KeyError("not foreseen")
    raise AssayError("a sentence" if kind == 1 else "")


def test_the_fuzzers_see_exceptions_errors_without_a_sentence_and_memory() -> None:
    counts = fuzzing.run("x", _fails, 1, 30)
    assert counts["refused"] > 3
    assert counts["crashes"] + counts["refused"] == 30
    assert counts["crashes"] > counts["refused"]
    counts = fuzzing.run("y", _takes, 1, 6)
    assert counts["taken"] + counts["over_memory"] == 6
    assert counts["over_memory"] == counts["failures"] > 0
