"""The definition of a study with aliases rewritten: its baseline, its axes and its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.recipe.aliases import (
    canonical,
    canonical_key,
    canonical_value,
    is_sgd,
    sgd_settings,
    without_doubles,
    without_sgd,
)
from assay.recipe.model import Recipe

Table = dict[str, Any]


def canonical_study(raw: Mapping[str, Any]) -> Table:
    """A study's plain data in the words of its recipes, so that labels and keys do not depend on how it is spelt.

    "sgd" stays only if an axis sets `optimizer.momentum` or `optimizer.nesterov`, which decides what it is.

    >>> canonical_study({"axes": {"optimizer.lr": [0.1, 0.2]}})
    {'axes': {'optimizer.learning_rate': {'key': 'optimizer.learning_rate', 'values': [0.1, 0.2]}}}
    """
    result: Table = dict(raw)
    baseline: Any = result.get("baseline", {})
    if not isinstance(baseline, Mapping):
        return result
    base: Table = canonical(baseline)  # pyright: ignore[reportUnknownArgumentType]
    conditions, renamed = _without_conditions(result), dict[str, str]()
    for field in ("axes", "trials"):
        if isinstance(result.get(field), Mapping):
            entries = [entry for name, table in result[field].items() for entry in _entries(field, name, table)]
            tables = [_axis(field, name, table, base) for name, table in entries]
            renamed |= {name: new for (name, _), (new, _) in zip(entries, tables, strict=True)}
            result[field] = dict(tables)
    is_without_sgd = not any(map(sgd_settings, _patches(result)))
    if is_without_sgd:
        base = without_sgd(base)
        for field in ("axes", "trials"):
            if isinstance(result.get(field), Mapping):
                result[field] = {name: _without_sgd(table) for name, table in result[field].items()}
    for written, when in conditions.items():
        name = renamed.get(written, written)
        table = result["axes"][name]
        result["axes"][name] = table | {"when": _condition(when, result["axes"], renamed, sgd=not is_without_sgd)}
    if "baseline" in raw:
        result["baseline"] = base
    return result


def _without_conditions(study: Table) -> dict[str, Any]:
    """Takes the conditions of the axes of a search out of their tables; returns them by the name of the axis."""
    axes: Any = study.get("axes")
    if study.get("design") != "search" or not isinstance(axes, Mapping):
        return {}
    conditions: dict[str, Any] = {}
    tables: Table = {}
    for name, table in axes.items():  # pyright: ignore[reportUnknownVariableType]
        if isinstance(table, Mapping) and "when" in table:
            conditions[str(name)] = table["when"]
            table = {key: value for key, value in table.items() if key != "when"}  # pyright: ignore
        tables[str(name)] = table
    study["axes"] = tables
    return conditions


def _condition(when: Any, axes: Mapping[str, Any], renamed: Mapping[str, str], *, sgd: bool) -> Any:
    """A condition in the names and the values that the axes have now; `sgd`: whether this word stays."""
    if not isinstance(when, Mapping):
        return when
    condition: Table = {}
    for other, value in when.items():  # pyright: ignore[reportUnknownVariableType]
        name = renamed.get(str(other), str(other))
        table: Any = axes.get(name)
        if isinstance(table, Mapping) and table.get("key") in ("optimizer", "optimizer.name") and not sgd:
            value = [_value_without_sgd(v) for v in value] if isinstance(value, list) else _value_without_sgd(value)  # pyright: ignore
        condition[name] = value
    return condition


def doubled_words(study: Mapping[str, Any]) -> list[str]:
    """A sentence for each alias that stands next to its name in a patch of a canonical study.

    >>> doubled_words({"trials": {"a": {"lr": 0.1, "optimizer": {"learning_rate": 0.2}}}})
    ['lr: is another name of optimizer.learning_rate, which is given too; leave one of them out']
    """
    return list(dict.fromkeys(problem for patch in _patches(study) for problem in without_doubles(patch)[1]))


def sgd_problem(table: Mapping[str, Any]) -> str:
    """Why "sgd" cannot stand for several optimizers in one study here; "" if it can.

    >>> sgd_problem({"optimizer": {"name": "sgd", "momentum": 0.9, "learning_rate": 0.1}})
    ''
    """
    optimizer = table.get("optimizer")
    name = optimizer.get("name") if isinstance(optimizer, Mapping) else optimizer  # pyright: ignore
    if not is_sgd(name) or (isinstance(optimizer, Mapping) and "learning_rate" in optimizer):
        return ""
    return (
        "optimizer.learning_rate: is missing; an axis sets the momentum of 'sgd', and without momentum another "
        "rate is the default (0.1) than with it (0.01); give one for both"
    )


def _entries(field: str, name: str, table: Any) -> list[tuple[str, Any]]:
    """An axis as it is; several if it was written `optimizer.lr = [0.1, 0.2]`, which TOML reads as nested tables.

    >>> _entries("axes", "optimizer", {"lr": {"low": 0.001, "high": 0.1}})
    [('optimizer.lr', {'low': 0.001, 'high': 0.1})]
    """
    if field == "axes" and isinstance(table, Mapping) and table and name in Recipe.model_fields:
        inner: Table = dict(table)  # pyright: ignore[reportUnknownArgumentType]
        if all(isinstance(values, list) or _is_range(values) for values in inner.values()):
            return [(f"{name}.{key}", values) for key, values in inner.items()]
    return [(name, table)]


def _is_range(table: Any) -> bool:
    """Whether an axis is a range without a key, which its name is; no patch has numbers for `low` and `high`."""
    if not isinstance(table, Mapping) or not {"low", "high"} <= set(table) <= {"low", "high", "scale", "whole", "step"}:  # pyright: ignore
        return False
    return all(isinstance(table[end], int | float) for end in ("low", "high"))  # pyright: ignore


def _axis(field: str, name: str, table: Any, base: Mapping[str, Any]) -> tuple[str, Any]:
    """An axis, or with the design "list" a trial: its name and its table, in the words of a recipe."""
    if field == "trials":
        return name, canonical(table, base=base) if isinstance(table, Mapping) else table  # pyright: ignore
    if isinstance(table, list):  # "optimizer.learning_rate" = [0.1, 0.2]
        name = canonical_key(name, base=base)
        table = {"key": name, "values": table}
    elif _is_range(table) and ("." in (key := canonical_key(name, base=base)) or key in Recipe.model_fields):
        name, table = key, {"key": key, **table}  # "optimizer.learning_rate" = { low = 1e-4, high = 0.1 }
    if not isinstance(table, Mapping):
        return name, table
    raw: Table = {str(key): value for key, value in table.items()}  # pyright: ignore
    if not isinstance(raw.get("key"), str):
        return name, {
            label: canonical(patch, base=base) if isinstance(patch, Mapping) else patch  # pyright: ignore
            for label, patch in raw.items()
        }
    key, values = raw["key"], raw.get("values")
    if not all(part.strip() for part in key.split(".")):
        return name, raw
    raw["key"] = canonical_key(key, base=base)
    if isinstance(values, list):
        raw["values"] = [canonical_value(key, value, base=base) for value in values]  # pyright: ignore
    return name, raw


def _patches(study: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Every patch of a study's axes and trials; of the axis of a key, a patch of this key."""
    trials, axes = study.get("trials", {}), study.get("axes", {})
    if isinstance(trials, Mapping):
        yield from (patch for patch in trials.values() if isinstance(patch, Mapping))  # pyright: ignore
    for table in axes.values() if isinstance(axes, Mapping) else ():  # pyright: ignore
        if isinstance(table, Mapping) and isinstance(key := table.get("key"), str):  # pyright: ignore
            section, _, inner = key.partition(".")
            yield {section: {inner: None}}
        elif isinstance(table, Mapping):
            condition = "when" if study.get("design") == "search" else None
            yield from (patch for label, patch in table.items() if isinstance(patch, Mapping) and label != condition)  # pyright: ignore


def _without_sgd(table: Any) -> Any:
    """An axis or a trial in which "sgd" is the optimizer that it stands for."""
    if not isinstance(table, Mapping):
        return table
    raw: Table = dict(table)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(raw.get("key"), str):
        if raw["key"] in ("optimizer", "optimizer.name") and isinstance(raw.get("values"), list):
            raw["values"] = [_value_without_sgd(value) for value in raw["values"]]
        return raw
    if "optimizer" in raw:  # a trial
        return without_sgd(raw)
    return {label: without_sgd(patch) if isinstance(patch, Mapping) else patch for label, patch in raw.items()}  # pyright: ignore


def _value_without_sgd(value: Any) -> Any:
    """A value of an axis of optimizers, a name or a table, with the optimizer that "sgd" stands for."""
    if isinstance(value, Mapping):
        return without_sgd({"optimizer": value})["optimizer"]
    return "descent" if is_sgd(value) else value
