"""The origin of a curve that was imported from the log of another framework, and the placeholder for its recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from assay.errors import AssayError
from assay.recipe.model import Recipe

IMPORTED = " (imported)"
"""The suffix of the label of an imported curve, in every table and legend."""


@dataclass(frozen=True)
class Source:
    """The origin of an imported curve and the meaning of its numbers.

    Attributes:
        name: of the curve.
        format: the format of the log, a name in `assay.logs.FORMATS`.
        framework: that wrote the log; "" if unknown.
        file: the name of the log file, without its folder.
        sha256: of the content of the file.
        steps: what `Point.iteration` counts: "iterations", or "epochs" if the log names no iterations.
        clock: what the seconds include. Seconds of different clocks are never ranked together.
        machine: as the user states it.
        units: a sentence for each quantity in the log.
        seconds: the entries of the ledger that the log gives, by their names in `Ledger`.
        lines: the number of lines read, by kind: records, headings, malformed, ignored.
        training: its number among the trainings that the file holds, from 1.
    """

    name: str
    format: str
    framework: str
    file: str
    sha256: str
    steps: str
    clock: str
    machine: str = ""
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    lines: Mapping[str, int] = field(default_factory=dict[str, int])
    training: int = 1

    @property
    def key(self) -> str:
        """The key in a store. It depends only on the content, so a file that is imported twice has one entry."""
        if self.training == 1:
            return self.sha256[:32]
        return hashlib.sha256(f"{self.sha256} {self.training}".encode()).hexdigest()[:32]

    @property
    def label(self) -> str:
        """The name, marked as imported: what tables and legends show."""
        return self.name + IMPORTED

    def plain(self) -> dict[str, Any]:
        """The source as it is stored; `told` and `apart` are the stored names of the seconds and the ignored lines.

        The number of the training is stored for the further ones of a file only.
        """
        values = asdict(self)
        if self.training == 1:
            del values["training"]
        values["lines"] = {"apart" if kind == "ignored" else kind: count for kind, count in self.lines.items()}
        return {"told" if name == "seconds" else name: value for name, value in values.items()}

    @classmethod
    def stored(cls, plain: Mapping[str, Any]) -> Source:
        """The source that `plain` gave. Raises: TypeError, KeyError or AttributeError where it is damaged."""
        values = {"seconds" if name == "told" else name: value for name, value in plain.items()}
        values["lines"] = {
            "ignored" if kind == "apart" else kind: count for kind, count in values.get("lines", {}).items()
        }
        return cls(**values)


class _MissingRecipe:
    """A placeholder for the recipe of an imported curve; every access to a field raises AssayError."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssayError(
            "this curve was imported from a log, which holds no recipe and no weights: "
            "it can be shown and compared, but not trained further, saved or used to predict"
        )


NO_RECIPE = cast(Recipe, _MissingRecipe())
"""The recipe of every imported curve."""
