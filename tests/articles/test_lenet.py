"""`assay reproduce lenet5`: the floor of two softmaxes, what single works cost, and the page from end to end."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.analysis.verdicts import Verdict, compare
from assay.articles import find_article, plans_of, runner, spec_of, timed_runs
from assay.articles.claimed import findings_of
from assay.articles.context import Context
from assay.articles.page import Finding, Table
from assay.articles.runner import experiments_of
from assay.articles.setups import Setup, why_not
from assay.articles.spec import ReproductionSpec
from assay.articles.timed_runs import TimedRun, small_recipe
from assay.bench.startup import ColdStart, starts
from assay.data.datasets import load
from assay.errors import AssayError, EngineError
from assay.parts.losses import LOSSES
from assay.recipe.model import Recipe

LENET = find_article("lenet5")
COSTS = experiments_of(LENET, allow_code=False)
assert COSTS is not None
DenormalCost, Iteration, fading, least_seconds = COSTS.DenormalCost, COSTS.Iteration, COSTS.fading, COSTS.least_seconds
BASELINE = LENET.study("lenet5-timing").baseline
RECIPE = Recipe.parse(BASELINE)
TORCH = Setup("lenet5-timing", "torch", "cpu", 1)
CUDA = Setup("lenet5-timing", "torch", "cuda")
TWO = "two softmaxes"


def softmax_floor(classes: int) -> float:
    """The least cross-entropy that softmax of probabilities can have: the label's probability is e / (e + C - 1)."""
    return math.log(math.e + classes - 1) - 1


def table_of(context: Context, title: str) -> Table:
    (part,) = [part for part in LENET.parts if part.title == title]
    (made,) = part.draw(context)
    assert isinstance(made, Table)
    return made


# --- what the article published ---------------------------------------------------------------------------------------


def test_the_published_rows_agree_with_themselves() -> None:
    runs = LENET.file.facts["runs"]
    assert len(runs) == 11
    for run in runs:
        assert len(run["accuracy_after"]) == 5
        assert run["first_epoch_s"] < run["total_s"]
        if "train_s" in run:
            assert run["train_s"] + run["validation_s"] == pytest.approx(run["total_s"], rel=0.01)
    assert {c.id for c in LENET.claims} == {"floor", "early", "softmax", "inputs", "compilation", "seeds", "denormals"}


def test_the_arithmetic_gives_the_printed_figures() -> None:
    rows = table_of(NOTHING, "What the logs say, by arithmetic").plain()["rows"]
    for row in rows[:3]:
        value = float(row["arithmetic"].rpartition("= ")[2])
        assert value == pytest.approx(float(row["printed"]), abs=1.1e-4)
    floor = softmax_floor(10)
    computed = (floor / 100, floor / 600, -math.log(2.0**-23) / 600, math.log(10))
    for row, value, digits in zip(rows, computed, (4, 4, 4, 2), strict=False):
        assert f"= {value:.{digits}f}" in row["arithmetic"]


def test_the_numbers_of_the_claims_are_those_that_the_article_published() -> None:
    runs = LENET.file.facts["runs"]
    devices = {run["device"] for run in runs}
    least = min(
        abs(a["accuracy"] - b["accuracy"])
        for device in devices
        for a, b in itertools.combinations([run for run in runs if run["device"] == device], 2)
    )
    tables: dict[str, Any] = {claim.id: claim.table for claim in LENET.claims}
    assert tables["seeds"]["below"] == f"{100 * least:.2f} points"
    assert tables["denormals"]["at_least"] == pytest.approx((127.6 - 45.2) / 2)
    low, high, printed = tables["floor"]["all"]
    assert (low["at_least"], high["at_most"]) == pytest.approx((softmax_floor(10), softmax_floor(10) + 0.05), abs=2e-6)
    assert printed["right"]["values"] == pytest.approx([softmax_floor(10) / 100, softmax_floor(10) / 600], abs=1e-7)


# --- the floor --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-60, 60), min_size=2, max_size=12))
def test_no_softmax_of_probabilities_is_below_the_floor(logits: list[float]) -> None:
    z = np.array([logits])
    a = np.exp(z - z.max())
    a /= a.sum()
    loss = LOSSES["logit_cross_entropy"].value(np, a, np.eye(len(logits))[[0]], 1e-12)
    assert float(loss[0]) >= softmax_floor(len(logits)) - 1e-12


