"""The configurations of a study, each with its recipe.

Fields of a recipe that are not validated together are patched and validated apart, once for each combination of the
values of the axes that set them, and every configuration shares the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from assay.engines.program import Command
from assay.errors import RecipeError
from assay.recipe.model import COUPLED, Recipe
from assay.studies.designs import Configuration
from assay.studies.settings import Settings
from assay.studies.space import Axis, Patch, Value, applied, nested, replaced_keys
from assay.studies.words import sgd_problem

_KNOWN = frozenset((*Recipe.model_fields, "engine"))
_ORDER = ("model", "optimizer", "schedule", "batches", "loss")  # of components that are replaced


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration: its label, the values of the axes, its recipe, and the keys that were dropped.

    `dropped` are keys of the axes that its components lack, `replaced` those of the baseline's components that it has
    other ones for.
    """

    label: str
    values: Configuration
    recipe: Recipe
    dropped: tuple[str, ...]
    engine: str | Command  # that of the study, or the one that an axis sets
    replaced: tuple[str, ...]
    origin: tuple[Patch, Sequence[Axis]]  # the baseline and the axes of the study

    @property
    def table(self) -> dict[str, Any]:
        """The plain data of its recipe: the baseline with the patches of its values."""
        baseline, axes = self.origin
        table, _ = applied(baseline, _patches_of(axes, self.values))
        table.pop("engine", None)
        return table


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one group of fields has for a combination of values."""

    parts: Mapping[str, Any]  # field -> validated value
    given: frozenset[str]  # the fields that are set
    dropped: tuple[str, ...]
    replaced: tuple[str, ...]
    engine: str | Command | None


@dataclass(frozen=True)
class _Number:
    """The place of a number of an axis in plain data."""

    axis: str


@dataclass(frozen=True)
class _Patched:
    """The plain data of a group with patches applied, with a `_Number` for each number of an axis."""

    table: dict[str, Any]
    dropped: tuple[str, ...]
    replaced: tuple[str, ...]


class _Group:
    """Fields of a recipe that no field outside the group depends on, and the axes that set them."""

    def __init__(self, fields: frozenset[str], baseline: Patch, axes: Sequence[Axis]) -> None:
        self.fields, self.axes = fields, axes
        self._baseline = self._own(baseline)
        self._pieces: dict[tuple[str, ...], _Piece] = {}
        self._patched_by_names: dict[tuple[tuple[str, str], ...], _Patched] = {}

    def piece(self, values: Configuration) -> _Piece:
        """What the group has in a configuration. Raises: RecipeError, ValidationError."""
        # repr: 1, 1.0 and true are equal keys of a dict, and so are 0.0 and -0.0
        names = tuple([repr(values[axis.name]) if axis.name in values else "" for axis in self.axes])
        piece = self._pieces.get(names)
        if piece is None:
            piece = self._pieces[names] = self._made(values)
        return piece

    def _made(self, values: Configuration) -> _Piece:
        patched = self._patched(values)
        table = _filled(patched.table, values)
        engine = table.pop("engine", None)
        if problem := sgd_problem(table):
            raise RecipeError([problem])
        trainer = None if engine is None else Settings(engine=engine).engine
        recipe = Recipe.parse(table)
        parts = {field: value for field, value in recipe.__dict__.items() if field in self.fields}
        given = self.fields & recipe.model_fields_set
        return _Piece(parts, given, patched.dropped, patched.replaced, trainer)

    def _patched(self, values: Configuration) -> _Patched:
        """The baseline with the patches of these values, once for all numbers of an axis: a patch is merged by its
        keys and by names of components, never by a number."""
        axes = [axis for axis in self.axes if axis.name in values]
        numbers = {axis.name for axis in axes if axis.key and type(values[axis.name]) in (int, float)}
        names = tuple([(axis.name, "" if axis.name in numbers else repr(values[axis.name])) for axis in axes])
        if names not in self._patched_by_names:
            patches = [
                nested(axis.key, _Number(axis.name)) if axis.name in numbers else axis.patch(values[axis.name])
                for axis in axes
            ]
            table, dropped = applied(self._baseline, [self._own(patch) for patch in patches])
            replaced = tuple(replaced_keys(self._baseline, table))
            self._patched_by_names[names] = _Patched(table, tuple(dropped), replaced)
        return self._patched_by_names[names]

    def _own(self, table: Patch) -> dict[str, Any]:
        return {key: value for key, value in table.items() if key in self.fields}


def _filled(table: Any, values: Configuration) -> Any:
    """Plain data with the number of its axis for each `_Number`."""
    if isinstance(table, dict):
        entries: dict[str, Any] = table  # pyright: ignore[reportUnknownVariableType]
        return {key: _filled(value, values) for key, value in entries.items()}
    return values[table.axis] if isinstance(table, _Number) else table


class Space:
    """The baseline of a study with its axes: makes the recipe of each configuration."""

    def __init__(self, settings: Settings, baseline: Patch, axes: Sequence[Axis]) -> None:
        self._settings, self._origin = settings, (baseline, axes)
        self._groups = _groups(baseline, axes)
        self._texts: dict[tuple[str, str], str] = {}
        self._given: dict[frozenset[str], set[str]] = {}

    def candidate(self, values: Configuration) -> Candidate:
        """The configuration with these values. Raises: RecipeError, ValidationError, with all of its errors."""
        try:
            pieces = [group.piece(values) for group in self._groups]
        except (RecipeError, ValidationError):  # other groups may have errors too
            pieces = [_whole(*self._origin).piece(values)]
        parts: dict[str, Any] = {}
        given: frozenset[str] = frozenset()
        dropped: tuple[str, ...] = ()
        replaced: tuple[str, ...] = ()
        engine = None
        for piece in pieces:
            parts |= piece.parts
            given |= piece.given
            dropped += piece.dropped
            replaced += piece.replaced
            engine = piece.engine or engine
        recipe = Recipe.model_construct(self._given.setdefault(given, set(given)), **parts)
        replaced = tuple(sorted(replaced, key=_place)) if replaced else ()
        trainer = engine or self._settings.engine
        return Candidate(self.label(values), values, recipe, dropped, trainer, replaced, self._origin)

    def label(self, values: Configuration) -> str:
        """How a configuration is called."""
        if not values:
            return "baseline"
        return ", ".join([self._text(axis, value) for axis, value in values.items()])

    def _text(self, axis: str, value: Value) -> str:
        key = (axis, repr(value))
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _label(self._settings.design, axis, value)
        return text


def _label(design: str, axis: str, value: Value) -> str:
    """How a value is called in the label of a configuration."""
    if design == "one-at-a-time":
        return f"{axis} {value}"
    if design == "list" or not _is_bare(value):
        return str(value)
    return f"{axis.rpartition('.')[2]} {value}"


def _is_bare(value: object) -> bool:
    """Whether a value says nothing without the name of its axis: a number, or yes or no.

    >>> [_is_bare(value) for value in ("adam", "2LR", 10, "1e-3", True, "false")]
    [False, False, True, True, True, True]
    """
    try:
        float(str(value))
    except ValueError:
        return str(value).lower() in ("true", "false")
    return True


def _patches_of(axes: Sequence[Axis], values: Configuration) -> list[Patch]:
    """The patches of a configuration, in the order of the axes."""
    return [axis.patch(values[axis.name]) for axis in axes if axis.name in values]


def _groups(baseline: Patch, axes: Sequence[Axis]) -> list[_Group]:
    """Groups in the order of the axes that set their fields, then that of the fields that no axis sets.

    A field that is no field of a recipe may stand for any of them, so that there is one group alone.
    """
    axes_of: dict[frozenset[str], list[Axis]] = {}
    for axis in axes:
        fields = _fields(axis)
        if not fields <= _KNOWN or not baseline.keys() <= _KNOWN:
            return [_whole(baseline, axes)]
        for group in dict.fromkeys(frozenset(COUPLED if field in COUPLED else (field,)) for field in sorted(fields)):
            axes_of.setdefault(group, []).append(axis)
    rest = _Group(_KNOWN.difference(*axes_of), baseline, ())
    return [*(_Group(fields, baseline, setting) for fields, setting in axes_of.items()), rest]


def _whole(baseline: Patch, axes: Sequence[Axis]) -> _Group:
    """All fields as one group."""
    return _Group(_KNOWN.union(baseline, *map(_fields, axes)), baseline, axes)


def _fields(axis: Axis) -> set[str]:
    """The fields that an axis sets."""
    patches = [axis.patch(axis.low)] if axis.is_range else axis.patches.values()
    return {field for patch in patches for field in patch}


def _place(key: str) -> int:
    return _ORDER.index(key.partition(".")[0])
