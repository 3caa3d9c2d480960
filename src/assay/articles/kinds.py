"""What every kind of table and picture has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from assay.articles.context import Context
from assay.articles.entries import ArticleTable
from assay.articles.page import Figure, Table


class PagePart(ArticleTable):
    """A part of a page, with the options of its kind.

    Attributes:
        title: Its title.
        note: How it was measured; shown under it.
    """

    fills_title: ClassVar[bool] = False
    """Whether the placeholders of `Context.text` are filled in in its title."""

    title: str = ""
    note: str = ""

    @abstractmethod
    def draw(self, context: Context) -> list[Table | Figure]:
        """The tables and pictures. Raises: AssayError where they cannot be made of the results."""

    def study_names(self) -> tuple[str, ...]:
        """The studies that it reads."""
        study, studies = getattr(self, "study", ""), getattr(self, "studies", ())
        return (*((study,) if study else ()), *studies)


__all__ = ["PagePart"]
