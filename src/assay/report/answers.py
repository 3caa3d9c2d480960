"""What a study says, in sentences with figures: who is best, what it costs, what the seeds cannot tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from assay.analysis import targets, verdicts
from assay.analysis.effort import comparable, effort
from assay.analysis.frames import is_imported
from assay.errors import AssayError

Frame = Any  # a pandas frame, whose stubs know too little of it
_PAIRS = 6  # verdicts that are told in words


def answers(trials: Frame, curves: Frame) -> list[str]:
    """The findings of a study, the most important first. What cannot be said is said to be so."""
    told = [_counts(trials)]
    told += _imported(trials)
    for part in (_best, _pairs, _effort, own_clocks, _to_target(curves)):
        try:
            told += part(trials)
        except AssayError as error:
            told.append(f"Not told: {error}.")
    return list(dict.fromkeys(told))


def _counts(trials: Frame) -> str:
    mine = trials[~is_imported(trials)]
    outcomes = Counter(map(str, mine["outcome"].tolist()))
    said = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
    end = f": {said}." if said else "."
    return f"{len(mine):,} trials of {mine['configuration'].nunique():,} configurations{end}"


def _imported(trials: Frame) -> list[str]:
    """What the imported logs end with, apart from what was measured here."""
    told: list[str] = []
    for row in trials[is_imported(trials)].to_dict("records"):
        splits = (("test", row["accuracy"]), ("validation", row["validation_accuracy"]))
        ends = [f"{split} accuracy {value:.2%}" for split, value in splits if value == value]
        ends += [f"{row['seconds']:.4g} s by its own clock"] if row["seconds"] == row["seconds"] else []
        told.append(f"{row['configuration']}: {', '.join(ends) or 'losses alone'}")
    if not told:
        return []
    return [f"Imported from logs, and judged by no verdict: {'; '.join(told)}."]


def _best(trials: Frame) -> list[str]:
    return [verdicts.best(trials).sentence() + "."]


def _pairs(trials: Frame) -> list[str]:
    """The verdicts on the best few against one another."""
    means = trials.groupby("configuration")["accuracy"].mean().dropna().sort_values(ascending=False)
    first = [str(name) for name in means.index[:4]]
    if len(first) < 2:
        return []
    pairs = verdicts.pairwise(trials[trials["configuration"].isin(first)])
    return [f"{sentence}." for sentence in pairs["sentence"].tolist()[:_PAIRS]]


def _effort(trials: Frame) -> list[str]:
    fair, left_out = comparable(trials)
    ranked = effort(fair)
    least = ranked.iloc[0]
    said = f"Least effort: {least['configuration']}, {least['effort']:.4g} s of training / accuracy"
    if set(fair["timing"].tolist()) == {"packed"}:
        said += " (packed: the trials ran side by side)"
    most = ranked.dropna(subset=["effort"]).iloc[-1]
    if len(ranked) > 1 and least["effort"] > 0:
        said += f"; most: {most['configuration']}, {most['effort'] / least['effort']:.3g} times that"
    return [said + ".", *([left_out + "."] if len(fair) < len(trials) else [])]


def own_clocks(trials: Frame) -> list[str]:
    """For each configuration that a program of the user's trained, whose seconds these are, beside Assay's own."""
    if not {"clock", "ledger_train", "ledger_other"} <= set(trials.columns):
        return []
    told: list[str] = []
    for name, mine in trials[trials["clock"] == "program"].groupby("configuration", sort=False):
        claimed, beside = mine["ledger_train"].median(), mine["ledger_other"].median()
        if claimed == claimed:
            told.append(
                f"The seconds of {name} are those that its program reports, {claimed:.3g} (median); with its start, "
                f"its reading and its evaluations Assay's clock saw {claimed + beside:.3g}."
            )
    return told


def _to_target(curves: Frame) -> Callable[[Frame], list[str]]:
    def told(trials: Frame) -> list[str]:
        return target_sentences(trials, curves, targets.default_target(trials))

    return told


def target_sentences(trials: Frame, curves: Frame, accuracy: float) -> list[str]:
    """Who reaches an accuracy, how often and how soon."""
    times = targets.times_to(curves, trials, accuracy=accuracy)
    table = targets.summary(times).sort_values(["success", "restricted_mean"], ascending=[False, True])
    goal = f"{accuracy:.2%} test accuracy"
    if not any(table["reached"].tolist()):
        return [f"No trial reaches {goal}."]
    first = table.iloc[0]
    said = f"{goal} is reached first by {first['configuration']}: {first['reached']} of {first['trials']} seeds"
    said += f", median {first['median']:,.0f} iterations" if first["median"] == first["median"] else ""
    never = table[table["reached"] == 0]["configuration"].tolist()
    end = f"; never by {', '.join(map(str, never[:5]))}{' and others' if len(never) > 5 else ''}" if never else ""
    return [f"{said}{end} (read from the curves, straight lines between their points)."]
