"""The tables of `article.toml` as frozen records: unknown keys and wrong types are errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

QUALIFIERS = ("", "about", "above", "below")
"""How an article qualifies a figure; an empty one stands for a figure with all its digits."""


class ArticleTable(BaseModel):
    """A table of `article.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def keys_at(cls, location: Sequence[int | str]) -> tuple[str, list[str]]:
        """The name of the table at a location in messages, and its keys."""
        table: type[ArticleTable] = cls
        for step in location:
            inner = _tables_in(table).get(str(step))
            table = inner or table
        return (".".join(str(step) for step in location) or "the table", list(table.model_fields))


def _tables_in(table: type[ArticleTable]) -> dict[str, type[ArticleTable]]:
    """The tables inside a table, by their keys."""
    inner: dict[str, type[ArticleTable]] = {}
    for name, field in table.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ArticleTable)]
        inner |= {name: tables[0]} if tables else {}
    return inner


class PublishedPoint(ArticleTable):
    """A published figure of one training: an accuracy (a fraction of the test images), a training loss, or both.

    Attributes:
        cell: The curve that the point lies on: the label of its trial without the iterations.
        iterations: Where on the curve it lies.
        accuracy: The accuracy.
        loss: The training loss.
        word: How the article qualifies it: one of `QUALIFIERS`.
        seconds: The author's seconds.
        note: In what words the article says it.
    """

    cell: str
    iterations: int = Field(ge=1)
    accuracy: float | None = Field(default=None, gt=0, lt=1)
    loss: float | None = None
    word: str = ""
    seconds: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _has_a_figure(self) -> PublishedPoint:
        if self.word not in QUALIFIERS:
            raise ValueError(f"word: got {self.word!r}; expected one of {', '.join(QUALIFIERS[1:])}, or none")
        if self.accuracy is None and self.loss is None:
            raise ValueError(f"{self.name}: has neither an accuracy nor a loss")
        return self

    @property
    def name(self) -> str:
        """The cell and the iterations: the label of its trial in a study."""
        return f"{self.cell} {self.iterations}"


class Quick(ArticleTable):
    """How a scaled-down run differs.

    Attributes:
        data: The data set; empty for that of each study.
        iterations: What iterations and log intervals are divided by.
        epochs: What epochs are divided by.
        seeds: The number of seeds.
        says: What the banner says of it; `{epochs}` stands for the epochs that `--epochs` asks for.
        default_epochs: The epochs of every training; 0 for those of each study, divided.
        baseline: A patch of every study's baseline.
    """

    data: str = "digits"
    iterations: int = Field(default=200, ge=1)
    epochs: int = Field(default=3, ge=1)
    seeds: int = Field(default=2, ge=1)
    says: str = ""
    default_epochs: int = Field(default=0, ge=0)
    baseline: dict[str, Any] = Field(default_factory=dict)


class Folded(ArticleTable):
    """A value of an axis whose trials are those of another value too: `also` is the same as `value`."""

    axis: str
    value: str
    also: str


class Sampling(ArticleTable):
    """How a study is sampled by `--sample`, and what its trajectories have in common.

    Attributes:
        study: The study, a grid.
        strata: The axes whose combinations are the strata: those that decide what a training costs.
        within: The axis whose values share a trajectory.
        folded: Two values of an axis that are the same trial.
    """

    study: str
    strata: tuple[str, ...]
    within: str
    folded: Folded | None = None


__all__ = ["QUALIFIERS", "ArticleTable", "Folded", "PublishedPoint", "Quick", "Sampling"]
