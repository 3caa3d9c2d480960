"""The two articles on Flux.jl and MNIST: their points against the measured ones, and their findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

from assay.articles import flux_findings as findings
from assay.articles.agreement import RULE, Judgement, judge, judge_loss
from assay.articles.cross_entropy_forms import clamping_table
from assay.articles.flux_pictures import adam_pictures, calibration_picture, descent_pictures
from assay.articles.measurements import Measurements, percent_cell, trial_rows
from assay.articles.page import Finding, Page, Table, verdict
from assay.articles.published import PublishedPoint, article, points, sources
from assay.articles.spec import ReproductionSpec, plans
from assay.results.results import Results
from assay.studies.plan import Plan

_DRAWN = ("flux-first-500", "flux-stretches")  # studies of which only pictures are made
_CALIBRATED = 0.01  # the rate of the study `adam`; the calibration says whether another fits better


def flux_plans(spec: ReproductionSpec) -> list[Plan]:
    """The studies behind the article on Descent."""
    return plans(["flux-mnist-early", "flux-mnist", "flux-logging", *_DRAWN], spec)


def adam_plans(spec: ReproductionSpec) -> list[Plan]:
    """The studies behind the article on ADAM: with Descent's, which it compares with."""
    return plans(["adam-calibration", "adam-early", "adam", "flux-mnist-early", "flux-mnist", *_DRAWN], spec)


