"""The usual names of columns and tags, and what they are read as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from assay.errors import AssayError, unknown

USUAL: dict[str, tuple[str, ...]] = {  # in order of preference; `plain` spells them all alike
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


def plain(name: str) -> str:
    """A name in small letters, whatever stands between its words as one underscore.

    >>> plain("Loss/train"), plain("valAcc"), plain("Time (s)")
    ('loss_train', 'val_acc', 'time_s')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.casefold()).strip("_")


def chosen(names: Iterable[str], asked: Mapping[str, str], *, what: str) -> dict[str, str]:
    """What is read -> the name that holds it: as asked, the rest by the usual names. Raises: AssayError."""
    there = list(dict.fromkeys(names))
    for target, name in asked.items():
        if name not in there:
            raise AssayError(f"{target}={name}: {unknown(what, name, there[:40])}")
    spelt: dict[str, str] = {}
    for name in there:
        spelt.setdefault(plain(name), name)
    found = dict(asked)
    for target, usual in USUAL.items():
        free = [spelt[name] for name in usual if name in spelt and spelt[name] not in found.values()]
        if target not in found and free:
            found[target] = free[0]
    return found


def told(mapping: Mapping[str, str]) -> str:
    """Which columns were read as what, in a line."""
    return ", ".join(f"{target} from {name!r}" for target, name in mapping.items())
