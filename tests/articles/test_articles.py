"""Published figures as data, the rule by which they hold, and `assay reproduce` from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.analysis.prediction import prediction_interval
from assay.articles import article_names, find_article, plans_after, plans_of, spec_of
from assay.articles.entries import PublishedPoint
from assay.articles.grids import GridSample
from assay.articles.measurements import Measurements
from assay.articles.page import Finding, Page, Table
from assay.articles.parts import drawn
from assay.articles.runner import experiments_of
from assay.articles.sampling import one_each, sample_plan, strata_of
from assay.articles.scaling import changed_study
from assay.articles.selection import fastest
from assay.articles.spec import ReproductionSpec
from assay.articles.tables.factors import factors_table
from assay.articles.tables.main_effects import compared_effects, sampled_effects
from assay.articles.tables.published_points import PublishedPoints, judge, judge_loss
from assay.articles.tables.sample_judged import SampleJudged
from assay.articles.tables.tuned_rates import tuned_rate
from assay.claims.agreement import Run
from assay.data.datasets import load
from assay.engines import load as load_engine
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.results.results import Results
from assay.store.exchange import read_back
from assay.store.store import Store
from assay.studies.plan import Plan, plan
from assay.studies.study import Study, bundled_names
from assay.training.loop import prepared, train
from tests.folders import mnist_folder

VARIANTS = {"batch": "full", "stochastic": "single", "mini-batch": "window"}
DIGITS = ReproductionSpec("digits", quick=True)
FLUX, ADAM, GRID = find_article("flux-mnist"), find_article("adam"), find_article("parameter-grid")


def quick(name: str, **options: Any) -> ReproductionSpec:
    return spec_of(find_article(name), quick=True, **options)


HALF = ReproductionSpec("digits", quick=True, seeds=1, sample=0.5)  # a sample may be incomplete


# --- published -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", article_names())
def test_an_article_has_sources_and_figures(name: str) -> None:
    article = find_article(name)
    assert all(source.title for source in article.file.sources)
    assert article.bundled and article.parts and article.file.studies
    for claim in article.claims:
        assert set(claim.studies()) <= {entry.name for entry in article.file.studies}


def test_every_point_has_a_configuration_and_a_figure() -> None:
    published = [*FLUX.points, *ADAM.points]
    assert len({(p.name, p.accuracy) for p in published}) == len(published) > 30
    for point in published:
        model, optimizer, variant = point.cell.split()
        assert model in FLUX.file.facts["parameters"]
        assert variant in VARIANTS
        assert optimizer in ("descent", "adam")
        assert point.iterations > 0
        assert 0 < (point.accuracy or 0.5) < 1
        assert 0 < (point.loss or 0.1) < 1
    assert len({p.cell for p in published}) == 18
    assert set(find_article("adam-calibration").points) < set(ADAM.points), "the same figures where they stand twice"


def test_every_point_is_a_trial_of_a_study() -> None:
    pairs = ((FLUX, "descent", ("flux-mnist", "flux-mnist-early")), (ADAM, "adam", ("adam", "adam-early")))
    for article, optimizer, names in pairs:
        trials = [c for name in names for c in article.study(name).candidates()]
        assert len({c.label for c in trials}) == len(trials), "a point is in one study alone"
        by_label = {c.label: Recipe.parse(c.table) for c in trials}
        for point in article.points:
            recipe = by_label[point.name]
            model, named, variant = point.cell.split()
            assert recipe.model.name == model
            assert recipe.optimizer.entry == optimizer == named
            assert recipe.batches.kind == VARIANTS[variant]
            assert recipe.budget.iterations == point.iterations


@pytest.mark.parametrize(("name", "points", "per_cell"), [("adadelta", 27, 1), ("schedules", 24, 3)])
def test_every_point_of_an_article_that_is_data_alone_is_a_trial(name: str, points: int, per_cell: int) -> None:
    article = find_article(name)
    assert article.experiments is None
    recipes = {c.label: Recipe.parse(c.table) for c in article.study(name).candidates()}
    assert len(article.points) == len(recipes) == points
    assert {p.name for p in article.points} == set(recipes)
    assert len({p.cell for p in article.points}) * per_cell == points
    for point in article.points:
        recipe = recipes[point.name]
        assert recipe.budget.iterations == point.iterations
        method = point.cell.split()[0].replace("sgd", "descent")
        assert recipe.optimizer.entry == method
        if point.note:  # the tables of the paper have errors in percent
            error = float(point.note.removeprefix("error ").removesuffix(" %"))
            assert point.accuracy == pytest.approx(1 - error / 100, abs=1e-12)


def test_the_settings_of_the_adadelta_paper_are_those_of_its_tables() -> None:
    recipes = {c.label: Recipe.parse(c.table) for c in find_article("adadelta").study("adadelta").candidates()}
    for label, recipe in recipes.items():
        method, *settings, _ = label.split()
        optimizer: Any = recipe.optimizer
        if method == "adadelta":
            assert (optimizer.decay, optimizer.epsilon) == tuple(map(float, settings))
            assert optimizer.learning_rate == 1.0
        else:
            assert optimizer.learning_rate == float(settings[0])
    assert {r.model.canonical()["hidden"] for r in recipes.values()} == {(500, 300)}


def test_schedules_end_at_the_published_rate_just_after_the_training() -> None:
    recipes = {c.label: Recipe.parse(c.table) for c in find_article("schedules").study("schedules").candidates()}
    for schedule, final in (("linear", 0.0001), ("exponential", 0.001), ("cosine", 0.0001)):
        recipe = recipes[f"adam {schedule} 11000"]
        factors = recipe.schedule.factors(1, 11_001)
        assert recipe.schedule.name == schedule
        assert factors[0] == 1
        assert recipe.optimizer.learning_rate * factors[-1] == pytest.approx(final, rel=1e-12)


def test_published_accuracies_of_a_validation_set_are_held_against_it() -> None:
    part = next(part for part in find_article("schedules").parts if isinstance(part, PublishedPoints))
    assert part.split == "validation"
    rows = [
        {"trial": f"t{i}", "configuration": "adam cosine 11000", "seed": i, "outcome": "completed", "seconds": 1.0}
        | {"accuracy": 0.5, "validation_accuracy": value, "train_loss": 0.1}
        for i, value in enumerate((0.979, 0.980, 0.981))
    ]
    measured = Measurements([])
    measured._rows = rows
    measured.curves = {}
    assert [run.accuracy for run in measured.runs("adam cosine 11000")] == [0.5] * 3
    assert [run.accuracy for run in measured.runs("adam cosine 11000", score="validation_accuracy")] == [
        0.979,
        0.980,
        0.981,
    ]


def test_an_unknown_article_and_a_point_without_a_figure_are_sentences() -> None:
    with pytest.raises(AssayError, match="did you mean 'parameters'"):
        find_article("parameter")
    with pytest.raises(ValueError, match="neither an accuracy nor a loss"):
        PublishedPoint(cell="4LS adam batch", iterations=1)
    with pytest.raises(ValueError, match="expected one of about, above, below"):
        PublishedPoint(cell="4LS adam batch", iterations=1, accuracy=0.5, word="abuot")


# --- the rule --------------------------------------------------------------------------------------------------------


def point(accuracy: float, word: str = "", loss: float | None = None) -> PublishedPoint:
    return PublishedPoint(cell="4LS descent batch", iterations=1000, accuracy=accuracy, word=word, loss=loss)


def runs(*accuracies: float, settled: bool) -> list[Run]:
    return [Run(value, settled) for value in accuracies]


@pytest.mark.parametrize(
    ("published", "word", "measured", "settled", "holds", "place"),
    [
        (0.950, "", (0.955, 0.957, 0.959), True, True, "settled"),
        (0.950, "", (0.955, 0.961, 0.971), True, False, "settled"),
        (0.950, "", (0.955,), True, True, "settled"),
        (0.1028, "", (0.1135, 0.098, 0.1028, 0.1135), True, True, "plateau"),
        (0.2000, "", (0.1135, 0.1135, 0.1134, 0.1136), True, False, "plateau"),
        (0.1135, "", (0.1135, 0.1135, 0.1135), True, True, "plateau"),
        (0.60, "", (0.40, 0.70, 0.80), False, True, "cliff"),
        (0.99, "", (0.40, 0.42, 0.41), False, False, "cliff"),
        (0.60, "", (0.59,), False, None, "cliff"),
        (0.2, "about", (0.190, 0.1899, 0.1901), False, True, "cliff"),
        (0.2, "", (0.190, 0.1899, 0.1901), False, False, "cliff"),
        (0.96, "above", (0.961, 0.962, 0.963), True, True, "settled"),
        (0.96, "above", (0.959, 0.9595, 0.961), True, False, "settled"),
        (0.96, "above", (0.90, 0.93, 0.94), False, True, "cliff"),
        (0.96, "above", (0.90,), False, None, "cliff"),
        (0.20, "below", (0.10, 0.11, 0.12), True, True, "plateau"),
        (0.20, "below", (0.81, 0.82, 0.83), True, False, "settled"),
    ],
)
def test_a_point_holds_by_the_stated_rule(
    published: float, word: str, measured: tuple[float, ...], settled: bool, holds: bool | None, place: str
) -> None:
    says = judge(point(published, word), runs(*measured, settled=settled))
    assert (says.holds, says.place) == (holds, place)
    assert bool(says.why) == (holds is not True)
    assert says.n == len(measured)


def test_a_loss_holds_within_a_tenth_or_the_interval() -> None:
    def losses(*values: float) -> list[Run]:
        return [Run(0.96, True, loss=value) for value in values]

    assert judge_loss(point(0.96, loss=0.033), losses(0.0331, 0.0332, 0.0331)).holds
    assert judge_loss(point(0.96, loss=0.033), losses(0.02, 0.03, 0.05)).holds
    assert judge_loss(point(0.96, loss=0.033), losses(0.0501, 0.0502, 0.0501)).holds is False
    assert judge_loss(point(0.96, loss=0.033), []).holds is None


def test_what_is_not_measured_cannot_tell() -> None:
    says = judge(point(0.9), [])
    assert (says.holds, says.n, says.why) == (None, 0, "not measured")


def test_the_interval_for_a_new_run_covers_95_percent_of_new_runs() -> None:
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(2000):
        sample = random.normal(size=6)
        low, high = prediction_interval(list(sample[:5]))
        inside += low <= sample[5] <= high
    assert 0.93 < inside / 2000 < 0.97
    assert math.isnan(prediction_interval([0.5])[0])


SCRATCH, FORMS = (experiments_of(find_article(name), allow_code=False) for name in ("from-scratch", "flux-mnist"))
assert SCRATCH is not None and FORMS is not None
InPlace, step, example_gradients = SCRATCH.InPlace, SCRATCH.step, SCRATCH.example_gradients
allocated_bytes = SCRATCH.allocated_bytes
EPSILON, added, clamped, exact = FORMS.EPSILON, FORMS.added, FORMS.clamped, FORMS.exact


# --- a network from scratch ------------------------------------------------------------------------------------------


def test_in_place_and_fresh_arrays_train_alike_and_allocate_unlike() -> None:
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(a, b)), random.normal(size=b)) for a, b in ((200, 30), (30, 10))]
    xs, ys = random.random((10, 200)), np.eye(10)
    network, fresh = InPlace(layers), layers
    for _ in range(5):
        fresh = step(fresh, xs, ys, 1.25)
        network.step(xs, ys, 1.25)
    for (w, b), (v, c) in zip(fresh, network.layers, strict=True):
        np.testing.assert_allclose(w, v, atol=1e-13)
        np.testing.assert_allclose(b, c, atol=1e-13)
    much, little = (
        allocated_bytes(lambda: step(layers, xs, ys, 1.25)),
        allocated_bytes(lambda: network.step(xs, ys, 1.25)),
    )
    assert much > 10 * 200 * 30 * 8 * 2
    assert little < much / 20


def test_the_gradients_from_scratch_are_those_of_finite_differences() -> None:
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(6, 4)), random.normal(size=4)), (random.normal(size=(4, 3)), random.normal(size=3))]
    x, y = random.random(6), np.eye(3)[1]

    def loss() -> float:
        a = x
        for w, b in layers:
            a = 1 / (1 + np.exp(-(a @ w + b)))
        return 0.5 * float(((a - y) ** 2).sum())

    for (w, b), (dw, db) in zip(layers, example_gradients(layers, x, y), strict=True):
        for array, slope in ((w, dw), (b, db)):
            array.flat[1] += 1e-6
            up = loss()
            array.flat[1] -= 2e-6
            down = loss()
            array.flat[1] += 1e-6
            assert slope.flat[1] == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_allocations_are_counted_to_the_array() -> None:
    def ten() -> None:
        for _ in range(10):
            np.empty(10_000)

    def none() -> None:
        for _ in range(10):
            pass

    assert allocated_bytes(ten) == pytest.approx(10 * 80_000, rel=0.02)
    assert allocated_bytes(none) < 2_000


def test_cross_entropy_forms_differ_only_where_p_vanishes() -> None:
    p = np.array([0.2, 0.7, 0.1], np.float32)
    for form in (added, clamped):
        np.testing.assert_allclose(form(p, 1), exact(p, 1), rtol=1e-6)
    gone = np.array([1.0, 0.0, 0.0], np.float32)
    np.testing.assert_array_equal(exact(gone, 1), [1, -1, 0])
    np.testing.assert_array_equal(added(gone, 1), 0 * gone)
    np.testing.assert_array_equal(clamped(gone, 1), 0 * gone)
    assert EPSILON < 1e-6


# --- studies ---------------------------------------------------------------------------------------------------------


STRATA = ("hidden", "batch")


@pytest.fixture(scope="module")
def whole() -> Plan:
    """All of the grid, scaled down."""
    made = plans_of(GRID, quick("parameter-grid", seeds=1))["parameter-grid"]
    every = plan(made.study)
    assert len(every.members) == 2187  # every configuration has its trial, also a shared one
    return one_each(every)


def test_the_grid_folds_and_shares_and_its_sample_is_stratified(whole: Plan) -> None:
    assert (whole.requested, whole.folded, len(whole.jobs)) == (2187, 729, 486)
    part = sample_plan(whole, 0.05, STRATA)
    assert len(part.jobs) == round(0.05 * len(whole.jobs))
    assert {len(job.trials) for job in part.jobs} == {3}, "a trajectory is taken with all its epochs"
    strata = [
        (len(job.trials[0].recipe.model.hidden), job.trials[0].recipe.batches.settings()["size"]) for job in part.jobs
    ]
    counts = [strata.count(stratum) for stratum in set(strata)]
    assert len(counts) == 9
    assert max(counts) - min(counts) <= 1
    assert [j.trajectory for j in sample_plan(whole, 0.05, STRATA).jobs] == [j.trajectory for j in part.jobs]


def gathered(part: Plan, whole: Plan) -> GridSample:
    """A sample with made-up results: an accuracy of 0.9 under nll and 0.6 under mse, 0.01 more with the most epochs."""
    rows: dict[str, Any] = {}
    for member in part.members:
        accuracy = 0.9 if member.values["loss"] == "nll" else 0.6
        accuracy += 0.01 * (member.values["epochs"] == 8)
        seconds = 10.0 * part.trials[member.key].recipe.batches.settings()["size"]
        rows[member.key] = {
            "trial": member.key,
            **member.values,
            "accuracy": accuracy,
            "outcome": "completed",
            "ledger_wall": seconds,
        }
    assert GRID.file.sampling is not None
    return GridSample(
        whole, GRID.file.sampling, strata_of(whole, STRATA), {job.trajectory: job for job in part.jobs}, rows
    )


def test_the_sample_of_a_grid_stands_for_all_2187_runs(whole: Plan) -> None:
    sample = gathered(sample_plan(whole, 0.05, STRATA), whole)
    assert sum(sample.weight(job) for job in sample.jobs.values()) == pytest.approx(486)
    assert sample.total(lambda job: 3.0).value == 3 * 486
    wall = sample.total(lambda job: float(sample.trials[job.trials[-1].key]["ledger_wall"]))
    assert (wall.value, wall.error) == (pytest.approx(486 / 3 * 10 * (16 + 64 + 256)), 0), "the stratum decides it"
    everything = gathered(whole, whole)
    runs = everything.total(lambda job: float(3 * everything.runs(job)))
    assert (runs.value, runs.error) == (2187, 0)
    mean = everything.total(lambda job: everything.runs(job) * sum(everything.accuracies(job)))
    assert mean.value / 2187 == pytest.approx((2 * 0.9 + 0.6) / 3 + 0.01 / 3)


def test_main_effects_of_a_sample_are_those_of_the_whole_where_there_are_no_interactions(whole: Plan) -> None:
    sample = gathered(sample_plan(whole, 0.05, STRATA), whole)
    (all_runs,) = [part for part in GRID.parts if part.title == "All runs"]
    context: Any = SimpleNamespace(sampling=GRID.file.sampling, once=lambda name, make: sample, spec=HALF)
    (estimates,) = all_runs.draw(context)
    assert isinstance(estimates, Table)
    assert "2,187" in estimates.rows[0][0]
    effects = sampled_effects(sample)
    assert all(part.plain()["rows"] for part in (estimates, effects)), "each row has a cell per column"
    shown = {(row[0], row[1]): row[2] for row in effects.rows}
    assert shown["loss", "nll and cross entropy"].startswith("+10.0 [+10.0, +10.0]")
    assert shown["loss", "mse"].startswith("-20.0")
    assert shown["epochs", "8"].startswith("+0.7")
    assert {shown["batch", size].replace("-0.0", "+0.0")[:4] for size in ("16", "64", "256")} == {"+0.0"}


def test_too_small_a_sample_says_that_it_cannot_tell_factors_apart(whole: Plan) -> None:
    sample = gathered(sample_plan(whole, 0.02, STRATA), whole)
    context: Any = SimpleNamespace(sampling=GRID.file.sampling, once=lambda name, make: sample, spec=HALF)
    parts = drawn([part for part in GRID.parts if part.title in ("All runs", "Main effects")], context)
    assert "too few" in parts[-1].note
    assert isinstance(parts[0], Table)
    assert "shows no spread" in str(parts[0].rows)


def test_the_whole_grid_is_decomposed_exactly_and_its_sample_is_judged(whole: Plan) -> None:
    grid = gathered(whole, whole)
    axes = ["hidden", "activation", "loss", "regularisation", "batch", "epochs", "rate"]
    (factors,) = [factors_table(grid, axes)]
    # accuracies of 0.9, 0.9, 0.6 by loss have the variance 0.02; 0.01 more at one of three epochs has 2/9 of 1e-4
    assert factors.rows[0] == ["loss", "30.0", "99.9", "99.9"]
    assert factors.rows[1] == ["epochs", "1.0", "0.1", "0.1"]
    assert {tuple(row[1:]) for row in factors.rows[2:]} == {("0.0", "0.0", "0.0")}
    assert "explain 100.0 % one by one" in factors.note
    judged = SampleJudged(sample=0.05).judged(grid, grid.part(0.05))
    assert [row[1] for row in judged.rows[1:]] == ["80.33", "0.00", "0.00"]
    assert {row[-1] for row in judged.rows} == {"contained it"}
    shown = compared_effects(grid, grid.part(0.05), 0.05)
    cells = {(row[0], row[1]): row[2:] for row in shown.rows}
    assert cells["loss", "mse"][:2] == ["60.33", "-20.0"]
    assert cells["loss", "nll and cross entropy"][1] == "+10.0"
    assert "24 of 486" in shown.note
    assert "20 of 20 intervals contain the effect" in shown.note


def test_the_whole_grid_counts_interactions_apart(whole: Plan) -> None:
    grid = gathered(whole, whole)
    rows: dict[str, Any] = {}
    for key, row in grid.trials.items():  # an interaction alone: 0.2 more where hidden and batch agree
        same = ["1", "3", "5"].index(str(row["hidden"])) == [16, 64, 256].index(int(row["batch"]))
        rows[key] = {**row, "accuracy": 0.5 + 0.2 * same}
    axes = ["hidden", "activation", "loss", "regularisation", "batch", "epochs", "rate"]
    table = factors_table(replace(grid, trials=rows), axes)
    assert sorted(table.rows[:2]) == [["batch", "0.0", "0.0", "100.0"], ["hidden", "0.0", "0.0", "100.0"]]


@pytest.mark.parametrize(
    ("study_name", "trials", "best"),
    [
        ("adadelta", 81, 0.9791),
        ("schedules", 240, 0.9814),
        ("parameter-grid", 1458, 0.9849),
        ("parameter-grid-finals", 33, 0.9857),
        ("parameters", 120, 0.9835),
    ],
)
def test_the_exports_behind_the_pages_are_read_back(tmp_path: Path, study_name: str, trials: int, best: float) -> None:
    store = Store(str(tmp_path / "exports.db"))
    assert read_back(store, EXPORTS / study_name) == (trials, 0)
    frame = Results(store, study_name).frame()
    assert frame["accuracy"].max() == pytest.approx(best)
    assert set(frame["data"]) == {"mnist"}, "no folder of the machine that measured it"


def test_whoever_changes_a_frame_of_results_changes_a_copy(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "exports.db"))
    read_back(store, EXPORTS / "parameters")
    results = Results(store, "parameters")
    for made in (results.frame, results.curves, results.summary):
        changed, column = made(), "test_loss" if made == results.curves else "accuracy"
        changed.loc[0, column] = 7.0
        changed["seconds"] *= 2
        again = made()
        assert again.loc[0, column] != 7.0
        assert not again["seconds"].equals(changed["seconds"])


EXPORTS = Path(__file__).resolve().parents[2] / "docs" / "articles" / "data"


class Stored:
    """What results hold, of rows that are made up."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)


