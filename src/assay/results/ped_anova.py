"""Hyperparameter importance of a search by Optuna's PED-ANOVA, next to Assay's own."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

from assay.results.searched import Searched

LEAST = 20
"""Trials with a score, below which the best tenth of them is too few."""


def ped_anova(search: Searched) -> dict[str, float]:
    """How much each axis decides whether a trial is among the best tenth: fractions that add up to 1.

    Axes that not every trial has are left out. Empty where Optuna is not installed, for two objectives, and for fewer
    than 20 trials with a score.

    Source: Watanabe, Bansal, Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces" (IJCAI 2023).
    """
    if importlib.util.find_spec("optuna") is None or len(search.goal.names) > 1:
        return {}
    scored = search.jobs[search.jobs["n"].isin(search.incumbents.dropna(subset=["score"])["n"])]
    columns = {axis: scored[column].tolist() for axis, column in search.axes.items() if scored[column].notna().all()}
    columns = {axis: values for axis, values in columns.items() if len(set(map(repr, values))) > 1}
    if len(scored) < LEAST or len(columns) < 2 or scored["score"].nunique() < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental features
        study = optuna.create_study(direction="maximize" if search.maximize else "minimize")
        encoded = {axis: _encoded(values) for axis, values in columns.items()}
        distributions = {axis: distribution for axis, (_, distribution) in encoded.items()}
        for place, score in enumerate(scored["score"].tolist()):
            params = {axis: values[place] for axis, (values, _) in encoded.items()}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=score))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        fractions = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {axis: float(fraction) for axis, fraction in fractions.items()}


def _encoded(values: list[Any]) -> tuple[list[Any], Any]:
    """The values as Optuna takes them: numbers of a range, or the numbers of the values of a list."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        low, high = float(min(values)), float(max(values))
        return [float(value) for value in values], FloatDistribution(low, high, log=low > 0 and high / low > 50)
    levels = list(dict.fromkeys(map(repr, values)))
    return [levels.index(repr(value)) for value in values], CategoricalDistribution(tuple(range(len(levels))))


__all__ = ["ped_anova"]
