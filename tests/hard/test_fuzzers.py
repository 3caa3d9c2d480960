"""A few cases of every fuzzer, and the limits that the fuzzers keep."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from assay.errors import AssayError

from . import fuzzing

ROOT = Path(__file__).parents[2]
LIGHT = ("claims", "idx", "logs", "npz", "pictures", "safetensors", "set", "state_dicts", "studies", "tables")
STORES = ("bundles", "exports", "stores")


def apart(code: str) -> str:
    """The output of code in a process of its own: forking one in which jax has threads may end in a deadlock."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counts_of(names: tuple[str, ...], cases: int) -> dict[str, tuple[int, int]]:
    code = "import importlib, json\n"
    code += f"run = lambda name: importlib.import_module('tests.hard.fuzz_' + name).run(7, {cases})\n"
    code += f"print(json.dumps({{name: run(name) for name in {names!r}}}))"
    counts = json.loads(apart(code).splitlines()[-1])
    return {name: (count["cases"], count["failures"]) for name, count in counts.items()}


def test_a_part_of_each_fuzzer_finds_nothing() -> None:
    assert counts_of(LIGHT, 20) == dict.fromkeys(LIGHT, (20, 0))


@pytest.mark.endurance
def test_a_part_of_the_fuzzers_of_stores_finds_nothing() -> None:
    assert counts_of(STORES, 2) == dict.fromkeys(STORES, (2, 0))


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
    apart("from tests.hard.test_fuzzers import see_failures; see_failures()")


def see_failures() -> None:
    counts = fuzzing.run("x", _fails, 1, 30)
    assert counts["refused"] > 3
    assert counts["crashes"] + counts["refused"] == 30
    assert counts["crashes"] > counts["refused"]
    counts = fuzzing.run("y", _takes, 1, 6)
    assert counts["taken"] + counts["over_memory"] == 6
    assert counts["over_memory"] == counts["failures"] > 0
