"""The kinds of mistakes that Assay reports, each with a sentence that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AssayError(Exception):
    """A mistake that the user can mend; the command line prints it without a traceback."""


class RecipeError(AssayError):
    """A recipe, or a file that holds one, is wrong; `problems` holds every sentence, in order."""

    def __init__(self, problems: Sequence[str], *, source: str = "recipe") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        title = f"{source}: {count} error{'s' if count != 1 else ''}"
        super().__init__("\n".join([title, *(f"  - {problem}" for problem in self.problems)]))


class DataError(AssayError):
    """A data set is missing, damaged, or does not fit what is asked of it."""


class EngineError(AssayError):
    """An engine is unknown, not installed, or cannot train the recipe."""


class CodeError(AssayError):
    """A user's own class may not be imported, cannot be, is not what it should be, or fails at work."""


class ProgramError(AssayError):
    """A program of the user's that trains has failed, or answers something else than its contract says."""


class FileError(AssayError):
    """A file that the user names cannot be read or written, or is not what it should be."""


class StoreError(AssayError):
    """A store cannot be opened, read or written."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None if nothing is close.

    >>> nearest("adm", ["adam", "descent"])
    'adam'
    """
    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.55)
    return folded[matches[0]] if matches else None


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a name that is not in a table.

    >>> unknown("optimizer", "adm", ["adam", "descent"])
    "unknown optimizer 'adm'; did you mean 'adam'? Known: adam, descent"
    """
    names = list(known)
    guess = nearest(str(name), names)
    hint = f"; did you mean {guess!r}?" if guess else "."
    return f"unknown {kind} {str(name)!r}{hint} Known: {', '.join(names)}"


def to_install(extra: str) -> str:
    """How to install what an extra of pyproject.toml names, as the end of a sentence.

    Assay is not published yet: `pip install 'assay[jax]'` would install whatever an index has under that name.

    >>> to_install("jax")
    "pip install '.[jax]' in Assay's checkout"
    """
    return f"pip install '.[{extra}]' in Assay's checkout"
