"""Measures search methods on tables of trainings: python -m benchmarks.search [--repetitions N] [--runs FOLDER].

Every method searches every table that suits it, many times; the runs are kept in the folder, so that a run that was cut
short is continued. `docs/search-quality.json` and `docs/search-quality.png` are written from them.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from assay.system.files import write_atomically
from assay.system.machine import cores, cpu_model
from benchmarks.search_report import BUDGETS, asking, chart, friedman, markdown, plain, regrets
from benchmarks.search_runs import METHODS, Runs, run
from benchmarks.search_tables import TABLES, load_table

REPETITIONS = 32
"""Searches of each method on each table: eight on each of the selecting seeds."""


def runs_of(table: str, method: str, *, repetitions: int, folder: Path) -> Runs:
    """The runs of a method on a table: those in the folder, and the others, which are added to it."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded = load_table(table)
    each = []
    for repetition in range(repetitions):
        path = folder / f"{table}-{method}-{repetition}.npz"
        if not path.is_file():
            made = run(loaded, method, repetition=repetition)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.savez_compressed(file, **vars(made))
            unfinished.replace(path)
        with np.load(path, allow_pickle=False) as stored:
            work = stored["work"] if "work" in stored.files else np.arange(1.0, stored["regret"].size + 1)
            each.append((stored["regret"], stored["seconds"], work, stored["asking"]))
    return Runs.of(table, method, each)


def all_runs(repetitions: int, folder: Path, tables: Sequence[str], methods: Sequence[str]) -> list[Runs]:
    """The runs of every method on every table that suits it."""
    return [
        runs_of(table, method, repetitions=repetitions, folder=folder)
        for table in tables
        for method in methods
        if table in METHODS[method].tables
    ]


def report(made: Sequence[Runs], out: Path) -> None:
    """Writes what the runs show as JSON, as Markdown and as a picture, and prints it."""
    rows = regrets(made)
    tests = [
        test
        for methods, tables in (
            (("random", "tpe"), TABLES),
            (("random", "tpe", "tpe, prior"), TABLES[1:]),
            (("random", "tpe", "gp"), TABLES),
        )
        for budget in BUDGETS[1:]
        if (test := friedman(rows, methods, tables, budget)) is not None
    ]
    machine = {"cpu": cpu_model(), "cores": cores(), "python": platform.python_version()}
    versions = {name: metadata.version(name) for name in ("optuna", "cmaes", "torch", "numpy")}
    content = {"machine": machine | versions, "repetitions": len(made[0].regret), **plain(made, rows, tests)}
    write_atomically(out.with_suffix(".json"), (json.dumps(content, indent=1) + "\n").encode())
    chart(made, out.with_suffix(".png"))
    text = markdown(rows, tests, asking(made))
    out.with_suffix(".md").write_text(text)
    print(text)


def main() -> None:
    """Runs the searches, and writes what they show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--runs", type=Path, default=Path("build/search-runs"), help="Folder of the finished runs.")
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--out", type=Path, help="Without its ending, where the report and the picture are written.")
    words = parser.parse_args()
    made = all_runs(words.repetitions, words.runs, words.tables, words.methods)
    if words.out is not None:
        report(made, words.out)


if __name__ == "__main__":
    main()
