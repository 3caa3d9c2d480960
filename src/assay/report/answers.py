"""The findings of a study in sentences: what is best, what it costs, which differences are significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from assay.analysis import targets, verdicts
from assay.analysis.effort import comparable, effort
from assay.analysis.families import SeedValues, against, pairs_among
from assay.analysis.frames import FINISHED, is_imported, listed
from assay.analysis.quantities import SCORE, TEST_SCORE
from assay.analysis.seeds import BUSY
from assay.analysis.verdict import Verdict, said_once
from assay.errors import AssayError
from assay.report.text import percent

Frame = Any  # a pandas frame, whose stubs know too little of it
_BEST = 4  # configurations that are compared with one another
_PAIRS = 6  # verdicts in words
BASELINE = "baseline"  # the configuration of a one-at-a-time design that all others are compared with
_ENDINGS = {"diverged": "diverged", "timed_out": "timed out", "missing": "without a result"}


def answers(trials: Frame, curves: Frame, decided: Mapping[str, Sequence[Verdict]] | None = None) -> list[str]:
    """The findings of a study, the most important first, with the reasons for those that are not available.

    `decided` has the verdicts on all pairs of a study to which seeds were added until they were decided, by measure.
    """
    sentences = [_counts(trials), *_imported(trials)]
    for part in (_best(decided or {}), _pairs(decided or {}), _effort, own_clocks, _to_target(curves)):
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


def _best(decided: Mapping[str, Sequence[Verdict]]) -> Callable[[Frame], list[str]]:
    return lambda trials: [verdicts.best(trials, decided=decided).sentence() + "."]


def _pairs(decided: Mapping[str, Sequence[Verdict]]) -> Callable[[Frame], list[str]]:
    """The verdicts with the baseline of the study where it has one, else on the best few against one another."""
    return lambda trials: _of_pairs(trials, decided.get(TEST_SCORE.column, ()))


def _of_pairs(trials: Frame, of_looks: Sequence[Verdict]) -> list[str]:
    seeds = SeedValues.of(trials, TEST_SCORE.column)
    if len(seeds.names) < 2:
        return []
    if BASELINE in seeds.names and not of_looks:
        return _with_baseline(against(seeds, BASELINE).verdicts())
    unfinished = [not endings.count(*FINISHED) for endings in seeds.endings]
    order = np.lexsort((-seeds.means() if SCORE.higher_is_better else seeds.means(), np.array(unfinished)))
    measured = [int(place) for place in order if not np.isnan(seeds.means()[place])]
    first = [seeds.names[place] for place in measured[:_BEST]]
    if len(first) < 2:
        return []
    among = of_looks or pairs_among(seeds, first).verdicts()
    shown = [verdict for verdict in among if set(verdict.names) <= set(first)][:_PAIRS]
    return [f"{sentence}." for sentence in said_once([verdict.sentence() for verdict in shown])]


def _with_baseline(family: Sequence[Verdict]) -> list[str]:
    """How many differ significantly from the baseline, and the largest differences in words."""
    count, total = sum(verdict.decided for verdict in family), len(family)
    sentence = f"{count} of {total} configurations differ{'s' if count == 1 else ''} significantly from the {BASELINE}"
    sentence += f" after Holm's correction for {family[0].comparisons} comparisons." if total > 1 else "."
    largest = sorted(family, key=lambda v: -abs(v.difference) if v.difference == v.difference else 0.0)
    shown = said_once([verdict.sentence() for verdict in largest[:_PAIRS]])
    return [sentence, *(f"{line}." for line in shown)]


def _effort(trials: Frame) -> list[str]:
    fair, left_out = comparable(trials)
    ranking = effort(fair)
    excluded = [left_out + "."] if len(fair) < len(trials) else []
    ranked = ranking[ranking["rank"].notna()]
    if ranked.empty:
        return ["No configuration is ranked by effort: too few of its seeds finished with an accuracy.", *excluded]
    least, most = ranked.iloc[0], ranked.iloc[-1]
    sentence = f"Least effort: {least['configuration']}, {least['effort']:.4g} s of training / {SCORE.name}"
    if set(fair["timing"].tolist()) == {"packed"}:
        sentence += " (packed: the trials ran in parallel)"
    sentence += _ended(least)
    if len(ranked) > 1 and least["effort"] > 0:
        sentence += f"; most: {most['configuration']}, {most['effort'] / least['effort']:.3g} times that{_ended(most)}"
    unranked = ranking[ranking["rank"].isna() & (ranking["diverged"] + ranking["timed_out"] > 0)]
    if len(unranked):
        names = listed([str(name) for name in unranked["configuration"].tolist()])
        sentence += f"; worse than these, because half of the seeds or more did not finish: {names}"
    busy = [str(name) for name in ranked["configuration"][ranked["busy"] != ""].tolist()]
    sentence += f"; seconds of a {BUSY}: {listed(busy)}" if busy else ""
    return [sentence + ".", *excluded]


def _ended(row: Any) -> str:
    """How many trials of a row of the ranking did not finish, in words; empty if all did."""
    parts = [f"{row[column]} {word}" for column, word in _ENDINGS.items() if row[column]]
    return f" ({', '.join(parts)} of {row['trials']} seeds)" if parts else ""


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


def _arrivals(row: Any, unit: str) -> str:
    """How often and how soon a configuration reaches a target, in words."""
    median = f", median {row['median']:,.0f} {unit}" if row["median"] == row["median"] else ""
    return f"{row['configuration']}: {row['reached']} of {row['trials']} seeds{_ended(row)}{median}"


def target_sentences(trials: Frame, curves: Frame, accuracy: float) -> list[str]:
    """Which configurations reach an accuracy, how often and how soon."""
    times = targets.times_to(curves, trials, accuracy=accuracy)
    table = targets.ranked(targets.summary(times), ["success", "restricted_mean"])
    goal = f"{percent(accuracy)} {TEST_SCORE.label}"
    table["missing"] = table["unmeasured"]
    if not any(table["reached"].tolist()):
        return [f"No trial reaches {goal}."]
    unit = f"{targets.unit_of(trials, 'iteration')}s"
    surest, soonest = table.iloc[0], table.sort_values("restricted_mean", kind="stable").iloc[0]
    is_both = surest["configuration"] == soonest["configuration"]
    sentence = f"{goal} is reached {'first' if is_both else 'most often'} by {_arrivals(surest, unit)}"
    sentence += "" if is_both else f"; soonest, with misses counted, by {_arrivals(soonest, unit)}"
    measured = table["unmeasured"] < table["trials"]  # a curve that counts epochs has no iteration to reach it at
    never = table[(table["reached"] == 0) & measured]["configuration"].tolist()
    end = (
        f"; never reached by {', '.join(map(str, never[:5]))}{' and others' if len(never) > 5 else ''}" if never else ""
    )
    return [f"{sentence}{end} (interpolated linearly between log points)."]
