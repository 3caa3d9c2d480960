"""Reading a log that a test writes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import logs
from assay.logs import Options
from assay.training.history import History


@pytest.fixture
def read(tmp_path: Path):
    """Writes a log and reads it; a module whose logs are no CSV has a fixture of its own."""

    def reader(content: str, name: str = "run.csv", format: str | None = None, **options: object) -> History:
        (tmp_path / name).write_text(content)
        return logs.read(tmp_path / name, format, Options(**options))  # pyright: ignore

    return reader
