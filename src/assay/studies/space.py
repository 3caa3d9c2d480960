"""Axes: what a study varies, as named patches of the recipe or as the values of one key."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from assay.errors import CodeError, has_no
from assay.parts.batches import BATCHES
from assay.parts.models import MODELS, model_of
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.part import Part
from assay.parts.schedules import SCHEDULES
from assay.parts.user_optimizers import import_optimizer
from assay.recipe.aliases import SHORT_FORMS, canonical, documented_keys, is_sgd
from assay.recipe.hints import hint
from assay.recipe.patches import merged, names_component, with_model_of_layers
from assay.rng import Stream

Value = str | int | float | bool
"""The name of a patch; for the values of one key, the value itself."""
Patch = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """What an axis varies: named patches, or the range of a key from which the designs "random" and "search" draw.

    `listed` are the values of a key as they were written, equal ones too; `patches` has each once. A value that is a
    list or a table goes by its text. In a search, a range may have a `step`, and an axis may vary only `when` other
    axes have one of some values.
    """

    name: str
    patches: Mapping[Value, Patch]
    key: str = ""
    low: float = 0.0
    high: float = 0.0
    scale: str = "linear"
    whole: bool = False
    listed: tuple[Value, ...] = ()
    step: float = 0.0
    when: Mapping[str, tuple[Value, ...]] = dataclasses.field(default_factory=dict[str, tuple[Value, ...]])

    @property
    def values(self) -> tuple[Value, ...]:
        """The values, as often as they are listed."""
        return self.listed or tuple(self.patches)

    @property
    def is_range(self) -> bool:
        """Whether the axis is a range, not a list of values."""
        return bool(self.key) and not self.patches

    def patch(self, value: Value) -> Patch:
        """The patch of a value. 1 and true are equal keys of a dict, so that a number makes its patch itself."""
        if self.key and not (isinstance(value, str) and value in self.patches):
            return nested(self.key, value)
        return self.patches[value]

    def draws(self, random: Stream, count: int) -> list[Value]:
        """The first draws: uniform over the list, or over the range on its scale."""
        return [self._drawn(float(u)) for u in random.uniform(count)]

    def _drawn(self, u: float) -> Value:
        """The value at the fraction u of the axis."""
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
    are set. A patch that names the component that the baseline has keeps the baseline's other keys of it. A key that
    the component lacks is dropped if another component has it: momentum with descent.
    """
    patches = _implied(baseline, patches)
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


def replaced_keys(baseline: Patch, table: Patch) -> list[str]:
    """The keys of the baseline that a configuration does not have, because it replaces their component.

    >>> replaced_keys({"optimizer": {"name": "descent", "learning_rate": 0.2}}, {"optimizer": "adam"})
    ['optimizer.learning_rate']
    """
    keys: list[str] = []
    for field in _COMPONENTS:
        old, new = baseline.get(field), table.get(field)
        if isinstance(old, Mapping) and _name_of(field, old) != _name_of(field, new):
            left = new if isinstance(new, Mapping) else {}
            keys += [f"{field}.{key}" for key in old if key != _COMPONENTS[field][1] and key not in left]  # pyright: ignore
    return keys + (["loss"] if "loss" in baseline and "loss" not in table else [])


def lacking(baseline: Patch, axes: Sequence[Axis], *, product: bool) -> list[str]:
    """The errors of keys that axes set and that no component that they can meet has, so that they had no effect.

    In a product of axes, another axis may bring the component that has the key, and single combinations drop it.
    """
    problems: list[str] = []
    for varied in axes:
        others = [other for other in axes if other is not varied] if product else []
        where = "trials" if varied.name == "trial" and not product else f"axes.{varied.name}"
        patches = {varied.low: nested(varied.key, varied.low)} if varied.is_range else varied.patches
        for value, patch in patches.items():
            place = where if varied.key else f"{where}.{value}"
            problems += [f"{place}: {problem}" for problem in _lacking(baseline, patch, others)]
    return list(dict.fromkeys(problems))


def overriding(patches: Sequence[Patch], axes: Sequence[Axis], baseline: Patch, replaced: Collection[str]) -> list[str]:
    """The errors of patches of the baseline that no configuration has: an axis sets their keys, or `replaced` does."""
    problems: list[str] = []
    for path in dict.fromkeys(path for patch in patches for path in _leaves(canonical(patch, base=baseline))):
        for varied in axes:
            sets = [nested(varied.key, varied.low)] if varied.is_range else list(varied.patches.values())
            if all(path in _leaves(patch) for patch in sets):
                who = "every trial" if varied.name == "trial" else f"axis {varied.name!r}"
                problems.append(f"{path}: {who} sets it, so that it has no effect; leave it out, or change the study")
        if path in replaced:
            field = path.partition(".")[0]
            problems.append(f"{path}: every configuration has another {field}, so that it has no effect")
    return list(dict.fromkeys(problems))


