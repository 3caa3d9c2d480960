"""Studies whose repeats have test sets of their own: folds, re-splits, their keys, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.claims.bundles.content import About
from assay.claims.bundles.publishing import publish
from assay.claims.bundles.verifying import verify
from assay.data.datasets import load
from assay.data.prepare import split, trained_on
from assay.errors import AssayError, RecipeError
from assay.execution.fit import fit
from assay.execution.sequential import until_decided
from assay.recipe.model import Recipe
from assay.results.results import Results
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import Trial, plan, plan_of_one
from assay.studies.settings import Settings
from assay.studies.study import Study
from tests.hard.fuzz_exports import filled

STUDY: dict[str, Any] = {
    "name": "cut",
    "engine": "numpy",
    "threads": 1,
    "baseline": {"data": "iris", "model": {"hidden": [4]}, "budget": "5 epochs"},
    "axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.03]}},
}


def draws(raw: dict[str, Any]) -> list[tuple[int, int, dict[str, Any]]]:
    """The repeat, the seed and the draw of each trial of the first configuration."""
    made = plan(Study.parse(raw))
    trials = [(member.repeat, made.trials[member.key].recipe) for member in made.members if "0.001" in member.label]
    drawn = [{k: v for k, v in r.canonical_field("data").items() if k not in ("name", "validation")} for _, r in trials]
    return [(repeat, recipe.seed, data) for (repeat, recipe), data in zip(trials, drawn, strict=True)]


def test_each_repeat_has_the_next_fold_and_each_further_round_another_cut() -> None:
    found = draws(STUDY | {"folds": 2, "repeats": 6})
    assert [(repeat, seed) for repeat, seed, _ in found] == [(r, 1 + r) for r in range(6)]
    assert [data for _, _, data in found] == [
        {"folds": 2, "fold": 1},
        {"folds": 2, "fold": 2},
        {"split": 1, "folds": 2, "fold": 1},
        {"split": 1, "folds": 2, "fold": 2},
        {"split": 2, "folds": 2, "fold": 1},
        {"split": 2, "folds": 2, "fold": 2},
    ]
    assert draws(STUDY | {"folds": 2}) == found[:2]  # as many repeats as folds by default
    assert draws(STUDY | {"folds": 2, "repeats": 6, "split_seeds": True}) == found


def test_re_splits_have_the_number_of_their_repeat() -> None:
    assert draws(STUDY | {"split_seeds": True, "repeats": 3}) == [(r, 1 + r, {"split": r}) for r in range(3)]


def test_a_trial_of_a_fold_is_that_of_its_recipe_alone() -> None:
    study = Study.parse(STUDY | {"folds": 3, "repeats": 6})
    made = plan(study)
    member = next(member for member in made.members if member.repeat == 4 and "0.001" in member.label)
    recipe = Recipe.parse(
        STUDY["baseline"]
        | {"optimizer": {"learning_rate": 0.001}, "seed": 5}
        | {"data": {"name": "iris", "split": 1, "folds": 3, "fold": 2}}
    )
    alone = plan_of_one(recipe, Settings(engine="numpy", threads=1))
    assert list(alone.trials) == [member.key]
    assert len(made.trials) == 12


def test_a_study_without_folds_keeps_its_keys() -> None:
    made = plan(Study.parse(STUDY | {"repeats": 3}))
    for member in made.members:
        trial = made.trials[member.key]
        alone = plan_of_one(trial.recipe, Settings(engine="numpy", threads=1))
        assert list(alone.trials) == [member.key]
        assert trial.recipe.data.draw is None
        assert trial.recipe.seed == 1 + member.repeat


LIST = {key: value for key, value in STUDY.items() if key != "axes"} | {"design": "list"}


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (STUDY | {"folds": 5, "repeats": 7}, "repeats: got 7; expected a multiple of folds = 5, such as 5 or 10"),
        (STUDY | {"folds": 5, "repeats": 1}, "repeats: got 1; expected a multiple of folds = 5, such as 5 or 10"),
        (STUDY | {"folds": 1}, "folds: got 1; expected a number >= 2"),
        (STUDY | {"folds": "five"}, "folds: "),
        (STUDY | {"folds": True}, "folds: "),
        (STUDY | {"split_seeds": 3}, "split_seeds: "),
        (
            STUDY | {"folds": 5, "baseline": STUDY["baseline"] | {"data": {"name": "iris", "split": 2}}},
            "baseline.data.split: is set, and folds of the study sets it for each repeat; leave one out",
        ),
        (
            STUDY | {"split_seeds": True, "repeats": 2, "axes": {"cut": {"key": "data.split", "values": [1, 2]}}},
            "axes.cut: sets data.split, and split_seeds of the study sets it for each repeat",
        ),
        (
            LIST | {"folds": 5, "trials": {"a": {}, "b": {"data": {"folds": 3, "fold": 1}}}},
            "trials.b: sets data.folds, and folds of the study sets it for each repeat",
        ),
        (
            STUDY | {"folds": 5, "design": "search", "search": {"trials": 4}, "repeats": 5},
            "folds: design 'search' decides its trials by scores of one test set",
        ),
        (
            STUDY
            | {"design": "search", "search": {"method": "random", "trials": 4}}
            | {"axes": {"cut": {"key": "data.split", "values": [1, 2]}}},
            "axes.cut: sets data.split, so that scores would be measured on different examples",
        ),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Study.parse(raw)
    assert any(problem.startswith(sentence) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("key", [{"folds": 3}, {"split_seeds": True, "repeats": 3}])
def test_looking_again_is_refused(key: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="gives every repeat another test set of the same examples"):
        until_decided(Study.parse(STUDY | key), Store(str(tmp_path / "s.db")), lambda execution: False)


def test_looking_again_at_configurations_with_other_test_sets_is_refused(tmp_path: Path) -> None:
    raw = STUDY | {"repeats": 3, "axes": {"cut": {"key": "data.split", "values": [1, 2]}}}
    with pytest.raises(AssayError, match="some configurations have another test set than others"):
        until_decided(Study.parse(raw), Store(str(tmp_path / "s.db")), lambda execution: False)


@pytest.mark.parametrize(("train", "validation"), [(None, 0), (None, 20), (100, 20), (100, 30), (119, 5)])
def test_the_number_of_trained_examples_is_that_of_the_split(train: int | None, validation: int) -> None:
    dataset = load("iris").resampled(folds=5, fold=1)
    rows, _ = split(dataset, train=train, validation=validation)
    assert trained_on(len(dataset.y_train), train=train, validation=validation) == len(rows)


def trained(trial: Trial) -> Finished:
    history = fit(trial.recipe, engine=trial.engine, threads=trial.threads)
    return Finished(history.outcome, history.reason, history, confusion=history.confusion)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store(str(tmp_path_factory.mktemp("folds") / "s.db"))
    baseline = STUDY["baseline"] | {"data": {"name": "iris", "train": 100}}
    filled(opened, plan(Study.parse(STUDY | {"folds": 5, "repeats": 10, "baseline": baseline})), trained)
    return opened


def test_the_frame_of_trials_has_the_draws(store: Store) -> None:
    frame: Any = Results(store, "cut").frame()
    assert (frame["draw_folds"] == 5).all()
    assert frame["draw_fold"].tolist() == [*[1, 2, 3, 4, 5] * 4]
    assert frame["draw_split"].tolist() == [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    assert frame["draw_overlap"].tolist() == [0.3] * 20  # 30 test examples, the first 100 of 120 to train on
    verdict = Results(store, "cut").verdict("rate 0.001", "rate 0.03")
    assert (verdict.overlap, verdict.folds, verdict.n) == (0.3, 5, 10)


def test_a_bundle_of_folds_has_the_rows_of_its_plan(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.claims.bundles import derived

    monkeypatch.setattr(derived, "_reports", lambda content, studies: {})
    path = publish(store, About("cut"), ["cut"], tmp_path / "cut.zip").path
    found = verify(path, seed=1, sample=4)
    assert not found.findings, found.findings
    assert len(found.repeated) == 4
