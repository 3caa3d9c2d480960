"""The two articles on Flux.jl and MNIST: published points next to measured ones, and findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from assay.articles import flux_findings as findings
from assay.articles.agreement import RULE, Judgement, judge, judge_loss
from assay.articles.cross_entropy_forms import cross_entropy_table
from assay.articles.flux_pictures import adam_pictures, calibration_picture, descent_pictures
from assay.articles.measurements import Measurements, percent_cell, trial_rows
from assay.articles.page import Finding, Page, Table, verdict
from assay.articles.published import PublishedPoint, article, points, sources
from assay.articles.spec import ReproductionSpec, plans
from assay.report.text import percent
from assay.results.results import Results
from assay.studies.plan import Plan

_DRAWN = ("flux-first-500", "flux-stretches")  # studies that are only drawn
_CALIBRATED = 0.01  # the rate of the study `adam`; the calibration shows whether another fits better


def flux_plans(spec: ReproductionSpec) -> list[Plan]:
    """The studies behind the article on Descent."""
    return plans(["flux-mnist-early", "flux-mnist", "flux-logging", *_DRAWN], spec)


def adam_plans(spec: ReproductionSpec) -> list[Plan]:
    """The studies behind the article on ADAM, and those on Descent that it compares with."""
    return plans(["adam-calibration", "adam-early", "adam", "flux-mnist-early", "flux-mnist", *_DRAWN], spec)


def flux_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """Descent's points and findings, what logging costs, and cross-entropy at p = 0."""
    studies = [results[key] for key in ("flux-mnist-early", "flux-mnist")]
    measured = Measurements(studies)
    parts = [
        points_table(spec, measured, "descent"),
        *descent_pictures(spec, studies, *(results[key] for key in _DRAWN)),
        seconds_table(spec, measured),
        logging_table(results["flux-logging"]),
        cross_entropy_table(spec),
    ]
    checked = _with_sentences(
        "descent",
        {
            "no-good-variant": findings.no_good_variant(spec, measured),
            "ranking": findings.ranking(spec, measured),
            "effort": findings.effort(spec, measured),
            "parameters": findings.more_parameters(spec, measured),
            "plateaus": findings.plateaus(spec, measured),
            "additive": findings.additive(spec),
        },
    )
    title = "Flux.jl on MNIST: three networks, three gradient-descent variants, plain Descent"
    return Page(title, _lead(spec, measured), parts, checked, sources("flux_mnist")[:1], spec.banner)


def adam_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """ADAM's points, its calibration, and how it compares with Descent."""
    studies = [results[key] for key in ("adam-early", "adam", "flux-mnist-early", "flux-mnist")]
    measured = Measurements(studies)
    parts = [
        calibration_table(spec, results["adam-calibration"]),
        calibration_picture(results["adam-calibration"]),
        points_table(spec, measured, "adam"),
        *adam_pictures(spec, studies, *(results[key] for key in _DRAWN)),
    ]
    checked = _with_sentences(
        "adam",
        {
            "rescues": findings.rescues(spec, measured),
            "faster-early": findings.faster_early(spec, measured),
            "ends-below": findings.ends_below(spec, measured),
        },
    )
    lead = [
        *_lead(spec, measured),
        f"The article states no learning rate for ADAM. {_CALIBRATED:g} is calibrated on its batch points, not a "
        "published figure; the first table shows the calibration.",
    ]
    title = "Flux.jl on MNIST: ADAM against plain Descent"
    return Page(title, lead, parts, checked, sources("flux_mnist")[1:2], spec.banner)


def calibration_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The calibration of ADAM's rate alone."""
    table = calibration_table(spec, results["adam-calibration"])
    parts = [table, calibration_picture(results["adam-calibration"])]
    return Page("The learning rate of ADAM", [], parts, [], sources("flux_mnist")[1:2], spec.banner)


