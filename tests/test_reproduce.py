"""Published figures as data, the rule by which they hold, and `assay reproduce` from end to end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import AssayError
from assay.published import ARTICLES, Point, article, points, sources
from assay.recipe import Recipe
from assay.reproducing import REPRODUCTIONS, asked_for
from assay.reproducing.allocating import allocated
from assay.reproducing.asking import Asked, study
from assay.reproducing.clamping import EPSILON, added, clamped, exact
from assay.reproducing.flux_findings import ends
from assay.reproducing.grid import sampled
from assay.reproducing.holding import Run, judged, judged_loss, prediction_interval
from assay.reproducing.pages import Finding, Page, Table
from assay.reproducing.teaching import InPlace, gradients, step
from assay.studies.planning import plan
from assay.studies.study import Study, bundled_names
from tests.folders import mnist_folder

VARIANTS = {"batch": "full", "stochastic": "single", "mini-batch": "window"}
DIGITS = Asked("digits", quick=True)


# --- published -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARTICLES)
def test_an_article_has_sources_and_figures(name: str) -> None:
    assert all(title for title, _ in sources(name))
    assert {"points", "runs", "seconds"} & article(name).keys()


def test_every_point_has_a_configuration_and_a_figure() -> None:
    found = points("flux_mnist")
    assert len({(p.name, p.accuracy) for p in found}) == len(found) > 30
    for point in found:
        assert point.model in article("flux_mnist")["parameters"]
        assert point.variant in VARIANTS
        assert point.optimizer in ("descent", "adam")
        assert point.iterations > 0
        assert 0 < (point.accuracy or 0.5) < 1
        assert 0 < (point.loss or 0.1) < 1
    assert {p.cell for p in found} <= ends().keys()
    assert len(ends()) == 18


def test_every_point_is_a_trial_of_a_study() -> None:
    for optimizer, names in (("descent", ("flux-mnist", "flux-mnist-early")), ("adam", ("adam", "adam-early"))):
        trials = [c for name in names for c in study(name, Asked("digits")).candidates()]
        assert len({c.label for c in trials}) == len(trials), "a point is in one study alone"
        by_label = {c.label: Recipe.parse(c.table) for c in trials}
        for point in points("flux_mnist", optimizer):
            recipe = by_label[point.name]
            assert recipe.model.name == point.model
            assert recipe.optimizer.entry == optimizer
            assert recipe.batches.kind == VARIANTS[point.variant]
            assert recipe.budget.iterations == point.iterations


def test_an_unknown_article_and_a_point_without_a_figure_are_sentences() -> None:
    with pytest.raises(AssayError, match="did you mean 'parameters'"):
        article("parameter")
    with pytest.raises(AssayError, match="neither an accuracy nor a loss"):
        Point("4LS", "adam", "batch", 1)
    with pytest.raises(AssayError, match="unknown word"):
        Point("4LS", "adam", "batch", 1, accuracy=0.5, word="abuot")


# --- the rule --------------------------------------------------------------------------------------------------------


def point(accuracy: float, word: str = "", loss: float | None = None) -> Point:
    return Point("4LS", "descent", "batch", 1000, accuracy=accuracy, word=word, loss=loss)


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
    says = judged(point(published, word), runs(*measured, settled=settled))
    assert (says.holds, says.place) == (holds, place)
    assert bool(says.why) == (holds is not True)
    assert says.n == len(measured)


def test_a_loss_holds_within_a_tenth_or_the_interval() -> None:
    def losses(*values: float) -> list[Run]:
        return [Run(0.96, True, loss=value) for value in values]

    assert judged_loss(point(0.96, loss=0.033), losses(0.0331, 0.0332, 0.0331)).holds
    assert judged_loss(point(0.96, loss=0.033), losses(0.02, 0.03, 0.05)).holds
    assert judged_loss(point(0.96, loss=0.033), losses(0.0501, 0.0502, 0.0501)).holds is False
    assert judged_loss(point(0.96, loss=0.033), []).holds is None


def test_what_is_not_measured_cannot_tell() -> None:
    says = judged(point(0.9), [])
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
    much, little = allocated(lambda: step(layers, xs, ys, 1.25)), allocated(lambda: network.step(xs, ys, 1.25))
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

    for (w, b), (dw, db) in zip(layers, gradients(layers, x, y), strict=True):
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

    assert allocated(ten) == pytest.approx(10 * 80_000, rel=0.02)
    assert allocated(none) < 2_000


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


def test_the_grid_folds_and_shares_and_its_sample_is_stratified() -> None:
    whole = plan(study("parameter-grid", DIGITS))
    assert (whole.asked, whole.folded, len(whole.jobs)) == (2 * 2187, 2 * 729, 2 * 486)
    part = sampled(whole, 0.05)
    assert len(part.jobs) == round(0.05 * len(whole.jobs))
    assert {len(job.trials) for job in part.jobs} == {3}, "a trajectory is taken with all its epochs"
    strata = [
        (len(job.trials[0].recipe.model.hidden), job.trials[0].recipe.batches.settings()["size"]) for job in part.jobs
    ]
    counts = [strata.count(stratum) for stratum in set(strata)]
    assert len(counts) == 9
    assert max(counts) - min(counts) <= 1
    assert [j.trajectory for j in sampled(whole, 0.05).jobs] == [j.trajectory for j in part.jobs]


def test_a_study_keeps_its_split_on_another_folder() -> None:
    made = study("from-scratch", Asked("somewhere"))
    assert made.baseline["data"] == {"name": "somewhere", "train": 50_000}
    assert study("from-scratch", DIGITS).baseline["data"] == "digits"
    assert study("adam", Asked("digits", seeds=7)).settings.repeats == 7


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
    assert "http" not in page.html()
    assert "<script>" not in page.markdown().replace("\\<script>", "")
    rows = [line for line in page.markdown().splitlines() if line.startswith("| ") and "alert" in line]
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
    assert "estimated before" in err
    text = (tmp_path / "out" / "adam-calibration-quick.md").read_text()
    assert "Nearest to the published points" in text
    assert "Scaled down" in (tmp_path / "out" / "adam-calibration-quick.html").read_text()
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
    assert len(table) == sum((p.accuracy is not None) + (p.loss is not None) for p in points("flux_mnist", "descent"))
    assert {row["verdict"] for row in table} == {"not measured"}
    assert page["banner"].startswith("Scaled down")


def test_the_plan_says_how_long_and_trains_nothing(invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke("reproduce", "parameters", "--quick", "--plan")
    assert (code, out) == (0, "")
    assert "parameters-quick: 30 trials" in err
    assert "together" in err
    assert not list(tmp_path.glob("assay-out/*"))


def test_without_a_name_the_reproductions_are_listed(invoke: Any) -> None:
    code, out, _ = invoke("reproduce")
    assert code == 0
    assert all(name in out for name in REPRODUCTIONS)


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
    ("words", "said"),
    [
        (["flux"], "did you mean 'flux-mnist'"),
        (["adam", "--quick", "--seeds", "0"], "expected a number >= 1"),
        (["adam", "--quick", "--sample", "0.1"], "for parameter-grid alone"),
        (["parameter-grid", "--quick", "--sample", "2"], "above 0 and up to 1"),
        (["adam", "--data", "/nowhere"], "unknown data set"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], said: str, invoke: Any) -> None:
    code, _, err = invoke("reproduce", *words)
    assert (code, said in err) == (2, True), err


@pytest.mark.mnist
def test_on_the_real_mnist_a_short_point_of_the_article_holds(invoke: Any) -> None:
    from assay.fitting import fit

    asked = asked_for(data=str(mnist_folder()), quick=False, seeds=1)
    (one,) = [p for p in points("flux_mnist") if p.name == "4LS descent stochastic 500"]
    candidate = next(c for c in study("flux-mnist-early", asked).candidates() if c.label == one.name)
    found: list[Run] = []
    for seed in range(1, 6):
        final = fit({**candidate.table, "seed": seed, "log": 500}).final
        found.append(Run(final.test_accuracy or 0.0, False, final.train_loss))
    assert judged(one, found).holds
    assert judged_loss(one, found).holds
