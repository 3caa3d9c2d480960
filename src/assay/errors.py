"""The kinds of errors that Assay reports, each with a message that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AssayError(Exception):
    """An error the user can fix; the command line prints it without a traceback."""


class RecipeError(AssayError):
    """A recipe, or a file that holds one, is invalid; `problems` holds every message, in order."""

    def __init__(self, problems: Sequence[str], *, source: str = "recipe") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        title = f"{source}: {count} error{'s' if count != 1 else ''}"
        super().__init__("\n".join([title, *(f"  - {problem}" for problem in self.problems)]))


class DataError(AssayError):
    """A data set is missing, damaged, or unsuitable for its use."""


class EngineError(AssayError):
    """An engine is unknown, not installed, or cannot train the recipe."""


class CodeError(AssayError):
    """Third-party code may not be run, cannot be imported, is not what it should be, or fails while it runs."""


class ProgramError(AssayError):
    """A user's training program has failed, or its output violates its contract."""


class FileError(AssayError):
    """A file that the user names cannot be read or written, or has the wrong content."""


class StoreError(AssayError):
    """A store cannot be opened, read or written."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt or abbreviated one, or None if none is close.

    >>> nearest("adm", ["adam", "descent"]), nearest("lr", ["learning_rate", "beta1"])
    ('adam', 'learning_rate')
    """
    names = list(known)
    initials = {
        "".join(word[:1] for word in candidate.split("_")): candidate for candidate in names if "_" in candidate
    }
    if name in initials:
        return initials[name]
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.55)
    return folded[matches[0]] if matches else None


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a name that is not in a table.

    >>> unknown("optimizer", "adm", ["adam", "descent"])
    "unknown optimizer 'adm'; did you mean 'adam'? Known: adam, descent"
    """
    return f"unknown {kind} {str(name)!r}{_suggestion(name, list(known))}"


def has_no(owner: str, kind: str, name: object, known: Iterable[str]) -> str:
    """The message for a key, or another kind of name, that its owner does not have.

    >>> has_no("optimizer 'adam'", "key", "lr", ["learning_rate", "beta1"])
    "optimizer 'adam' has no key 'lr'; did you mean 'learning_rate'? Known: learning_rate, beta1"
    """
    return f"{owner} has no {kind} {str(name)!r}{_suggestion(name, list(known))}"


def _suggestion(name: object, known: list[str]) -> str:
    guess = nearest(str(name), known)
    hint = f"; did you mean {guess!r}?" if guess else "."
    return f"{hint} Known: {', '.join(known)}"
