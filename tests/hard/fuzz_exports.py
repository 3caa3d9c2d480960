"""Fuzzer of exports: cells, rows and files of an exported folder that were changed; what is taken must be usable."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from . import fuzzing

_EXPORTS: list[Path] = []
_JSON = ("studies.json", "machines.json", "imported.json", "benches.json")


def case(draw: random.Random, place: Path) -> str:
    """One export, imported into an empty store; then the store is checked, listed, shown and reported."""
    from assay.errors import AssayError
    from assay.store.exchange import read_back
    from assay.store.store import Store

    folder, store = place / "export", place / "s.db"
    shutil.copytree(draw.choice(_EXPORTS), folder)
    for _ in range(draw.choice((1, 1, 2))):
        _change_file(draw, folder)
    shutil.copyfile(_EXPORTS[0].parent / "empty.db", store)
    try:
        read_back(Store(str(store)), folder)
    except AssayError as error:
        assert str(error)
        return "refused"
    used(store, draw)
    return "taken"


def used(store: Path, draw: random.Random) -> None:
    """Runs the commands that read a store. Raises: RuntimeError where one crashes, or where they say it is damaged."""
    import sqlite3

    at = ("--store", str(store))
    with_text = draw.choice((("list",), ("list", "--trials"), ("list", "--trials", "--json")))
    for words in (with_text, ("store", "check")):
        if fuzzing.command(*words, *at) == "refused":
            raise RuntimeError(f"{words}: refused after an import")
    with sqlite3.connect(store) as database:
        keys = [row[0] for row in database.execute("select key from trial union select key from imported")]
        keys += [row[0] for row in database.execute("select key from bench")]
        studies = [row[0] for row in database.execute("select name from study")]
    for key in draw.sample(sorted(keys), min(2, len(keys))):
        fuzzing.command("show", key, *draw.choice(((), ("--json",))), *at)
    if studies:
        study = draw.choice(studies)
        fuzzing.command(*draw.choice((answer(draw, study, store.parent), ("list", "--study", study))), *at)


_CHARTS: list[str] = []


def answer(draw: random.Random, study: str, folder: Path) -> tuple[str, ...]:
    """A command that answers from a study: a tenth of them draw the whole page, the others one chart or a table."""
    if draw.random() < 0.1:
        return ("report", study, "-o", str(folder / "r.html"))
    chart = ("plot", study, draw.choice(_CHARTS), "-o", str(folder / "p.json"))
    return draw.choice((chart, chart, ("compare", study, "--all"), ("target", study, "90 %")))


def _change_file(draw: random.Random, folder: Path) -> None:
    how = draw.random()
    if how < 0.05:
        path = draw.choice(sorted(folder.iterdir()))
        path.write_bytes(fuzzing.changed(draw, path.read_bytes()))
    elif how < 0.5:
        path = folder / draw.choice(_JSON)
        if path.exists():
            try:
                table = json.loads(path.read_text())
            except ValueError:  # an earlier change
                return
            for _ in range(draw.randint(1, 3)):
                _change(draw, table)
            path.write_text(json.dumps(table))
    else:
        _change_cell(draw, folder / "trials.parquet")


def _change_cell(draw: random.Random, path: Path) -> None:
    """Changes one column of the trials, or one cell, or one value within the JSON of a cell."""
    import pandas

    try:
        frame = pandas.read_parquet(path, use_threads=False)
    except (OSError, ValueError):  # an earlier change
        return
    column = draw.choice(list(frame.columns))
    if draw.random() < 0.1:
        frame = frame.drop(columns=[column])
    else:
        cells = list(frame[column])
        at = draw.randrange(len(cells))
        cell = cells[at]
        if (table := _json(cell)) is not None and draw.random() < 0.8:
            if table:
                _change(draw, table)
            new: Any = json.dumps(table)
        else:
            new = fuzzing.value(draw)
            new = json.dumps(new) if isinstance(new, list | dict) or draw.random() < 0.2 else new
        cells[at] = new
        try:
            frame[column] = cells
            frame.to_parquet(path, index=False)
        except Exception:  # types that one column cannot hold
            frame[column] = [
                None if other is None else str(other).encode("ascii", "replace").decode() for other in cells
            ]
    frame.to_parquet(path, index=False)


def _json(text: Any) -> Any:
    """The table or list in a text; None if it holds none, such as a text that an earlier change made."""
    if not isinstance(text, str) or text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _change(draw: random.Random, value: Any) -> None:
    """Changes one entry somewhere in plain data, also in JSON within a string."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = draw.choice(keys)
    inner = value[key]
    if (table := _json(inner)) is not None and draw.random() < 0.7:
        if table:
            _change(draw, table)
        value[key] = json.dumps(table)
    elif isinstance(inner, dict | list) and inner and draw.random() < 0.85:
        _change(draw, inner)
    elif draw.random() < 0.15:
        del value[key]
    else:
        value[key] = fuzzing.value(draw)


def warm() -> None:
    """Makes the exports that are changed, and an empty store."""
    import tempfile

    from assay.logs import read_all
    from assay.report.charts import CHARTS
    from assay.store import benches, imported
    from assay.store.exchange import export
    from assay.store.store import Store
    from tests.logs.samples import SAMPLES
    from tests.store.makers import made_bench, made_end, made_plan

    _CHARTS.extend(name for name in CHARTS if not name.startswith("bench"))
    root = Path(tempfile.mkdtemp(prefix="assay-fuzz-exports-", dir=fuzzing.MEMORY_FOLDER))
    log = root / "run.log"
    log.write_bytes(SAMPLES["pytorch"])
    made = made_plan(3)
    for number in range(2):
        store = Store(str(root / f"{number}.db"))
        filled(store, made if not number else made_plan(1, name="two", model={"hidden": [4]}), made_end)
        benches.save(store.database, made_bench().plain())
        imported.add(store.database, read_all(log)[0])
        export(store, root / f"export-{number}")
        _EXPORTS.append(root / f"export-{number}")
    Store(str(root / "empty.db")).close()
    words = [("list",), ("report", "made", "-o", str(root / "r.html")), ("compare", "made"), ("target", "made", "90 %")]
    words += [("plot", "made", "curves", "-o", str(root / "p.json")), ("show", next(iter(made.trials)))]
    for some in (*words, ("store", "check")):
        fuzzing.command(*some, "--store", str(root / "0.db"))


def filled(store: Any, made: Any, made_end: Any) -> None:
    """Stores a plan with a result for every trial."""
    store.register(made)
    while claimed := store.leases.claim(made.jobs):
        for trial in claimed[1].trials:
            store.finish(claimed[0], trial, made_end(trial))
        store.leases.release(claimed[0])


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("exports", case, seed, cases, warm=warm)
