"""Data sets of OpenML, fetched by scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import Dataset, from_arrays
from assay.errors import DataError
from assay.rng import stream

_MNIST_EXAMPLES = 70_000


def from_openml(identity: str, *, task: str | None = None) -> Dataset:
    """A data set of OpenML by number or name; its last seventh is the test set.

    Sets of 70,000 examples, such as MNIST, keep their published order: the first 60,000 are the training set. Others
    are shuffled in a fixed order. Raises: DataError.
    """
    from sklearn.datasets import fetch_openml

    query: dict[str, Any] = {"data_id": int(identity)} if identity.isdecimal() else {"name": identity, "version": 1}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns at each of its attempts
            bunch: Any = fetch_openml(**query, as_frame=False, parser="liac-arff", n_retries=1, delay=0.5)
    except OSError as error:  # also URLError and HTTPError, whatever the network raises
        raise DataError(f"openml:{identity}: {_unreached(error)}") from None
    except Exception as error:  # scikit-learn raises whatever its reader raises
        raise DataError(f"openml:{identity}: cannot be fetched: {error}") from None
    if bunch.target is None:
        raise DataError(f"openml:{identity}: has no target column; expected one column of class labels")
    x = bunch.data.toarray() if hasattr(bunch.data, "toarray") else np.asarray(bunch.data)  # sparse, or not
    y = np.asarray(bunch.target)
    if x.dtype.kind not in "buif":
        raise DataError(f"openml:{identity}: examples have element type {x.dtype}; expected numbers")
    _check_complete(f"openml:{identity}", x, y)
    published = len(x) == _MNIST_EXAMPLES
    order = np.arange(len(x)) if published else stream(0, "openml-split").permutation(len(x))
    train, test = np.split(order, [len(x) - len(x) // 7])
    # the shape must be MNIST's too: small whole numbers may be a table of anything
    pixels = x.shape == (_MNIST_EXAMPLES, 784) and ((x >= 0) & (x <= 255) & (np.floor(x) == x)).all()
    if pixels:
        x = x.astype(np.uint8).reshape(-1, 28, 28)
    return from_arrays(x[train], y[train], x[test], y[test], name=f"openml-{identity}", task=task)


def _unreached(error: OSError) -> str:
    """Why OpenML was not reached, and what to do without it."""
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        return f"OpenML answers with the error {error.code} ({error.reason}); check the number or the name of the set"
    return (
        "cannot be fetched without a network connection to openml.org; a set that was fetched once is read from "
        "scikit-learn's folder, and a folder, an .npz file or 'digits' needs no network"
    )


def _check_complete(name: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Refuses missing values, with their rows in the published order. Raises: DataError."""
    broken = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1)) if x.dtype.kind == "f" else []
    if len(broken):
        raise DataError(f"{name}: missing values in row {broken[0]} ({len(broken):,} in all); expected finite numbers")
    missing = [i for i, value in enumerate(y.ravel().tolist()) if value is None or value != value]
    if missing:
        raise DataError(f"{name}: no label in row {missing[0]} ({len(missing):,} in all); expected a class for each")
