"""The standard error of an accuracy by the choice of test examples, and where a comparison states it."""

from __future__ import annotations

import numpy as np
import pytest

import assay
from assay.analysis.split_error import split_sentence, standard_error
from assay.rng import stream


def test_it_is_the_deviation_of_accuracies_on_drawn_test_sets() -> None:
    p, n = 0.93, 250
    hits = stream(0, "split-error").uniform(n * 4000).reshape(4000, n) < p
    assert standard_error(p, n) == pytest.approx(hits.mean(axis=1).std(), rel=0.04)


def test_a_perfect_accuracy_has_the_bound_of_the_rule_of_three() -> None:
    assert "may be up to 10 points off" in split_sentence(1.0, 30)
    assert pytest.approx(0.1, abs=0.006) == 1 - 0.05 ** (1 / 30)


def test_results_on_few_test_examples_state_it_and_others_do_not() -> None:
    study = {
        "name": "few",
        "repeats": 6,
        "baseline": {"budget": "20 iterations"},
        "axes": {"optimizer.learning_rate": [0.001, 0.01]},
    }
    results = assay.run(study)
    best = float(results.frame().groupby("configuration")["accuracy"].mean().max())
    assert best < float(np.max(results.frame()["accuracy"]))
    note = results.split_note
    assert note.startswith(f"on this split, whose test set has 360 examples: an accuracy of {100 * best:.2f} %")
    assert f"standard error of {100 * np.sqrt(best * (1 - best) / 360):.2g} points" in note
    assert split_sentence(0.9, 1_999) != ""
    assert split_sentence(0.9, 2_000) == ""
