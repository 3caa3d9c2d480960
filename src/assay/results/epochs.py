"""Curves against epochs: how often the examples of the training set were seen at each log point."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.datasets import load
from assay.data.prepare import training_examples
from assay.errors import AssayError
from assay.recipe.settings import Data
from assay.store.rows import recipe_of

if TYPE_CHECKING:
    import pandas


def with_epochs(curves: pandas.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """The curves with a column `epochs`: the examples seen / the examples of the training set.

    An imported log that counts epochs has them already; of others the size of the training set is unknown, and their
    epochs are missing.

    Args:
        curves: One row per log point, with the columns trial, iteration and examples.
        rows: The stored rows of these trials.

    Raises:
        AssayError: The data of a trial are not on this machine, or have changed.
    """
    sizes: dict[tuple[str, str | None], int] = {}
    of_trial: dict[str, float] = {}
    in_epochs: set[str] = set()
    for row in rows:
        if row.get("origin") == "imported":
            if row.get("steps") == "epochs":
                in_epochs.add(row["trial"])
            continue
        data = recipe_of(row)["data"]
        key = (json.dumps(data, sort_keys=True), row["data_checksum"])
        if key not in sizes:
            sizes[key] = _examples(Data(**data), row["data_checksum"])
        of_trial[row["trial"]] = float(sizes[key])
    trials: Any = curves["trial"]
    epochs = curves["examples"] / trials.map(of_trial)
    return curves.assign(epochs=np.where(trials.isin(in_epochs), curves["iteration"], epochs))


def _examples(how: Data, checksum: str | None) -> int:
    name = how.name
    if name.startswith("openml:"):  # a name from somebody's store
        raise AssayError(f"x = epochs needs the data, and {name!r} would be fetched; draw against x = examples instead")
    data = load(name, task=how.task)
    if data.checksum != checksum:
        raise AssayError(f"data {name!r} have changed since the training; draw against x = examples instead of epochs")
    return training_examples(data, how.draw, train=how.train, validation=how.validation)


__all__ = ["with_epochs"]
