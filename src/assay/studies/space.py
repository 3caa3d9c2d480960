"""Axes: what a study varies, as named patches of the recipe or as the values of one key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assay.errors import CodeError, has_no, unknown
from assay.parts.batches import BATCHES
from assay.parts.models import MODELS, model_of
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.part import Part
from assay.parts.schedules import SCHEDULES
from assay.parts.user_optimizers import import_optimizer
from assay.recipe.aliases import is_sgd
from assay.recipe.patches import merged, names_component
from assay.rng import Stream

Value = str | int | float | bool
"""The name of a patch; for the values of one key, the value itself."""
Patch = Mapping[str, Any]

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Axis:
    """What an axis varies: named patches, or the range of a key from which the design "random" draws.

    `listed` are the values of a key as they were written, equal ones too; `patches` has each once.
    """

    name: str
    patches: Mapping[Value, Patch]
    key: str = ""
    low: float = 0.0
    high: float = 0.0
    scale: str = "linear"
    whole: bool = False
    listed: tuple[Value, ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        """The values, as often as they are listed."""
        return self.listed or tuple(self.patches)

    @property
    def is_range(self) -> bool:
        """Whether the axis is a range, not a list of values."""
        return bool(self.key) and not self.patches

    def patch(self, value: Value) -> Patch:
        """The patch of a value."""
        return nested(self.key, value) if self.key else self.patches[value]

    def draw(self, random: Stream, index: int) -> Value:
        """The draw of that index: uniform over the list, or over the range on its scale."""
        u = float(random.uniform(1, start=index)[0])
        if not self.is_range:
            return list(self.patches)[int(u * len(self.patches))]
        if self.scale == "log":
            drawn = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            drawn = self.low + u * (self.high - self.low)
        return min(round(drawn), int(self.high)) if self.whole else float(f"{drawn:.6g}")

    def touches(self) -> set[str]:
        """The dotted keys that the axis sets; a component that it replaces stands for all of its keys."""
        patches = [nested(self.key, self.low)] if self.is_range else list(self.patches.values())
        return {key for patch in patches for key in _paths(patch)}


def nested(key: str, value: Any) -> dict[str, Any]:
    """The patch that sets a dotted key.

    >>> nested("optimizer.learning_rate", 0.1)
    {'optimizer': {'learning_rate': 0.1}}
    """
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _paths(patch: Patch) -> list[str]:
    paths: list[str] = []
    for key, value in patch.items():
        if isinstance(value, Mapping) and not names_component(value):  # pyright: ignore[reportUnknownArgumentType]
            paths += [f"{key}.{inner}" for inner in value]
        else:
            paths.append(key)
    return paths


# --- parsing ---------------------------------------------------------------------------------------------------------

_KEYED = ("key", "values", "low", "high", "scale", "whole")


def axis(name: str, table: object, problems: list[str]) -> Axis:
    """Parses a table of a study file as an axis; adds its errors to `problems`."""
    where = f"axes.{name}"
    if not isinstance(table, Mapping) or not table:
        problems.append(
            f"{where}: got {table!r}; expected a table of named patches, or a key with values or with low and high"
        )
        return Axis(name, {})
    raw: dict[str, Any] = {str(key): value for key, value in table.items()}  # pyright: ignore
    if isinstance(raw.get("key"), str):
        return _keyed_axis(name, raw, problems)
    for label, patch in raw.items():
        if not isinstance(patch, Mapping):
            problems.append(
                f"{where}.{label}: got {patch!r}; expected a patch, such as {{ batches = {{ size = 64 }} }}"
            )
    return Axis(name, {label: patch for label, patch in raw.items() if isinstance(patch, Mapping)})


def _keyed_axis(name: str, raw: Mapping[str, Any], problems: list[str]) -> Axis:
    where, key = f"axes.{name}", str(raw["key"])
    problems += [f"{where}: " + has_no("an axis", "key", k, _KEYED) for k in raw if k not in _KEYED]
    if not all(part.strip() for part in key.split(".")):
        problems.append(f"{where}.key: got {key!r}; expected a dotted key of a recipe, such as optimizer.learning_rate")
        return Axis(name, {})
    if "values" in raw:
        values = raw["values"]
        if not isinstance(values, list) or not values or not all(isinstance(v, str | int | float) for v in values):
            problems.append(f"{where}.values: got {values!r}; expected a list of numbers or strings")
            return Axis(name, {})
        return Axis(name, {value: nested(key, value) for value in values}, key=key, listed=tuple(values))
    low, high, scale = raw.get("low"), raw.get("high"), raw.get("scale", "linear")
    whole = raw.get("whole", isinstance(low, int) and isinstance(high, int))
    if scale not in SCALES:
        problems.append(f"{where}.scale: {unknown('scale', scale, SCALES)}")
    numbers = [n for n in (low, high) if isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n)]
    if len(numbers) < 2 or not numbers[0] < numbers[1] or (scale == "log" and numbers[0] <= 0):
        least = " and 0 < low" if scale == "log" else ""
        problems.append(
            f"{where}: got low {low!r} and high {high!r}; expected values, or two numbers with low < high{least}"
        )
        return Axis(name, {})
    return Axis(name, {}, key=key, low=numbers[0], high=numbers[1], scale=str(scale), whole=bool(whole))


# --- patches on a baseline -------------------------------------------------------------------------------------------

_COMPONENTS: dict[str, tuple[Mapping[str, type[Part]], str, str]] = {  # field -> entries, tag, default entry
    "model": (MODELS, "name", "mlp"),
    "optimizer": (OPTIMIZERS, "name", "adam"),
    "schedule": (SCHEDULES, "name", "constant"),
    "batches": (BATCHES, "kind", "shuffled"),
}


def applied(baseline: Patch, patches: Sequence[Patch]) -> tuple[dict[str, Any], list[str]]:
    """A recipe's plain data with patches applied, and the keys that were dropped because a component lacks them.

    In any order of the axes, components are replaced first (models before others, because they set the loss), then keys
    are set. A key that the component lacks is dropped if another component has it: momentum with descent.
    """
    replacing = [{k: v for k, v in p.items() if not isinstance(v, Mapping) or names_component(v)} for p in patches]
    setting = [{k: v for k, v in p.items() if k not in r} for p, r in zip(patches, replacing, strict=True)]
    replacing = [p for p in replacing if "model" in p] + [p for p in replacing if "model" not in p]
    table, dropped = merged(baseline, replacing), list[str]()
    for patch in setting:
        fitting: dict[str, Any] = {}
        for field, values in patch.items():
            fitting[field], lost = _fitting(field, table.get(field), values)
            dropped += lost
        table = merged(table, [{field: values for field, values in fitting.items() if values}])
    return table, dropped


def _fitting(field: str, component: object, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The keys of a patch to apply, and those that the component lacks. The recipe reports unknown keys."""
    if field not in _COMPONENTS:
        return dict(values), []
    entries, tag, name = _COMPONENTS[field]
    if isinstance(component, str):
        name = component
    elif isinstance(component, Mapping):
        table: Mapping[str, Any] = component  # pyright: ignore[reportUnknownVariableType]
        name = table.get(tag, model_of(table) if field == "model" else name)
    entry = entries.get("momentum" if field == "optimizer" and is_sgd(name) else str(name))
    if entry is None and field == "optimizer" and ":" in str(name):
        with suppress(CodeError):  # the recipe reports the error
            entry = import_optimizer(str(name))
    if entry is None:
        return dict(values), []
    own = entry.model_fields
    others = {key for entry in entries.values() for key in entry.model_fields}
    lost = [key for key in values if key not in own and key in others]
    return {key: value for key, value in values.items() if key not in lost}, [f"{field}.{key}" for key in lost]