def test_the_floor_is_reached_by_a_network_that_is_sure_and_right() -> None:
    a = np.eye(10)[[3]]
    assert float(LOSSES["logit_cross_entropy"].value(np, a, a, 1e-12)[0]) == pytest.approx(softmax_floor(10), abs=1e-12)
    wrong = LOSSES["logit_cross_entropy"].value(np, np.eye(10)[[4]], a, 1e-12)
    assert float(wrong[0]) == pytest.approx(softmax_floor(10) + 1, abs=1e-12)


# --- numbers too small, single iterations, starts ---------------------------------------------------------------------


def test_a_moment_without_gradient_fades_and_never_is_zero() -> None:
    iterations, kept = fading()
    assert iterations == math.ceil(math.log(float(np.finfo(np.float32).tiny) / 1e-3) / math.log(0.9))
    assert 0 < kept < 1e-44
    assert np.float32(0.9) * np.float32(kept) == np.float32(kept)


def test_works_are_timed_in_turn_and_the_first_round_is_left_out() -> None:
    calls: list[str] = []
    least = least_seconds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert all(0 <= seconds < 1 for seconds in least.values())
    assert DenormalCost(1.0, 4.0, 1.5).slower == 4.0


def test_an_iteration_begins_with_the_given_moments() -> None:
    pytest.importorskip("torch")
    small, normal = (Iteration("torch", RECIPE, images=2, moments=moments) for moments in (1e-40, 1e-3))
    for one in (small, normal):
        one()
    (first, second), (third, fourth) = (one.training.state.trials[0].slots for one in (small, normal))
    assert float((third - first).mean()) == pytest.approx(0.9e-3, rel=1e-3), "the same gradient, other moments"
    assert float((fourth - second).mean()) == pytest.approx(0.999e-3, rel=1e-3)


def test_a_new_process_tells_how_long_it_needs() -> None:
    start = starts(small_recipe(RECIPE, images=2), "numpy")
    assert 0 < start.process < 300
    assert 0 <= start.cached < 60
    with pytest.raises(EngineError, match="does not start in a new process"):
        starts(small_recipe(RECIPE, images=2), "nothing")


# --- totals -----------------------------------------------------------------------------------------------------------


def test_a_total_is_measured_where_it_ran_and_extrapolated_where_it_did_not() -> None:
    timed = TimedRun([5.0, 2.0, 4.0], validation=0.5, data=1.0, compile=3.0, wall=20.0, accuracy=0.9)
    start = ColdStart(process=10.0, compile=3.0, cached=1.0)
    assert timed.later == 3.0
    assert timed.total(3, start) == 30.0
    assert timed.total(100, start) == 10 + 1 + 3 + 5 + 99 * 3.0 + 100 * 0.5
    assert math.isnan(replace(timed, epochs=[5.0]).total(100, start))


# --- findings -----------------------------------------------------------------------------------------------------


Runs = list[tuple[list[float], list[float]]]  # of each seed its test losses and accuracies


class Stored:
    """What a store would give: the test losses and accuracies along the epochs, by training and seed."""

    def __init__(self, **runs: Runs) -> None:
        self._runs = {name.replace("_", " "): values for name, values in runs.items()}

    name, axes, seeds_added = "lenet5", (), ""

    def budgets(self) -> pd.DataFrame:
        trials = [
            (f"{label} {seed}", len(run[0]) - 1) for label, runs in self._runs.items() for seed, run in enumerate(runs)
        ]
        rows = [{"trial": key, "budget": 100.0 * n, "epochs": float(n), "finished": 1.0} for key, n in trials]
        return pd.DataFrame(rows, columns=["trial", "budget", "epochs", "finished"])

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "trial": f"{label} {seed}",
                "configuration": label,
                "outcome": "completed",
                "seed": seed,
                "accuracy": accuracies[-1],
                "test_loss": losses[-1],
                "seconds": 10.0,
            }
            for label, runs in self._runs.items()
            for seed, (losses, accuracies) in enumerate(runs)
        )

    def curves(self) -> pd.DataFrame:
        points = [
            {"trial": f"{label} {seed}", "iteration": 100 * n, "test_loss": loss, "test_accuracy": accuracy}
            for label, runs in self._runs.items()
            for seed, (losses, accuracies) in enumerate(runs)
            for n, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
        ]
        columns = ["trial", "iteration", "test_loss", "test_accuracy"]
        missing = dict.fromkeys(("train_accuracy", "validation_loss", "validation_accuracy"), float("nan"))
        return pd.DataFrame(points, columns=columns).assign(train_loss=1.0, seconds=1.0, **missing)

    def verdict(self, a: str, b: str) -> Verdict:
        values = [[accuracies[-1] for _, accuracies in self._runs[name]] for name in (a, b)]
        return compare(*values, names=(a, b))

    def confusions(self) -> dict[str, list[list[int]]]:
        return {f"{label} {seed}": [[3, 0], [2, 0]] for label, runs in self._runs.items() for seed in range(len(runs))}


