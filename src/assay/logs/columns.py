"""The usual names of columns and tags, and the quantities they are read as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from assay.errors import AssayError, unknown
from assay.logs.clocks import UNITS

USUAL: dict[str, tuple[str, ...]] = {  # in order of preference, in the spelling of `normalised`
    "iteration": (
        "iteration",
        "iterations",
        "iter",
        "it",
        "step",
        "steps",
        "global_step",
        "trainer_global_step",
        "train_global_step",
        "batch",
        "batch_idx",
    ),
    "epoch": ("epoch", "epochs", "train_epoch"),
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

SPLITS = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""The words for the sets of examples."""
_METRICS = {
    "loss": "loss",
    "nll": "loss",
    "logloss": "loss",
    "mlogloss": "loss",
    "xent": "loss",
    "ce": "loss",
    "acc": "accuracy",
    "accuracy": "accuracy",
    "top1": "accuracy",
    "acc1": "accuracy",
    "prec1": "accuracy",
}
_FILLERS = frozenset(
    {"epoch", "step", "batch", "avg", "average", "mean", "running", "set", "top", "at", "0", "1", "s", "multi"}
    | {
        "sparse",
        "pct",
        "percent",
        "percentage",
        "categorical",
        "binary",
        "cross",
        "entropy",
        "the",
        "on",
        "data",
        "mini",
        "minibatch",
        "metrics",
    }
)
_ABSOLUTE = frozenset({"timestamp", "datetime", "date", "created"})
_ELAPSED = frozenset({"elapsed", "runtime", "cumulative", "total", "relative", "since"})
_TIMES = frozenset({"time", "times", "duration", "wall", "walltime", "clock", "took"}) | _ABSOLUTE | _ELAPSED
_TIME_FILLERS = frozenset({"epoch", "per", "train", "training", "start", "of", "day", "in", "at", "hh", "mm", "ss"})
_ALONE = frozenset(
    {"ms", "msec", "millis", "milliseconds", "sec", "secs", "seconds", "minutes", "hours", "mins", "hrs"}
)


class TimeName(NamedTuple):
    """The meaning of a column's name: the unit of its numbers in seconds, and the kind of clock or ""."""

    factor: float
    kind: str