def _leaves(patch: Patch) -> list[str]:
    """The dotted keys that a patch sets; the name of a component is one of them, and a budget is one key."""
    paths: list[str] = []
    for key, value in patch.items():
        if isinstance(value, Mapping) and key != "budget":
            paths += [f"{key}.{inner}" for inner in value]
        else:
            paths.append(f"{key}.{SHORT_FORMS[key]}" if isinstance(value, str) and key in SHORT_FORMS else key)
    return paths


def _lacking(baseline: Patch, patch: Patch, others: Sequence[Axis]) -> list[str]:
    """The errors of the keys of one patch, with every component that the other axes can bring."""
    problems: list[str] = []
    (patch,) = _implied(baseline, [patch])
    for field, values in patch.items():
        if field not in _COMPONENTS or not isinstance(values, Mapping) or names_component(values):  # pyright: ignore
            continue
        bringing = [[p for p in other.patches.values() if names_component(p.get(field))] for other in others]
        always = any(patches and len(patches) == len(o.patches) for patches, o in zip(bringing, others, strict=True))
        tables = [merged(baseline, [p]) for patches in bringing for p in patches]
        tables += [] if always else [merged(baseline, [])]
        lost = [set(_fitting(field, table.get(field), values)[1]) for table in tables]  # pyright: ignore
        for path in sorted(set[str].intersection(*lost)):
            key = path.partition(".")[2]
            problems.append(f"{path}: {_has_no_key(field, tables[-1].get(field), key, values[key])}")  # pyright: ignore
    return problems


def _has_no_key(field: str, component: object, key: str, value: object) -> str:
    """The message for a key that a component lacks: a decay has a hint, because the nearest name is another decay."""
    entry, name = component_of(field, component)
    if "decay" in key and (sentence := hint(field, key, value, component=name)):
        return sentence
    known = [known for known in entry.model_fields if known != _COMPONENTS[field][1]] if entry else []
    return has_no(f"{field} {name!r}", "key", key, documented_keys(field, known))


def _implied(baseline: Patch, patches: Sequence[Patch]) -> list[Patch]:
    """The patches, with the model that layers imply; one that names the baseline's own component only sets keys."""
    base = merged(baseline, [])
    changes_model = any(names_component(patch.get("model")) for patch in patches)
    result: list[Patch] = []
    for patch in patches:
        changed = dict(patch)
        for field, (_, tag, _) in _COMPONENTS.items():
            value = changed.get(field)
            if field == "model" and not changes_model:
                value = with_model_of_layers(base.get(field, "mlp"), value)
            if names_component(value) and _name_of(field, value) == _name_of(field, base.get(field)):
                inner: Mapping[str, Any] = value if isinstance(value, Mapping) else {}  # pyright: ignore
                value = {key: setting for key, setting in inner.items() if key != tag}
            if field in changed:
                changed[field] = value
        result.append(changed)
    return result


def _name_of(field: str, component: object) -> str:
    """The name of a component as a recipe has it: a name, a table, or nothing for the default."""
    _, tag, name = _COMPONENTS[field]
    if isinstance(component, str):
        return component
    if isinstance(component, Mapping):
        table: Mapping[str, Any] = component  # pyright: ignore[reportUnknownVariableType]
        if field == "optimizer" and "groups" in table:
            return "groups"
        return str(table.get(tag, model_of(table) if field == "model" else name))
    return name


def component_of(field: str, component: object) -> tuple[type[Part] | None, str]:
    """The settings of a component, None where they are unknown, and its name; no name where a field has none."""
    if field not in _COMPONENTS:
        return None, ""
    name = _name_of(field, component)
    entry = _COMPONENTS[field][0].get("momentum" if field == "optimizer" and is_sgd(name) else name)
    if entry is None and field == "optimizer" and ":" in name:
        with suppress(CodeError):  # the recipe reports the error
            entry = import_optimizer(name)
    return entry, name


def _fitting(field: str, component: object, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The keys of a patch to apply, and those that the component lacks. The recipe reports unknown keys."""
    if field not in _COMPONENTS:
        return dict(values), []
    entry, _ = component_of(field, component)
    if entry is None:
        return dict(values), []
    own, others = entry.model_fields, _keys_of(tuple(_COMPONENTS[field][0].values()))
    lost = [key for key in values if key not in own and key in others]
    return {key: value for key, value in values.items() if key not in lost}, [f"{field}.{key}" for key in lost]


@cache
def _keys_of(entries: tuple[type[Part], ...]) -> frozenset[str]:
    """The keys that any of the components has."""
    return frozenset(key for entry in entries for key in entry.model_fields)
