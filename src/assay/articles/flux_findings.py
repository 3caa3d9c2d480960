"""The findings of the two Flux.jl articles, each checked by a rule on the measured curves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from statistics import median
from typing import Any

from assay.analysis.verdicts import of_values
from assay.articles.measurements import Measurements
from assay.articles.page import Finding
from assay.articles.published import article
from assay.articles.spec import ReproductionSpec
from assay.execution.fit import fit
from assay.recipe.toml import read_toml
from assay.report.text import percent
from assay.studies.study import bundled

MODELS = ("4LS", "3LS", "2LR")
VARIANTS = ("batch", "stochastic", "mini-batch")
_FAILING = frozenset({("4LS", "batch"), ("3LS", "batch"), ("2LR", "stochastic")})  # with Descent, by the article
_GOOD = 0.9  # an accuracy from which a result is good
_RESCUED = 0.85  # the article counts 87 % as a rescue
_EQUAL = 0.005  # accuracies this close are equal
_EARLY = 500  # iterations


@cache
def ends() -> Mapping[str, int]:
    """The iterations at which the articles end each configuration."""
    last: dict[str, int] = {}
    for name in ("flux-mnist", "flux-mnist-early", "adam", "adam-early"):
        for label in read_toml(bundled(name))["trials"]:
            cell, _, iterations = label.rpartition(" ")
            last[cell] = max(last.get(cell, 0), int(iterations))
    return last


def _finals(spec: ReproductionSpec, measured: Measurements, optimizer: str) -> dict[tuple[str, str], float]:
    """The median accuracy at the end of each configuration that was measured to its end."""
    finals: dict[tuple[str, str], float] = {}
    for model in MODELS:
        for variant in VARIANTS:
            cell = f"{model} {optimizer} {variant}"
            values = measured.values_at(cell, "test_accuracy", spec.iterations(ends()[cell]))
            if values:
                finals[model, variant] = median(values.values())
    return finals


def _accuracies_text(values: Mapping[tuple[str, str], float]) -> str:
    return ", ".join(f"{model} {variant} {percent(value)}" for (model, variant), value in values.items())


def _missing(count: int, of: int) -> str:
    return "" if count == of else f"; {of - count} of {of} configurations are not measured to their end"


def no_good_variant(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """One variant fails for each model, and it is the one that the article names."""
    finals = _finals(spec, measured, "descent")
    wrong = [cell for cell, value in finals.items() if (value < _GOOD) != (cell in _FAILING)]
    holds = False if wrong else True if len(finals) == 9 else None
    evidence = _accuracies_text(finals) + _missing(len(finals), 9)
    rule = "median accuracy at the end below 90 % in those three configurations and in no other"
    return Finding("", rule, holds, evidence)


def ranking(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """3LS before 2LR before 4LS, by the best accuracy of each model over its variants."""
    best: dict[str, dict[int, float]] = {}
    ended: list[str] = []
    for model in MODELS:
        cells = [f"{model} descent {variant}" for variant in VARIANTS]
        curves = {cell: measured.best_accuracies(cell, spec.iterations(ends()[cell])) for cell in cells}
        if measured_curves := {cell: values for cell, values in curves.items() if values}:
            cell = max(measured_curves, key=lambda name: median(measured_curves[name].values()))
            best[model] = measured_curves[cell]
            ended.append(measured.ended_text(f"{cell} {ends()[cell]}"))
    rule = (
        "best accuracy of a curve (selected on test), best variant of each model, over paired seeds with Holm's "
        "correction for the two comparisons"
    )
    if len(best) < 3:
        return Finding("", rule, None, "not every model is measured to an end")
    verdicts = of_values(best, [("3LS", "2LR"), ("2LR", "4LS")])
    holds = all(v.winner == v.names[0] for v in verdicts)
    against = any(v.winner == v.names[1] for v in verdicts)
    evidence = "; ".join([*(v.sentence() for v in verdicts), *filter(None, ended)])
    return Finding("", rule, True if holds else False if against else None, evidence)


def effort(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """Training seconds / accuracy of the two mini-batch trainings that the article compares."""
    rule = "effort = training seconds / accuracy at the published iterations; at least ten times lower for 2LR"
    labels = ("2LR descent mini-batch 64000", "3LS descent mini-batch 2048000")
    efforts: list[float] = []
    evidence: list[str] = []
    for label in labels:
        seconds, accuracy = measured.column(label, "seconds"), measured.column(label, "accuracy")
        if ended := measured.ended_text(label):
            return Finding("", rule, None, f"{ended}: what did not finish has no effort")
        if not seconds:
            return Finding("", rule, None, f"{label} is not measured")
        efforts.append(median(seconds[seed] / accuracy[seed] for seed in seconds if seed in accuracy))
        evidence.append(f"{label}: {median(seconds.values()):.2f} s, effort {efforts[-1]:.2f} s")
    evidence.append(f"ratio {efforts[1] / efforts[0]:.0f}")
    return Finding("", rule, efforts[1] >= 10 * efforts[0], "; ".join(evidence))


def more_parameters(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """In some variant, a larger model ends more than a point below a smaller one."""
    parameters: Mapping[str, int] = article("flux_mnist")["parameters"]
    finals = _finals(spec, measured, "descent")
    pairs: list[str] = []
    for variant, small, large in itertools.product(VARIANTS, MODELS, MODELS):
        a, b = finals.get((small, variant)), finals.get((large, variant))
        if a is not None and b is not None and parameters[small] < parameters[large] and a > b + 0.01:
            sizes = f"{parameters[small]:,} and {parameters[large]:,} parameters"
            pairs.append(f"{variant}: {small} {percent(a)} over {large} {percent(b)} ({sizes})")
    rule = "in some variant a larger model ends more than 1.0 point below a smaller one"
    holds = True if pairs else False if len(finals) == 9 else None
    return Finding("", rule, holds, "; ".join(pairs) or "no such pair so far" + _missing(len(finals), 9))


def plateaus(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """The training loss stays on a plateau up to the published iterations and falls afterwards; it is jagged."""
    rule = (
        "training loss, medians: above 85 % of its value at 500 iterations until 4,000 (3LS) and 15,000 (4LS), "
        "below 70 % of it at 16,000 and 160,000; and on every seed it rises at least once"
    )
    evidence: list[str] = []
    holds: list[bool] = []
    for model, plateau, fallen in (("3LS", 4000, 16000), ("4LS", 15000, 160000)):
        cell = f"{model} descent stochastic"
        losses = [measured.values_at(cell, "train_loss", spec.iterations(n)) for n in (500, plateau, fallen)]
        if not all(losses):
            return Finding("", rule, None, f"{cell} is not measured that far")
        start, flat, low = (median(values.values()) for values in losses)
        jagged = [curve.rises("train_loss") for curve in measured.longest(cell).values()]
        holds.append(flat > 0.85 * start and low < 0.7 * start and all(jagged))
        evidence.append(
            f"{model}: {start:.4f} at 500, {flat:.4f} at {plateau:,}, {low:.4f} at {fallen:,} iterations; "
            f"rises on {sum(jagged)} of {len(jagged)} seeds"
        )
    return Finding("", rule, all(holds), "; ".join(evidence))


def additive(spec: ReproductionSpec) -> Finding:
    """1,000 iterations resumed for 1,000 more, against 2,000 at once: bit for bit."""
    recipe: dict[str, Any] = {"data": spec.data, "model": "4LS", "loss": "mse", "batches": "single", "log": 1000}
    recipe["optimizer"] = {"name": "descent", "learning_rate": 0.2}
    first = fit({**recipe, "budget": {"iterations": 1000}})
    continued = fit({**recipe, "budget": {"iterations": 2000}}, start=first)
    whole = fit({**recipe, "budget": {"iterations": 2000}})
    a, b = continued.final.train_loss, whole.final.train_loss
    evidence = f"4LS, stochastic: training loss {a!r} after 1,000 + 1,000, {b!r} after 2,000 iterations"
    return Finding("", "the two training losses are equal in every bit", a == b, evidence)


# --- ADAM against Descent --------------------------------------------------------------------------------------------


def rescues(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """Where Descent fails, ADAM's curve reaches a good accuracy."""
    rule = (
        "the best accuracy of ADAM's curve (median over seeds) is 85 % or more there, and Descent's end is below 90 %"
    )
    evidence: list[str] = []
    holds: list[bool] = []
    descent = _finals(spec, measured, "descent")
    for model, variant in sorted(_FAILING):
        cell = f"{model} adam {variant}"
        best = measured.best_accuracies(cell, spec.iterations(ends()[cell]))
        if not best or (model, variant) not in descent:
            evidence.append(f"{model} {variant}: not measured to the end")
            continue
        reached, plain = median(best.values()), descent[model, variant]
        holds.append(reached >= _RESCUED and plain < _GOOD)
        evidence.append(f"{model} {variant}: ADAM {percent(reached)}, Descent {percent(plain)}")
    return Finding("", rule, False if not all(holds) else True if len(holds) == 3 else None, "; ".join(evidence))