@lru_cache(maxsize=4096)
def normalised(name: str) -> str:
    """A name in lower case, with one underscore between its words.

    >>> normalised("Loss/train"), normalised("valAcc"), normalised("Time (s)")
    ('loss_train', 'val_acc', 'time_s')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9µ]+", "_", words.casefold().replace("μ", "µ")).strip("_")


def time_name(name: str) -> TimeName | None:
    """The meaning of the name of a column of times; None for any other name, and for times of other work.

    >>> time_name("Time (min)"), time_name("epoch_time"), time_name("timestamp"), time_name("eval_time")
    (TimeName(factor=60.0, kind=''), TimeName(factor=1.0, kind='per-epoch'), TimeName(factor=1.0, kind='unix'), None)
    """
    words = normalised(name).split("_")
    units = [word for word in words if word in UNITS]
    rest = [word for word in words if word not in UNITS or (word == "day" and "of" in words)]
    if not set(words) & _TIMES and not (units and (set(words) & _ALONE) and "epoch" in rest) and words[0] not in _ALONE:
        return None
    if set(rest) - _TIMES - _TIME_FILLERS or len(units) > 2:
        return None
    factor = UNITS[units[0]] if units else 1.0
    if set(rest) & _ABSOLUTE:
        return TimeName(factor, "unix")
    if set(rest) & _ELAPSED:
        return TimeName(factor, "elapsed")
    return TimeName(factor, "per-epoch" if "epoch" in rest else "")


@lru_cache(maxsize=4096)
def meaning(name: str, split: str = "train") -> tuple[str, int] | None:
    """The quantity that a name is read as, and its rank among the names of that quantity (0 is the best); or None.

    Args:
        name: of a column, a tag, or the words before a number.
        split: of names that do not say it: "train", "validation" or "test".

    >>> meaning("val_sparse_categorical_accuracy")[0], meaning("Loss", "test")[0], meaning("loss_scale")
    ('validation_accuracy', 'test_loss', None)
    """
    plain = normalised(name)
    words = plain.split("_")
    bare = not any(word in SPLITS for word in words)
    for target, usual in USUAL.items():
        if plain in usual and not (bare and split != "train" and target.startswith("train_")):
            return target, usual.index(plain)
    time = time_name(name)
    if time is not None:
        return "seconds", 50 + {"elapsed": 0, "": 1, "per-epoch": 2, "unix": 3}[time.kind]
    metrics = {_METRICS[word] for word in words if word in _METRICS}
    if "crossentropy" in words or ("cross" in words and "entropy" in words):
        metrics = metrics or {"loss"}
    splits = {SPLITS[word] for word in words if word in SPLITS}
    strange = [word for word in words if word not in SPLITS and word not in _METRICS and word not in _FILLERS]
    if len(metrics) != 1 or len(splits) > 1 or [word for word in strange if word != "crossentropy"]:
        return None
    rank = 100 + (0 if "epoch" in words else 20 if "step" in words or "batch" in words else 10)
    rank += 40 if "entropy" in words or "crossentropy" in words else 0
    return f"{splits.pop() if splits else split}_{metrics.pop()}", rank


def is_percent(name: str) -> bool:
    """Whether a name says that its numbers are percent.

    >>> is_percent("val_acc (%)"), is_percent("val_acc")
    (True, False)
    """
    return "%" in name or bool({"pct", "percent", "percentage"} & set(normalised(name).split("_")))


def is_bare(name: str) -> bool:
    """Whether a name does not say which set of examples it is of."""
    return not any(word in SPLITS for word in normalised(name).split("_"))


def column_mapping(
    names: Iterable[str],
    specified: Mapping[str, str],
    *,
    what: str,
    counts: Mapping[str, int] | None = None,
    split: str = "train",
) -> dict[str, str]:
    """The name that each quantity is read from: as specified, else by the usual names. Raises: AssayError.

    Args:
        names: of the columns or tags.
        specified: by quantity.
        what: a name is of: "column" or "tag".
        counts: the number of values under each name. A name without a value is not taken, nor one with a single
            value, such as a summary, where another name of the quantity has a curve.
        split: of names that do not say it.
    """
    available = list(dict.fromkeys(names))
    for target, name in specified.items():
        if name not in available:
            raise AssayError(f"{target}={name}: {unknown(what, name, available[:40])}")
    candidates: dict[str, list[tuple[int, str]]] = {}
    for name in available:
        known = meaning(name, split)
        if known and name not in specified.values() and known[0] not in specified:
            candidates.setdefault(known[0], []).append((known[1], name))
    mapping = dict(specified)
    for target in USUAL:
        ranked = sorted(candidates.get(target, []), key=lambda pair: pair[0])
        if counts is not None:
            ranked = [pair for pair in ranked if counts.get(pair[1], 0)]
            ranked = [pair for pair in ranked if counts.get(pair[1], 0) > 1] or ranked
            _refuse_equal(target, ranked)
        if ranked:
            mapping[target] = ranked[0][1]
    return mapping


def _refuse_equal(target: str, ranked: list[tuple[int, str]]) -> None:
    """Raises: AssayError where two names fit a quantity equally well."""
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0] >= 100:
        equal = [name for rank, name in ranked if rank == ranked[0][0]]
        raise AssayError(
            f"{' and '.join(map(repr, equal[:6]))} could each be the {target.replace('_', ' ')}; "
            f"choose one, such as --column {target}={equal[0]}"
        )


def placed(mapping: dict[str, str], specified: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The mapping after a look at which names stand together, and a note on it, or "".

    A name such as `accuracy` says no set of examples. Next to `train_loss` and `valid_loss` it is of validation, as
    fastai prints it. Next to `loss` and `val_loss` it could be of either.

    Raises: AssayError where it could be of either.
    """
    accuracy = mapping.get("train_accuracy")
    evaluated = next((s for s in ("validation", "test") if f"{s}_loss" in mapping), "")
    others = any(f"{s}_accuracy" in mapping for s in ("validation", "test"))
    if accuracy is None or not is_bare(accuracy) or "train_accuracy" in specified or others or not evaluated:
        return mapping, ""
    losses = f"{mapping.get('train_loss', '')!r} and {mapping[f'{evaluated}_loss']!r}"
    if evaluated == "validation" and "train_loss" in mapping and not is_bare(mapping["train_loss"]):
        moved = {
            "validation_accuracy" if target == "train_accuracy" else target: name for target, name in mapping.items()
        }
        return (
            moved,
            f"{accuracy!r} next to {losses} is taken as validation accuracy, as fastai and Hugging Face print it",
        )
    raise AssayError(
        f"{accuracy!r} next to {mapping[f'{evaluated}_loss']!r} could be of training or of {evaluated}; "
        f"choose --column train_accuracy={accuracy} or --column {evaluated}_accuracy={accuracy}"
    )


def mapping_sentence(mapping: Mapping[str, str]) -> str:
    """The mapping in one line."""
    return ", ".join(f"{target} from {name!r}" for target, name in mapping.items())