def test_finals_are_planned_for_what_the_searches_chose() -> None:
    race = [
        {"configuration": name, "outcome": outcome, "seconds": seconds}
        for name, outcome, seconds in (
            ("64, nesterov 0.1, 64, long, unit", "stopped", 0.5),
            ("64, nesterov 0.1, 64, long, unit", "stopped", 0.7),
            ("64, adam 0.003, 32, long, unit", "stopped", 0.4),
            ("128, adam 0.003, 32, long, unit", "stopped", 0.1),
            ("128, adam 0.003, 32, long, unit", "completed", 0.1),
        )
    ]
    assert fastest(race) == ["64, adam 0.003, 32, long, unit", "64, nesterov 0.1, 64, long, unit"], "each seed counts"
    family = [
        {"configuration": "2LR, glorot, adam 0.01, 20", "validation_accuracy": 0.97},
        {"configuration": "2LR, glorot, adam 0.01, 100", "validation_accuracy": 0.98},
    ]
    family = [row | {"model": "2LR", "outcome": "completed"} for row in family]
    results: Any = {"beyond-race": Stored(race), "beyond-family": Stored(family)}
    article, spec = find_article("beyond"), quick("beyond")
    after = plans_after(article, spec, results)
    assert list(after) == ["beyond-record", "beyond-finals"]
    record, finals = after.values()
    assert Study.load("beyond-record").settings.timing == Study.load("beyond-finals").settings.timing == "isolated"
    chosen = {c.label: Recipe.parse(c.table) for c in record.study.candidates()}
    assert list(chosen) == ["a common choice", *fastest(race)]
    assert (chosen[fastest(race)[1]].model.hidden, chosen[fastest(race)[1]].schedule.name) == ((64,), "linear")
    assert {recipe.stop.accuracy for recipe in chosen.values()} == {0.6}, "scaled down with the rest"
    assert [c.label for c in finals.study.candidates()][-1] == "2LR, glorot, adam 0.01, 100"
    nothing: Any = {"beyond-race": Stored(race[-1:]), "beyond-family": Stored([family[0] | {"outcome": "failed"}])}
    assert plans_after(article, spec, nothing) == {}


