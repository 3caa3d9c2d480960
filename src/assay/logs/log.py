"""What a reader makes of a log: records by step, lines that are wrong, lines that belong to no record, units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from assay.analysis.quantities import MEASURED
from assay.errors import AssayError, unknown

QUANTITIES = MEASURED
STEPS = ("iteration", "epoch")
TARGETS = (*STEPS, "examples", "seconds", *QUANTITIES)
"""What a column or a tag can be read as."""

ACCURACIES = ("percent", "share")
CLOCKS = ("elapsed", "each")
EVALUATED = ("validation", "test")


@dataclass(frozen=True)
class Options:
    """What the user says of a log that the log itself does not. Raises: AssayError for a word that is not known.

    `columns`: what is read -> the column or tag that holds it. `accuracy`: "percent" or "share"; "": by the values.
    `seconds`: "elapsed" since the start or "each" record's own; "": by the format. `iterations_per_epoch` makes
    iterations of epochs, `batch_size` examples of iterations. `evaluated_on`: what the log's validation lines were
    measured on, "validation" or "test". `steps`: what the steps of an event file count; "": by its tags.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    accuracy: str = ""
    seconds: str = ""
    iterations_per_epoch: int | None = None
    batch_size: int | None = None
    evaluated_on: str = "validation"
    steps: str = ""
    machine: str = ""

    def __post_init__(self) -> None:
        asked = (
            ("unit of accuracies", self.accuracy, ("", *ACCURACIES)),
            ("kind of seconds", self.seconds, ("", *CLOCKS)),
            ("set", self.evaluated_on, EVALUATED),
            ("kind of step", self.steps, ("", *STEPS)),
        )
        for kind, word, known in asked:
            if word not in known:
                raise AssayError(unknown(kind, word, [name for name in known if name]))
        for target in self.columns:
            if target not in TARGETS:
                raise AssayError(unknown("quantity to read a column as", target, TARGETS))
        for name, number in (("iterations per epoch", self.iterations_per_epoch), ("batch size", self.batch_size)):
            if number is not None and number < 1:
                raise AssayError(f"{name}: got {number}; expected a number >= 1")


@dataclass(frozen=True)
class Problem:
    """A line that should be a record and cannot be read as one."""

    line: int  # from 1; of an event file the number of the event
    why: str
    text: str = ""

    def sentence(self, kind: str = "line") -> str:
        """The problem with its place and the beginning of the line."""
        return f"{kind} {self.line}: {self.why}" + (f": {self.text!r}" if self.text else "")


@dataclass
class Record:
    """What a log says of one step. `seconds` are of this epoch alone or elapsed: `Reading.each` says."""

    iteration: int | None = None
    epoch: float | None = None
    examples: int | None = None
    seconds: float | None = None
    evaluation: float | None = None  # seconds of evaluating, where the log tells them apart
    values: dict[str, float | None] = field(default_factory=dict[str, "float | None"])  # None: not finite

    @property
    def step(self) -> float:
        """What the records of a log are told apart and sorted by."""
        return self.iteration if self.iteration is not None else self.epoch if self.epoch is not None else -1.0

    def join(self, other: Record, *, each: bool) -> str:
        """Adds what another record of the same step says, unless both say the same thing: then its name comes back.

        Seconds since the start may differ between two lines of a step, seconds of their own (`each`) may not.
        """
        own = [n for n in ("seconds", "evaluation") if each and getattr(self, n) is not None]
        for name in [*self.values, *own]:
            if name in other.values or getattr(other, name, None) is not None:
                return name
        self.values |= other.values
        for name in ("examples", "seconds", "evaluation", "epoch", "iteration"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))
        return ""


@dataclass
class Reading:
    """A log as its reader understood it: the lines add up to `lines`, each counted once.

    `apart` counts lines that belong to no record: warnings, ellipses, empty ones. `headings` are those that a format
    has beside records: heads of tables, rules, totals. `clock` says what the seconds hold, `each` that they are each
    record's own and not elapsed.
    """

    kind: str = "line"
    lines: int = 0
    headings: int = 0
    apart: int = 0
    taken: int = 0  # lines that became records, or parts of them
    problems: list[Problem] = field(default_factory=list[Problem])
    records: dict[float, Record] = field(default_factory=dict[float, Record])
    totals: dict[str, float] = field(default_factory=dict[str, float])  # train, evaluate, wall in seconds
    units: dict[str, str] = field(default_factory=dict[str, str])
    clock: str = ""
    each: bool = False
    ended: bool = False  # whether the log shows that the training came to its end
    framework: str = ""

    def add(self, line: int, record: Record, text: str = "") -> None:
        """Takes a line's record, joined with what other lines say of its step; what is said twice is a problem."""
        there = self.records.get(record.step)
        if there is None:
            self.records[record.step] = replace(record, values=dict(record.values))
        elif twice := there.join(record, each=self.each):
            where = f"{'iteration' if record.iteration is not None else 'epoch'} {record.step:g}"
            self.wrong(line, f"{where} has its {twice.replace('_', ' ')} already; the first is kept", text)
            return
        self.taken += 1

    def wrong(self, line: int, why: str, text: str = "") -> None:
        """Notes a line that should be a record and is none."""
        shown = text.strip()
        self.problems.append(Problem(line, why, shown if len(shown) <= 60 else shown[:57] + "..."))


Read = Callable[[bytes, Options], Reading]
"""A reader: a pure function from the content of a file."""
