"""How a training ended."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a trial ended, a closed set. A diverged trial is a result, an interrupted one is not finished.

    Attributes:
        COMPLETED: trained to the end of its budget.
        STOPPED: ended by a stopping rule.
        DIVERGED: the loss is no longer finite.
        FAILED: an error in the program; the traceback is stored.
        LOST: its worker process died repeatedly.
        TIMED_OUT: exceeded the time limit of the study.
        OUT_OF_MEMORY: exceeded the memory of the machine or of the worker.
        INTERRUPTED: ended by Ctrl-C. It resumes from its checkpoint and is never stored as a result.

    >>> Outcome("timed out") is Outcome.TIMED_OUT
    True
    """

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    LOST = "lost"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    INTERRUPTED = "interrupted"


RANKED = (Outcome.COMPLETED, Outcome.STOPPED)
"""The outcomes of trials that got to their end. A configuration without one of them is ranked last."""

CUT_SHORT = (Outcome.DIVERGED, Outcome.TIMED_OUT)
"""The outcomes of trials that did not get to their end and count nevertheless, as they ended."""

RETRIED = (Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY)
"""The outcomes that `--retry` trains again: caused by the machine or the program, not by the training."""


def value_of(outcome: Outcome, *, measured: bool) -> int:
    """What a stored end is worth: a result 2, a curve that a time limit cut short 1, anything else 0.

    The end of a repeated trial takes the place of an earlier one unless it is worth less.

    >>> value_of(Outcome.DIVERGED, measured=True), value_of(Outcome.TIMED_OUT, measured=True)
    (2, 1)
    >>> value_of(Outcome.TIMED_OUT, measured=False), value_of(Outcome.FAILED, measured=True)
    (0, 0)
    """
    if outcome not in RETRIED:
        return 2
    return int(measured and outcome is Outcome.TIMED_OUT)