def test_the_best_of_the_grid_are_trained_again_on_other_seeds(whole: Plan) -> None:
    rows = [{"configuration": m.label, "outcome": "completed", "accuracy": 0.5} for m in whole.members]
    best, second = rows[700], rows[31]
    best["accuracy"], second["accuracy"] = 0.9, 0.8
    results: Any = {"parameter-grid": Stored(rows)}
    spec = quick("parameter-grid", seeds=1)
    (finals,) = plans_after(GRID, spec, results).values()
    chosen = {c.label: Recipe.parse(c.table) for c in finals.study.candidates()}
    labels = [str(best["configuration"]), str(second["configuration"])]
    assert list(chosen)[:3] == ["the article's configuration", *labels]
    assert len(chosen) == 11
    in_grid = {member.label: whole.trials[member.key].recipe for member in whole.members}
    for label in labels:
        again = chosen[label]
        assert (again.seed, in_grid[label].seed) == (2, 1)
        for part in ("model", "loss", "optimizer", "batches", "budget", "regularisation", "preparation"):
            assert getattr(again, part) == getattr(in_grid[label], part), part
    unfinished: Any = {"parameter-grid": Stored([*rows, {**best, "outcome": "planned"}])}
    assert plans_after(GRID, spec, unfinished) == {}
    assert plans_after(GRID, quick("parameter-grid", seeds=1, sample=0.1), results) == {}


