"""The findings of a study in sentences: what is best, what it costs, which differences are significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from assay.analysis import targets, verdicts
from assay.analysis.effort import comparable, effort
from assay.analysis.frames import is_imported
from assay.analysis.quantities import SCORE, TEST_SCORE
from assay.errors import AssayError
from assay.report.text import percent

Frame = Any  # a pandas frame, whose stubs know too little of it
_PAIRS = 6  # verdicts in words


def answers(trials: Frame, curves: Frame) -> list[str]:
    """The findings of a study, the most important first, with the reasons for those that are not available."""
    sentences = [_counts(trials), *_imported(trials)]
    for part in (_best, _pairs, _effort, own_clocks, _to_target(curves)):
        try:
            sentences += part(trials)
        except AssayError as error:
            sentences.append(f"Not available: {error}.")
    return list(dict.fromkeys(sentences))


def _counts(trials: Frame) -> str:
    measured = trials[~is_imported(trials)]
    outcomes = Counter(map(str, measured["outcome"].tolist()))
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
    end = f": {counts}." if counts else "."
    return f"{len(measured):,} trials of {measured['configuration'].nunique():,} configurations{end}"


def _imported(trials: Frame) -> list[str]:
    """What the imported logs end with, separate from what was measured here."""
    curves: list[str] = []
    for row in trials[is_imported(trials)].to_dict("records"):
        splits = (("test", row["accuracy"]), ("validation", row["validation_accuracy"]))
        ends = [f"{split} accuracy {percent(value)}" for split, value in splits if value == value]
        ends += [f"{row['seconds']:.4g} s by its own clock"] if row["seconds"] == row["seconds"] else []
        curves.append(f"{row['configuration']}: {', '.join(ends) or 'losses only'}")
    return [f"Imported from logs, without a verdict: {'; '.join(curves)}."] if curves else []


def _best(trials: Frame) -> list[str]:
    return [verdicts.best(trials).sentence() + "."]


def _pairs(trials: Frame) -> list[str]:
    """The verdicts on the best few against one another."""
    means = (
        trials.groupby("configuration")[TEST_SCORE.column]
        .mean()
        .dropna()
        .sort_values(ascending=not SCORE.higher_is_better)
    )
    first = [str(name) for name in means.index[:4]]
    if len(first) < 2:
        return []
    pairs = verdicts.pairwise(trials[trials["configuration"].isin(first)])
    return [f"{sentence}." for sentence in pairs["sentence"].tolist()[:_PAIRS]]


def _effort(trials: Frame) -> list[str]:
    fair, left_out = comparable(trials)
    ranked = effort(fair)
    if not len(ranked.dropna(subset=["effort"])):  # imported curves without seconds
        return []
    least = ranked.iloc[0]
    sentence = f"Least effort: {least['configuration']}, {least['effort']:.4g} s of training / {SCORE.name}"
    if set(fair["timing"].tolist()) == {"packed"}:
        sentence += " (packed: the trials ran in parallel)"
    most = ranked.dropna(subset=["effort"]).iloc[-1]
    if len(ranked) > 1 and least["effort"] > 0:
        sentence += f"; most: {most['configuration']}, {most['effort'] / least['effort']:.3g} times that"
    return [sentence + ".", *([left_out + "."] if left_out != "every trial compares by seconds" else [])]


def own_clocks(trials: Frame) -> list[str]:
    """For each configuration that a program of the user trained: the seconds that it reports, and those of Assay."""
    if not {"clock", "ledger_train", "ledger_other"} <= set(trials.columns):
        return []
    sentences: list[str] = []
    for name, group in trials[trials["clock"] == "program"].groupby("configuration", sort=False):
        reported, rest = group["ledger_train"].median(), group["ledger_other"].median()
        if reported == reported:
            sentences.append(
                f"The seconds of {name} are those that its program reports, {reported:.3g} (median); with its start, "
                f"its reading and its evaluations Assay's clock saw {reported + rest:.3g}."
            )
    return sentences


def processor_sentence(trials: Frame) -> str:
    """The processor seconds of each configuration, and how many of its trials ran on a busy machine; "" if unknown."""
    if not {"processor_seconds", "busy"} <= set(trials.columns):
        return ""
    parts: list[str] = []
    for name, group in trials.groupby("configuration", sort=False):
        median, busy = group["processor_seconds"].median(), sum(value is True for value in group["busy"].tolist())
        if median == median or busy:
            seconds = f"{median:.4g}" if median == median else "unknown"
            parts.append(f"{name} {seconds}" + (f" ({busy} of {len(group)} trials on a busy machine)" if busy else ""))
    return f"processor seconds of training (median): {'; '.join(parts)}" if parts else ""


def preparation(trials: Frame) -> str:
    """What the seconds of training leave out: preparing the data, by engine; "" where it is unknown."""
    if not {"engine", "preparation_seconds"} <= set(trials.columns):
        return ""
    medians = trials.groupby("engine", sort=False)["preparation_seconds"].median().dropna()
    parts = [f"{name} {seconds:.3g} s" for name, seconds in medians.items()]
    once = "once per process, until a new engine has the data"
    return f"seconds of training leave out the preparation ({once}): {', '.join(parts)} (median)" if parts else ""


def _to_target(curves: Frame) -> Callable[[Frame], list[str]]:
    def sentences(trials: Frame) -> list[str]:
        return target_sentences(trials, curves, targets.default_target(trials))

    return sentences


def target_sentences(trials: Frame, curves: Frame, accuracy: float) -> list[str]:
    """Which configurations reach an accuracy, how often and how soon."""
    times = targets.times_to(curves, trials, accuracy=accuracy)
    table = targets.summary(times).sort_values(["success", "restricted_mean"], ascending=[False, True])
    goal = f"{percent(accuracy)} {TEST_SCORE.label}"
    if not any(table["reached"].tolist()):
        return [f"No trial reaches {goal}."]
    first = table.iloc[0]
    sentence = f"{goal} is reached first by {first['configuration']}: {first['reached']} of {first['trials']} seeds"
    unit = f"{targets.unit_of(trials, 'iteration')}s"
    sentence += f", median {first['median']:,.0f} {unit}" if first["median"] == first["median"] else ""
    measured = table["unmeasured"] < table["trials"]  # a curve that counts epochs has no iteration to reach it at
    never = table[(table["reached"] == 0) & measured]["configuration"].tolist()
    end = (
        f"; never reached by {', '.join(map(str, never[:5]))}{' and others' if len(never) > 5 else ''}" if never else ""
    )
    return [f"{sentence}{end} (interpolated linearly between log points)."]
