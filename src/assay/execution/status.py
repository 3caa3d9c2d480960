"""Where a running study stands, as its driver shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.training.history import Outcome


@dataclass(frozen=True)
class RunningTrial:
    """A trial in training, as its worker last reported."""

    label: str
    iteration: int
    iterations: int
    accuracy: float | None
    loss: float | None
    waiting: bool  # for its turn on this machine


@dataclass(frozen=True)
class StudyStatus:
    """Where a running study stands."""

    trials: int
    stored: int  # before this run
    outcomes: Mapping[Outcome, int]
    running: tuple[RunningTrial, ...]
    elsewhere: int  # trajectories that other processes train
    best: tuple[str, float] | None
    eta_seconds: float | None  # where `Execution.seconds` was asked for

    @property
    def done(self) -> int:
        """Trials that have an end."""
        return sum(self.outcomes.values())
