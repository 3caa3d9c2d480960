"""The findings of the article on the widened LeNet-5, each checked by a rule on what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from assay.articles.lenet_results import ONE, TOGETHER, TWO, LenetResults, accuracies_of, epochs_of
from assay.articles.lenet_tables import softmax_floor
from assay.articles.measurements import percent_cell
from assay.articles.page import Finding
from assay.articles.published import article
from assay.report.text import percent

_NEAR = 0.05  # of a loss: near its floor
_FEW = 3  # epochs, as the study has; before them a loss has not come down yet


def findings(results: LenetResults) -> dict[str, Finding]:
    """The article's findings by name, without their sentences; compilation is checked with the times."""
    return {
        "floor": floor_finding(results),
        "early": early_finding(results),
        "softmax": softmax_finding(results),
        "inputs": inputs_finding(results),
        "seeds": seeds_finding(results),
        "denormals": denormals_finding(results),
    }


def floor_finding(results: LenetResults) -> Finding:
    """The loss of two softmaxes has a floor, and the published losses lie on it."""
    logs: Mapping[str, float] = article("lenet5")["logs"]
    setting: Mapping[str, Any] = article("lenet5")["setting"]
    floor, last_digit = softmax_floor(10), 1e-4
    pairs = [
        (logs["pytorch_validation_loss"], floor / int(setting["validation_batch_size"])),
        (logs["pytorch_training_loss"], floor / int(setting["batch_size"])),
    ]
    on_floor = all(abs(printed - least) <= last_digit for printed, least in pairs)
    losses = [float(row["test_loss"]) for row in results.measured.of(TWO)]
    rule = (
        f"no measured loss is below the floor, each ends within {_NEAR:g} of it, judged from {_FEW} epochs on, and "
        "the printed losses are the floor's to their last digit, give or take one"
    )
    if not losses:
        return Finding("", rule, None, "not measured")
    evidence = f"losses of {min(losses):.4f} to {max(losses):.4f} after {results.epochs} epochs; floor {floor:.4f}"
    if min(losses) < floor - 1e-6 or not on_floor:
        return Finding("", rule, False, evidence)
    return Finding("", rule, max(losses) <= floor + _NEAR if results.epochs >= _FEW else None, evidence)


def early_finding(results: LenetResults) -> Finding:
    """Two softmaxes differ more between seeds after the first epoch than one."""
    rule = "after the first epoch the range over our seeds is at least five times that of one softmax"
    first = {label: [values[0] for values in accuracies_of(results.measured, label)] for label in (ONE, TWO)}
    if min(len(values) for values in first.values()) < 2:
        return Finding("", rule, None, "a range needs two seeds of each")
    one, two = (max(values) - min(values) for values in first.values())
    ranges = [f"{label}: {percent_cell(min(v))} to {percent(max(v))}, {len(v)} seeds" for label, v in first.items()]
    return Finding("", rule, two >= 5 * one, "; ".join(ranges))


def softmax_finding(results: LenetResults) -> Finding:
    """One softmax ends above two."""
    verdict = results.verdict(ONE, TWO)
    rule = f"over paired seeds one softmax beats two; here after {results.epochs} epochs, in the article after 100"
    return Finding("", rule, None if verdict.winner is None else verdict.winner == ONE, verdict.sentence())


def inputs_finding(results: LenetResults) -> Finding:
    """The two ways of standardising images differ."""
    verdict = results.verdict(ONE, TOGETHER)
    rule = "over paired seeds, each image by itself and all together differ"
    return Finding("", rule, True if verdict.decided else None, verdict.sentence())


def seeds_finding(results: LenetResults) -> Finding:
    """The frameworks differ by more than seeds do."""
    groups: dict[str, dict[str, float]] = {}
    for run in article("lenet5")["runs"]:
        groups.setdefault(run["device"], {})[run["framework"]] = float(run["accuracy"])
    pairs = [
        (abs(a - b), f"{one} and {other}, {device}")
        for device, group in groups.items()
        for (one, a), (other, b) in itertools.combinations(group.items(), 2)
    ]
    least, closest_pair = min(pairs)
    ours = max(results.measured, results.long, key=lambda measured: (epochs_of(measured), len(measured.of(ONE))))
    values = list(ours.column(ONE, "accuracy").values())
    rule = (
        "the least published difference on one device is larger than the range of our seeds of one recipe; "
        "judged where those ran the article's 100 epochs"
    )
    evidence = f"{closest_pair}: {100 * least:.2f} points"
    if len(values) < 2:
        return Finding("", rule, None, f"{evidence}; our spread is not measured")
    span = max(values) - min(values)
    evidence += f"; {len(values)} seeds of one recipe after {epochs_of(ours)} epochs: {100 * span:.2f} points"
    return Finding("", rule, least > span if epochs_of(ours) >= 100 else None, evidence)


def denormals_finding(results: LenetResults) -> Finding:
    """Denormal numbers explain why the article's epochs became slower."""
    logs: Mapping[str, float] = article("lenet5")["logs"]
    growth = logs["pytorch_late_epoch_s"] - logs["pytorch_early_epoch_s"]
    rule = (
        "on denormal numbers Adam's update, or the convolution's backward pass, costs so much more that 100 "
        "iterations of it make up half of the article's additional seconds an epoch"
    )
    if not results.denormals:
        return Finding("", rule, None, "torch is not installed")
    adam, convolution = results.denormals.values()
    updates = 100 * (adam.denormal - adam.normal)
    passes = 100 * (convolution.denormal - convolution.normal) * 600 / results.images
    evidence = (
        f"the article's epochs grew by {growth:.0f} s; on this processor Adam's update takes {adam.slower:.1f} times "
        f"as long on denormal numbers, {updates:.1f} s per epoch if every weight had died, and the convolution's "
        f"backward pass {convolution.slower:.1f} times as long"
    )
    return Finding("", rule, max(updates, passes) >= growth / 2, evidence)


__all__ = [
    "denormals_finding",
    "early_finding",
    "findings",
    "floor_finding",
    "inputs_finding",
    "seeds_finding",
    "softmax_finding",
]
