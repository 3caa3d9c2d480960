"""The jobs of a search: what each trains and was told, and what chooses the kind of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from assay.studies.designs import Configuration

SUGGESTION, PROMOTION, SCREENING, RACE, FRESH = "suggestion", "promotion", "screening", "race", "fresh"
"""The kinds of jobs: a point of the sampler, a point trained further, and points with other seeds.

These are further seeds that every suggestion has, paired seeds of the best ones, and the winner's seeds that the search
has never seen.
"""
KINDS = (SUGGESTION, PROMOTION, SCREENING, RACE, FRESH)


@dataclass(frozen=True)
class Decision:
    """What job n trains.

    Attributes:
        n: The number of the job, from 0.
        values: The point: the values of its axes.
        label: How the configuration is called.
        trial: The key of the trial.
        attempts: How often the sampler was asked.
        origin: "sampler", or "neighbour" where every suggestion was a trial of the search or not valid.
        seconds: How long deciding took.
        kind: "suggestion" of the sampler, or a job that has a parent: "promotion", "screening", "race", "fresh".
        rung: The rung of a search with halving; None for the full budget.
        budget: The iterations of the rung; None for the full budget.
        parent: The number of the job whose point it trains again, further or with another seed; None of a suggestion.
        repeat: The number of the seed, from 0.
    """

    n: int
    values: Configuration
    label: str
    trial: str
    attempts: int
    origin: str = "sampler"
    seconds: float = 0.0
    kind: str = SUGGESTION
    rung: int | None = None
    budget: int | None = None
    parent: int | None = None
    repeat: int = 0


@dataclass(frozen=True)
class Told:
    """What job n was told.

    Attributes:
        n: The number of the job.
        scores: What the sampler is told: finite, one for each objective.
        measured: The scores of the trial; None where it has none, so that the sampler is told a substitute.
        outcome: How the trial ended.
        feasible: Whether it keeps the constraints that its training measures.
        seconds: Of training, by which a budget in seconds counts; of a promotion, those beyond the job before it.
        flops: Of training, by which a budget in operations counts, in the same way.
        reused: Whether the store had the trial before the search decided on it.
    """

    n: int
    scores: tuple[float, ...]
    measured: tuple[float, ...] | None
    outcome: str
    feasible: bool = True
    seconds: float = 0.0
    flops: float = 0.0
    reused: bool = False


@dataclass(frozen=True)
class Step:
    """What the next job is. A suggestion asks the sampler for its point; every other kind takes that of its parent.

    Attributes:
        kind: The kind of the job.
        rung: The rung that it trains to; None for the full budget.
        parent: The job whose point it takes; None of a suggestion.
        repeat: The number of the seed, from 0.
    """

    kind: str = SUGGESTION
    rung: int | None = None
    parent: int | None = None
    repeat: int = 0


@dataclass(frozen=True)
class Ended:
    """Why a search has no further job: a sentence."""

    sentence: str


class Scheduler(Protocol):
    """Chooses what the next job is.

    Its choice is a function of its arguments alone, so that it is the same in every process. It is asked with the
    results that job n may depend on (0 to n - parallel); if it returns None, with one more at a time.
    """

    def step(self, decisions: Sequence[Decision], told: Sequence[Told], *, may_suggest: bool) -> Step | Ended | None:
        """The job after `decisions`; None where it depends on jobs that were not told yet, or where there is none.

        Args:
            decisions: Those of the jobs 0 to n - 1.
            told: What the first of them were told.
            may_suggest: Whether the budget in trials and the space have room for a further point.

        Returns:
            The step; Ended where there is no further one, whatever the open jobs are told: with a sentence, or an
            empty one where the budget in trials or the space is the reason.
        """
        ...


class Suggestions:
    """Every job is a suggestion with the full budget."""

    def step(self, decisions: Sequence[Decision], told: Sequence[Told], *, may_suggest: bool) -> Step | Ended | None:
        """A suggestion while there may be one."""
        return Step() if may_suggest else Ended("")
