"""What a worker has written to standard error, kept with a trial that failed or was lost."""

from __future__ import annotations

from assay.training.outcome import Outcome

_KEPT = (Outcome.FAILED, Outcome.OUT_OF_MEMORY, Outcome.LOST)
HEADER = "standard error of the worker:"


def with_errors(error: str | None, written: str, outcome: Outcome) -> str | None:
    """The error of a trial, followed by what its worker has written; unchanged where the trial did not fail.

    >>> with_errors("ValueError: 3", "XLA: no room", Outcome.FAILED)
    'ValueError: 3\\n\\nstandard error of the worker:\\nXLA: no room'
    >>> with_errors(None, "XLA: no room", Outcome.COMPLETED)
    """
    if outcome not in _KEPT or not written:
        return error
    return "\n".join([*([error.rstrip(), ""] if error else []), HEADER, written])