def test_a_rate_is_tuned_on_some_seeds_and_judged_on_the_others() -> None:
    rows = [
        {"learning_rate": rate, "repeat": repeat, "validation_accuracy": valid, "accuracy": 0.1 * repeat + rate}
        for rate, valid in ((0.1, 0.9), (0.2, 0.8))
        for repeat in range(6)
    ]
    rate, validated, tested = tuned_rate(rows)
    assert (rate, validated) == (0.1, pytest.approx(0.9))
    assert tested == {repeat: pytest.approx(0.1 * repeat + 0.1) for repeat in (2, 3, 4, 5)}


def test_a_study_keeps_its_split_on_another_folder() -> None:
    table = find_article("from-scratch").table("from-scratch")
    elsewhere = changed_study(table, ReproductionSpec("somewhere"))
    assert elsewhere.baseline["data"] == {"name": "somewhere", "train": 50_000}
    assert changed_study(table, ReproductionSpec("")).baseline["data"] == {"name": "mnist", "train": 50_000}
    assert changed_study(table, DIGITS).baseline["data"] == "digits"
    assert changed_study(ADAM.table("adam"), ReproductionSpec("digits", seeds=7)).settings.repeats == 7


def test_every_bundled_study_can_be_read() -> None:
    assert {"flux-mnist", "adam", "parameters", "parameter-grid", "from-scratch"} <= set(bundled_names())
    for name in bundled_names():
        assert Study.load(name).name == name