def points_table(spec: ReproductionSpec, measured: Measurements, optimizer: str) -> Table:
    """Every published point of an optimizer next to what was measured there."""
    head = ("configuration", "iterations", "published", "median", "min .. max", "seeds", "where", "verdict", "why not")
    rows: list[list[str]] = []
    for point in points("flux_mnist", optimizer):
        runs = measured.runs(point.name)
        if point.accuracy is not None:
            judgement = judge(point, runs)
            published = f"{point.word} {percent(point.accuracy)}".strip()
            spread = f"{percent_cell(judgement.least)} .. {percent_cell(judgement.greatest)}"
            why = "" if spec.quick else _why(point, judgement, measured)
            cells = [published, percent(judgement.median), spread]
            rows.append(_point_row(spec, point, judgement, cells, why))
        if point.loss is not None:
            judgement = judge_loss(point, runs)
            spread = f"{_loss(judgement.least)} .. {_loss(judgement.greatest)}"
            cells = [f"loss {point.loss:g}", f"loss {_loss(judgement.median)}", spread]
            rows.append(_point_row(spec, point, judgement, cells, "" if spec.quick else judgement.why))
    return Table(head, rows, "The published points", RULE)


def _point_row(
    spec: ReproductionSpec, point: PublishedPoint, judgement: Judgement, cells: list[str], why: str
) -> list[str]:
    """The row of a point; `cells`: the published figure, the measured median and range."""
    iterations = f"{spec.iterations(point.iterations):,}"
    if not judgement.n:
        return [point.cell, iterations, cells[0], "-", "-", "-", judgement.place, "not measured", why]
    word = "not judged: scaled down" if spec.quick else verdict(judgement.holds)
    word += ", near chance" if judgement.near_chance and judgement.holds and not spec.quick else ""
    return [point.cell, iterations, *cells, str(judgement.n), judgement.place, word, why]


def _why(point: PublishedPoint, judgement: Judgement, measured: Measurements) -> str:
    """The most likely reason why a point does not hold, as far as the curves show it."""
    if judgement.holds is not False or point.accuracy is None:
        return judgement.why if judgement.n else ""
    if judgement.median < point.accuracy:
        return f"{judgement.why}: {_when_reached(point, point.accuracy, measured)}"
    gap = f"{judgement.why} by {100 * abs(judgement.median - point.accuracy):.1f} points"
    if judgement.place == "settled":
        return f"{gap}: another rate, or another start of the author's one run"
    return f"{gap}: when a curve leaves a {judgement.place} depends on initial weights and batches"


def _when_reached(point: PublishedPoint, accuracy: float, measured: Measurements) -> str:
    """When the measured curves reach a published accuracy that they do not have at the published iterations."""
    reached = measured.first_reached(point.cell, accuracy)
    if reached is None:
        end = max((curve.end for curve in measured.longest(point.cell).values()), default=0)
        return f"half of the curves do not reach it by {end:,} iterations"
    late = "; the article adds iterations to trained weights, so perhaps its run was no fresh start"
    return f"the curves reach it by {reached:,.0f} iterations{late if reached > point.iterations else ''}"


