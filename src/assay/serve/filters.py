"""Queries that select the configurations of a study, such as `optimizer=adam accuracy>0.97`.

A query selects whole configurations: a mean over seeds is that of all seeds, whatever is selected.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.axis_columns import PREFIX
from assay.errors import AssayError, unknown
from assay.parts.fractions import fraction
from assay.report.cells import is_percent
from assay.store.comparisons import EQUALITIES, OPERATORS, is_number, number_of, passes

Frame = Any
Mask = NDArray[np.bool_]
MOST_LETTERS = 2000
_CONDITION = re.compile(r"([^\s=<>!\"]+)\s*(>=|<=|!=|=|>|<)\s*(?:\"([^\"]*)\"|([^\s\"=<>!]+))")
_WORD = re.compile(r"\"([^\"]*)\"|([^\s\"]+)")


def selected(query: str, table: Frame) -> Mask:
    """Which rows of the table a query selects: those that pass each of its conditions and have each of its words.

    >>> import pandas
    >>> table = pandas.DataFrame({"configuration": ["a", "b"], "accuracy": [0.9, 0.98]})
    >>> selected("accuracy>97%", table).tolist(), selected("A", table).tolist()
    ([False, True], [True, False])

    Args:
        query: Conditions `COLUMN=VALUE`, or with != > < >= <=, and words of the name of a configuration. Values and
            words with spaces are in double quotes.
        table: One row per configuration, with the columns that the query names.

    Returns:
        One truth value per row, (rows,).

    Raises:
        AssayError: The query has an unknown column, or cannot be read.
    """
    if len(query) > MOST_LETTERS:
        raise AssayError(f"query: has {len(query):,} letters; expected up to {MOST_LETTERS:,}")
    mask, at = np.ones(len(table), dtype=np.bool_), 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        if match := _CONDITION.match(query, at):
            name, sign, quoted, bare = match.groups()
            mask &= _passing(table, name, sign, quoted if quoted is not None else bare)
        elif (match := _WORD.match(query, at)) and not re.search("[<>=]", match[2] or ""):
            mask &= _named(table, match[1] if match[1] is not None else match[2])
        else:
            raise AssayError(
                f"query: cannot read {query[at:]!r:.60}; expected COLUMN=VALUE, or with != > < >= <=, such as "
                'accuracy>0.97, and double quotes around values with spaces, as in optimizer="my adam"'
            )
        at = match.end()
    return mask


def _named(table: Frame, word: str) -> Mask:
    """The configurations with the word in their name, in any case."""
    wanted = word.casefold()
    return np.array([wanted in str(name).casefold() for name in table["configuration"].tolist()], dtype=np.bool_)


def _column(table: Frame, name: str) -> str:
    """The column that a name means: also of an axis by the last part of its name. Raises: AssayError."""
    columns = [str(column) for column in table.columns]
    if name in columns:
        return name
    if PREFIX + name in columns:
        return PREFIX + name
    ends = [column for column in columns if column.rpartition(".")[2] == name]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise AssayError(f"query: {name!r} is the end of several columns; expected one of {', '.join(ends)}")
    raise AssayError(f"query: {unknown('column', name, columns)}")


def _passing(table: Frame, name: str, sign: str, text: str) -> Mask:
    """The rows whose value passes a condition; a missing value passes none but !=."""
    column = _column(table, name)
    values = table[column]
    if values.dtype.kind in "iuf":
        wanted = _number(f"{name}{sign}{text}", column, text)
        return np.asarray(OPERATORS[sign](values.to_numpy(dtype=np.float64), wanted), dtype=np.bool_)
    cells = values.tolist()
    if sign not in EQUALITIES and (number_of(text) is None or not any(map(is_number, cells))):
        raise AssayError(f"query: {name}{sign}{text}: {name} has no order; expected {name}= or {name}!=")
    return np.array([passes(cell, sign, text) for cell in cells], dtype=np.bool_)


def _number(condition: str, column: str, text: str) -> float:
    """A number that a condition compares with; of fractions also in percent. Raises: AssayError."""
    if is_percent(column):
        try:
            return fraction(text)
        except AssayError as error:
            raise AssayError(f"query: {condition}: {error}") from None
    number = number_of(text)
    if number is None:
        raise AssayError(f"query: {condition}: got {text!r}; expected a number")
    return number


__all__ = ["MOST_LETTERS", "selected"]
