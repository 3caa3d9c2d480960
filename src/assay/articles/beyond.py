"""What the articles left open: their networks at their best, every optimizer at its own rate, the seconds to 97 %."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from assay.analysis.effort import comparable, effort
from assay.analysis.frames import FINISHED
from assay.analysis.verdicts import compare
from assay.articles.measured import Row, percent, records
from assay.articles.page import Page, Picture, Table
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
_RACERS = 3  # winners of the race that race again
_QUICK_TARGET = 0.6  # an accuracy that a few iterations on the digits reach
_SHOWN = 0.07  # of accuracy below the target, in the picture of the record: before that curves are one line
_TUNED_BY = 3  # one of so many seeds tunes, the others judge
_TAKEN = ("model", "loss", "input", "optimizer", "schedule", "batches")  # what a winner brings with it


def beyond_plans(asked: ReproductionSpec) -> list[Plan]:
    """The searches: a race to the target, a tuning of every optimizer, the family of the articles' networks."""
    race, *others = _FIRST
    return [plan(_with_target(race, asked)), *plans(list(others), asked)]


def beyond_finals(asked: ReproductionSpec, results: Mapping[str, Results]) -> list[Plan]:
    """The finals of what the searches chose; none of a search that has not chosen."""
    found: list[Plan] = []
    if racers := fastest(records(results["beyond-race"]))[:_RACERS]:
        found.append(plan(_with_target("beyond-record", asked, _added("beyond-record", "beyond-race", racers))))
    if winners := list(best_of_each(records(results["beyond-family"])).values()):
        found.append(plan(study("beyond-finals", asked, _added("beyond-finals", "beyond-family", winners))))
    return found


def _with_target(name: str, asked: ReproductionSpec, changes: Mapping[str, Any] | None = None) -> Study:
    if not asked.quick:
        return study(name, asked, changes)
    baseline = {**read_toml(bundled(name))["baseline"], "stop": {"accuracy": _QUICK_TARGET}}
    return study(name, asked, {**(changes or {}), "baseline": baseline})


def _added(name: str, search: str, labels: Sequence[str]) -> dict[str, Any]:
    """The trials of a study with those of the search that have the labels, as they stand in the search's own file."""
    tables = {candidate.label: candidate.table for candidate in Study.load(search).candidates()}
    chosen = {label: {key: tables[label][key] for key in _TAKEN if key in tables[label]} for label in labels}
    return {"trials": {**read_toml(bundled(name))["trials"], **chosen}}


def fastest(trials: Sequence[Row]) -> list[str]:
    """The configurations all of whose trials reached the target, by their median seconds."""
    groups = _by(trials, "configuration")
    reached = {name: rows for name, rows in groups.items() if all(row["outcome"] == "stopped" for row in rows)}
    return sorted(reached, key=lambda name: median(float(row["seconds"]) for row in reached[name]))


def best_of_each(trials: Sequence[Row]) -> dict[str, str]:
    """The configuration of each model with the best validation accuracy."""
    done = [row for row in trials if row["outcome"] in FINISHED]
    found: dict[str, str] = {}
    for model in MODELS:
        groups = _by([row for row in done if row["model"] == model], "configuration")
        if groups:
            found[model] = max(groups, key=lambda name: mean(float(r["validation_accuracy"]) for r in groups[name]))
    return found


