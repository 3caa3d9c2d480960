"""The errors that Assay raises, each with a sentence that the user can act on, and how names stand in sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST_PROBLEMS = 100  # that are printed: a file can have very many


class AssayError(Exception):
    """An error the user can fix. The base class of all errors that Assay raises on purpose.

    Its text says what is wrong, where, what was got and what is expected. The command line prints it without a
    traceback and exits with code 2.

    Examples:
        >>> import assay
        >>> try:
        ...     assay.Recipe.parse({"optimizer": "adm"})
        ... except assay.AssayError as error:
        ...     print(error)
        recipe: 1 error
          - optimizer: unknown optimizer 'adm'; did you mean 'adam'? ...
    """


class RecipeError(AssayError):
    """A recipe or a study is wrong. All problems are reported at once.

    Attributes:
        problems: One sentence for each problem, in order.
        source: Where the data came from: a file, or "recipe" or "study".
    """

    def __init__(self, problems: Sequence[str], *, source: str = "recipe") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        title = f"{source}: {count} error{'s' if count != 1 else ''}"
        shown = [f"  - {problem}" for problem in self.problems[:_MOST_PROBLEMS]]
        if count > _MOST_PROBLEMS:
            shown.append(f"  - and {count - _MOST_PROBLEMS:,} more")
        super().__init__("\n".join([title, *shown]))


class DataError(AssayError):
    """A data set is missing or damaged, or does not fit the recipe."""


class EngineError(AssayError):
    """An engine is unknown, not installed, or cannot train the recipe."""


class CodeError(AssayError):
    """Third-party code may not be run, cannot be imported, is not an optimizer, or raised an exception."""


class ProgramError(AssayError):
    """An external training program failed or broke its contract."""


class FileError(AssayError):
    """A file cannot be read or written, or has the wrong format."""


class StoreError(AssayError):
    """A store cannot be opened, read or written."""


class NotStoredError(StoreError):
    """A store has nothing of a name or key that was asked for."""


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


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a sentence: quoted if they hold a comma, and a long list is cut after `most` names.

    >>> listed(["a", "3LS, adam", "c"], 2)
    "a, '3LS, adam' and 1 more"
    """
    return shortened([repr(name) if "," in name else name for name in names], most)


def shortened(items: Sequence[str], most: int, *, separator: str = ", ") -> str:
    """The first `most` items of a list, and how many more there are.

    >>> shortened(["a", "b, c", "d"], 2, separator="; ")
    'a; b, c and 1 more'
    """
    rest = len(items) - most
    return separator.join(items[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def to_install(extra: str) -> str:
    """How to install what an extra of pyproject.toml names, as the end of a sentence.

    Assay is not published yet: `pip install 'assay[jax]'` would install whatever an index has under that name.

    >>> to_install("jax")
    "pip install '.[jax]' in Assay's checkout"
    """
    return f"pip install '.[{extra}]' in Assay's checkout"
