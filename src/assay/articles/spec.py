"""How a reproduction is run, and the bundled studies changed to it: other data, fewer seeds, scaled down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.data.datasets import load
from assay.errors import AssayError, DataError
from assay.recipe.patches import with_data
from assay.recipe.toml import read_toml
from assay.studies.plan import Plan, plan
from assay.studies.study import Study, bundled

QUICK_ITERATIONS = 200  # what a quick run divides iterations by
QUICK_EPOCHS = 3
QUICK_SEEDS = 2
QUICK = "-quick"  # ends the name of a study that is scaled down
_DIVIDED = ("iterations", "every", "horizon", "warm_up", "train_loss")  # keys of numbers that a quick run divides
_QUICK_VALIDATION = 200  # images, of a study that has a validation set


@dataclass(frozen=True)
class ReproductionSpec:
    """How a reproduction is run.

    Attributes:
        data: Name or folder of the data set.
        quick: Whether it is scaled down.
        seeds: Number of seeds per configuration; None for each study's own.
        sample: Fraction of the trajectories of the parameter grid; None for all.
        epochs: Epochs of every training of LeNet-5; None for each study's own.
    """

    data: str
    quick: bool = False
    seeds: int | None = None
    sample: float | None = None
    epochs: int | None = None

    @property
    def repeats(self) -> int | None:
        """The paired seeds per configuration; None for each study's own number."""
        return self.seeds if self.seeds is not None else QUICK_SEEDS if self.quick else None

    def iterations(self, published: int) -> int:
        """The iterations at which a point that was published at `published` iterations is measured."""
        return max(1, published // QUICK_ITERATIONS) if self.quick else published

    @property
    def banner(self) -> str:
        """The warning at the top of the page of a scaled-down run; else empty."""
        if not self.quick:
            return ""
        return (
            f"Scaled down: iterations divided by {QUICK_ITERATIONS}, epochs by {QUICK_EPOCHS}, data set {self.data}. "
            "It shows that everything works; its figures and verdicts say nothing about the article."
        )


def parse_spec(
    *, data: str | None, quick: bool, seeds: int | None, sample: float | None = None, epochs: int | None = None
) -> ReproductionSpec:
    """The spec that the options ask for.

    Raises:
        AssayError: An option has a wrong value.
        DataError: The data set is not on this machine.
    """
    if seeds is not None and seeds < 1:
        raise AssayError(f"--seeds: got {seeds}; expected a number >= 1")
    if sample is not None and not 0 < sample <= 1:
        percent = f": {sample / 100:g} is {sample:g} %" if 1 < sample <= 100 else ""
        raise AssayError(f"--sample: got {sample:g}; expected a fraction above 0 and up to 1{percent}")
    if epochs is not None and epochs < 1:
        raise AssayError(f"--epochs: got {epochs}; expected a number >= 1")
    name = data or ("digits" if quick else "mnist")
    try:
        load(name)
    except DataError as error:
        if data is not None:
            raise
        raise DataError(
            "the articles train on MNIST, which is not on this machine: fetch it with `assay data fetch mnist`, or "
            "give --data FOLDER with its four IDX files; --quick runs everything on the embedded digits"
        ) from error
    return ReproductionSpec(name, quick, seeds, sample, epochs)


def study(name: str, spec: ReproductionSpec, changes: Mapping[str, Any] | None = None) -> Study:
    """A bundled study, changed to the spec; `changes` replace its settings."""
    raw: dict[str, Any] = {**read_toml(bundled(name)), **(changes or {})}
    baseline: dict[str, Any] = dict(raw.get("baseline", {}))
    split: Any = baseline.get("data")
    if not spec.quick:
        baseline |= with_data(baseline, spec.data)
    elif isinstance(split, dict) and "validation" in split:
        baseline["data"] = {"name": spec.data, "validation": _QUICK_VALIDATION}
    else:
        baseline["data"] = spec.data
    raw["baseline"] = baseline
    if spec.repeats is not None:
        raw["repeats"] = spec.repeats
    if spec.quick:
        raw = _scaled(raw)
        raw |= {"name": f"{raw['name']}{QUICK}", "timing": "packed"}  # an isolated trial waits for the whole machine
    return Study.parse(raw, source=name)


def plans(names: list[str], spec: ReproductionSpec) -> list[Plan]:
    """The plans of bundled studies, changed to the spec."""
    return [plan(study(name, spec)) for name in names]


def _scaled(value: Any, key: str = "") -> Any:
    """Plain data with budgets and log intervals divided; one or two epochs stay."""
    if isinstance(value, Mapping):
        items: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        if items.get("key") == "budget.epochs":
            return {**items, "values": [_divided(n, QUICK_EPOCHS) for n in items["values"]]}
        return {name: _scaled(item, str(name)) for name, item in items.items()}
    if isinstance(value, int) and not isinstance(value, bool) and key in _DIVIDED:
        return _divided(value, QUICK_ITERATIONS)
    if isinstance(value, int | float) and key == "epochs":
        return value if value <= 2 else _divided(value, QUICK_EPOCHS)
    return value


def _divided(number: float, divisor: int) -> int:
    return max(1, round(number) // divisor)


__all__ = ["ReproductionSpec", "parse_spec", "plans", "study"]