# --- pages and the command -------------------------------------------------------------------------------------------


def test_a_page_escapes_what_it_says() -> None:
    evil = "<script>alert(1)</script> | `x`"
    page = Page(evil, [evil], [Table(("a", "b"), [(evil, "1")], evil, evil)], [Finding(evil, evil, None, evil)])
    assert "<script>" not in page.html()
    assert "&lt;script&gt;" in page.html()
    assert "http:" not in page.html() and "https:" not in page.html()
    assert "<script>" not in page.markdown("p").replace("\\<script>", "")
    rows = [line for line in page.markdown("p").splitlines() if line.startswith("| ") and "alert" in line]
    assert all(line.replace("\\|", "").count("|") in (3, 5) for line in rows)
    assert page.plain()["findings"][0]["verdict"] == "cannot tell"
    assert (
        Page("", [], [], page.findings, banner="Scaled down").plain()["findings"][0]["verdict"].startswith("not judged")
    )


def test_a_quick_reproduction_runs_to_its_page_and_is_not_trained_twice(invoke: Any, tmp_path: Path) -> None:
    words = ["reproduce", "adam-calibration", "--quick", "--seeds", "1", "--out", "out"]
    code, out, err = invoke(*words)
    assert code == 0, err
    assert "Scaled down" in out
    assert "18 to train" in err
    assert "estimated before, without starting the workers: " in err
    text = (tmp_path / "out" / "adam-calibration-quick.md").read_text()
    assert "Nearest to the published points" in text
    html = (tmp_path / "out" / "adam-calibration-quick.html").read_text()
    assert "Scaled down" in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert "](adam-calibration-quick-rates.png)" in text
    assert (tmp_path / "out" / "adam-calibration-quick-rates.png").read_bytes().startswith(b"\x89PNG")
    assert "18 of 18" in text.partition("Time: foreseen and taken")[2]
    code, out, err = invoke(*words, "--json")
    assert "0 to train" in err
    rows = json.loads(out)["tables"][0]["rows"]
    assert [row["rate"] for row in rows] == ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "published"]
    assert all(float(row["4LS"].split()[0]) > 0 for row in rows[:-1])


