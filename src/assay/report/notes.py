"""Notes of a study's recipes and results as lines: each sentence once, with the configurations that it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_LABELS = 3


@dataclass(frozen=True)
class Note:
    """A sentence, and the labels of the configurations that it is about."""

    sentence: str
    configurations: tuple[str, ...]


def grouped(pairs: Iterable[tuple[str, str]]) -> list[Note]:
    """Notes from (configuration, sentence) pairs, in their order; a pair that comes again is left out.

    >>> grouped([("a", "odd"), ("b", "odd"), ("a", "odd")])
    [Note(sentence='odd', configurations=('a', 'b'))]
    """
    labels: dict[str, dict[str, None]] = {}
    for label, sentence in pairs:
        labels.setdefault(sentence, {})[label] = None
    return [Note(sentence, tuple(names)) for sentence, names in labels.items()]


def line(note: Note, *, configurations: int) -> str:
    """A note in words; `configurations` is how many the study has.

    >>> line(Note("odd", ("a", "b")), configurations=3)
    'a, b: odd'
    """
    names, count = note.configurations, len(note.configurations)
    if count == configurations:
        return note.sentence if count == 1 else f"all {count:,} configurations: {note.sentence}"
    shown = ", ".join(names[:_MOST_LABELS])
    return f"{shown}{f' and {count - _MOST_LABELS:,} more' if count > _MOST_LABELS else ''}: {note.sentence}"
