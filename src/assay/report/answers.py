"""The findings of a study in sentences: what is best, what it costs, which differences are significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from assay.analysis import targets, verdicts
from assay.analysis.draws import overlaps_of, pairing
from assay.analysis.effort import comparable, comparable_on_engines, effort
from assay.analysis.families import SeedValues, against
from assay.analysis.frames import groups, is_imported, listed, numbers, paired
from assay.analysis.pareto import front
from assay.analysis.phases import by_phase, decisive
from assay.analysis.quantities import MEASURES, QUANTITIES, REGRESSION, SCORE, name_of, task_of
from assay.analysis.seeds import BUSY
from assay.analysis.summaries import ranked, summarised
from assay.analysis.ties import tied_names
from assay.analysis.verdict import Verdict, said_once
from assay.errors import AssayError, shortened
from assay.report.text import percent

Frame = Any  # a pandas frame, whose stubs know too little of it
_PAIRS = 4  # verdicts in words
_OPTIMAL = 6  # Pareto-optimal configurations in words
BASELINE = "baseline"  # the configuration of a one-at-a-time design that all others are compared with
TIED_BY = "95 %, paired {word}s, uncorrected"
PACKED = " (packed: the trials ran in parallel)"
_ENDINGS = {"diverged": "diverged", "timed_out": "timed out", "missing": "without a result"}


def answers(trials: Frame, curves: Frame, decided: Mapping[str, Sequence[Verdict]] | None = None) -> list[str]:
    """The findings of a study, the most important first, with the reasons for those that are not available.

    First each configuration against the baseline, or the best one against the others, then what is Pareto-optimal.
    `decided` has the verdicts on all pairs of a study to which seeds were added until they were decided, by measure.
    """
    sentences = [_counts(trials), *_imported(trials)]
    parts = (_with_best(decided or {}), _pareto, _effort, own_clocks, _to_target(curves))
    for part in parts:
        try:
            sentences += part(decisive(trials))  # of a search with seeds, those whose figures are not biased
        except AssayError as error:
            sentences.append(f"Not available: {error}.")
    return list(dict.fromkeys(sentences))


def baseline_of(trials: Frame, decided: Mapping[str, Sequence[Verdict]] | None = None) -> str | None:
    """The configuration with which every other one is compared; None where all pairs are compared.

    It is the one named "baseline", unless verdicts on all pairs were stored.
    """
    own = trials[~is_imported(trials)]["configuration"]
    is_one = not decided and own.nunique() > 1 and bool((own == BASELINE).any())
    return BASELINE if is_one else None


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


def _with_best(decided: Mapping[str, Sequence[Verdict]]) -> Callable[[Frame], list[str]]:
    """The verdicts with the baseline of the study where it has one; which configuration is best, against the others."""

    def sentences(trials: Frame) -> list[str]:
        baseline = baseline_of(trials, decided)
        best = verdicts.best(trials, decided=decided, baseline=baseline)
        lead = [best.sentence() + "."]
        if baseline is not None:
            return [*_with_baseline(against(SeedValues.of(trials, best.measure), baseline).verdicts()), *lead]
        closest = sorted((v for v in best.verdicts if v.n), key=lambda v: abs(v.difference))[:_PAIRS]
        return [*lead, *(f"{sentence}." for sentence in said_once([verdict.sentence() for verdict in closest]))]

    return sentences


def _with_baseline(family: Sequence[Verdict]) -> list[str]:
    """How many differ significantly from the baseline, and the largest differences in words."""
    count, total = sum(verdict.decided for verdict in family), len(family)
    sentence = f"{count} of {total} configurations differ{'s' if count == 1 else ''} significantly from the {BASELINE}"
    sentence += f" after Holm's correction for {family[0].comparisons} comparisons." if total > 1 else "."
    largest = sorted(family, key=lambda v: -abs(v.difference) if v.difference == v.difference else 0.0)
    shown = said_once([verdict.sentence() for verdict in largest[:_PAIRS]])
    return [sentence, *(f"{line}." for line in shown)]


def _pareto(trials: Frame) -> list[str]:
    """The configurations that no other one beats in both training time and accuracy, for each engine."""
    gain = verdicts.selection(paired(trials))
    fair, _ = comparable_on_engines(paired(trials))
    sentences: list[str] = []
    for engine, of_engine in _by_engine(fair):
        table: Frame = front(of_engine, gain=gain)
        optimal = table[table["front"]]
        if len(table) < 2 or optimal.empty:
            continue
        ties = _ties(optimal["configuration"].tolist(), of_engine, gain)
        rows: list[dict[str, Any]] = optimal.to_dict("records")[::-1]
        named = {row["configuration"]: f"({row['seconds']:.3g} s, {_score_text(gain, row[gain])})" for row in rows}
        kept = [f"{name} {figures}" for name, figures in named.items() if not ties[name]]
        tied = [f"{name} {figures} with {ties[name]}" for name, figures in named.items() if ties[name]]
        by = f"by training time and {MEASURES[gain].label}{f' on {engine}' if engine else ''}{_packed(of_engine)}"
        first = "most accurate" if MEASURES[gain].is_fraction else "best"
        sentences.append(
            f"Pareto-optimal {by}, {len(kept):,} of {len(table):,} configurations"
            f"{f', the {first} first' if len(kept) > 1 else ''}: "
            f"{shortened(kept, _OPTIMAL, separator='; ')}."
        )
        if tied:
            by_noise = TIED_BY.format(word=_word(of_engine))
            listed_ties = shortened(tied, _OPTIMAL, separator="; ")
            sentences.append(f"No trade-off beyond noise, tied ({by_noise}): {listed_ties}.")
    return sentences


def _score_text(measure: str, value: float) -> str:
    quantity = MEASURES[measure]
    return percent(value) if quantity.is_fraction else quantity.text(value)


def _ties(names: list[str], trials: Frame, gain: str) -> dict[str, str]:
    """The configuration that each Pareto-optimal one ties with, as in the chart; "" for a trade-off of its own."""
    labels, repeats = (trials[column].tolist() for column in ("configuration", "repeat"))
    values = (numbers(trials, column).tolist() for column in ("seconds", gain))
    rows = zip(labels, pairing(trials, repeats), *values, strict=True)
    return dict(zip(names, tied_names(names, rows, overlaps=overlaps_of(trials, labels)), strict=True))


def _by_engine(trials: Frame) -> list[tuple[str, Frame]]:
    """The trials of each engine, whose seconds are ranked apart; one group without a name if there is one engine."""
    if "engine" not in trials.columns or trials["engine"].nunique() < 2:
        return [("", trials)]
    return list(groups(trials, "engine"))


def _packed(trials: Frame) -> str:
    return PACKED if set(trials["timing"].tolist()) == {"packed"} else ""


def reached_by(trials: Frame) -> tuple[set[str], str, str]:
    """The configurations whose mean accuracy reaches the default target, and "97 % test accuracy"; none without one.

    The third is why there is none, where the best configuration is no better than chance; else empty.
    """
    measure = verdicts.selection(paired(trials))
    try:
        target = targets.default_target(decisive(trials), column=measure)
        seeds = SeedValues.of(trials, measure)
    except targets.NothingLearnedError as error:
        return set(), "", str(error)
    except AssayError:
        return set(), "", ""
    names = {name for name, mean in zip(seeds.names, seeds.means().tolist(), strict=True) if mean >= target}
    return names, f"{percent(target)} {MEASURES[measure].label}", ""


def selected_by(trials: Frame) -> str:
    """The measure that configurations are ranked by: validation accuracy, or else test accuracy."""
    own = trials[~is_imported(trials)]
    return verdicts.selection(own if len(own) else trials)


def efforts(summary: Frame, trials: Frame) -> list[tuple[str, Frame]]:
    """The rankings of a summary by effort, each with the end of its title: one for each engine.

    The configurations that reach the default target come first, so that those that did not train do not lead. Times
    that do not compare with those of most trials of their engine are left out, as `comparable_on_engines` says.
    """
    if task_of(trials) is REGRESSION:  # it has no effort
        return []
    names, goal, nothing_learned = reached_by(trials)
    fair, left_out = comparable_on_engines(trials)
    if left_out:  # the scores stay those of all trials
        costs = summarised(fair).set_index("configuration")[["seconds", "processor_seconds", "effort"]]
        summary = summary.assign(**{cost: summary["configuration"].map(costs[cost]) for cost in costs.columns})
    engines = trials.groupby("configuration", sort=False)["engine"].first() if "engine" in trials.columns else None
    parts = [("", summary)]
    if engines is not None and engines.nunique() > 1:
        of_row = summary["configuration"].map(engines)
        parts = [(f" on {engine}", summary[of_row == engine]) for engine in dict.fromkeys(of_row.tolist())]
    rankings: list[tuple[str, Frame]] = []
    for on, part in parts:
        misses = [name not in names for name in part["configuration"].tolist()]
        order = part.assign(
            misses=part["effort"].isna() | pd.Series(misses, index=part.index, dtype=bool)
        )  # without an effort it has no rank to lead
        is_reached = bool(goal) and 0 < int(order["misses"].sum()) < len(order)
        table = ranked(order, "effort", ascending=True).sort_values("misses", kind="stable").drop(columns="misses")
        first = f"; {len(order) - int(order['misses'].sum()):,} of {len(order):,} reach {goal} and come first"
        chance = "; none is better than chance" if nothing_learned else ""
        table = by_phase(table)
        rankings.append((on + _packed(trials) + (first if is_reached else chance), table))
    return rankings


def _effort(trials: Frame) -> list[str]:
    """The least effort for each engine, of the configurations that reach the target."""
    names, goal, nothing_learned = reached_by(trials)
    left_out = comparable_on_engines(trials)[1]
    excluded = [f"{left_out[0].upper()}{left_out[1:]}."] if left_out else []
    if nothing_learned:
        return [f"No configuration is ranked by effort: {nothing_learned}.", *excluded]
    by_engine = [(engine, comparable(part)[0]) for engine, part in _by_engine(trials)]
    sentences = [_least_effort(fair, engine, names=names, goal=goal) for engine, fair in by_engine]
    return [*sentences, *excluded]


def _least_effort(fair: Frame, engine: str, *, names: set[str], goal: str) -> str:
    ranking: Frame = effort(fair)
    on = f" on {engine}" if engine else ""
    finished = ranking[ranking["rank"].notna()]
    if finished.empty:
        return f"No configuration is ranked by effort{on}: too few of its seeds finished with an accuracy."
    reaching = finished[finished["configuration"].isin(names)]
    if goal and reaching.empty:
        return f"No configuration{on} that is ranked by effort reaches {goal}."
    of_ranked = f" of the {len(reaching):,} of {len(ranking):,} configurations that reach {goal}" if goal else ""
    of_ranked = "" if len(ranking) == 1 else of_ranked
    of_ranked = (
        f" of the {len(ranking):,} configurations, which all reach {goal}"
        if len(reaching) == len(ranking) > 1
        else of_ranked
    )
    listed_rows = reaching if goal else finished
    least, most = listed_rows.iloc[0], listed_rows.iloc[-1]
    sentence = (
        f"Least effort{on}{of_ranked}: {least['configuration']}, {least['effort']:.4g} s of training / {SCORE.name}"
    )
    word = _word(fair)
    sentence += _packed(fair) + _ended(least, word)
    if len(listed_rows) > 1 and least["effort"] > 0:
        sentence += (
            f"; most: {most['configuration']}, {most['effort'] / least['effort']:.3g} times that{_ended(most, word)}"
        )
    unranked = ranking[ranking["rank"].isna() & (ranking["diverged"] + ranking["timed_out"] > 0)]
    if len(unranked):
        unfinished = listed([str(name) for name in unranked["configuration"].tolist()])
        sentence += f"; worse than these, because half of the seeds or more did not finish: {unfinished}"
    busy = [str(name) for name in listed_rows["configuration"][listed_rows["busy"] != ""].tolist()]
    return sentence + (f"; seconds of a {BUSY}: {listed(busy)}" if busy else "") + "."


def _word(trials: Frame) -> str:
    """What the trials of a configuration are called: seeds, unless their test sets are drawn anew."""
    return "trial" if overlaps_of(trials, [str(name) for name in trials["configuration"].tolist()]) else "seed"


def _ended(row: Any, word: str) -> str:
    """How many trials of a row of the ranking did not finish, in words; empty if all did."""
    parts = [f"{row[column]} {word}" for column, word in _ENDINGS.items() if row[column]]
    return f" ({', '.join(parts)} of {row['trials']} {word}s)" if parts else ""


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
        quantity = MEASURES[selected_by(trials)]
        return target_sentences(
            trials, curves, targets.default_target(trials, column=quantity.column), split=quantity.split
        )

    return sentences


def _arrivals(row: Any, unit: str, word: str) -> str:
    """How often and how soon a configuration reaches a target, in words."""
    median = f", median {row['median']:,.0f} {unit}" if row["median"] == row["median"] else ""
    return f"{row['configuration']}: {row['reached']} of {row['trials']} {word}s{_ended(row, word)}{median}"


def target_sentences(trials: Frame, curves: Frame, accuracy: float, *, split: str = "test") -> list[str]:
    """Which configurations reach an accuracy, how often and how soon."""
    times = targets.times_to(curves, trials, accuracy=accuracy, split=split)
    table = targets.ranked(targets.summary(times), ["success", "restricted_mean"])
    goal = f"{percent(accuracy)} {QUANTITIES[name_of(split, SCORE.name)].label}"
    table["missing"] = table["unmeasured"]
    if not any(table["reached"].tolist()):
        return [f"No trial reaches {goal}."]
    unit = f"{targets.unit_of(trials, 'iteration')}s"
    word = _word(trials)
    surest, soonest = table.iloc[0], table.sort_values("restricted_mean", kind="stable").iloc[0]
    is_both = surest["configuration"] == soonest["configuration"]
    sentence = f"{goal} is reached {'first' if is_both else 'most often'} by {_arrivals(surest, unit, word)}"
    sentence += "" if is_both else f"; soonest, with misses counted, by {_arrivals(soonest, unit, word)}"
    measured = table["unmeasured"] < table["trials"]  # a curve that counts epochs has no iteration to reach it at
    never = table[(table["reached"] == 0) & measured]["configuration"].tolist()
    never_by = (
        listed([str(name) for name in never]) if len(never) <= 5 else f"{len(never):,} of {len(table):,} configurations"
    )
    end = f"; never reached by {never_by}" if never else ""
    caveat = ""
    if unit == "iterations" and targets.batch_sizes_differ(trials):
        caveat = (
            "; batch sizes differ, so iterations are not equal work: `assay target --by examples` compares examples"
        )
    return [f"{sentence}{end} (interpolated linearly between log points{caveat})."]