def measured(hundred: Runs | None = None, **runs: Runs) -> Context:
    results: Any = {"lenet5": Stored(**runs), "lenet5-hundred": Stored(one_softmax=hundred or [])}
    return Context(ReproductionSpec("digits-28"), results, {}, facts=LENET.file.facts)


def finding(context: Context, claim: str) -> Finding:
    (chosen,) = [one for one in LENET.claims if one.id == claim]
    (made,) = findings_of([chosen], context)
    return made


NOTHING = Context(ReproductionSpec("digits-28"), {}, {}, facts=LENET.file.facts)


LONG_TITLE = "As far as the article: 100 epochs"
LONG = [2.3, 1.7, 1.6, 1.5]
GOOD = [([2.3, 0.1], [0.1, first]) for first in (0.96, 0.97)]


@pytest.mark.parametrize(
    ("losses", "holds"),
    [([2.3, 1.7, 1.49, 1.47], True), (LONG[:3], None), ([2.3, 1.7, 1.6, 1.6], False), ([2.3, 1.4], False)],
)
def test_the_floor_holds_by_the_stated_rule(losses: list[float], holds: bool | None) -> None:
    judged = finding(measured(two_softmaxes=[(losses, [0.1] * len(losses))]), "floor")
    assert judged.holds is holds
    assert f"{losses[-1]:.4g}" in judged.evidence


def test_without_a_run_nothing_is_judged() -> None:
    results = measured(one_softmax=GOOD)
    assert finding(results, "floor").holds is None
    assert finding(results, "early").holds is None


@pytest.mark.parametrize(("firsts", "holds"), [((0.68, 0.95), True), ((0.95, 0.96), False)])
def test_the_first_epochs_are_compared_by_their_range(firsts: tuple[float, ...], holds: bool) -> None:
    two = [([2.3, 1.7], [0.1, first]) for first in firsts]
    results = measured(one_softmax=GOOD, two_softmaxes=two)
    assert finding(results, "early").holds is holds
    rows = {row["runs"]: row for row in table_of(results, "The first epochs").plain()["rows"]}
    assert rows["published, PyTorch"]["epoch 1 [%]"] == "69.33 .. 95.41"
    assert rows["measured, two softmaxes"]["epoch 1 [%]"] == f"{100 * firsts[0]:.2f} .. {100 * firsts[1]:.2f}"
    assert rows["measured, two softmaxes"]["epoch 2 [%]"] == "-"


def test_the_accuracies_of_the_frameworks_are_judged_at_the_end_alone() -> None:
    short, whole = (
        measured(hundred=[([0.1] * (n + 1), [0.9] * n + [end]) for end in (0.9912, 0.9914)]) for n in (3, 100)
    )
    assert finding(short, "seeds").holds is None
    assert "0.07 points" in finding(short, "seeds").rule
    assert finding(whole, "seeds").holds is True, "seeds 0.02 points apart, frameworks 0.07"


def test_the_hundredth_epoch_is_that_of_the_longest_trainings() -> None:
    hundred = [([0.1] * 101, [0.1, *[0.98] * 9, *[0.985] * 20, *[0.99] * 70, end]) for end in (0.9930, 0.9936)]
    results = measured(hundred=hundred, one_softmax=GOOD)
    assert finding(results, "seeds").holds is True
    assert "one softmax after epoch 100: range 0.06 points, 2 seeds" in finding(results, "seeds").evidence
    table = table_of(results, LONG_TITLE)
    *published, ours = table.plain()["rows"]
    assert [row["runs"] for row in published] == ["published, MATLAB", "published, PyTorch", "published, Flux"]
    assert sum(int(row["runs or seeds"]) for row in published) == 11
    assert [ours[f"epoch {n} [%]"] for n in (10, 30, 100)] == ["98.50 .. 98.50", "99.00 .. 99.00", "99.30 .. 99.36"]
    assert table.note.endswith("2 of ours at 99.30 .. 99.36 %.")
    assert table_of(measured(one_softmax=GOOD), LONG_TITLE).note.endswith("ours have not run that far yet.")


