"""Published figures and findings as data, with their sources. Nothing here was measured by Assay."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from assay.errors import AssayError, FileError, unknown

QUALIFIERS = ("", "about", "above", "below")
"""How an article qualifies a figure; an empty one stands for a figure with all its digits."""

ARTICLES = ("flux_mnist", "parameters", "from_scratch", "lenet5")


@dataclass(frozen=True)
class PublishedPoint:
    """A published figure of one training: an accuracy (a fraction of the test images), a training loss, or both."""

    model: str
    optimizer: str
    variant: str
    iterations: int
    accuracy: float | None = None
    loss: float | None = None
    word: str = ""
    seconds: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.word not in QUALIFIERS:
            raise AssayError(unknown("word of a figure", self.word, QUALIFIERS[1:]))
        if self.accuracy is None and self.loss is None:
            raise AssayError(f"{self.name}: has neither an accuracy nor a loss")

    @property
    def cell(self) -> str:
        """Model, optimizer and variant: the curve that the point lies on."""
        return f"{self.model} {self.optimizer} {self.variant}"

    @property
    def name(self) -> str:
        """The cell and the iterations: the label of its trial in a study."""
        return f"{self.cell} {self.iterations}"


@cache
def article(name: str) -> Mapping[str, Any]:
    """The facts that an article published, as they stand in its file.

    Raises:
        AssayError: There is no such article.
    """
    if name not in ARTICLES:
        raise AssayError(unknown("article", name, ARTICLES))
    file = resources.files("assay.articles.published") / f"{name}.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{file}: cannot be read: {error.strerror or error}") from None


def points(name: str, optimizer: str | None = None) -> list[PublishedPoint]:
    """The points of an article, in its order; with `optimizer`, only those of that optimizer."""
    every = [PublishedPoint(**raw) for raw in article(name).get("points", [])]
    return [point for point in every if optimizer in (None, point.optimizer)]


def sources(name: str) -> list[tuple[str, str]]:
    """Title and address of an article; the address is empty where none is known."""
    return [(source["title"], source.get("url", "")) for source in article(name)["sources"]]


__all__ = ["ARTICLES", "QUALIFIERS", "PublishedPoint", "article", "points", "sources"]
