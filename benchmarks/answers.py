"""Times Assay's answers about a store of many made-up trials, each by its command in a process of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.processes import Usage, run
from benchmarks.scale_rows import AnswerRow, Spread
from benchmarks.synthetic import NAME

SEEDS = 4
"""Of each configuration; a store has a multiple of so many trials."""
CHARTS = ("curves", "pareto", "effort", "ledger", "verdicts", "sensitivity", "importance", "parallel", "grid")
CHARTS += ("confusion", "curve")
"""The kinds of charts of the study; those of kept weights, of a baseline and of a search need another one."""
_ONCE = ("store export", "store import")  # they write what a repetition would find
_ENOUGH_SECONDS = 5.0  # of one command: a longer one is not repeated


def commands(store: Path, folder: Path) -> dict[str, list[str]]:
    """The words of each command; what it writes goes to `folder`."""
    page, exported = folder / "page.html", str(folder / "export")
    words = {
        "list": ["list"],
        "show": ["show"],
        "compare": ["compare", NAME],
        **{f"plot {chart}": ["plot", NAME, chart, "--out", str(folder / f"{chart}.png")] for chart in CHARTS},
        "report": ["report", NAME, "--out", str(page)],
    }
    words |= {
        "store check": ["store", "check"],
        "store export": ["store", "export", exported],
        "store import": ["store", "import", exported],
        "store vacuum": ["store", "vacuum"],
    }
    stores = {"store import": folder / "imported.db"}
    return {
        name: [sys.executable, "-m", "assay", *rest, "--store", str(stores.get(name, store))]
        for name, rest in words.items()
    }


def answer_rows(
    sizes: Sequence[int],
    folder: Path,
    *,
    repetitions: int,
    limit_seconds: float,
    show: Callable[[AnswerRow], None],
) -> tuple[list[AnswerRow], list[float]]:
    """Builds a store of each size in `folder` unless it is there, and times the commands, interleaved.

    Returns:
        The rows, and the fractions of the machine that other processes used.
    """
    rows: list[AnswerRow] = []
    foreign: list[float] = []
    for size in sizes:
        store = folder / f"{size}.db"
        built = None if store.exists() else _build(store, size, limit_seconds=10 * limit_seconds)
        if built is not None and built.code != 0:
            rows.append(AnswerRow(size, "making the store", problem=_problem(built, 10 * limit_seconds)))
            show(rows[-1])
            continue
        with tempfile.TemporaryDirectory() as written:
            usages = _interleaved(commands(store, Path(written)), repetitions, limit_seconds)
            foreign += [usage.foreign for ones in usages.values() for usage in ones]
            for name, ones in usages.items():
                rows.append(_row(size, name, ones, limit_seconds, Path(written)))
                show(rows[-1])
    return rows, foreign


def _build(store: Path, trials: int, *, limit_seconds: float) -> Usage:
    """Makes a store of so many trials, under another name until it is whole."""
    part = store.with_suffix(".part")
    sizes = ["--configurations", str(trials // SEEDS), "--seeds", str(SEEDS)]
    usage = run([sys.executable, "-m", "benchmarks.synthetic", str(part), *sizes], limit_seconds=limit_seconds)
    if usage.code == 0:
        part.rename(store)
    return usage


def _interleaved(words: dict[str, list[str]], repetitions: int, limit_seconds: float) -> dict[str, list[Usage]]:
    """The repetitions of each command; one that failed or that took long is not repeated."""
    usages: dict[str, list[Usage]] = {name: [] for name in words}
    for _ in range(repetitions):
        for name, ones in usages.items():
            is_repeated = name not in _ONCE and ones and ones[-1].code == 0 and ones[-1].seconds < _ENOUGH_SECONDS
            if not ones or is_repeated:
                ones.append(run(words[name], limit_seconds=limit_seconds))
    return usages


def _row(size: int, name: str, usages: Sequence[Usage], limit_seconds: float, folder: Path) -> AnswerRow:
    peaks = [usage.peak_bytes for usage in usages if usage.peak_bytes is not None]
    peak = statistics.median(peaks) if peaks else None
    if failed := [usage for usage in usages if usage.code != 0]:
        return AnswerRow(size, name, peak_bytes=peak, problem=_problem(failed[0], limit_seconds))
    pictures = {f"plot {chart}": folder / f"{chart}.png" for chart in CHARTS}
    written = ({"report": folder / "page.html"} | pictures).get(name)
    return AnswerRow(
        size,
        name,
        seconds=Spread.of([usage.seconds for usage in usages]),
        processor=Spread.of([usage.processor for usage in usages]),
        peak_bytes=peak,
        output_bytes=written.stat().st_size if written else len(usages[-1].output.encode()),
    )


def _problem(usage: Usage, limit_seconds: float) -> str:
    return f"not done after {limit_seconds:g} s" if usage.code is None else usage.last_error