def test_a_class_that_is_never_answered_is_counted() -> None:
    rows = table_of(measured(one_softmax=GOOD), "One softmax, two, and another standardisation").plain()["rows"]
    assert rows[0]["classes never answered, by seed"] == "1, 1"
    assert rows[1]["against one softmax"] == "not measured"


# --- plans ------------------------------------------------------------------------------------------------------------


def lenet_plans(**options: Any) -> list[Any]:
    return list(plans_of(LENET, spec_of(LENET, **options)).values())


def use_setups(monkeypatch: pytest.MonkeyPatch, *setups: Setup) -> None:
    monkeypatch.setattr(runner, "setups_of", lambda base, written: list(setups))


def test_a_combination_that_cannot_run_says_why() -> None:
    assert why_not(BASELINE, TORCH) is None
    assert "core" in (why_not(BASELINE, Setup("a", "torch", "cpu", 10_000)) or "")
    assert "nothing" in (why_not(BASELINE, Setup("a", "nothing", "cpu", 1)) or "")
    assert (TORCH.device_text, CUDA.device_text, Setup("a", "jax", "cpu", 2).device_text) == (
        "cpu, 1 thread",
        "gpu",
        "cpu, 2 threads",
    )
    half = Setup("lenet5-timing", "torch", "cuda", precision="bfloat16")
    assert (half.study, half.device_text) == ("lenet5-timing-torch-cuda-bfloat16", "gpu, bfloat16")
    assert (TORCH.study, CUDA.study) == ("lenet5-timing-torch-cpu-1", "lenet5-timing-torch-cuda")


def test_a_setup_has_a_precision_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    use_setups(monkeypatch, TORCH, Setup("lenet5-timing", "torch", "cpu", 1, "float64"))
    *_, single, double = lenet_plans(data="digits-28", epochs=2)
    precisions = [trial.recipe.precision for plan in (single, double) for trial in plan.trials.values()]
    assert (precisions, double.study.name) == (["float32", "float64"], "lenet5-timing-torch-cpu-1-float64")


def test_epochs_and_seeds_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use_setups(monkeypatch, TORCH)
    seeds, hundred, timing = lenet_plans(data="digits-28", seeds=2, epochs=7)
    assert set(hundred.trials) < set(seeds.trials), "as many epochs as the others, nothing is left to do"
    assert len(seeds.trials) == 6
    assert {t.recipe.budget.epochs for t in seeds.trials.values()} == {7}
    (trial,) = timing.trials.values()
    assert (trial.recipe.budget.epochs, trial.timing, trial.threads) == (7, "isolated", 1)
    assert {t.recipe.batches.settings()["size"] for t in seeds.trials.values()} == {600}
    assert {c.label for c in seeds.study.candidates()} >= {TWO}
    *_, timing = lenet_plans(data="digits", quick=True, epochs=1)
    (trial,) = timing.trials.values()
    assert (trial.recipe.data.name, trial.recipe.budget.epochs, trial.timing) == ("digits-28", 2, "packed")


def test_the_hundred_epochs_go_on_where_the_few_end(monkeypatch: pytest.MonkeyPatch) -> None:
    use_setups(monkeypatch)
    few, hundred = lenet_plans(data="digits-28")
    assert len(hundred.trials) == 3
    assert {t.recipe.budget.epochs for t in hundred.trials.values()} == {100}
    assert {t.trajectory for t in hundred.trials.values()} < {t.trajectory for t in few.trials.values()}


def test_the_two_softmaxes_are_the_listings() -> None:
    by_label = {c.label: Recipe.parse(c.table) for c in LENET.study("lenet5").candidates()}
    assert (by_label[TWO].model.output, by_label[TWO].loss) == ("softmax", "logit_cross_entropy")
    assert {r.schedule.name for r in by_label.values()} == {"constant"}, "the decay was not in force"
    network = by_label[TWO].model.network(load("digits-28").shape, 10)
    assert network.parameters == 194_982


