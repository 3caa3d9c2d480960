"""The exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended. Codes are interfaces: a script may rely on them.

    Attributes:
        OK: it did what was asked, trials that diverged included.
        NEGATIVE: the answer is no: a check failed, a claim does not hold, or not one trial of a run has a result.
        USAGE: an error the user can fix, said in a sentence.
        UNDECIDED: the question cannot be answered from what is there: a claim cannot be judged, and none fails.
        INTERNAL: an error in Assay; the details are in a file that the message names.
        INTERRUPTED: ended by Ctrl-C.
        PIPE_CLOSED: the reader of the output has closed it.

    >>> int(Exit.INTERRUPTED)
    130
    """

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    UNDECIDED = 3
    INTERNAL = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141
