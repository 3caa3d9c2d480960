"""What a study that is a search shows as its own: which seeds of which configuration, its race, and what is biased."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from assay.analysis.racing import fraction_spent, looks_at
from assay.store.searches import Searches
from assay.store.store import Store
from assay.store.study_rows import StudyRows
from assay.studies.search.objectives import score_text
from assay.studies.search.race_results import RaceResult, race_result
from assay.studies.search.seeds import SeedSettings, phase_of, seeds_of, selection_bias

if TYPE_CHECKING:
    import pandas

    from assay.analysis.verdict import Verdict

Row = Mapping[str, Any]


@dataclass(frozen=True)
class SearchView:
    """A stored search as its results show it.

    Attributes:
        seeds: The numbers of its seeds; None where every configuration has one.
        race: Its last race; None before the first one.
        configurations: How many configurations have a score.
    """

    seeds: SeedSettings | None
    race: RaceResult | None
    configurations: int

    @property
    def about(self) -> str:
        """What the figures of the search are: how they are biased, or of which seeds they are; "" if neither."""
        if self.race is None:
            return selection_bias(self.configurations, self.seeds)
        unraced = self.configurations - len(self.race.racers)
        parts = ["the winner's figures are of its fresh seeds" if self.race.winner else "there is no winner yet"]
        parts += ["those of the other racers of the race's seeds"]
        parts += [f"those of the {unraced:,} that did not race of the screening seeds"] if unraced else []
        return f"{', '.join(parts)}; figures of different seeds do not compare"

    def phases(self, rows: Sequence[Row]) -> list[str]:
        """The phase of each trial; "" for an imported curve."""
        screen = 1 if self.seeds is None else self.seeds.screen
        winner = self.race.winner if self.race is not None else ""
        phases: list[str] = []
        for row in rows:
            phase = "" if row["repeat"] is None else phase_of(int(row["repeat"]), screen)
            phases.append("earlier fresh" if phase == "fresh" and row["label"] != winner else phase)
        return phases

    def shown(self, rows: StudyRows) -> list[int]:
        """The numbers of the rows whose figures are shown as those of their configuration.

        Of the winner the fresh seeds alone, of the other racers those of the race, of the rest those of the screening.
        """
        order = {"fresh": 0, "earlier fresh": 0, "race": 1, "screening": 2, "": 2}
        own = len(rows) - len(rows.others)
        phases, labels = self.phases(rows)[:own], rows.cells("label")[:own]
        best: dict[str, int] = {}
        for label, phase in zip(labels, phases, strict=True):
            best[label] = min(order[phase], best.get(label, 2))
        pairs = enumerate(zip(labels, phases, strict=True))
        return [number for number, (label, phase) in pairs if order[phase] == best[label]]

    def raced(self, rows: StudyRows) -> list[int]:
        """The numbers of the trials of the racers on the paired seeds of the last race; none before it."""
        if self.race is None:
            return []
        racers = {racer.configuration for racer in self.race.racers}
        own = len(rows) - len(rows.others)
        pairs = enumerate(zip(rows.cells("label")[:own], self.phases(rows)[:own], strict=True))
        return [number for number, (label, phase) in pairs if phase == "race" and label in racers]


def search_view(store: Store, name: str, definition: Mapping[str, Any], rows: StudyRows) -> SearchView | None:
    """The view of a stored search with its rows; None of another study."""
    if definition.get("design") != "search":
        return None
    seeds = seeds_of(definition)
    if seeds is None:
        pairs = zip(rows.cells("label"), rows.cells("outcome"), strict=True)
        return SearchView(None, None, len({label for label, outcome in pairs if outcome is not None}))
    from assay.results.searched import goal_of_definition  # loads pandas, which plans and lists do not need

    searches = Searches(store.database)
    registered = searches.named(name)
    jobs = searches.jobs(registered[0]) if registered else []
    told = [job.told for job in itertools.takewhile(lambda job: job.told is not None, jobs) if job.told is not None]
    decisions = [job.decision for job in jobs]
    scored = {decisions[one.n].label for one in told if one.measured is not None}
    race = race_result(decisions, told, seeds=seeds, goal=goal_of_definition(definition))
    return SearchView(seeds, race, len(scored))


def race_frame(race: RaceResult) -> pandas.DataFrame:
    """The racers as the table that people read, the winner first.

    Columns: configuration, result, seeds, mean (of the race's seeds; none of the winner, whom they selected), behind
    (the paired difference at the last look), p (corrected).
    """
    import pandas

    name, rows = race.goal.names[0], list[dict[str, object]]()
    for racer in race.racers:
        result = racer.result + (f" after {racer.dropped_at} seeds" if racer.dropped_at else "")
        behind = "-" if racer.behind is None else _difference(name, racer.behind)
        if racer.against not in ("", race.winner) and race.winner:
            behind += f" (than {racer.against})"
        row: dict[str, object] = {"configuration": racer.configuration, "result": result, "seeds": racer.seeds}
        row |= {"mean": "-" if racer.mean is None else score_text(name, racer.mean), "behind": behind}
        rows.append(row | {"p": "-" if racer.p_corrected is None else f"{racer.p_corrected:.2g}"})
    return pandas.DataFrame(rows)


def look_verdicts(trials: pandas.DataFrame, race: RaceResult, *, measure: str, alpha: float) -> list[Verdict]:
    """The verdicts on all pairs of racers, each at the level of the last look at both.

    How many seeds a racer has depends on what they were, so that each look has its part of alpha, as in the race.
    Holm's correction is for all pairs.

    Args:
        trials: The trials of the racers on the seeds of the race.
        race: The race.
        measure: A column of the trials.
        alpha: The level of all looks together.
    """
    from assay.analysis.families import all_pairs  # loads pandas, which plans and lists do not need
    from assay.analysis.seed_values import SeedValues

    looks = looks_at(race.seeds)
    last = race.looks[-1] if race.looks else looks[0]
    until = {racer.configuration: racer.dropped_at or last for racer in race.racers}
    seeds = SeedValues.of(trials, measure)
    families = {
        n: all_pairs(seeds, alpha=alpha * fraction_spent(n, race.seeds)).verdicts() for n in sorted(set(until.values()))
    }
    verdicts: list[Verdict] = []
    for place, verdict in enumerate(families[last]):
        n = min(until[name] for name in verdict.names)
        verdicts.append(replace(families[n][place], look=(looks.index(n) + 1, len(looks))))
    return verdicts


RACE_NOTES = (
    "Race on up to {seeds} paired seeds that the screening did not use; 'behind' is the mean paired difference from "
    "the best racer at the last look at both, and p is that of the paired t test, corrected for looks and racers; 0.05 "
    "or less drops a racer out.",
    "The winner has no mean in the race, because these seeds selected it: its figures are those of its fresh seeds.",
)


def _difference(name: str, value: float) -> str:
    return f"{100 * value:.2f} points" if name == "accuracy" else score_text(name, value)


__all__ = ["RACE_NOTES", "SearchView", "look_verdicts", "race_frame", "search_view"]