def test_a_page_can_be_made_of_what_is_stored_before_anything_is(invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke("reproduce", "flux-mnist", "--quick", "--stored", "--out", "out", "--json")
    assert code == 0, err
    page = json.loads(out)
    table = page["tables"][0]["rows"]
    assert len(table) == sum((p.accuracy is not None) + (p.loss is not None) for p in FLUX.points)
    assert {row["verdict"] for row in table} == {"not measured"}
    assert page["banner"].startswith("Scaled down")


def test_the_plan_says_how_long_and_trains_nothing(invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke("reproduce", "parameters", "--quick", "--plan")
    assert (code, out) == (0, "")
    assert "parameters-quick: 30 trials" in err
    assert "in total" in err
    assert not list(tmp_path.glob("assay-out/*"))


def test_without_a_name_the_reproductions_are_listed(invoke: Any) -> None:
    code, out, _ = invoke("reproduce")
    assert code == 0
    assert all(name in out for name in article_names())


def test_without_mnist_it_says_how_to_get_it_before_anything_runs(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    code, _, err = invoke("reproduce", "flux-mnist")
    assert code == 2
    assert "assay data fetch mnist" in err
    assert "--data FOLDER" in err
    assert not (tmp_path / "assay.db").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["flux"], "did you mean 'flux-mnist'"),
        (["adam", "--quick", "--seeds", "0"], "expected a number >= 1"),
        (["adam", "--quick", "--sample", "0.1"], "only for parameter-grid"),
        (["parameter-grid", "--quick", "--sample", "2"], "above 0 and up to 1"),
        (["adam", "--data", "/nowhere"], "unknown data set"),
    ],
)
def test_an_error_is_a_sentence(words: list[str], expected: str, invoke: Any) -> None:
    code, _, err = invoke("reproduce", *words)
    assert (code, expected in err) == (2, True), err


@pytest.mark.endurance
@pytest.mark.mnist
def test_on_the_real_mnist_a_short_point_of_the_article_holds() -> None:
    spec = spec_of(FLUX, data=str(mnist_folder()), seeds=1)
    (published,) = [p for p in FLUX.points if p.name == "4LS descent stochastic 500"]
    candidates = plans_of(FLUX, spec)["flux-mnist-early"].study.candidates()
    candidate = next(c for c in candidates if c.label == published.name)
    recipes = [Recipe.parse({**candidate.table, "seed": seed, "log": 500}) for seed in range(1, 6)]
    data = prepared(recipes[0], load(spec.data))
    finals = [history.final for history in train(recipes, load_engine("native"), data)]
    measured = [Run(final.test_accuracy or 0.0, False, final.train_loss) for final in finals]
    assert judge(published, measured).holds
    assert judge_loss(published, measured).holds
