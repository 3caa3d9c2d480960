"""The trainings in a log: where its steps begin anew, where it was resumed, and which rows are repeated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assay.errors import AssayError
from assay.logs.log import Cell, Reading, Row
from assay.report.text import counted

_AHEAD = 200  # rows that are looked at after a step back
_MOST = 100  # trainings in one file, and times that they are resumed


class _Seen:
    """The values of a training so far, by step."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self.values: dict[float, dict[str, Cell]] = {}
        self.seconds: dict[float, float] = {}
        self.first = math.inf
        self.last = -math.inf
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        step = _step(row)
        self.values.setdefault(step, {}).update(row.values)
        if row.seconds is not None:
            self.seconds.setdefault(step, row.seconds)
        self.first, self.last = min(self.first, step), max(self.last, step)

    def repeats(self, row: Row) -> bool:
        """Whether the row has nothing that the training has not."""
        known = self.values.get(_step(row))
        return known is not None and bool(row.values) and all(n in known for n in row.values) and not self.clashes(row)

    def clashes(self, row: Row) -> bool:
        """Whether the row has another value of a quantity than the training at the same step."""
        known: Mapping[str, Cell] = self.values.get(_step(row), {})
        return any(name in known and not _same(known[name], cell) for name, cell in row.values.items())


def trainings(reading: Reading, rows: list[Row]) -> list[list[Row]]:
    """The rows of each training in the log. Adds to `reading` its notes, repeated rows and malformed lines.

    - A row that repeats another one is ignored.
    - Steps that begin anew at the first step, with other values, begin another training.
    - Steps that go back to a later step and reach the last one again are those of a resumed run: they replace the
      earlier ones from there on.
    - Any other second value of a step is a malformed line; the first value is kept.

    Raises: AssayError where most rows give their step another value.
    """
    ends = _run_ends(rows)
    groups: list[list[Row]] = [[]]
    seen = _Seen()
    clashing = repeated = resumed = 0
    for i, row in enumerate(rows):
        if i and row.training != rows[i - 1].training:
            groups.append([])
            seen = _Seen()
        back = bool(seen.values) and (_step(row) < seen.last or row.boundary) and _step(row) in seen.values
        clash = seen.clashes(row)
        run = rows[i : min(ends[i] + 1, i + _AHEAD)] if back else []
        if any(seen.clashes(other) for other in run):
            if _begins_anew(seen, row, run) and len(groups) < _MOST:
                groups.append([])
                seen = _Seen()
                clash = False
            elif resumed < _MOST and _resumes(seen, row, rows[ends[i]]):
                resumed += 1
                groups[-1] = _up_to(reading, groups[-1], row)
                seen = _Seen(groups[-1])
                clash = False
        if clash:
            clashing += 1
            quantity = next(n for n in row.values if n in seen.values[_step(row)])
            reading.reject(
                row.line, f"{row.where} has its {quantity.replace('_', ' ')} already; the first is kept", row.text
            )
        elif seen.repeats(row):
            repeated += 1
            reading.ignored += 1
        else:
            seen.add(row)
            groups[-1].append(row)
    _check_clashing(clashing, len(rows))
    _note(reading, groups, repeated)
    return groups


def _check_clashing(clashing: int, rows: int) -> None:
    """Raises AssayError where most rows give their step another value."""
    if clashing > 3 and clashing > rows // 3:
        raise AssayError(
            f"{clashing:,} of {rows:,} rows give their step another value, as lines of mini-batches within an "
            "epoch do; say what counts the rows, such as --column iteration=NAME, or read one line per epoch with "
            "--pattern"
        )


def _note(reading: Reading, groups: Sequence[Sequence[Row]], repeated: int) -> None:
    if repeated:
        reading.notes.append(f"{counted(repeated, 'row')} identical to an earlier row: ignored")
    if len(groups) > 1:
        lines = ", ".join(f"{i} from {reading.kind} {group[0].line}" for i, group in enumerate(groups, 1))
        reading.notes.append(f"the log holds {len(groups)} trainings ({lines}); each is a curve of its own")


def _step(row: Row) -> float:
    return row.iteration if row.iteration is not None else row.epoch if row.epoch is not None else -1.0


def _same(one: Cell, other: Cell) -> bool:
    return one == other or (math.isnan(one.value) and math.isnan(other.value))


def _run_ends(rows: Sequence[Row]) -> list[int]:
    """For each row the last one up to which the steps do not fall."""
    ends = list(range(len(rows)))
    for i in range(len(rows) - 2, -1, -1):
        if _step(rows[i + 1]) >= _step(rows[i]):
            ends[i] = ends[i + 1]
    return ends


def _begins_anew(seen: _Seen, row: Row, run: Sequence[Row]) -> bool:
    if _step(row) > seen.first:
        return False
    return row.boundary or len({_step(other) for other in run}) > 1


def _resumes(seen: _Seen, row: Row, last: Row) -> bool:
    """Whether the steps from a row up to the last one before the next step back are those of a resumed run."""
    return seen.first < _step(row) < _step(last) and _step(last) >= seen.last


def _up_to(reading: Reading, group: list[Row], row: Row) -> list[Row]:
    """The rows before the step at which a run was resumed."""
    kept = [earlier for earlier in group if _step(earlier) < _step(row)]
    reading.ignored += len(group) - len(kept)
    reading.notes.append(
        f"from {reading.kind} {row.line} on the log goes back to {row.where}, as after a resumed run: "
        f"{counted(len(group) - len(kept), 'earlier row')} from there on replaced"
    )
    return kept
