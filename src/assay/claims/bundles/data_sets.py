"""The data sets of a bundle on the machine that verifies it, each checked by its checksum."""

from __future__ import annotations

from collections.abc import Sequence

from assay.data.dataset import Dataset
from assay.data.datasets import DATASETS, load
from assay.data.download import REMOTES
from assay.data.prepare import training_examples
from assay.errors import AssayError
from assay.recipe.settings import Data


class DataSets:
    """Data sets by name and checksum, each loaded once.

    Args:
        folders: Folders and files of this machine that are tried first.

    Raises:
        DataError: One of the folders cannot be read.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        self._given = [load(folder) for folder in folders]
        self._loaded: dict[str, Dataset | None] = {}
        self._examples: dict[tuple[str, Data], int] = {}

    def find(self, name: str, checksum: str | None) -> Dataset | None:
        """The data set with that checksum; None where it is not on this machine."""
        for dataset in self._given:
            if dataset.checksum == checksum:
                return dataset
        named = self._load(name) if name in DATASETS or name.startswith("openml:") else None
        return named if named is not None and named.checksum == checksum else None

    def training_examples(self, dataset: Dataset, how: Data) -> int:
        """How many examples of a data set are trained on; split once for all trials. Raises: DataError."""
        key = dataset.checksum, how
        if key not in self._examples:
            self._examples[key] = training_examples(dataset, how.draw, train=how.train, validation=how.validation)
        return self._examples[key]

    def why_not(self, name: str) -> str:
        """Why a data set is not there, for a sentence."""
        if name in self._loaded and self._loaded[name] is not None:
            return f"data set {name!r} has another content here"
        if self._given:
            return f"data set {name!r} is not here, and what --data gives has another content"
        fetch = f"`assay data fetch {name}`, or " if name in REMOTES else ""
        return f"data set {name!r} is not here; {fetch}give its folder with --data"

    def _load(self, name: str) -> Dataset | None:
        if name not in self._loaded:
            try:
                self._loaded[name] = load(name)
            except AssayError:
                self._loaded[name] = None
        return self._loaded[name]
