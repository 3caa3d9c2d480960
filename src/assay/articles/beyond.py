"""What the articles left open: tuned networks, every optimizer at its own rate, and the seconds to 97 %."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median
from typing import Any

import numpy as np

from assay.analysis.effort import comparable, effort
from assay.analysis.frames import FINISHED
from assay.analysis.seeds import with_counted
from assay.analysis.verdicts import of_values
from assay.articles.measurements import TrialRow, percent_cell, trial_rows
from assay.articles.page import Figure, Page, Table
from assay.articles.spec import ReproductionSpec, plans, study
from assay.errors import AssayError
from assay.recipe.toml import read_toml
from assay.report.charts.curves import CurveOptions, learning_curves
from assay.report.charts.pareto import accuracy_against_time
from assay.report.charts.sensitivity import sensitivity
from assay.results.results import Results
from assay.studies.plan import Plan, plan
from assay.studies.study import Study, bundled

MODELS = ("4LS", "3LS", "2LR")
_FIRST = ("beyond-race", "beyond-tuning", "beyond-family")
_FINALISTS = 3  # configurations of the race that are timed again
_QUICK_TARGET = 0.6  # accuracy; a few iterations on the digits reach it
_SHOWN = 0.07  # accuracy shown below the target in the picture of the record; further below, curves coincide
_TUNED_BY = 3  # one in three seeds is for tuning, the others for testing
_COPIED = ("model", "loss", "input", "optimizer", "schedule", "batches")  # recipe keys copied from a winner


def beyond_plans(spec: ReproductionSpec) -> list[Plan]:
    """The searches: a race to the target, the tuning of every optimizer, the family of the articles' networks."""
    race, *others = _FIRST
    return [plan(_with_target(race, spec)), *plans(list(others), spec)]


def beyond_finals(spec: ReproductionSpec, results: Mapping[str, Results]) -> list[Plan]:
    """The finals of the configurations that the searches selected; none for a search without a result."""
    finals: list[Plan] = []
    if finalists := fastest(trial_rows(results["beyond-race"]))[:_FINALISTS]:
        trials = _with_winners("beyond-record", "beyond-race", finalists)
        finals.append(plan(_with_target("beyond-record", spec, trials)))
    if winners := list(best_of_each(trial_rows(results["beyond-family"])).values()):
        finals.append(plan(study("beyond-finals", spec, _with_winners("beyond-finals", "beyond-family", winners))))
    return finals


def _with_target(name: str, spec: ReproductionSpec, changes: Mapping[str, Any] | None = None) -> Study:
    if not spec.quick:
        return study(name, spec, changes)
    baseline = {**read_toml(bundled(name))["baseline"], "stop": {"accuracy": _QUICK_TARGET}}
    return study(name, spec, {**(changes or {}), "baseline": baseline})


def _with_winners(name: str, search: str, labels: Sequence[str]) -> dict[str, Any]:
    """The trials of a study, and those of the search that have the labels, as in the search's own file."""
    candidates = Study.load(search).candidates()
    tables = {", ".join(map(str, c.values.values())): c.table for c in candidates}  # as older stores have them
    tables |= {candidate.label: candidate.table for candidate in candidates}
    chosen = {label: {key: tables[label][key] for key in _COPIED if key in tables[label]} for label in labels}
    return {"trials": {**read_toml(bundled(name))["trials"], **chosen}}


def fastest(trials: Sequence[TrialRow]) -> list[str]:
    """The configurations that reached the target in every trial, by median seconds."""
    groups = _grouped(trials, "configuration")
    reached = {name: rows for name, rows in groups.items() if all(row["outcome"] == "stopped" for row in rows)}
    return sorted(reached, key=lambda name: median(float(row["seconds"]) for row in reached[name]))


def best_of_each(trials: Sequence[TrialRow]) -> dict[str, str]:
    """The configuration of each model with the best validation accuracy."""
    done = [row for row in trials if row["outcome"] in FINISHED]
    best: dict[str, str] = {}
    for model in MODELS:
        groups = _grouped([row for row in done if row["model"] == model], "configuration")
        if groups:
            best[model] = max(groups, key=lambda name: mean(float(r["validation_accuracy"]) for r in groups[name]))
    return best


def _grouped(trials: Sequence[TrialRow], column: str) -> dict[str, list[TrialRow]]:
    groups: dict[str, list[TrialRow]] = {}
    for row in trials:
        groups.setdefault(str(row[column]), []).append(row)
    return groups


# --- the page --------------------------------------------------------------------------------------------------------


