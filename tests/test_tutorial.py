"""The tutorial runs from its first cell to its last, and says what it says."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.endurance
def test_the_tutorial_runs_and_its_stored_numbers_are_those_of_this_version() -> None:
    stored = nbformat.read(TUTORIAL, 4)
    fresh = nbformat.read(TUTORIAL, 4)
    NotebookClient(fresh, timeout=300, kernel_name="python3").execute()
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        assert bool(before.get("outputs")) == bool(after.get("outputs"))
        assert not [output for output in after.get("outputs", []) if output.output_type == "error"]
    said = [c.outputs[0]["data"]["text/plain"] for c in fresh.cells if "verdict(" in c.source]
    assert said == [c.outputs[0]["data"]["text/plain"] for c in stored.cells if "verdict(" in c.source]
