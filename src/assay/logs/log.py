"""The result of reading a log: records by step, malformed and ignored lines, units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from assay.analysis.quantities import CLASSIFIED
from assay.errors import AssayError, unknown

QUANTITIES = CLASSIFIED
STEPS = ("iteration", "epoch")
TARGETS = (*STEPS, "examples", "seconds", *QUANTITIES)
"""What a column or a tag can be read as."""

ACCURACIES = ("percent", "fraction")
CLOCKS = ("per-epoch", "elapsed", "unix")
EVALUATED = ("validation", "test")
_ALIASES = {"share": "fraction", "each": "per-epoch"}  # the earlier names of these choices


@dataclass(frozen=True)
class Options:
    """What the user specifies because the log does not state it. Raises: AssayError for an unknown value.

    Attributes:
        columns: the column or tag that each quantity is read from; by default the usual names.
        accuracy: the unit of accuracies, "percent" or "fraction" ("share" is an alias); "" decides by the values.
        seconds: "per-epoch" (of each record alone; "each" is an alias), "elapsed" since the start, or "unix" (an
            absolute clock, counted from the first record); "" decides by the name and the values.
        iterations_per_epoch: converts epochs to iterations.
        batch_size: converts iterations to examples.
        evaluated_on: the set that the log's validation lines were measured on, "validation" or "test".
        steps: what the steps of the log count, "iteration" or "epoch"; "" decides by their name.
        machine: that wrote the log; logs of the same machine and clock are ranked together.
        patterns: regular expressions with named groups that read the lines of any other format.
        split: what quantities without a word for it are measured on: "train", or the folder of an event file.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    accuracy: str = ""
    seconds: str = ""
    iterations_per_epoch: int | None = None
    batch_size: int | None = None
    evaluated_on: str = "validation"
    steps: str = ""
    machine: str = ""
    patterns: tuple[str, ...] = ()
    split: str = "train"

    def __post_init__(self) -> None:
        for name in ("accuracy", "seconds"):
            object.__setattr__(self, name, _ALIASES.get(getattr(self, name), getattr(self, name)))
        choices = (
            ("unit of accuracies", self.accuracy, ("", *ACCURACIES)),
            ("kind of seconds", self.seconds, ("", *CLOCKS)),
            ("set", self.evaluated_on, EVALUATED),
            ("kind of step", self.steps, ("", *STEPS)),
        )
        for kind, value, known in choices:
            if value not in known:
                raise AssayError(unknown(kind, value, [name for name in known if name]))
        for target in self.columns:
            if target not in TARGETS:
                raise AssayError(unknown("quantity to read a column as", target, TARGETS))
        for name, number in (("iterations per epoch", self.iterations_per_epoch), ("batch size", self.batch_size)):
            if number is not None and number < 1:
                raise AssayError(f"{name}: got {number}; expected a number >= 1")


MAX_COUNT = 2**53
"""The largest iteration, epoch or number of examples; up to it a float holds every whole number."""


@dataclass(frozen=True)
class Problem:
    """A malformed line: it should be a record and cannot be read as one."""

    line: int  # from 1; in an event file the number of the event
    reason: str
    text: str = ""

    def sentence(self, kind: str = "line") -> str:
        """The problem with the number and the beginning of the line."""
        return f"{kind} {self.line}: {self.reason}" + (f": {self.text!r}" if self.text else "")


class Cell(NamedTuple):
    """A number as a log writes it.

    Attributes:
        value: which may be infinite or NaN.
        unit: "%" after a percent sign, "1" for a known fraction such as 98/100, "" where nothing is written.
    """

    value: float
    unit: str = ""


@dataclass
class Row:
    """The numbers of one line, as the log writes them: before units, clocks and steps are decided.

    Attributes:
        line: number of the line or event, from 1.
        text: of the line.
        iteration: number of the step, if the line has one.
        epoch: number of the step, if the line has one.
        examples: seen so far.
        seconds: as written, in seconds.
        stamp: of the seconds: "date" for a date with a time, "day" for what may be a time of day, "" otherwise.
        evaluation: seconds of evaluation.
        values: of the quantities.
        batches: batches per epoch, where `iteration` counts within the epoch.
        within: (examples seen in the epoch, examples of an epoch), for the line of a mini-batch.
        boundary: whether a header or the end of a training stands between this line and the record before.
        training: the number of the training, where the log itself tells them apart.
    """

    line: int
    text: str = ""
    iteration: float | None = None
    epoch: float | None = None
    examples: float | None = None
    seconds: float | None = None
    stamp: str = ""
    evaluation: float | None = None
    values: dict[str, Cell] = field(default_factory=dict[str, Cell])
    batches: int | None = None
    within: tuple[int, int] | None = None
    boundary: bool = False
    training: int = 0

    @property
    def where(self) -> str:
        """The step in words."""
        return f"iteration {self.iteration:g}" if self.iteration is not None else f"epoch {self.epoch or 0:g}"


