"""A study of an article changed to how the article is run: other data, fewer seeds, scaled down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.articles.entries import Quick
from assay.articles.spec import ReproductionSpec
from assay.recipe.patches import with_data
from assay.studies.study import Study

QUICK = "-quick"  # ends the name of a study that is scaled down
_DIVIDED = ("iterations", "every", "horizon", "warm_up", "train_loss")  # keys of numbers that a quick run divides
_QUICK_VALIDATION = 200  # images, of a study that has a validation set


def changed_study(
    table: Mapping[str, Any], spec: ReproductionSpec, *, changes: Mapping[str, Any] | None = None, source: str = "study"
) -> Study:
    """The study of a file's table, changed to the spec; `changes` replace its settings. Raises: RecipeError."""
    raw: dict[str, Any] = {**table, **(changes or {})}
    baseline: dict[str, Any] = dict(raw.get("baseline", {}))
    split: Any = baseline.get("data")
    if not spec.data:
        pass
    elif not spec.quick:
        baseline |= with_data(baseline, spec.data)
    elif isinstance(split, dict) and "validation" in split:
        baseline["data"] = {"name": spec.data, "validation": _QUICK_VALIDATION}
    else:
        baseline["data"] = spec.data
    raw["baseline"] = baseline
    if spec.repeats is not None:
        raw["repeats"] = spec.repeats
    if spec.quick:
        raw = _scaled(raw, spec.scale)
        raw |= {"name": f"{raw['name']}{QUICK}", "timing": "packed"}  # an isolated trial waits for the whole machine
    return Study.parse(raw, source=source)


def _scaled(value: Any, scale: Quick, key: str = "") -> Any:
    """Plain data with budgets and log intervals divided; one or two epochs stay."""
    if isinstance(value, Mapping):
        items: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        if items.get("key") == "budget.epochs":
            return {**items, "values": [_divided(n, scale.epochs) for n in items["values"]]}
        return {name: _scaled(item, scale, str(name)) for name, item in items.items()}
    if isinstance(value, int) and not isinstance(value, bool) and key in _DIVIDED:
        return _divided(value, scale.iterations)
    if isinstance(value, int | float) and key == "epochs":
        return value if value <= 2 else _divided(value, scale.epochs)
    return value


def _divided(number: float, divisor: int) -> int:
    return max(1, round(number) // divisor)


__all__ = ["QUICK", "changed_study"]