# --- the page and the command -----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A few of the digits, a setup that is quick to run, and one that cannot run."""
    pytest.importorskip("torch")
    data = load("digits-28")
    arrays = {"x_train": data.x_train[:120], "x_test": data.x_test[:60]}
    arrays = {name: x.reshape(-1, 28, 28) for name, x in arrays.items()}
    np.savez(tmp_path / "few.npz", **arrays, y_train=data.y_train[:120], y_test=data.y_test[:60])
    use_setups(monkeypatch, TORCH, Setup("lenet5-timing", "torch", "cpu", 10_000))
    monkeypatch.setattr(timed_runs, "starts", lambda recipe, engine: ColdStart(1.0, 0.5, 0.25))
    monkeypatch.setattr(COSTS, "QUICK_IMAGES", 2)
    return tmp_path / "few.npz"


@pytest.mark.endurance
def test_a_quick_reproduction_runs_to_its_page_and_is_not_trained_twice(invoke: Any, small: Path) -> None:
    words = ["reproduce", "lenet5", "--quick", "--seeds", "2", "--data", str(small), "--out", "out", "--json"]
    code, out, err = invoke(*words, "--epochs", "1")
    assert code == 0, err
    page = json.loads(out)
    tables = {table["title"]: table["rows"] for table in page["tables"]}
    rows = tables["The article's rows and ours"]
    assert len(rows) == 11 + 2
    assert rows[11][""] == "totals extrapolated from 2 epochs; accuracy after 2"
    assert float(rows[11]["later epochs [s]"]) > 0
    assert "core" in rows[12][""]
    assert rows[12]["later epochs [s]"] == "-"
    assert page["banner"].startswith("Scaled down: batches of 60, 1 epoch,")
    assert {finding["verdict"] for finding in page["findings"]} == {"not judged: scaled down"}
    (floor,) = tables["Two softmaxes: the loss and its floor"]
    assert float(floor["test loss, median"]) > softmax_floor(10)
    assert [row["seeds"] for row in tables["One softmax, two, and another standardisation"]] == ["2"] * 3
    assert len(tables["Denormal numbers"]) == 3
    assert "bfloat16" in str(tables["Single iterations: the reference engine, and bfloat16"])
    text = (small.parent / "out" / "lenet5-quick.md").read_text()
    assert "Scaled down" in text
    assert "0.0147" in text
    code, out, err = invoke(*words, "--epochs", "2")
    assert code == 0, err
    assert "lenet5-timing-torch-cpu-1-quick: 1 trials; 1 stored, 0 to train" in err
    assert len(json.loads(out)["tables"][3]["rows"]) == 2, "the trainings went on where they were"


def test_a_page_can_be_made_before_anything_is_measured(invoke: Any, small: Path) -> None:
    code, out, err = invoke("reproduce", "lenet5", "--quick", "--stored", "--data", str(small), "--json")
    assert code == 0, err
    page = json.loads(out)
    assert page["tables"][0]["rows"][11][""] == "not measured yet"
    assert page["tables"][1]["rows"] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lenet"], "did you mean 'lenet5'"),
        (["lenet5", "--quick", "--epochs", "0"], "--epochs: got 0; expected a number >= 1"),
        (["parameters", "--quick", "--epochs", "3"], "--epochs: only for lenet5"),
        (["lenet5", "--quick", "--sample", "0.1"], "only for parameter-grid"),
    ],
)
def test_an_error_is_a_sentence(words: list[str], expected: str, invoke: Any) -> None:
    code, _, err = invoke("reproduce", *words)
    assert (code, expected in err) == (2, True), err


def test_images_that_do_not_fit_are_a_sentence(invoke: Any, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "tiny.npz",
        x_train=np.ones((9, 8, 8), np.uint8),
        y_train=np.arange(9) % 3,
        x_test=np.ones((3, 8, 8), np.uint8),
        y_test=np.arange(3),
    )
    code, _, err = invoke("reproduce", "lenet5", "--quick", "--data", str(tmp_path / "tiny.npz"))
    assert code == 2
    assert "model.layers" in err
    assert "Traceback" not in err


def test_an_unknown_reproduction_is_an_error_of_ours() -> None:
    with pytest.raises(AssayError):
        lenet_plans(data="/nowhere", quick=True)
