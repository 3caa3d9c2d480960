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
from assay.parts.modules import ForeignModel
from assay.parts.optimizers import Optimizer
from assay.parts.part import Part
from assay.recipe.model import COUPLED, Recipe
from assay.studies.designs import Configuration
from assay.studies.settings import Settings
from assay.studies.space import Axis, Patch, Value, applied, nested, replaced_keys
from assay.studies.words import sgd_problem

_KNOWN = frozenset((*Recipe.model_fields, "engine"))
_FIELDS = tuple(Recipe.model_fields)
_MOST_PIECES = 10_000  # of a group that are kept: values that are drawn from a range hardly come again
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
    numbers: frozenset[str]  # the axes of these numbers


@dataclass(frozen=True)
class _Pattern:
    """A piece of one component whose only numbers of axes are floats of the component itself.

    The component is validated with the numbers of other configurations, and nothing else of their recipes.
    """

    piece: _Piece
    field: str
    settings: Mapping[str, Any]  # of the component, those that were given
    axes: Mapping[str, str]  # the key of each number -> its axis

    def with_numbers(self, values: Configuration) -> _Piece | None:
        """The piece with the numbers of a configuration.

        None where one of them is no float or is wrong: the whole recipe is parsed then, whose error has the keys of
        the study.
        """
        settings = dict(self.settings)
        for key, axis in self.axes.items():
            value = settings[key] = values[axis]
            if type(value) is not float:
                return None
        try:
            made = type(self.piece.parts[self.field]).model_validate(settings)
        except ValidationError:
            return None
        old = self.piece
        return _Piece({self.field: made}, old.given, old.dropped, old.replaced, old.engine)


class _Group:
    """Fields of a recipe that no field outside the group depends on, and the axes that set them."""

    def __init__(self, fields: frozenset[str], baseline: Patch, axes: Sequence[Axis]) -> None:
        self.fields, self.axes = fields, axes
        self._baseline = self._own(baseline)
        self._pieces: dict[tuple[str, ...], _Piece] = {}
        self._patched_by_names: dict[tuple[str | None, ...], _Patched] = {}
        self._patterns: dict[int, _Pattern | None] = {}  # by the identity of what is patched

    def piece(self, values: Configuration) -> _Piece:
        """What the group has in a configuration. Raises: RecipeError, ValidationError."""
        # repr: 1, 1.0 and true are equal keys of a dict, and so are 0.0 and -0.0
        names = tuple([repr(values[axis.name]) if axis.name in values else "" for axis in self.axes])
        piece = self._pieces.get(names)
        if piece is None:
            if len(self._pieces) >= _MOST_PIECES:
                self._pieces.clear()
            piece = self._pieces[names] = self._made(values)
        return piece

    def _made(self, values: Configuration) -> _Piece:
        patched = self._patched(values)
        pattern = self._patterns.get(id(patched))
        if pattern is not None and (piece := pattern.with_numbers(values)) is not None:
            return piece
        piece = self._parsed(patched, values)
        if id(patched) not in self._patterns:
            self._patterns[id(patched)] = self._pattern(patched, piece, values)
        return piece

    def _pattern(self, patched: _Patched, piece: _Piece, values: Configuration) -> _Pattern | None:
        """The pattern of the pieces of what is patched, from one of them; None where they differ in more."""
        if len(self.fields) != 1:
            return None
        (field,) = self.fields
        part, table = piece.parts.get(field), patched.table.get(field)
        if patched.table.keys() != {field} or not isinstance(part, Part) or not isinstance(table, dict):
            return None
        if isinstance(part, Optimizer) and part.is_user_defined():  # its settings may depend on one another
            return None
        if isinstance(part, ForeignModel):  # whose arguments are no fields
            return None
        entries: dict[str, Any] = table  # pyright: ignore[reportUnknownVariableType]
        numbers = {key: value.axis for key, value in entries.items() if isinstance(value, _Number)}
        settings = {key: part.__dict__[key] for key in part.model_fields_set}
        as_given = all(repr(settings.get(key)) == repr(values[axis]) for key, axis in numbers.items())
        if not as_given or frozenset(numbers.values()) != patched.numbers:
            return None
        return _Pattern(piece, field, settings, numbers)

    def _parsed(self, patched: _Patched, values: Configuration) -> _Piece:
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
        names = tuple([self._name(axis, values) for axis in self.axes])
        if names not in self._patched_by_names:
            axes = [axis for axis in self.axes if axis.name in values]
            numbers = frozenset(axis.name for axis, name in zip(self.axes, names, strict=True) if name == "")
            patches = [
                nested(axis.key, _Number(axis.name)) if axis.name in numbers else axis.patch(values[axis.name])
                for axis in axes
            ]
            table, dropped = applied(self._baseline, [self._own(patch) for patch in patches])
            replaced = tuple(replaced_keys(self._baseline, table))
            self._patched_by_names[names] = _Patched(table, tuple(dropped), replaced, numbers)
        return self._patched_by_names[names]

    def _name(self, axis: Axis, values: Configuration) -> str | None:
        """The value of an axis as text, empty for a number; None where the axis does not vary."""
        if axis.name not in values:
            return None
        value = values[axis.name]
        return "" if axis.key and type(value) in (int, float) else repr(value)

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
        recipe = _recipe({field: parts[field] for field in _FIELDS}, self._given.setdefault(given, set(given)))
        replaced = tuple(sorted(replaced, key=_place)) if replaced else ()
        trainer = engine or self._settings.engine
        return Candidate(self.label(values), values, recipe, dropped, trainer, replaced, self._origin)

    def label(self, values: Configuration) -> str:
        """How a configuration is called."""
        if not values:
            return "baseline"
        return ", ".join([self._text(axis, value) for axis, value in values.items()])

    def _text(self, axis: str, value: Value) -> str:
        if type(value) is float:  # mostly drawn from a range, so that it does not come again
            return _label(self._settings.design, axis, value)
        key = (axis, repr(value))
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _label(self._settings.design, axis, value)
        return text


def _recipe(parts: dict[str, Any], given: set[str]) -> Recipe:
    """A recipe of validated parts, as `model_construct` makes it in four times the time; recipes share `given`."""
    recipe = Recipe.__new__(Recipe)
    object.__setattr__(recipe, "__dict__", parts)
    object.__setattr__(recipe, "__pydantic_fields_set__", given)
    object.__setattr__(recipe, "__pydantic_extra__", None)
    object.__setattr__(recipe, "__pydantic_private__", None)
    return recipe


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
    if type(value) is float or type(value) is int:
        return True
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
