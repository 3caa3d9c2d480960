"""Notes of a study's recipes and results as lines: each sentence once, with the configurations that it is about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from assay.errors import shortened

_MOST_LABELS = 3


@dataclass(frozen=True)
class Note:
    """A sentence, and the labels of the configurations that it is about; none where it is about the study."""

    sentence: str
    configurations: tuple[str, ...]


def grouped(pairs: Iterable[tuple[str, str]]) -> list[Note]:
    """Notes from (configuration, sentence) pairs, in their order; a pair that comes again is left out.

    >>> grouped([("a", "odd"), ("b", "odd"), ("a", "odd")])
    [Note(sentence='odd', configurations=('a', 'b'))]
    """
    pairs, labels = list(pairs), dict[str, dict[str, None]]()
    sentences: dict[str, dict[str, None]] = {}
    drawn = Counter(label for label, sentence in dict.fromkeys(pairs) if _OF_DRAWS[0].match(sentence))
    alike = (_OF_RESULTS, *_OF_DRAWS) if any(count > 1 for count in drawn.values()) else (_OF_RESULTS,)
    for label, sentence in pairs:
        kind = _kind(sentence, alike)
        labels.setdefault(kind, {})[label] = None
        sentences.setdefault(kind, {})[sentence] = None
    return [Note(_joined(list(sentences[kind])), tuple(names)) for kind, names in labels.items()]


_OF_RESULTS = re.compile(r"the network answers '|[0-9,]+ of [0-9,]+ hidden relu units are dead")
"""Notes that nearly every trial has in its own words, with another class or another number."""

_OF_DRAWS = (
    re.compile(r"the test set (is fold|was drawn anew)"),
    re.compile(r"[0-9,]+ of [0-9,]+ test examples \("),
    re.compile(r"(the targets were standardised|values of|the test (accuracy|R2),) "),
)
"""Notes that each test set has in its own words, where a configuration has several."""


def _kind(sentence: str, alike: Iterable[re.Pattern[str]]) -> str:
    """What notes have in common that differ only in a class or a number; any other note is its own kind."""
    return re.sub(r"'[^']*'|-?[0-9][0-9,.]*", "#", sentence) if any(one.match(sentence) for one in alike) else sentence


def _joined(sentences: list[str]) -> str:
    """The first of the notes of one kind, and how many others there are.

    >>> _joined(["8 of 16 hidden relu units are dead", "9 of 16 hidden relu units are dead"])
    '8 of 16 hidden relu units are dead (1 similar note on other trials)'
    """
    others = len(sentences) - 1
    return sentences[0] + (f" ({others:,} similar note{'' if others == 1 else 's'} on other trials)" if others else "")


def line(note: Note, *, configurations: int) -> str:
    """A note in words; `configurations` is how many the study has.

    >>> line(Note("odd", ("a", "b")), configurations=3)
    'a; b: odd'
    """
    names, count = note.configurations, len(note.configurations)
    if not names:
        return note.sentence
    if count == configurations:
        return note.sentence if count == 1 else f"all {count:,} configurations: {note.sentence}"
    return f"{shortened(names, _MOST_LABELS, separator='; ')}: {note.sentence}"  # a label has commas itself
