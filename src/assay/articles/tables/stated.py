"""A table that the article states itself, such as arithmetic on published figures. Nothing in it is measured."""

from __future__ import annotations

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.errors import AssayError


class Stated(PagePart):
    """Rows of text.

    Attributes:
        head: The names of the columns.
        rows: The rows, each with a text for every column.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def draw(self, context: Context) -> list[Table | Figure]:
        """The table."""
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.head):
                raise AssayError(f"row {number} has {len(row)} cells; expected {len(self.head)}")
        return [Table(self.head, self.rows, self.title, self.note)]


__all__ = ["Stated"]
