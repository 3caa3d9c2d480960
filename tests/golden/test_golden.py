"""The interfaces that stored trials, scripts and users depend on are what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.engines import installed
from tests.golden.values import VALUES

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", VALUES)
def test_what_others_depend_on_is_unchanged(name: str) -> None:
    if name == "digests" and not installed("native"):
        pytest.skip("the native engine is not installed")
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    values = VALUES[name]()
    assert values.keys() == golden.keys()
    for key, value in golden.items():
        got = values[key][: len(value)] if name == "names" else values[key]  # new parameters may follow
        assert got == value, f"{name}: {key} has changed; python -m tests.golden writes the file anew"
