"""The file of counts: what every injector has found since the last fix of its kind, run by run."""

import fcntl
import json
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

FILE = Path(__file__).parent / "counts.json"


def add(name: str, seed: int, counts: dict[str, int], *, file: Path = FILE) -> dict[str, int]:
    """Adds one run to the file and returns the sums for `name` since its last fix.

    Args:
        name: the injector, a key of `CASES`.
        seed: the seed of the run; running it again repeats the same cases.
        counts: what the run counted: `cases`, `failures` and the injector's own words.
        file: the file of counts.
    """
    with _locked(file):
        table = _read(file)
        entry = table.setdefault(name, _fresh())
        entry["runs"].append({"seed": seed, **counts})
        _write(table, file)
    return totals(entry)


def fixed(name: str, *, file: Path = FILE) -> None:
    """Starts the counts of `name` anew, because what its failures showed was fixed in the current commit."""
    with _locked(file):
        table = _read(file)
        table[name] = _fresh()
        _write(table, file)


def document(page: Path, *, file: Path = FILE) -> str:
    """The text of a page with the table of counts between its two marks."""
    before, mark, rest = page.read_text().partition("<!-- counts -->\n")
    lines = ["", "| injector | cases | failures | also counted | since |", "|---|---:|---:|---|---|"]
    for name, entry in _read(file).items():
        sums = totals(entry)
        others = ", ".join(f"{word}: {n:,}" for word, n in sums.items() if word not in ("cases", "failures"))
        since = f"{entry['since']}, `{entry['commit']}`"
        lines.append(f"| {name} | {sums.get('cases', 0):,} | {sums.get('failures', 0):,} | {others} | {since} |")
    return before + mark + "\n".join([*lines, "", ""]) + rest[rest.index("<!-- end of counts -->") :]


def totals(entry: dict) -> dict[str, int]:
    """The sums over the runs of one injector."""
    sums: dict[str, int] = {}
    for run in entry["runs"]:
        for word, number in run.items():
            if word != "seed":
                sums[word] = sums.get(word, 0) + number
    return sums


def _fresh() -> dict:
    """An entry without runs: the date and the commit from which its runs count."""
    return {"since": datetime.now(UTC).date().isoformat(), "commit": _commit(), "runs": []}


def _commit() -> str:
    answer = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Keeps other runs from writing the file meanwhile."""
    with (Path(tempfile.gettempdir()) / f"assay-hard-{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def _write(table: dict, file: Path) -> None:
    text = json.dumps(dict(sorted(table.items())), indent=1)
    part = file.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(file)
