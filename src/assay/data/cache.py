"""The cache of data sets: each is loaded once by its name, and prepared once for each way of preparing it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.data.prepare import Preparation, Prepared, prepare

_MOST_BYTES = 2**28
"""Of examples that are kept prepared: the folds of a large data set would each take as much as all of it."""

_log = logging.getLogger("assay.data")


class DataCache:
    """Data sets by name, and what was prepared of them.

    >>> cache = DataCache()
    >>> cache.dataset("digits") is cache.dataset("digits")
    True
    """

    def __init__(self, *, latest_only: bool = False, load: Callable[..., Dataset] = load) -> None:
        """Starts empty.

        Args:
            latest_only: keep only the latest data set and the latest preparation, for a process that lives long.
            load: what turns a name, and a task other than classification, into a data set.
        """
        self._latest_only, self._load = latest_only, load
        self._datasets: dict[tuple[str, str | None], Dataset] = {}
        self._prepared: dict[tuple[str, Preparation], Prepared] = {}

    def dataset(self, name: str, task: str | None = None) -> Dataset:
        """The data set of that name, read for a task: None for classification. Raises: DataError."""
        key = (name, task)
        if key not in self._datasets:
            begin = perf_counter()
            dataset = self._load(name) if task is None else self._load(name, task=task)
            counts = f"{len(dataset.y_train):,} training and {len(dataset.y_test):,} test examples"
            _log.info("data %s: %s, read in %.2f s and kept in memory", name, counts, perf_counter() - begin)
            if self._latest_only:
                self._datasets.clear()
            self._datasets[key] = dataset
        return self._datasets[key]

    def prepared(self, name: str, how: Preparation) -> Prepared:
        """The data set of that name, split and scaled. Raises: DataError."""
        key = (name, how)
        if key not in self._prepared:
            dataset = self.dataset(name, how.task)
            if self._latest_only:
                self._prepared.clear()  # before the next one is made, so that memory holds one at a time
            self._prepared[key] = prepare(dataset, how)
            self._evict()
        return self._prepared[key]

    def _evict(self) -> None:
        """Frees what was prepared first, but never the last one, where all take more memory than is kept."""
        sizes = {key: _bytes(one) for key, one in self._prepared.items()}
        total = sum(sizes.values())
        for key in [*sizes][:-1]:
            if total <= _MOST_BYTES:
                return
            total -= sizes[key]
            del self._prepared[key]

    def clear(self) -> None:
        """Frees what was prepared, several times the size of the data sets, which stay."""
        self._prepared.clear()


def _bytes(data: Prepared) -> int:
    parts = (data.x_train, data.x_test, data.x_validation)
    return sum(part.nbytes for part in parts if part is not None)