def _by(trials: Sequence[Row], column: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in trials:
        groups.setdefault(str(row[column]), []).append(row)
    return groups


# --- the page --------------------------------------------------------------------------------------------------------


def beyond_page(asked: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """Seconds to the target, the articles' networks at their best, the optimizers at their own rates."""
    target = (
        _QUICK_TARGET if asked.quick else float(read_toml(bundled("beyond-record"))["baseline"]["stop"]["accuracy"])
    )
    lead = [
        "Configurations are chosen by searches on 10,000 validation images that no training sees, packed, a training "
        "on each core; what was chosen is trained anew on seeds that the searches never had, and judged on the test "
        f"images, one training at a time. Data set {asked.data}.",
    ]
    parts: list[Table | Picture] = []
    if "beyond-record" in results:
        parts += _record(results["beyond-record"], target)
    parts.append(_race(records(results["beyond-race"])))
    if "beyond-finals" in results:
        parts += _finals(results["beyond-finals"], best_of_each(records(results["beyond-family"])))
    if any(row["outcome"] in FINISHED for row in records(results["beyond-family"])):
        head = "The articles' networks, five epochs: accuracy against packed seconds"
        parts.append(Picture("family", accuracy_against_time(results["beyond-family"].frame(), title=head), head))
    parts += _optimizers(results["beyond-tuning"])
    return Page("Beyond the articles", lead, parts, [], (), asked.banner)


def _record(result: Results, target: float) -> list[Table | Picture]:
    rows: list[list[str]] = []
    groups = _by(records(result), "configuration")
    order = fastest(records(result))
    for name in [*order, *(name for name in groups if name not in order)]:
        trials = groups[name]
        reached = [row for row in trials if row["outcome"] == "stopped"]
        finished = sum(row["outcome"] != "planned" for row in trials)
        cells = [_range([float(row[key]) for row in reached], shown) for key, shown in _RECORDED.items()]
        rows.append([name, f"{len(reached)} of {finished}", *cells])
    note = (
        f"Median (least .. greatest) over the seeds that reached {100 * target:g} %. Seconds of training alone from "
        "fresh weights, all cores, one training at a time; evaluation, loading and scaling the data are left out. The "
        "target is read on the test images at every 25th iteration and training stops there, so the accuracy is that "
        "of the first moment above it."
    )
    head = ("configuration", "reached", "seconds", "iterations", "examples", "operations [1e9]", "accuracy [%]")
    title = f"From fresh weights to {100 * target:g} % of the test images"
    trials: Any = result.frame()
    if not trials["outcome"].isin(FINISHED).any():
        return [Table(head, rows, title, note)]
    said = "Test accuracy against seconds of training"
    curves = result.curves()
    named = trials.assign(configuration=trials["configuration"].map(_told_apart(list(groups))))
    begin = curves.loc[curves["test_accuracy"] >= target - _SHOWN, "seconds"].min()
    chart = learning_curves(named, curves, CurveOptions(x="seconds", start=float(begin), title=said))
    return [Table(head, rows, title, note), Picture("record", chart, said)]


def _told_apart(names: Sequence[str]) -> dict[str, str]:
    """The names without the words that all of those made of words have in the same place.

    >>> _told_apart(["64, long, unit", "128, long, unit", "a common choice"])
    {'64, long, unit': '64', '128, long, unit': '128', 'a common choice': 'a common choice'}
    """
    made = [name.split(", ") for name in names if ", " in name]
    places = enumerate(zip(*made, strict=False)) if len(made) > 1 else ()
    same = {place for place, words in places if len(set(words)) == 1}
    return {name: ", ".join(w for i, w in enumerate(name.split(", ")) if i not in same) or name for name in names}


_RECORDED: dict[str, Callable[[float], str]] = {
    "seconds": lambda x: f"{x:.3f}",
    "iterations": lambda x: f"{x:,.0f}",
    "examples": lambda x: f"{x:,.0f}",
    "flops": lambda x: f"{x / 1e9:.1f}",
    "accuracy": percent,
}


def _range(values: Sequence[float], shown: Callable[[float], str]) -> str:
    if not values:
        return "-"
    return f"{shown(median(values))} ({shown(min(values))} .. {shown(max(values))})"


def _race(trials: Sequence[Row]) -> Table:
    order, groups = fastest(trials), _by(trials, "configuration")
    rows = [
        [name, *(_range([float(row[key]) for row in groups[name]], _RECORDED[key]) for key in ("seconds", "flops"))]
        for name in order[:8]
    ]
    finished = sum(row["outcome"] != "planned" for row in trials)
    note = (
        "Network, optimizer and rate, batch size and schedule, input; those all of whose seeds reached the target on "
        f"the validation images: {len(order):,} of {len(groups):,} configurations, {finished:,} of {len(trials):,} "
        f"trials done. Packed seconds: they choose the {_RACERS} that race again, and are no result."
    )
    return Table(("configuration", "packed seconds", "operations [1e9]"), rows, "The race that chose them", note)


def _finals(result: Results, winners: Mapping[str, str]) -> list[Table | Picture]:
    trials = [row for row in records(result) if row["outcome"] in FINISHED]
    groups = _by(trials, "configuration")
    try:
        seconds, flops = (_ranks(result, cost) for cost in ("seconds", "flops"))
    except AssayError as error:
        return [Table((), [], "The articles' networks at their best", f"Not told: {error}.")]
    rows: list[list[str]] = []
    for model, winner in winners.items():
        own = f"{model}, as in the article"
        for name in (own, winner):
            if name not in groups:
                continue
            some = groups[name]
            verdict = result.verdict(winner, own).sentence() if name == winner and own in groups else "-"
            cells = [
                _range([float(row[key]) for row in some], _RECORDED[key]) for key in ("accuracy", "seconds", "flops")
            ]
            rows.append([name, *cells, seconds.get(name, "-"), flops.get(name, "-"), verdict])
    head = (
        *("configuration", "accuracy [%]", "seconds", "operations [1e9]", "effort, rank by seconds"),
        *("effort, rank by operations", "against the article's own"),
    )
    note = (
        "Five epochs each, eight seeds unless asked otherwise, one training at a time. Effort is cost / accuracy, as "
        "the articles define it: of seconds, or of 1e9 operations. The order of the rows is that of the networks."
    )
    return [Table(head, rows, "The articles' networks at their best", note)]


def _ranks(result: Results, cost: str) -> dict[str, str]:
    """Each configuration's effort and its rank."""
    frame = result.frame()
    ranked = effort(comparable(frame)[0] if cost == "seconds" else frame, cost=cost).to_dict("records")
    scale = 1.0 if cost == "seconds" else 1e9
    return {str(r["configuration"]): f"{float(r['effort']) / scale:.3g} ({r['rank']})" for r in ranked}


def _optimizers(result: Results) -> list[Table | Picture]:
    trials = [row for row in records(result) if row["outcome"] in FINISHED]
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
    tuned = {name: tuned_rate(rows) for name, rows in _by(trials, "optimizer").items()}
    order = sorted(tuned, key=lambda name: -median(tuned[name][2].values()) if tuned[name][2] else 0.0)
    first = tuned[order[0]][2]
    rows: list[list[str]] = []
    for name in order:
        rate, validated, tested = tuned[name]
        tuning = [row for row in trials if row["optimizer"] == name and _tunes(row, trials)]
        costs = [f"{sum(float(row['seconds']) for row in tuning):.1f}"]
        costs.append(f"{sum(float(row['flops']) for row in tuning) / 1e12:.2f}")
        common = sorted(first.keys() & tested.keys())
        told = "-"
        if name != order[0] and common:
            pairs = [first[seed] for seed in common], [tested[seed] for seed in common]
            told = compare(*pairs, names=(order[0], name)).sentence()
        rows.append(
            [name, f"{rate:g}", percent(validated), _range(list(tested.values()), percent), str(len(tested)), told]
        )
        rows[-1] += costs
    said = "Test accuracy of 2LR after three epochs against the rate"
    chart = sensitivity(result.frame(), title=said)
    return [Table(head, rows, title, note), Picture("rates", chart, said)]


_TUNING = (
    "The rate of each has the best mean validation accuracy over the first third of the seeds; the test accuracy is "
    "that of the other seeds at this rate: median (least .. greatest). Tuning: packed seconds and 1e12 operations of "
    "all five rates on the tuning seeds. Verdicts are over paired seeds, each pair by itself."
)


def _tunes(row: Row, trials: Sequence[Row]) -> bool:
    seeds = 1 + max(int(other["repeat"]) for other in trials)
    return int(row["repeat"]) < max(1, seeds // _TUNED_BY)


def tuned_rate(trials: Sequence[Row]) -> tuple[float, float, dict[int, float]]:
    """An optimizer's rate by the tuning seeds, its mean validation accuracy there, and the others' test accuracies."""
    tuning = _by([row for row in trials if _tunes(row, trials)], "learning_rate")
    means = {rate: mean(float(row["validation_accuracy"]) for row in rows) for rate, rows in tuning.items()}
    best = max(means, key=lambda rate: means[rate])
    rest = [row for row in trials if str(row["learning_rate"]) == best and not _tunes(row, trials)]
    return float(best), means[best], {int(row["repeat"]): float(row["accuracy"]) for row in rest}


__all__ = ["best_of_each", "beyond_finals", "beyond_page", "beyond_plans", "fastest", "tuned_rate"]