def _loss(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def seconds_table(spec: ReproductionSpec, measured: Measurements) -> Table:
    """The published training times, and the measured ones."""
    rows: list[list[str]] = []
    for point in points("flux_mnist", "descent"):
        if point.seconds is None:
            continue
        seconds = measured.column(point.name, "seconds").values()
        measured_seconds = f"{median(seconds):.3g}" if seconds else "-"
        ratio = f"{point.seconds / median(seconds):,.0f}" if seconds and not spec.quick else "-"
        cells = [point.cell, f"{spec.iterations(point.iterations):,}", f"{point.seconds:g}", measured_seconds, ratio]
        rows.append([*cells, str(len(seconds)) if seconds else "-"])
    note = (
        "Published: Julia on an Apple M1, in round figures. Measured: training alone, packed, one core of two that "
        "were both busy; the median over the seeds. The machines differ: the ratio says what the same training costs "
        "here, not which program is faster."
    )
    head = ("configuration", "iterations", "published [s]", "measured [s]", "published / measured", "seeds")
    return Table(head, rows, "Seconds of the trainings whose time is published", note)


def logging_table(results: Results) -> Table:
    """The cost of logging the loss at every iteration, next to the published seconds."""
    trials = {row["configuration"]: row for row in trial_rows(results) if row["outcome"] == "completed"}
    rows: list[list[str]] = []
    published = {entry["logged"]: float(entry["seconds"]) for entry in article("flux_mnist")["logging_cost"]}
    totals: dict[str, float] = {}
    for name, seconds in published.items():
        if name not in trials:
            rows.append([name, f"{seconds:g}", "-", "-", "-"])
            continue
        training, evaluation = float(trials[name]["seconds"]), float(trials[name]["ledger_evaluate"])
        totals[name] = training + evaluation
        rows.append([name, f"{seconds:g}", f"{training:.3f}", f"{evaluation:.3f}", f"{totals[name]:.3f}"])
    rows.append(["ratio", _ratio(published), "", "", _ratio(totals)])
    note = "Evaluations here include the test images: 70,000 images instead of the article's 60,000. One run each."
    head = ("loss logged", "published [s]", "training [s]", "evaluation [s]", "together [s]")
    return Table(head, rows, "What logging costs: 4LS, stochastic Descent, 4,000 iterations", note)


def _ratio(seconds: Mapping[str, float]) -> str:
    each, end = seconds.get("every iteration"), seconds.get("at the end only")
    return "-" if not each or not end else f"{each / end:,.0f}"


def calibration_table(spec: ReproductionSpec, results: Results) -> Table:
    """The accuracies of each rate at the batch points, and the rate that is nearest to the published ones."""
    trials = trial_rows(results)
    completed = [row for row in trials if row["outcome"] == "completed"]
    published = {p.model: p for p in points("flux_mnist", "adam") if p.variant == "batch" and p.iterations == 500}
    rows: list[list[str]] = []
    distances: dict[float, float] = {}  # by rate, the mean over the points, in percentage points
    for rate in sorted({float(row["rate"]) for row in trials}):
        cells, misses = [f"{rate:g}"], list[float]()
        for model, point in published.items():
            values = [float(row["accuracy"]) for row in completed if row["model"] == model and row["rate"] == rate]
            cells.append(_median_and_range(values))
            misses += [_miss(point, median(values))] if values else []
        if len(misses) == len(published):
            distances[rate] = 100 * sum(misses) / len(misses)
        rows.append([*cells, f"{distances[rate]:.2f}" if rate in distances else "-"])
    rows.append(["published", *(f"{p.word} {percent_cell(p.accuracy or 0)}".strip() for p in published.values()), ""])
    head = ("rate", *published, "mean distance [points]")
    best = min(distances, key=lambda rate: distances[rate], default=math.nan)
    note = f"Nearest to the published points: {best:g}." if distances else "Not measured yet."
    note += f" Median (min .. max) of the test accuracy [%] over seeds at {spec.iterations(500)} iterations."
    return Table(head, rows, "Calibration of ADAM's learning rate", note)


def _median_and_range(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{percent_cell(median(values))} ({percent_cell(min(values))} .. {percent_cell(max(values))})"


def _miss(point: PublishedPoint, accuracy: float) -> float:
    assert point.accuracy is not None  # the batch points have one
    return max(0.0, point.accuracy - accuracy) if point.word == "above" else abs(point.accuracy - accuracy)


def _with_sentences(optimizer: str, findings: Mapping[str, Finding]) -> list[Finding]:
    """The findings with the sentences of the article."""
    sentences = article("flux_mnist")["findings"][optimizer]
    return [replace(finding, sentence=sentences[key]) for key, finding in findings.items()]


def _lead(spec: ReproductionSpec, measured: Measurements) -> list[str]:
    finished, diverged = len(measured.trials), measured.diverged
    engines = sorted({str(row["engine"]) for row in measured.trials})
    return [
        f"{finished:,} of {measured.planned:,} trials are measured, on data set {spec.data}, timing packed"
        + (f"; {diverged:,} diverged" if diverged else "")
        + (f"; {measured.timed_out:,} timed out" if measured.timed_out else "")
        + ("." if not diverged + measured.timed_out else ". These count as they ended.")
        + (f" Engine: {', '.join(engines)}." if engines else "")
    ]


__all__ = ["adam_page", "adam_plans", "calibration_page", "flux_page", "flux_plans", "points_table"]
