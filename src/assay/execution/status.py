"""The progress of a running study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.training.outcome import Outcome


@dataclass(frozen=True)
class RunningTrial:
    """A running trial, as its worker last reported it."""

    label: str
    iteration: int
    iterations: int
    accuracy: float | None
    loss: float | None
    waiting: bool  # for another measurement on this machine to end


@dataclass(frozen=True)
class StudyStatus:
    """The progress of a running study."""

    trials: int
    stored: int  # before this run
    outcomes: Mapping[Outcome, int]
    running: tuple[RunningTrial, ...]
    elsewhere: int  # trajectories that other processes train
    best: tuple[str, float] | None
    eta_seconds: float | None  # None unless `Execution.seconds` was read before
    is_search: bool = False

    @property
    def done(self) -> int:
        """The number of trials that have ended."""
        return sum(self.outcomes.values())
