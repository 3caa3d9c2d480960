"""Measures Assay with many short trials, next to Optuna and plain loops: python -m benchmarks.scale [--out NAME].

Trials of about 1 and 10 ms of training, on one and two workers, with SQLite and PostgreSQL; then the commands that
answer questions, on stores of 1,000 to 100,000 made-up trials. --quick measures less of everything.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sa

from assay.bench.calibration import calibrate
from assay.engines import installed
from assay.errors import AssayError
from assay.system.files import write_atomically
from assay.system.machine import cores, describe
from benchmarks.answers import SEEDS, answer_rows
from benchmarks.many_trials import WAYS, Run, Way
from benchmarks.processes import run
from benchmarks.scale_chart import chart
from benchmarks.scale_rows import AnswerRow, Cell, Measurement, ScaleReport, TrialRow, trial_rows
from tests.store.servers import postgres, program

DRIVER = "1 ms, driver"
"""Trials of 1 ms by Assay and by the loop alone, so many that the start, which varies by seconds, hardly counts: the
column "after the start" of this cell is the overhead of the driver and the store, with one worker and with two."""
ITERATIONS = {"1 ms": 50, "10 ms": 500, DRIVER: 50}
"""Iterations on the digits that take about so long to train."""
TRIALS = {"1 ms": 300, "10 ms": 100, DRIVER: 3000}
SIZES = (1_000, 10_000, 100_000)
_BARE = "loop over the engine"


class DisagreementError(AssayError):
    """Two ways trained different networks, so their times cannot be compared."""


class Bench:
    """Runs ways in processes of their own, with an empty storage for each run."""

    def __init__(self, folder: Path, server: str | None, limit_seconds: float) -> None:
        self.folder, self.server, self.limit_seconds = folder, server, limit_seconds
        self._runs = 0

    def missing(self, way: Way, workers: int) -> str | None:
        """Why a way cannot run here; None if it can."""
        if workers > cores():
            return f"the machine has {cores()} core{'s' * (cores() > 1)}"
        if way.storage == "postgresql" and self.server is None:
            return "PostgreSQL is not installed (Debian: apt install postgresql)"
        if way.name.startswith("Optuna") and not _version("optuna"):
            return "Optuna is not installed: pip install 'assay[test]'"
        return None

    def run(self, way: Way, cell: Cell, trials: int) -> tuple[Run | str, int | None, float]:
        """One run of a way.

        Returns:
            The run or the reason why it failed, its peak memory, and the fraction of the machine that others used.
        """
        with self._storage(way) as storage:
            sizes = {"trials": trials, "iterations": ITERATIONS[cell.length], "workers": cell.workers}
            words = [f"--{name}={size}" for name, size in sizes.items()]
            module = [sys.executable, "-m", "benchmarks.many_trials", way.name]
            usage = run([*module, *words, f"--storage={storage}"], limit_seconds=self.limit_seconds)
        if usage.code is None:
            return f"not done after {self.limit_seconds:g} s", usage.peak_bytes, usage.foreign
        if usage.code != 0:
            return usage.last_error, usage.peak_bytes, usage.foreign
        finished = Run(**json.loads(usage.output))
        if len(finished.accuracies) != trials:
            return f"only {len(finished.accuracies)} of {trials} trials finished", usage.peak_bytes, usage.foreign
        return finished, usage.peak_bytes, usage.foreign

    @contextmanager
    def _storage(self, way: Way) -> Generator[str]:
        """An empty storage of the kind that a way needs."""
        self._runs += 1
        name = f"run{self._runs}"
        if way.storage != "postgresql":
            folder = self.folder / name
            folder.mkdir()
            yield str(folder / "storage")
            shutil.rmtree(folder)
            return
        assert self.server is not None
        admin = sa.create_engine(self.server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield self.server.rsplit("/", 1)[0] + f"/{name}"
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def measure(bench: Bench, cell: Cell, ways: Sequence[Way], repetitions: int) -> tuple[list[TrialRow], list[float]]:
    """The rows of a cell, and the fractions of the machine that other processes used; repetitions are interleaved.

    Raises: DisagreementError.
    """
    problems = {way.name: reason for way in ways if (reason := bench.missing(way, cell.workers))}
    measurements: dict[str, list[Measurement]] = {way.name: [] for way in ways}
    foreign: list[float] = []
    for _ in range(repetitions):
        for way in ways:
            if way.name in problems:
                continue
            few, _, _ = bench.run(way, cell, cell.few)
            whole, peak, others = bench.run(way, cell, cell.trials) if isinstance(few, Run) else (few, None, 0.0)
            if isinstance(few, str) or isinstance(whole, str):
                problems[way.name] = few if isinstance(few, str) else str(whole)
                continue
            foreign.append(others)
            measurements[way.name].append(Measurement(whole, few, peak))
        check_equal(ways, measurements)
    return trial_rows(cell, measurements, problems, _BARE), foreign


def check_equal(ways: Sequence[Way], measurements: dict[str, list[Measurement]]) -> None:
    """Raises DisagreementError unless all ways with the same learning rates have the same accuracies."""
    ones = [(way.name, measurements[way.name][-1].run) for way in ways if way.same_rates and measurements[way.name]]
    for name, other in ones[1:]:
        first = ones[0][1].accuracies
        if other.accuracies != first:
            number = next(i for i, pair in enumerate(zip(first, other.accuracies, strict=True)) if pair[0] != pair[1])
            raise DisagreementError(
                f"trial {number + 1} of {name!r} has the accuracy {other.accuracies[number]}; {ones[0][0]!r} has "
                f"{first[number]}"
            )


def start() -> ScaleReport:
    """A report that begins with the description, the load and the speed of the machine."""
    load = _load_average()
    machine = dict(describe())
    names = {"optuna": "optuna", "sqlalchemy": "SQLAlchemy", "psycopg": "psycopg"}
    kept = {name: version for name, version in machine["versions"].items() if name in ("assay", "numpy")}
    added = {title: version for name, title in names.items() if (version := _version(name))}
    machine["versions"] = kept | added | ({"PostgreSQL": server} if (server := _server_version()) else {})
    notes = [] if installed("native") else ["the native engine is not built; another engine trained"]
    return ScaleReport(machine, calibrate(), load, notes=notes)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _server_version() -> str | None:
    postmaster = program("postgres")
    if postmaster is None:
        return None
    words = subprocess.run([postmaster, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return words[2]


def _load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few trials, one repetition, one worker, small stores")
    parser.add_argument("--trials", type=int, help="trials of a run, of each length")
    parser.add_argument("--repetitions", type=int, default=3, help="of each run, interleaved")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers")
    parser.add_argument("--only", default="", help="only the ways whose name has this prefix")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=list(SIZES), help="trials of the stores; none: no answers"
    )
    parser.add_argument(
        "--stores", type=Path, help="keep the stores of made-up trials in this folder, and use them again"
    )
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which a run is killed")
    parser.add_argument("--out", type=Path, help="write NAME.json, NAME.md and NAME.png")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the options, measures, and writes the results."""
    parser = _options()
    options = parser.parse_args(arguments)
    ways = [way for way in WAYS if way.name.startswith(options.only)]
    if not ways:
        parser.error(f"--only: no way begins with {options.only!r}; expected one of {', '.join(w.name for w in WAYS)}")
    counts = {"trials": [1 if options.trials is None else options.trials], "repetitions": [options.repetitions]}
    for name, values in (counts | {"workers": options.workers, "sizes": options.sizes}).items():
        if min(values, default=1) < 1:
            parser.error(f"--{name}: got {min(values)}; expected a number >= 1")
    for size in options.sizes:
        if size % SEEDS:
            parser.error(f"--sizes: got {size}; expected multiples of {SEEDS}, the seeds of a configuration")
    if options.quick:
        options.repetitions, options.trials, options.workers = 1, options.trials or 20, options.workers[:1]
        options.sizes = [100] if options.sizes == list(SIZES) else options.sizes
    report = start()
    try:
        _train(report, options, ways)
        _answer(report, options)
    except AssayError as error:
        parser.exit(2, f"error: {error}\n")
    report.finish(_load_average())
    print(report.markdown())
    if options.out:
        _write(report, options.out)


