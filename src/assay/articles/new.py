"""A new article: a commented skeleton that runs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from assay.articles.folder import EXPERIMENTS, FILE
from assay.errors import FileError
from assay.system.files import write_atomically

_FILES = {FILE: FILE, "question.toml": "studies/question.toml", EXPERIMENTS: EXPERIMENTS}


def new_article(folder: Path) -> list[Path]:
    """Writes the skeleton of an article into a folder, which is made; returns the files.

    Raises: FileError if a file of an article is there already, or cannot be written.
    """
    root = resources.files("assay.articles") / "skeleton"
    targets = {name: folder / target for name, target in _FILES.items()}
    for target in targets.values():
        if target.exists():
            raise FileError(f"{target}: exists already; give another folder, or remove it")
    for name, target in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{target.parent}: cannot be made: {error.strerror or error}") from None
        write_atomically(target, (root / name).read_bytes())
    return list(targets.values())


__all__ = ["new_article"]
