"""The result of reading a log: records by step, malformed and ignored lines, units."""

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
    """What the user specifies because the log does not state it. Raises: AssayError for an unknown value.

    Attributes:
        columns: the column or tag that each quantity is read from; by default the usual names.
        accuracy: the unit of accuracies, "percent" or "share" (fractions); "" decides by the values.
        seconds: "elapsed" since the start, or of "each" record alone; "" decides by the format.
        iterations_per_epoch: converts epochs to iterations.
        batch_size: converts iterations to examples.
        evaluated_on: the set that the log's validation lines were measured on, "validation" or "test".
        steps: what the steps of an event file count, "iteration" or "epoch"; "" decides by its tags.
        machine: that wrote the log; logs of the same machine and clock are ranked together.
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
        records: by step.
        totals: seconds by the entries of the ledger: train, evaluate, wall.
        units: a sentence for each quantity.
        clock: what the seconds include.
        each: whether the seconds are of each record alone, not elapsed since the start.
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
    totals: dict[str, float] = field(default_factory=dict[str, float])
    units: dict[str, str] = field(default_factory=dict[str, str])
    clock: str = ""
    each: bool = False
    ended: bool = False
    framework: str = ""

    def add(self, line: int, record: Record, text: str = "") -> None:
        """Adds the record of a line, joined with those of the same step; a repeated value is a problem."""
        counts = (record.iteration, record.epoch, record.examples)
        if any(count is not None and count > MAX_COUNT for count in counts):
            self.reject(line, f"counts beyond {MAX_COUNT:,}", text)
            return
        same_step = self.records.get(record.step)
        if same_step is None:
            self.records[record.step] = replace(record, values=dict(record.values))
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