def _train(report: ScaleReport, options: argparse.Namespace, ways: Sequence[Way]) -> None:
    """Adds the rows of training to the report."""
    needs_server = any(way.storage == "postgresql" for way in ways) and program("initdb") is not None
    with tempfile.TemporaryDirectory() as folder, postgres(fsync=True) if needs_server else nullcontext() as server:
        bench = Bench(Path(folder), server, options.limit)
        for length in ["1 ms"] if options.quick else ITERATIONS:
            trials = options.trials or TRIALS[length]
            for workers in options.workers:
                cell = Cell(length, workers, trials, min(trials, 2 * workers))
                measured = [way for way in ways if length != DRIVER or way.name in (_BARE, "assay run, SQLite")]
                if not measured:
                    continue
                rows, foreign = measure(bench, cell, measured, options.repetitions)
                report.trials += rows
                report.foreign += foreign
                for row in rows:
                    _print_trials(row)
                if options.out:  # what was measured is kept where the run is cut short
                    _write(report, options.out)


def _answer(report: ScaleReport, options: argparse.Namespace) -> None:
    """Adds the rows of the commands to the report."""
    with tempfile.TemporaryDirectory() as folder:
        stores = options.stores or Path(folder)
        stores.mkdir(parents=True, exist_ok=True)
        rows, foreign = answer_rows(
            options.sizes,
            stores,
            repetitions=options.repetitions,
            limit_seconds=options.limit,
            show=_print_answer,
        )
    report.answers += rows
    report.foreign += foreign


def _print_trials(row: TrialRow) -> None:
    figures = row.problem if row.rate is None else f"{row.rate.median:10.4g} trials/s"
    print(f"{row.length:6s} {row.workers} {row.way:24s} {figures}", flush=True)


def _print_answer(row: AnswerRow) -> None:
    figures = row.problem if row.seconds is None else f"{row.seconds.median:10.4g} s"
    print(f"{row.trials:9,d} {row.command:24s} {figures}", flush=True)


def _write(report: ScaleReport, path: Path) -> None:
    """Writes the rows as JSON, the tables, and the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path.with_suffix(".json"), json.dumps(report.plain(), indent=1).encode())
    write_atomically(path.with_suffix(".md"), report.markdown().encode())
    chart(report, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
