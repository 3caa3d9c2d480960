"""The axes of a study file: tables of named patches, the values of one key, or the range of a key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from assay.errors import has_no, unknown
from assay.recipe.number_kinds import takes_only_whole_numbers
from assay.recipe.toml import inline_text
from assay.studies.space import Axis, Patch, Value, component_of, nested

SCALES = ("linear", "log")
_MOST_STEPS = 1_000_000
_KEYS = ("key", "values", "low", "high", "scale", "whole")
_SEARCH_KEYS = (*_KEYS, "step", "when")


def axis(name: str, table: object, problems: list[str], *, baseline: Patch, in_search: bool = False) -> Axis:
    """Parses a table of a study file as an axis; adds its errors to `problems`.

    Args:
        name: The name of the axis.
        table: Named patches, or `key` with `values` or with `low` and `high`.
        problems: Where errors are added.
        baseline: The baseline's plain data: its components decide whether a key takes whole numbers only.
        in_search: Whether the design is a search, whose axes may have a step and a condition.
    """
    if not in_search or not isinstance(table, Mapping) or "when" not in table:
        return _axis(name, table, problems, baseline=baseline, in_search=in_search)
    raw: dict[str, Any] = dict(table)  # pyright: ignore[reportUnknownArgumentType]
    when = _condition(name, raw.pop("when"), problems)
    return replace(_axis(name, raw, problems, baseline=baseline, in_search=True), when=when)


def _condition(name: str, when: object, problems: list[str]) -> dict[str, tuple[Value, ...]]:
    """The condition under which an axis varies: axis -> values. Which axes there are is checked with all of them."""
    if not isinstance(when, Mapping) or not when:
        problems.append(
            f"axes.{name}.when: got {when!r}; expected a table of other axes with their values, such as "
            '{ optimizer = "momentum" }'
        )
        return {}
    conditions: dict[str, tuple[Value, ...]] = {}
    for other, value in when.items():  # pyright: ignore[reportUnknownVariableType]
        values: list[Any] = value if isinstance(value, list) else [value]
        conditions[str(other)] = tuple(
            inline_text(item) if isinstance(item, list | Mapping) else item for item in values
        )
    return conditions


def _axis(name: str, table: object, problems: list[str], *, baseline: Patch, in_search: bool) -> Axis:
    where = f"axes.{name}"
    if not isinstance(table, Mapping) or not table:
        problems.append(
            f"{where}: got {table!r}; expected a table of named patches, or a key with values or with low and high"
        )
        return Axis(name, {})
    raw: dict[str, Any] = {str(key): value for key, value in table.items()}  # pyright: ignore
    if isinstance(raw.get("key"), str):
        return _axis_of_key(name, raw, problems, baseline=baseline, in_search=in_search)
    for label, patch in raw.items():
        if not isinstance(patch, Mapping):
            is_key_missing = label in _KEYS and label != "key"
            also = '; for the values of one key, write key = "optimizer.learning_rate" above' if is_key_missing else ""
            problems.append(
                f"{where}.{label}: got {patch!r}; expected a patch, such as {{ batches = {{ size = 64 }} }}{also}"
            )
    return Axis(name, {label: patch for label, patch in raw.items() if isinstance(patch, Mapping)})


def _axis_of_key(name: str, raw: Mapping[str, Any], problems: list[str], *, baseline: Patch, in_search: bool) -> Axis:
    where, key = f"axes.{name}", str(raw["key"])
    known = _SEARCH_KEYS if in_search else _KEYS
    only = [k for k in raw if k in _SEARCH_KEYS and k not in known]
    problems += [f"{where}.{k}: only design 'search' has it" for k in only]
    problems += [f"{where}: " + has_no("an axis", "key", k, known) for k in raw if k not in _SEARCH_KEYS]
    if not all(part.strip() for part in key.split(".")):
        problems.append(f"{where}.key: got {key!r}; expected a dotted key of a recipe, such as optimizer.learning_rate")
        return Axis(name, {})
    if "values" not in raw:
        return _range(name, raw, problems, baseline)
    values: Any = raw["values"]
    if not isinstance(values, list) or not values or not all(map(_is_plain, values)):  # pyright: ignore
        problems.append(f"{where}.values: got {values!r}; expected a list of values that {key} takes")
        return Axis(name, {})
    return _listed(name, key, values, problems)  # pyright: ignore[reportUnknownArgumentType]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | list | Mapping)


def _listed(name: str, key: str, values: Iterable[Any], problems: list[str]) -> Axis:
    """The axis of a key's values. Lists and tables go by their text as TOML, in tables and charts too."""
    by_label: dict[Value, Any] = {}
    labels: list[Value] = []
    for value in values:
        label: Value = inline_text(value) if isinstance(value, list | Mapping) else value
        if isinstance(label, str) and by_label.get(label, value) != value:
            problems.append(f"axes.{name}.values: {label!r} is written as a text and as another value; rename one")
        by_label[label] = value
        labels.append(label)
    return Axis(name, {label: nested(key, value) for label, value in by_label.items()}, key=key, listed=tuple(labels))