def flux_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """Descent's points and findings, what logging costs, and cross-entropy at p = 0."""
    both = [results[key] for key in ("flux-mnist-early", "flux-mnist")]
    measured = Measurements(both)
    parts = [
        points_table(spec, measured, "descent"),
        *descent_pictures(spec, both, *(results[key] for key in _DRAWN)),
        seconds_table(spec, measured),
        logging_table(results["flux-logging"]),
        clamping_table(spec),
    ]
    found = _worded(
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
    return Page(title, _lead(spec, measured), parts, found, sources("flux_mnist")[:1], spec.banner)


def adam_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """ADAM's points, its calibration, and how it compares with Descent."""
    names = ("adam-early", "adam", "flux-mnist-early", "flux-mnist")
    every = [results[key] for key in names]
    measured = Measurements(every)
    parts = [
        calibration_table(spec, results["adam-calibration"]),
        calibration_picture(results["adam-calibration"]),
        points_table(spec, measured, "adam"),
        *adam_pictures(spec, every, *(results[key] for key in _DRAWN)),
    ]
    found = _worded(
        "adam",
        {
            "rescues": findings.rescues(spec, measured),
            "faster-early": findings.faster_early(spec, measured),
            "ends-below": findings.ends_below(spec, measured),
        },
    )
    lead = [
        *_lead(spec, measured),
        f"The article states no learning rate for ADAM. {_CALIBRATED:g} is a calibration on its batch points, not a "
        "published figure; the first table shows it.",
    ]
    title = "Flux.jl on MNIST: ADAM against plain Descent"
    return Page(title, lead, parts, found, sources("flux_mnist")[1:2], spec.banner)


def calibration_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The calibration of ADAM's rate alone."""
    table = calibration_table(spec, results["adam-calibration"])
    parts = [table, calibration_picture(results["adam-calibration"])]
    return Page("The learning rate of ADAM", [], parts, [], sources("flux_mnist")[1:2], spec.banner)


def points_table(spec: ReproductionSpec, measured: Measurements, optimizer: str) -> Table:
    """Every published point of an optimizer beside what was measured there."""
    head = ("configuration", "iterations", "published", "median", "min .. max", "seeds", "where", "verdict", "why not")
    rows: list[list[str]] = []
    for point in points("flux_mnist", optimizer):
        label = f"{point.cell} {point.iterations}"
        runs = measured.runs(label)
        if point.accuracy is not None:
            says = judge(point, runs)
            shown = f"{point.word} {percent_cell(point.accuracy)} %".strip()
            spread = f"{percent_cell(says.least)} .. {percent_cell(says.greatest)}"
            why = _why(point, says, measured)
            rows.append(_row(spec, point, shown, f"{percent_cell(says.median)} %", spread, says, why))
        if point.loss is not None:
            says = judge_loss(point, runs)
            spread = f"{_loss(says.least)} .. {_loss(says.greatest)}"
            rows.append(_row(spec, point, f"loss {point.loss:g}", f"loss {_loss(says.median)}", spread, says, says.why))
    return Table(head, rows, "The published points", RULE)


def _row(
    spec: ReproductionSpec, point: PublishedPoint, published: str, middle: str, spread: str, says: Judgement, why: str
) -> list[str]:
    if not says.n:
        middle = spread = "-"
    said = "not judged: scaled down" if spec.quick and says.n else verdict(says.holds) if says.n else "not measured"
    iterations = f"{spec.iterations(point.iterations):,}"
    seeds = str(says.n) if says.n else "-"
    return [point.cell, iterations, published, middle, spread, seeds, says.place, said, "" if spec.quick else why]


def _why(point: PublishedPoint, says: Judgement, measured: Measurements) -> str:
    """The likeliest reason why a point does not hold, as far as the curves tell it."""
    if says.holds is not False or point.accuracy is None:
        return says.why if says.n else ""
    if says.median < point.accuracy:
        reached = measured.first_reached(point.cell, point.accuracy)
        if reached is None:
            end = max((curve.end for curve in measured.longest(point.cell).values()), default=0)
            return f"{says.why}: half of the curves do not reach it by {end:,} iterations"
        late = "; the article adds iterations to trained weights, so perhaps its run was no fresh start"
        return (
            f"{says.why}: the curves reach it by {reached:,.0f} iterations{late if reached > point.iterations else ''}"
        )
    gap = 100 * abs(says.median - point.accuracy)
    if says.place == "settled":
        return f"{says.why} by {gap:.1f} points: another rate, or another start of the author's one run"
    return f"{says.why} by {gap:.1f} points: when a curve leaves a {says.place} hangs on initial weights and batches"


def _loss(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def seconds_table(spec: ReproductionSpec, measured: Measurements) -> Table:
    """The trainings whose time was published, and what they took here."""
    rows: list[list[str]] = []
    for point in points("flux_mnist", "descent"):
        if point.seconds is None:
            continue
        seconds = measured.column(point.name, "seconds").values()
        here = f"{median(seconds):.3g}" if seconds else "-"
        ratio = f"{point.seconds / median(seconds):,.0f}" if seconds and not spec.quick else "-"
        cells = [point.cell, f"{spec.iterations(point.iterations):,}", f"{point.seconds:g}", here, ratio]
        rows.append([*cells, str(len(seconds)) if seconds else "-"])
    note = (
        "Published: Julia on an Apple M1, in rounded words. Measured: training alone, packed, one core of two that "
        "were both busy; the median over the seeds. Two machines: the ratio says what the same training costs here, "
        "not which program is the faster one."
    )
    head = ("configuration", "iterations", "published [s]", "measured [s]", "published / measured", "seeds")
    return Table(head, rows, "Seconds of the trainings whose time is published", note)


def logging_table(results: Results) -> Table:
    """What it costs to log the loss at every iteration, beside the published seconds."""
    trials = {row["configuration"]: row for row in trial_rows(results) if row["outcome"] == "completed"}
    rows: list[list[str]] = []
    published = {entry["logged"]: float(entry["seconds"]) for entry in article("flux_mnist")["logging_cost"]}
    totals: dict[str, float] = {}
    for name, seconds in published.items():
        if name not in trials:
            rows.append([name, f"{seconds:g}", "-", "-", "-"])
            continue
        trained, evaluated = float(trials[name]["seconds"]), float(trials[name]["ledger_evaluate"])
        totals[name] = trained + evaluated
        rows.append([name, f"{seconds:g}", f"{trained:.3f}", f"{evaluated:.3f}", f"{totals[name]:.3f}"])
    rows.append(["ratio", _ratio(published), "", "", _ratio(totals)])
    note = "Evaluations here cover the test images too, 70,000 images in place of the article's 60,000. One run each."
    head = ("loss logged", "published [s]", "training [s]", "evaluation [s]", "together [s]")
    return Table(head, rows, "What logging costs: 4LS, stochastic Descent, 4,000 iterations", note)


def _ratio(seconds: Mapping[str, float]) -> str:
    each, end = seconds.get("every iteration"), seconds.get("at the end only")
    return "-" if not each or not end else f"{each / end:,.0f}"


def calibration_table(spec: ReproductionSpec, results: Results) -> Table:
    """The accuracies of each rate at the batch points, and which rate is nearest to the published ones."""
    trials = trial_rows(results)
    done = [row for row in trials if row["outcome"] == "completed"]
    wanted = {p.model: p for p in points("flux_mnist", "adam") if p.variant == "batch" and p.iterations == 500}
    rows: list[list[str]] = []
    misses: dict[float, float] = {}
    for rate in sorted({float(row["rate"]) for row in trials}):
        cells, away = [f"{rate:g}"], list[float]()
        for model, point in wanted.items():
            values = [float(row["accuracy"]) for row in done if row["model"] == model and row["rate"] == rate]
            cells.append(
                f"{percent_cell(median(values))} ({percent_cell(min(values))} .. {percent_cell(max(values))})"
                if values
                else "-"
            )
            away += [_miss(point, median(values))] if values else []
        if len(away) == len(wanted):
            misses[rate] = sum(away) / len(away)
        cells.append(f"{100 * misses[rate]:.2f}" if rate in misses else "-")
        rows.append(cells)
    rows.append(["published", *(f"{p.word} {percent_cell(p.accuracy or 0)}".strip() for p in wanted.values()), ""])
    head = ("rate", *wanted, "mean distance [points]")
    best = min(misses, key=lambda rate: misses[rate], default=math.nan)
    note = f"Nearest to the published points: {best:g}." if misses else "Not measured yet."
    note += f" Median (min .. max) of the test accuracy [%] over seeds at {spec.iterations(500)} iterations."
    return Table(head, rows, "Calibration of ADAM's learning rate", note)


def _miss(point: PublishedPoint, accuracy: float) -> float:
    assert point.accuracy is not None  # the batch points have one
    return max(0.0, point.accuracy - accuracy) if point.word == "above" else abs(point.accuracy - accuracy)


def _worded(optimizer: str, found: Mapping[str, Finding]) -> list[Finding]:
    sentences = article("flux_mnist")["findings"][optimizer]
    return [Finding(sentences[key], f.rule, f.holds, f.evidence) for key, f in found.items()]


def _lead(spec: ReproductionSpec, measured: Measurements) -> list[str]:
    done, lost = len(measured.trials), measured.diverged
    said = f"{done:,} of {measured.planned:,} trials are measured, on data set {spec.data}, timing packed"
    said += f"; {lost:,} diverged." if lost else "."
    engines = sorted({str(row["engine"]) for row in measured.trials})
    return [said + (f" Engine: {', '.join(engines)}." if engines else "")]


__all__ = ["adam_page", "adam_plans", "calibration_page", "flux_page", "flux_plans", "points_table"]