@dataclass
class Record:
    """What a log holds on one step.

    Attributes:
        iteration: number of the step, if the log counts iterations.
        epoch: number of the step, if the log counts epochs.
        examples: seen so far.
        seconds: of this record alone or elapsed since the start, see `Reading.each`.
        evaluation: seconds of evaluation, if the log separates them.
        values: of the quantities; None where a number is not finite.
    """

    iteration: int | None = None
    epoch: float | None = None
    examples: int | None = None
    seconds: float | None = None
    evaluation: float | None = None
    values: dict[str, float | None] = field(default_factory=dict[str, "float | None"])

    @property
    def step(self) -> float:
        """What identifies and sorts the records of a log."""
        return self.iteration if self.iteration is not None else self.epoch if self.epoch is not None else -1.0

    def join(self, other: Record, *, each: bool) -> str:
        """Adds the values of another record of the same step, or returns the name of a value that both have.

        Elapsed seconds may differ between two lines of a step, those of each record alone (`each`) may not.
        """
        durations = [n for n in ("seconds", "evaluation") if each and getattr(self, n) is not None]
        for name in [*self.values, *durations]:
            if name in other.values or getattr(other, name, None) is not None:
                return name
        self.values |= other.values
        for name in ("examples", "seconds", "evaluation", "epoch", "iteration"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))
        return ""


@dataclass
class Reading:
    """The content of a log. Every line is counted once: accepted + headings + ignored + problems = lines.

    Attributes:
        kind: "line", or "event" in an event file.
        lines: their number.
        headings: lines of the format that are not records: table headers, rules, totals.
        ignored: lines that belong to no record: warnings, ellipses, empty lines.
        accepted: lines that became records, or parts of them.
        problems: the malformed lines.
        records: of the first training, by step.
        more: records of further trainings in the same file.
        names: of the trainings, where the log has them.
        notes: what was assumed, in sentences.
        totals: seconds by the entries of the ledger: train, evaluate, wall.
        units: a sentence for each quantity.
        clock: what the seconds include.
        each: whether the seconds are of each record alone, not elapsed since the start.
        clocked: whether the format itself says what its seconds are, so that nothing is left to decide.
        ended: whether the log shows the end of the training.
        framework: that wrote the log; "" if unknown.
    """

    kind: str = "line"
    lines: int = 0
    headings: int = 0
    ignored: int = 0
    accepted: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
    records: dict[float, Record] = field(default_factory=dict[float, Record])
    more: list[dict[float, Record]] = field(default_factory=list[dict[float, Record]])
    names: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    totals: dict[str, float] = field(default_factory=dict[str, float])
    units: dict[str, str] = field(default_factory=dict[str, str])
    clock: str = ""
    each: bool = False
    clocked: bool = False
    ended: bool = False
    framework: str = ""

    def add(self, line: int, record: Record, text: str = "", *, to: dict[float, Record] | None = None) -> None:
        """Adds the record of a line, joined with those of the same step; a repeated value is a problem."""
        records = self.records if to is None else to
        counts = (record.iteration, record.epoch, record.examples)
        if any(count is not None and count > MAX_COUNT for count in counts):
            self.reject(line, f"counts beyond {MAX_COUNT:,}", text)
            return
        same_step = records.get(record.step)
        if same_step is None:
            records[record.step] = replace(record, values=dict(record.values))
        elif repeated := same_step.join(record, each=self.each):
            step = f"{'iteration' if record.iteration is not None else 'epoch'} {record.step:g}"
            self.reject(line, f"{step} has its {repeated.replace('_', ' ')} already; the first is kept", text)
            return
        self.accepted += 1

    def reject(self, line: int, reason: str, text: str = "") -> None:
        """Adds a malformed line to the problems."""
        shown = text.strip()
        self.problems.append(Problem(line, reason, shown if len(shown) <= 60 else shown[:57] + "..."))


Reader = Callable[[bytes, Options], Reading]
"""A pure function of the content of a file."""