def faster_early(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """The training loss at 500 iterations, ADAM against Descent, seed by seed."""
    faster: list[str] = []
    slower: list[str] = []
    open_cells: list[str] = []
    for model in MODELS:
        for variant in VARIANTS:
            name = f"{model} {variant}"
            pair = [
                measured.values_at(f"{model} {optimizer} {variant}", "train_loss", spec.iterations(_EARLY))
                for optimizer in ("adam", "descent")
            ]
            common = sorted(pair[0].keys() & pair[1].keys())
            if not common:
                open_cells.append(name)
                continue
            difference = median(pair[0][seed] - pair[1][seed] for seed in common)
            same = all((pair[0][seed] < pair[1][seed]) == (difference < 0) for seed in common)
            (open_cells if not same else faster if difference < 0 else slower).append(name)
    wrong = [name for name in slower if name != "2LR mini-batch"]
    evidence = f"ADAM lower: {', '.join(faster) or 'none'}; Descent lower: {', '.join(slower) or 'none'}"
    evidence += f"; seeds disagree or are missing: {', '.join(open_cells)}" if open_cells else ""
    rule = "training loss at the last log point up to 500 iterations, lower on every common seed (2LR mini-batch aside)"
    return Finding("", rule, False if wrong else None if open_cells else True, evidence)


def ends_below(spec: ReproductionSpec, measured: Measurements) -> Finding:
    """Where Descent succeeds, ADAM ends below it."""
    adam, descent = _finals(spec, measured, "adam"), _finals(spec, measured, "descent")
    holds: list[bool] = []
    differences: list[str] = []
    for cell, plain in descent.items():
        if cell in _FAILING or cell not in adam:
            continue
        difference = adam[cell] - plain
        holds.append(abs(difference) <= _EQUAL if cell == ("2LR", "batch") else difference < 0)
        differences.append(f"{' '.join(cell)}: {100 * difference:+.2f}")
    rule = "median accuracy at the end, ADAM minus Descent, below 0; within 0.5 points for 2LR batch"
    evidence = "; ".join(differences) + " points" if differences else "nothing to compare"
    holds_all = False if not all(holds) else True if len(holds) == 6 else None
    return Finding("", rule, holds_all, evidence + _missing(len(holds), 6))


__all__ = [
    "additive",
    "effort",
    "ends",
    "ends_below",
    "faster_early",
    "more_parameters",
    "no_good_variant",
    "plateaus",
    "ranking",
    "rescues",
]