def beyond_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """Seconds to the target, the articles' networks after tuning, the optimizers at their own rates."""
    target = _QUICK_TARGET if spec.quick else float(read_toml(bundled("beyond-record"))["baseline"]["stop"]["accuracy"])
    lead = [
        "Configurations are chosen by searches on 10,000 validation images that no training sees, packed, one training "
        "per core. What was chosen is retrained on seeds that the searches did not use, one training at a time, and "
        f"judged on the test images. Data set {spec.data}.",
    ]
    parts: list[Table | Figure] = []
    if "beyond-record" in results:
        parts += _record_parts(results["beyond-record"], target)
    parts.append(_race_table(trial_rows(results["beyond-race"])))
    if "beyond-finals" in results:
        parts += _final_parts(results["beyond-finals"], best_of_each(trial_rows(results["beyond-family"])))
    if any(row["outcome"] in FINISHED for row in trial_rows(results["beyond-family"])):
        head = "The articles' networks, five epochs: accuracy against packed seconds"
        parts.append(Figure("family", accuracy_against_time(results["beyond-family"].frame(), title=head), head))
    parts += _optimizer_parts(results["beyond-tuning"])
    return Page("Beyond the articles", lead, parts, [], (), spec.banner)


def _record_parts(result: Results, target: float) -> list[Table | Figure]:
    rows: list[list[str]] = []
    groups = _grouped(trial_rows(result), "configuration")
    order = fastest(trial_rows(result))
    for name in [*order, *(name for name in groups if name not in order)]:
        trials = groups[name]
        reached = [row for row in trials if row["outcome"] == "stopped"]
        finished = sum(row["outcome"] != "planned" for row in trials)
        cells = [_range(_known(reached, key), form) for key, form in _RECORD_FORMATS.items()]
        rows.append([name, f"{len(reached)} of {finished}", *cells])
    note = (
        f"Median (least .. greatest) over the seeds that reached {100 * target:g} %. Seconds of training alone from "
        "fresh weights, all cores, one training at a time, without evaluation and without loading and scaling the "
        "data. Preparation: what a new engine takes in addition, once per process, until it has the data in its own "
        "form; processor: user and system seconds of all threads in training. "
        "The target is checked on the test images at every 25th iteration, and training stops when it is "
        "reached, so the accuracy is the first one above it."
    )
    head = ("configuration", "reached", "seconds", "preparation [s]", "processor [s]", "iterations", "examples")
    head += ("operations [1e9]", "accuracy [%]")
    title = f"From fresh weights to {100 * target:g} % of the test images"
    trials: Any = result.frame()
    if not trials["outcome"].isin(FINISHED).any():
        return [Table(head, rows, title, note)]
    caption = "Test accuracy against seconds of training, without preparation"
    curves = result.curves()
    named = trials.assign(configuration=trials["configuration"].map(_shortened(list(groups))))
    begin = curves.loc[curves["test_accuracy"] >= target - _SHOWN, "seconds"].min()
    chart = learning_curves(named, curves, CurveOptions(x="seconds", start=float(begin), title=caption))
    return [Table(head, rows, title, note), Figure("record", chart, caption)]


def _shortened(names: Sequence[str]) -> dict[str, str]:
    """The names without the words that all names of several words have in the same place.

    >>> _shortened(["64, long, unit", "128, long, unit", "a common choice"])
    {'64, long, unit': '64', '128, long, unit': '128', 'a common choice': 'a common choice'}
    """
    split = [name.split(", ") for name in names if ", " in name]
    columns = enumerate(zip(*split, strict=False)) if len(split) > 1 else ()
    constant = {i for i, words in columns if len(set(words)) == 1}
    return {name: ", ".join(w for i, w in enumerate(name.split(", ")) if i not in constant) or name for name in names}


def _known(trials: Sequence[TrialRow], key: str) -> list[float]:
    """The values of a column, without those that older trials lack."""
    return [value for row in trials if not math.isnan(value := float(row[key]))]


_FORMATS: dict[str, Callable[[float], str]] = {
    "seconds": lambda x: f"{x:.3f}",
    "iterations": lambda x: f"{x:,.0f}",
    "examples": lambda x: f"{x:,.0f}",
    "flops": lambda x: f"{x / 1e9:.1f}",
    "accuracy": percent_cell,
}


_RECORD_FORMATS: dict[str, Callable[[float], str]] = {
    "seconds": _FORMATS["seconds"],
    "preparation_seconds": _FORMATS["seconds"],
    "processor_seconds": _FORMATS["seconds"],
    **_FORMATS,
}


