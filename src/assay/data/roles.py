"""Which of the four arrays of a data set a name means: `X_train`, `train_images`, `t10k-labels-idx1-ubyte`."""

from __future__ import annotations

import re
from collections.abc import Iterable

ROLES = ("x_train", "y_train", "x_test", "y_test")

_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
_KINDS = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "data", "inputs", "features", "pixels", "samples"), "x"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target", "classes"), "y"),
}
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
_KIND = "|".join(sorted(_KINDS, key=len, reverse=True))
_NAME = re.compile(
    r"(?:(?P<prefix>.*?)[-_. ])?"
    rf"(?:(?P<part>{_PART})[-_. ]?(?P<kind>{_KIND})|(?P<kind2>{_KIND})[-_. ]?(?P<part2>{_PART}))"
    r"(?:[-_. ]idx\d+[-_. ]\w+)?",
    re.IGNORECASE,
)


def role_of(name: str) -> tuple[str, str] | None:
    """The set and the array that a name means, or None: the text before it, and "x_train", "y_validation" and so on.

    >>> role_of("X_train"), role_of("emnist-letters-test-images-idx3-ubyte"), role_of("arr_0")
    (('', 'x_train'), ('emnist-letters', 'x_test'), None)
    """
    match = _NAME.fullmatch(name[:200])
    if match is None:
        return None
    kind, part = match["kind"] or match["kind2"], match["part"] or match["part2"]
    return match["prefix"] or "", f"{_KINDS[kind.lower()]}_{_PARTS[part.lower()]}"


def by_role(names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Names by the set and the array that they mean; names without a meaning are left out.

    >>> by_role(["train_images", "train_labels", "info"])
    {'': {'x_train': ['train_images'], 'y_train': ['train_labels']}}
    """
    sets: dict[str, dict[str, list[str]]] = {}
    for name in names:
        if meaning := role_of(name):
            sets.setdefault(meaning[0], {}).setdefault(meaning[1], []).append(name)
    return sets
