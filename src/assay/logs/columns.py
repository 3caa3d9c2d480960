"""The usual names of columns and tags, and the quantities they are read as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from assay.errors import AssayError, unknown

USUAL: dict[str, tuple[str, ...]] = {  # in order of preference, in the spelling of `normalised`
    "iteration": ("iteration", "iterations", "iter", "step", "steps", "global_step", "batch"),
    "epoch": ("epoch", "epochs"),
    "examples": ("examples", "examples_seen", "samples", "samples_seen"),
    "seconds": (
        "seconds",
        "time_s",
        "elapsed_s",
        "time",
        "elapsed",
        "time_elapsed",
        "elapsed_time",
        "train_time",
        "training_time",
        "wall_time",
        "epoch_time",
    ),
    "train_loss": ("train_loss", "training_loss", "loss_train", "loss", "epoch_loss", "train_loss_epoch"),
    "train_accuracy": (
        "train_accuracy",
        "train_acc",
        "training_accuracy",
        "accuracy_train",
        "acc_train",
        "accuracy",
        "acc",
        "epoch_accuracy",
        "train_acc_epoch",
    ),
    "validation_loss": ("validation_loss", "val_loss", "valid_loss", "loss_validation", "loss_val", "loss_valid"),
    "validation_accuracy": (
        "validation_accuracy",
        "val_accuracy",
        "val_acc",
        "valid_accuracy",
        "valid_acc",
        "accuracy_validation",
        "accuracy_val",
        "accuracy_valid",
        "acc_val",
        "acc_valid",
    ),
    "test_loss": ("test_loss", "loss_test"),
    "test_accuracy": ("test_accuracy", "test_acc", "accuracy_test", "acc_test"),
}


def normalised(name: str) -> str:
    """A name in lower case, with one underscore between its words.

    >>> normalised("Loss/train"), normalised("valAcc"), normalised("Time (s)")
    ('loss_train', 'val_acc', 'time_s')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.casefold()).strip("_")


def column_mapping(names: Iterable[str], specified: Mapping[str, str], *, what: str) -> dict[str, str]:
    """The name that each quantity is read from: as specified, else by the usual names. Raises: AssayError."""
    available = list(dict.fromkeys(names))
    for target, name in specified.items():
        if name not in available:
            raise AssayError(f"{target}={name}: {unknown(what, name, available[:40])}")
    spelt: dict[str, str] = {}
    for name in available:
        spelt.setdefault(normalised(name), name)
    mapping = dict(specified)
    for target, usual in USUAL.items():
        candidates = [spelt[name] for name in usual if name in spelt and spelt[name] not in mapping.values()]
        if target not in mapping and candidates:
            mapping[target] = candidates[0]
    return mapping


def mapping_sentence(mapping: Mapping[str, str]) -> str:
    """The mapping in one line."""
    return ", ".join(f"{target} from {name!r}" for target, name in mapping.items())
