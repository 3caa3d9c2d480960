"""What a repeated training says of the published one: same bits, within the measured differences, or different."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.claims.bundles import differences, retraining
from assay.claims.bundles.archive import unpacked
from assay.claims.bundles.differences import Difference, MeasuredPairs, allowed, difference, layers_of, measured
from assay.claims.bundles.verifying import Verification, verify
from assay.recipe.model import Recipe
from assay.training.history import Point

CURVE = [Point(n, 32 * n, 0.1 * n, test_loss=1 / (n + 1), test_accuracy=0.5 + 0.01 * n) for n in range(5)]
DOCS = Path(__file__).parents[3] / "docs" / "bundles.md"


def test_equal_curves_have_the_same_bits_whatever_their_seconds() -> None:
    slower = [replace(point, seconds=9.0 * point.iteration) for point in CURVE]
    assert difference(CURVE, slower) == Difference(True, 5, 0.0, 0.0)


def test_the_largest_difference_and_the_first_place_are_given() -> None:
    other = [*CURVE[:3], replace(CURVE[3], test_accuracy=0.55), replace(CURVE[4], test_loss=0.25)]
    found = difference(CURVE, other)
    assert not found.same_bits
    assert found.accuracy == pytest.approx(0.02, rel=1e-12)
    assert found.loss == pytest.approx(0.2, rel=1e-12)  # 0.2 and 0.25
    assert found.where == "test_accuracy at iteration 3: 0.53, here 0.55"


def test_losses_near_zero_are_held_against_a_hundredth() -> None:
    one, other = ([replace(CURVE[0], test_loss=loss)] for loss in (1e-5, 3e-5))
    assert difference(one, other).loss == pytest.approx(2e-3, rel=1e-12)


def test_curves_that_end_elsewhere_or_have_other_log_points_differ_without_bound() -> None:
    found = difference(CURVE, CURVE[:4])
    assert (found.same_bits, found.accuracy, found.points) == (False, float("inf"), 4)
    assert found.where == "it ends at iteration 4, here at 3"
    for published, repeated, where in (
        (CURVE[:1] + CURVE[2:], CURVE, "is here only"),
        (CURVE, CURVE[:1] + CURVE[2:], "is not here"),
    ):
        found = difference(published, repeated)
        assert (found.same_bits, found.accuracy, found.points) == (False, float("inf"), 4)
        assert found.where == f"a log point at iteration 1 {where}"
    assert not difference([], CURVE).same_points
    assert difference(CURVE, CURVE[:4]).same_points  # rules may stop engines at different points
    assert difference(CURVE, CURVE[:4]).plain() == {"points": 4, "accuracy": None, "loss": 0.0}
    nothing = difference([replace(CURVE[0], test_accuracy=None)], CURVE[:1])
    assert nothing.accuracy == float("inf")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        MeasuredPairs("engine", 100, 10, 2, 0.004, 0.0, 0.002),
        MeasuredPairs("engine", 500, 20, 0, 0.003, 0.001, 0.05),
        MeasuredPairs("level", 100, 30, 25, 0.0, 0.0, 1e-6),
    )
    monkeypatch.setattr(differences, "measured", lambda: rows)


def test_a_trial_is_held_against_all_shorter_measured_ones(table: None) -> None:
    assert allowed("engine", 100) == MeasuredPairs("engine", 100, 10, 2, 0.004, 0.0, 0.002)
    assert allowed("engine", 101) == MeasuredPairs("engine", 500, 20, 0, 0.004, 0.001, 0.05)
    assert allowed("engine", 501) is None
    assert allowed("level", 101) is None


def test_convolutions_have_rows_of_their_own_and_beyond_them_the_dense_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        MeasuredPairs("engine", 100, 10, 2, 0.004, 0.0, 0.002),
        MeasuredPairs("engine", 500, 20, 0, 0.003, 0.001, 0.05),
        MeasuredPairs("engine", 100, 30, 0, 0.006, 0.002, 0.001, "convolutional"),
    )
    monkeypatch.setattr(differences, "measured", lambda: rows)
    assert allowed("engine", 100, "convolutional") == rows[2]
    assert allowed("engine", 100) == rows[0]
    assert allowed("engine", 101, "convolutional") == MeasuredPairs("engine", 500, 20, 0, 0.006, 0.001, 0.05)
    assert allowed("engine", 501, "convolutional") is None
    assert [layers_of(Recipe.parse({"model": m}).model) for m in ("3LS", "lenet5")] == ["dense", "convolutional"]


def _shifted(bundle: Path, monkeypatch: pytest.MonkeyPatch, by: float) -> Verification:
    """A verification whose trainings give other accuracies, on a machine that promises no bits."""
    train = retraining.fit

    def fit(*given: Any, **options: Any) -> Any:
        history = train(*given, **options)
        points = tuple(replace(p, test_accuracy=(p.test_accuracy or 0.0) + by) for p in history.points)
        return replace(history, points=points)

    monkeypatch.setattr(retraining, "fit", fit)
    monkeypatch.setattr(retraining, "promised", lambda row, history, machine: False)
    return verify(bundle, sample=1, seed=1)


@pytest.mark.parametrize(
    ("by", "answer", "sentence"),
    [
        (0.0, "same bits", "same bits at"),
        (0.0039, "within", "0.39 points of accuracy, 0 % of loss: within 0.40 points and 0.2 %, the largest of 10 "),
        (0.0041, "differs", "differs: 0.41 points of accuracy, 0 % of loss; more than 0.40 points and 0.2 %"),
    ],
)
def test_other_bits_are_held_against_the_table(
    bundle: Path, table: None, monkeypatch: pytest.MonkeyPatch, by: float, answer: str, sentence: str
) -> None:
    monkeypatch.setattr(retraining, "LEVEL", "engine")
    made = _shifted(bundle, monkeypatch, by)
    (one,) = made.repeated
    assert (str(one.answer), len(made.findings)) == (answer, int(answer == "differs"))
    assert one.sentence.startswith(sentence)
    assert any("Changes smaller than" in unseen for unseen in made.unseen) == (answer == "within")


def test_one_test_example_is_within(bundle: Path, table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "LEVEL", "level")
    (one,) = _shifted(bundle, monkeypatch, 1 / 360).repeated
    bound = "within 0.28 points and 0.0001 %, the largest of 30 measured pairs or one test example"
    assert one.sentence == f"0.28 points of accuracy, 0 % of loss: {bound} of another level"
    (one,) = _shifted(bundle, monkeypatch, 1.4 / 360).repeated
    assert str(one.answer) == "differs"


def test_what_was_not_measured_is_not_compared(bundle: Path, monkeypatch: pytest.MonkeyPatch, table: None) -> None:
    monkeypatch.setattr(differences, "measured", lambda: ())
    made = _shifted(bundle, monkeypatch, 0.001)
    assert (str(made.repeated[0].answer), made.findings) == ("not run", [])
    assert made.open == ["1 of the 1 trials that were drawn"]


@pytest.mark.parametrize(
    "change",
    [{"engine": "torch"}, {"numerics": 99}, {"level": "avx9"}, {"cpu": "another"}, {"numpy": "0.1"}, {"threads": None}],
)
def test_the_same_bits_are_promised_on_the_same_machine_alone(bundle: Path, change: dict[str, Any]) -> None:
    from assay.claims.bundles.data_files import content_of
    from assay.claims.bundles.manifest import read_manifest
    from assay.execution.fit import fit

    files, _ = unpacked(bundle)
    content, _ = content_of(files, read_manifest(files["manifest.json"]).about)
    row, machine = content.trials[0], json.loads(content.machines[0]["description"])
    history = fit(Recipe.stored(json.loads(row["recipe"])), engine="numpy", threads=1)
    assert retraining.promised(row, history, machine)
    if "cpu" in change:
        machine |= change
    elif "numpy" in change:
        machine["versions"] |= change
    else:
        row |= change | ({"cores": 99} if "threads" in change else {})
    assert not retraining.promised(row, history, machine)


def test_the_documentation_has_the_measured_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    between = text.partition("<!-- differences -->\n")[2].partition("<!-- end of differences -->")[0]
    assert differences.markdown() in between
    assert {row.kind for row in measured()} == {"level", "engine"}
    assert all(row.n > 20 for row in measured())