def _range(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median (least .. greatest)."""
    if not values:
        return "-"
    return f"{form(median(values))} ({form(min(values))} .. {form(max(values))})"


def _race_table(trials: Sequence[TrialRow]) -> Table:
    order, groups = fastest(trials), _grouped(trials, "configuration")
    rows = [
        [name, *(_range([float(row[key]) for row in groups[name]], _FORMATS[key]) for key in ("seconds", "flops"))]
        for name in order[:8]
    ]
    finished = sum(row["outcome"] != "planned" for row in trials)
    note = (
        "Network, optimizer and rate, batch size and schedule, input. Shown are the fastest of those that reached the "
        f"target on the validation images with every seed: {len(order):,} of {len(groups):,} configurations, "
        f"{finished:,} of {len(trials):,} trials finished. Packed seconds choose the {_FINALISTS} that are timed "
        "again; they are not a result."
    )
    return Table(("configuration", "packed seconds", "operations [1e9]"), rows, "The race that chose them", note)


def _final_parts(result: Results, winners: Mapping[str, str]) -> list[Table | Figure]:
    trials = [row for row in trial_rows(result) if row["outcome"] in FINISHED]
    groups = _grouped(trials, "configuration")
    try:
        seconds, flops = (_ranks(result, cost) for cost in ("seconds", "flops"))
    except AssayError as error:
        return [Table((), [], "The articles' networks at their best", f"Not available: {error}.")]
    rows: list[list[str]] = []
    for model, winner in winners.items():
        published = f"{model}, as in the article"
        for name in (published, winner):
            if name not in groups:
                continue
            compared = name == winner and published in groups
            verdict = result.verdict(winner, published).sentence() if compared else "-"
            cells = [
                _range([float(row[key]) for row in groups[name]], _FORMATS[key])
                for key in ("accuracy", "seconds", "flops")
            ]
            rows.append([name, *cells, seconds.get(name, "-"), flops.get(name, "-"), verdict])
    head = (
        *("configuration", "accuracy [%]", "seconds", "operations [1e9]", "effort, rank by seconds"),
        *("effort, rank by operations", "against the article's own"),
    )
    note = (
        "Five epochs each, eight seeds unless specified otherwise, one training at a time. Effort is cost / accuracy, "
        "as the articles define it, in seconds or in 1e9 operations. Rows are ordered by network."
    )
    return [Table(head, rows, "The articles' networks at their best", note)]


def _ranks(result: Results, cost: str) -> dict[str, str]:
    """The effort of each configuration, with its rank."""
    frame = result.frame()
    ranked = effort(comparable(frame)[0] if cost == "seconds" else frame, cost=cost).to_dict("records")
    scale = 1.0 if cost == "seconds" else 1e9
    return {str(r["configuration"]): f"{float(r['effort']) / scale:.3g} ({r['rank']})" for r in ranked}


def _optimizer_parts(result: Results) -> list[Table | Figure]:
    trials = _counted_rows(result)
    head = (
        "optimizer",
        "its rate",
        "validation [%]",
        "test [%]",
        "seeds",
        "against the first",
        "tuning [s]",
        "tuning [1e12]",
    )
    title, note = "Every optimizer at its own rate, three epochs of 2LR", _TUNING
    if not trials:
        return [Table(head, [], title, note)]
    tuned = {name: tuned_rate(rows) for name, rows in _grouped(trials, "optimizer").items()}
    order = sorted(tuned, key=lambda name: -median(tuned[name][2].values()) if tuned[name][2] else 0.0)
    values, others = {name: tuned[name][2] for name in order}, order[1:]
    against = dict(zip(others, of_values(values, [(order[0], name) for name in others]), strict=True))
    rows: list[list[str]] = []
    for name in order:
        rate, validated, tested = tuned[name]
        tuning = [row for row in trials if row["optimizer"] == name and _tunes(row, trials)]
        seconds, flops = (sum(float(row[cost]) for row in tuning) for cost in ("seconds", "flops"))
        accuracies = [percent_cell(validated), _range(list(tested.values()), percent_cell), str(len(tested))]
        verdict = against[name].sentence() if name in against and against[name].n else "-"
        rows.append([name, f"{rate:g}", *accuracies, verdict, f"{seconds:.1f}", f"{flops / 1e12:.2f}"])
    caption = "Test accuracy of 2LR after three epochs against the rate"
    chart = sensitivity(result.frame(), title=caption)
    return [Table(head, rows, title, note), Figure("rates", chart, caption)]


_TUNING = (
    "Each rate has the best mean validation accuracy over the first third of the seeds; the test accuracy is that of "
    "the other seeds at this rate: median (least .. greatest). Tuning: packed seconds and 1e12 operations of all five "
    "rates on the tuning seeds. Verdicts are over paired seeds, with Holm's correction for all of them."
)


def _counted_rows(result: Results) -> list[TrialRow]:
    """The trials with a result; those that diverged or timed out count as they ended."""
    frame = result.frame()
    if not np.isin(frame["outcome"], FINISHED).any():
        return []
    rows: list[TrialRow] = with_counted(frame, "accuracy", "validation_accuracy").to_dict("records")  # pyright: ignore[reportAssignmentType]
    return rows


def _tunes(row: TrialRow, trials: Sequence[TrialRow]) -> bool:
    """Whether a trial has one of the tuning seeds."""
    seeds = 1 + max(int(other["repeat"]) for other in trials)
    return int(row["repeat"]) < max(1, seeds // _TUNED_BY)


def tuned_rate(trials: Sequence[TrialRow]) -> tuple[float, float, dict[int, float]]:
    """An optimizer's best rate on the tuning seeds, its mean validation accuracy there, and the other seeds' test
    accuracies."""
    tuning = _grouped([row for row in trials if _tunes(row, trials)], "learning_rate")
    means = {rate: mean(float(row["validation_accuracy"]) for row in rows) for rate, rows in tuning.items()}
    best = max(means, key=lambda rate: means[rate])
    tested = [row for row in trials if str(row["learning_rate"]) == best and not _tunes(row, trials)]
    return float(best), means[best], {int(row["repeat"]): float(row["accuracy"]) for row in tested}


__all__ = ["best_of_each", "beyond_finals", "beyond_page", "beyond_plans", "fastest", "tuned_rate"]