def _range(name: str, raw: Mapping[str, Any], problems: list[str], baseline: Patch) -> Axis:
    """The axis of a key's range: whole numbers if the key takes no others, or if `whole` asks for them."""
    where, key = f"axes.{name}", str(raw["key"])
    low, high, scale = raw.get("low"), raw.get("high"), raw.get("scale", "linear")
    if scale not in SCALES:
        problems.append(f"{where}.scale: {unknown('scale', scale, SCALES)}")
    if low is None and high is None:
        problems.append(
            f"{where}: has a key and no values; write values = [0.001, 0.01], or low = 0.001 and high = 0.1 in design "
            "'random' or 'search'"
        )
        return Axis(name, {})
    numbers = [n for n in (low, high) if isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n)]
    if len(numbers) < 2 or not numbers[0] < numbers[1] or (scale == "log" and numbers[0] <= 0):
        least = " and 0 < low" if scale == "log" else ""
        problems.append(
            f"{where}: got low {low!r} and high {high!r}; expected values, or two numbers with low < high{least}"
        )
        return Axis(name, {})
    section = key.partition(".")[0]
    whole_only = takes_only_whole_numbers(key, component=component_of(section, baseline.get(section))[0])
    whole = raw.get("whole", whole_only)
    if not isinstance(whole, bool) or (whole_only and not whole):
        only = f": {key} takes no others" if whole_only else ""
        problems.append(f"{where}.whole: got {whole!r}; expected true{'' if whole_only else ' or false'}{only}")
    if whole and not all(float(n).is_integer() for n in numbers):
        reason = f"{key} takes whole numbers only" if whole_only else "whole = true draws whole numbers"
        problems.append(f"{where}: got low {low!r} and high {high!r}; expected whole numbers: {reason}")
    step = _step(where, raw.get("step"), numbers, str(scale), bool(whole), problems) if "step" in raw else 0.0
    first, last = numbers
    return Axis(name, {}, key=key, low=first, high=last, scale=str(scale), whole=bool(whole), step=step)


def _step(where: str, step: object, numbers: list[int | float], scale: str, whole: bool, problems: list[str]) -> float:
    """The step of a range; adds to `problems` why it is none."""
    low, high = numbers
    if not isinstance(step, int | float) or isinstance(step, bool) or not (math.isfinite(step) and step > 0):
        problems.append(f"{where}.step: got {step!r}; expected a number above 0")
        return 0.0
    count = (high - low) / step
    if scale == "log":
        problems.append(f"{where}.step: a range on a log scale has no step; leave out step, or scale")
    elif whole and not float(step).is_integer():
        problems.append(f"{where}.step: got {step!r}; expected a whole number, because the axis takes no others")
    elif count > _MOST_STEPS:
        problems.append(f"{where}.step: makes {count:,.0f} steps; expected at most {_MOST_STEPS:,}")
    elif abs(count - round(count)) > 1e-6 or round(count) < 1:
        last = low + math.floor(count + 1e-9) * step
        near = f"{last:.10g}" if last > low else f"{low + step:.10g}"
        problems.append(
            f"{where}.step: {low:g} to {high:g} in steps of {step:g} misses the end; write high = {near}, or another "
            "step"
        )
    return float(step)
