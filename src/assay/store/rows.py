"""The schema of every row of a store: for writing, importing, reading and checking.

Its types follow the columns of the tables. What is read as a whole is checked as well: recipe, curve, ledger, warnings,
classes, confusion matrix, machine, study, source of an imported curve, bench.
"""

from __future__ import annotations

import functools
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from assay.errors import AssayError, StoreError
from assay.recipe.model import Recipe
from assay.store import curves
from assay.store.schema import bench, imported, machine, member, progress, result, search, search_job, study, trial
from assay.studies.search.jobs import KINDS
from assay.studies.settings import TIMINGS
from assay.training.checked import LEDGER, Fraction, Number, Seconds, Whole
from assay.training.ledger import ENTRIES
from assay.training.outcome import Outcome
from assay.training.source import Source

_MOST_DEPTH = 32  # of JSON in a cell
_SUSPECT = re.compile(r"NaN|Infinity|(?<![\d.])\d{19}|[eE]\+?\d{3}|\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""What JSON has that `_check_plain` refuses, or may have: long numbers, large exponents, halves of surrogate pairs."""
_FRACTIONS = ("accuracy", "train_accuracy", "validation_accuracy")
_NOT_NEGATIVE = ("seconds", "effort", "cost_seconds", "cost_flops")
_TIMES = ("created", "updated", "finished", "decided", "told")
_LAST_TIME = 253_370_764_800.0  # the beginning of the year 9999, in seconds since 1970: no calendar goes further
_strict = ConfigDict(strict=True, extra="ignore")


def plain_json(text: str, kind: type) -> Any:
    """JSON of a kind, dict or list. Raises: ValueError."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, kind):
        raise ValueError(f"is JSON of type {type(value).__name__}; expected {kind.__name__}")
    if text.count("[") + text.count("{") > _MOST_DEPTH or _SUSPECT.search(text):
        _check_plain(value, 0)
    return value


def _check_plain(value: Any, depth: int) -> None:
    """Checks that JSON can be stored and printed again. Raises: ValueError."""
    if depth > _MOST_DEPTH:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, depth + 1)
            _check_plain(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, float) or not math.isfinite(item):
                _check_plain(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("holds NaN or infinity")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("holds a whole number of more than 64 bits")
    elif isinstance(value, str):
        value.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair


def _recipe(text: str) -> str:
    try:
        Recipe.stored(plain_json(text, dict))
    except AssayError as error:
        raise ValueError(str(error)) from None
    return text


def _of_json(kind: type, adapter: TypeAdapter[Any]) -> AfterValidator:
    def check(text: str) -> str:
        adapter.validate_python(plain_json(text, kind))
        return text

    return AfterValidator(check)


def _curve(cell: Any, *, trained: bool) -> Any:
    curves.check(cell, trained=trained)
    return cell


class _Machine(BaseModel):
    model_config = _strict
    cpu: str = ""
    cores: Whole = 0
    system: str = ""
    python: str = ""
    memory_bytes: Whole | None = None
    versions: dict[str, str | None] = {}


class _Definition(BaseModel):
    model_config = _strict
    name: str = ""
    about: str = ""
    repeats: Whole = 1
    baseline: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    trials: dict[str, Any] = {}


_MATRIX = TypeAdapter(list[list[Whole]], config=_strict)


def _confusion(text: str) -> str:
    rows = _MATRIX.validate_python(plain_json(text, list))
    if any(len(row) != len(rows) for row in rows):
        raise ValueError("is not a square matrix")
    return text


class _Origin(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    name: str
    format: str
    framework: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    steps: str
    clock: str
    machine: str = ""
    units: dict[str, str] = {}
    seconds: dict[str, Seconds] = {}
    lines: dict[str, Whole] = {}
    training: Annotated[int, Field(ge=1, lt=2**31)] = 1


def _source(text: str) -> str:
    plain = plain_json(text, dict)
    try:
        source = Source.stored(plain)
        _Origin.model_validate(vars(source))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
    if source.steps not in ("iterations", "epochs") or set(source.seconds) - {*ENTRIES, "other"}:
        raise ValueError("its steps are iterations or epochs, and its seconds entries of a ledger")
    return text


def _one_of(*names: str) -> AfterValidator:
    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"got {text[:60]!r}; expected one of {', '.join(names)}")
        return text

    return AfterValidator(check)


_lax = ConfigDict(extra="ignore")  # a tuple is a list in JSON
_point = dict[str, str | int | float | bool]
_numbers = TypeAdapter(list[Number], config=_strict)
_list_of_texts = TypeAdapter(list[str], config=_strict)
CELLS: dict[tuple[str, str], AfterValidator] = {
    ("trial", "recipe"): AfterValidator(_recipe),
    ("trial", "timing"): _one_of(*TIMINGS),
    ("result", "outcome"): _one_of(*Outcome),
    ("result", "ledger"): _of_json(dict, TypeAdapter(LEDGER)),
    ("result", "curve"): AfterValidator(functools.partial(_curve, trained=True)),
    ("result", "confusion"): AfterValidator(_confusion),
    ("result", "classes"): _of_json(list, _list_of_texts),
    ("result", "warnings"): _of_json(list, _list_of_texts),
    ("machine", "description"): _of_json(dict, TypeAdapter(_Machine)),
    ("study", "definition"): _of_json(dict, TypeAdapter(_Definition)),
    ("member", "axis_values"): _of_json(dict, TypeAdapter(dict[str, str | int | float | bool], config=_strict)),
    ("imported", "source"): AfterValidator(_source),
    ("imported", "outcome"): _one_of(*Outcome),
    ("imported", "curve"): AfterValidator(functools.partial(_curve, trained=False)),
    ("imported", "warnings"): _of_json(list, _list_of_texts),
    ("search", "worst"): _of_json(list, _numbers),
    ("search", "shown"): _of_json(list, TypeAdapter(list[tuple[_point, list[Number]]], config=_lax)),
    ("search", "versions"): _of_json(dict, TypeAdapter(dict[str, str], config=_strict)),
    ("search_job", "axis_values"): _of_json(dict, TypeAdapter(_point, config=_strict)),
    ("search_job", "kind"): _one_of(*KINDS),
    ("search_job", "origin"): _one_of("sampler", "neighbour"),
    ("search_job", "outcome"): _one_of(*Outcome),
    ("search_job", "scores"): _of_json(list, _numbers),
    ("search_job", "measured"): _of_json(list, _numbers),
    ("progress", "points"): AfterValidator(functools.partial(_curve, trained=False)),
}
"""What is checked of a cell beyond its type, by table and column."""
TABLES = {
    table.name: table
    for table in (trial, result, machine, study, member, imported, bench, progress, search, search_job)
}


def _type_of(column: sa.Column[Any]) -> Any:
    """The strict type of a column's values."""
    kind: Any
    if isinstance(column.type, sa.Boolean):
        kind = bool
    elif isinstance(column.type, sa.Double):
        kind = Fraction if column.name in _FRACTIONS else Number
        kind = Seconds if column.name in _NOT_NEGATIVE else kind
        kind = Annotated[Seconds, Field(le=_LAST_TIME)] if column.name in _TIMES else kind
    elif isinstance(column.type, sa.Integer):
        low = 0 if column.name != "seed" else -(2**63)
        kind = Annotated[int, Field(ge=low, le=2**63 - 1)]
    elif isinstance(column.type, sa.String) and not isinstance(column.type, sa.Text) and column.name != "study":
        kind = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
    else:
        kind = Any if isinstance(column.type, sa.LargeBinary) else str
    if check := CELLS.get((column.table.name, column.name)):
        kind = Annotated[kind, check]
    return kind | None if column.nullable else kind


def bounds_of(column: sa.Column[Any]) -> tuple[type, float | None, float | None]:
    """The type of a column's values and their bounds, as `check_row` has them; the length of a key is at least 1."""
    if isinstance(column.type, sa.Boolean):
        return bool, None, None
    if isinstance(column.type, sa.Double):
        if column.name in _FRACTIONS:
            return float, 0.0, 1.0
        if column.name in _TIMES:
            return float, 0.0, _LAST_TIME
        most = sys.float_info.max
        return float, 0.0 if column.name in _NOT_NEGATIVE else -most, most
    if isinstance(column.type, sa.Integer):
        return int, 0 if column.name != "seed" else -(2**63), 2**63 - 1
    is_key = isinstance(column.type, sa.String) and not isinstance(column.type, sa.Text) and column.name != "study"
    return str, 1 if is_key else None, None


@functools.cache
def _model(table: str, names: tuple[str, ...]) -> type[BaseModel]:
    columns = TABLES[table].columns
    fields: dict[str, Any] = {f"c_{name}": (_type_of(columns[name]), ...) for name in names}
    return create_model(f"Row_{table}", __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def check_row(table: str, row: Mapping[str, Any], *, skip: tuple[str, ...] = ()) -> None:
    """Checks the columns of a table that a row has. Raises: ValueError with the first column that is wrong.

    >>> check_row("machine", {"hash": "ab", "description": "[]"})
    Traceback (most recent call last):
    ValueError: machine.description: is JSON of type list; expected dict
    """
    columns = TABLES[table].columns
    names = tuple(c.name for c in columns if c.name in row and c.name not in skip)
    for name in names:
        if isinstance(row[name], str):
            try:
                row[name].encode()
            except UnicodeEncodeError:
                raise ValueError(f"{table}.{name}: holds half of a character") from None
    try:
        _model(table, names).model_validate({f"c_{name}": row[name] for name in names})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = str(first["loc"][0]).removeprefix("c_")
        what = " ".join(str(first["msg"]).removeprefix("Value error, ").split())
        raise ValueError(f"{table}.{where}: {what[:200]}") from None


def readable(table: str, row: Mapping[str, Any], key: str) -> None:
    """Checks a row that was read. Raises: StoreError that names it and the cure."""
    try:
        check_row(table, row, skip=("recipe",))
        _check_table(row.get("recipe", "{}"))
    except ValueError as error:
        raise StoreError(unreadable(table, key, str(error))) from None


def recipe_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in the row of a trial, as plain data. Raises: StoreError, which names the trial, where it is none."""
    try:
        table: Any = json.loads(row["recipe"])
    except (ValueError, TypeError, RecursionError):
        table = None
    if isinstance(table, dict) and all(isinstance(table.get(part), dict) for part in ("data", "budget")):  # pyright: ignore[reportUnknownMemberType]
        return table  # pyright: ignore[reportUnknownVariableType]
    raise StoreError(unreadable("trial", str(row["trial"]), "trial.recipe: is no recipe"))


def _check_table(recipe: object) -> None:
    """Checks that a stored recipe is a table; what is in it is checked where it is read. Raises: ValueError."""
    if not isinstance(recipe, str):
        raise ValueError(f"trial.recipe: is of type {type(recipe).__name__}; expected text")
    try:
        plain_json(recipe, dict)
    except ValueError as error:
        raise ValueError(f"trial.recipe: {error}") from None


def unreadable(table: str, key: str, reason: str) -> str:
    """The message for a row that cannot be read."""
    return (
        f"the {table} {key[:8]!r} cannot be read: {reason}; `assay store check` lists what is damaged, "
        "`assay store repair` sets it aside"
    )
