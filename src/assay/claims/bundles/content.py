"""What a bundle holds: the data that everything else in it is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assay.claims.bundles.tables import Row, curves_by_trial, stored_row
from assay.errors import AssayError, shortened
from assay.report.text import file_stem
from assay.store.incoming import ROWS, Incoming, Portion, add, checked, checked_curves, checked_studies
from assay.store.records import stored_machine
from assay.store.rows import check_row
from assay.store.schema import machine
from assay.store.store import Store

FORMAT = 1
"""Of bundles; increased when older versions of Assay would misunderstand newer bundles."""
KINDS = ("study", "article")
_MOST_PROBLEMS = 20  # rows that are named


@dataclass(frozen=True)
class About:
    """What a bundle says of itself.

    Attributes:
        title: The name of the study or the article.
        kind: One of `KINDS`.
        authors: As the publisher gave them; may be empty.
        licence: An SPDX identifier; empty where none was given.
        parquet: Whether its tables are Parquet files, not CSV.
    """

    title: str
    kind: str = "study"
    authors: tuple[str, ...] = ()
    licence: str = ""
    parquet: bool = False


@dataclass(frozen=True)
class Content:
    """The data of a bundle.

    Attributes:
        about: What it says of itself.
        studies: Name and definition of each study.
        members: The rows of its members, each with the name of its study.
        trials: The rows of its trials with their results.
        points: The rows of their curves.
        machines: Rows of machines.
        imported: Rows of imported curves, each with the name of its study and its curve as JSON.
        claims: The tables of its claims, as a claims file has them; empty without any.
        extra: Files of an article, by name.
    """

    about: About
    studies: tuple[Mapping[str, Any], ...]
    members: list[Row]
    trials: list[Row]
    points: list[Row]
    machines: list[Row] = field(default_factory=list[Row])
    imported: list[Row] = field(default_factory=list[Row])
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extra: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def names(self) -> list[str]:
        """The names of its studies."""
        return [str(study["name"]) for study in self.studies]

    def stems(self) -> dict[str, str]:
        """The stem of the file names of each study."""
        stems: dict[str, str] = {}
        for name in self.names:
            stem = re.sub(r"\s+", "-", file_stem(name))[:80].strip("-.") or "study"
            taken = {other.casefold() for other in stems.values()}
            number = 2
            unique = stem
            while unique.casefold() in taken:
                unique, number = f"{stem}-{number}", number + 1
            stems[name] = unique
        return stems

    def problems(self) -> list[str]:
        """What is wrong with its rows, a sentence each; empty if all can be stored."""
        _, problems = self._incoming()
        return problems

    @contextmanager
    def opened(self) -> Generator[Store]:
        """A store with its rows in a temporary folder. Raises: AssayError where a row cannot be read."""
        incoming, problems = self._incoming()
        if problems:
            raise AssayError("; ".join(problems))
        with TemporaryDirectory(prefix="assay-bundle-") as folder:
            store = Store(str(Path(folder) / "bundle.db"))
            try:
                add(store, incoming)
                yield store
            finally:
                store.close()

    def _incoming(self) -> tuple[Incoming, list[str]]:
        """The checked rows, and what is wrong with the others."""
        problems: list[str] = []
        curves = _gathered(lambda: curves_by_trial(self.points), problems, "curves") or {}
        keys = [row["key"] for row in self.trials]
        if len(set(keys)) < len(keys):
            problems.append("trials: one trial is there twice")
        problems += [f"curves: trial {key[:8]!r} is not among the trials" for key in sorted(set(curves) - set(keys))]
        if outside := sorted({str(key) for key in keys} - {row["trial"] for row in self.members}):
            problems.append(f"trials: no study has {shortened([key[:8] for key in outside], _MOST_PROBLEMS)}")
        rows = [
            stored_row(row, curves.get(row["key"], "{}") if row["outcome"] is not None else None) for row in self.trials
        ]
        portions = _portions(rows, problems)
        machines = _gathered(self._machines, problems, "machines") or {}
        studies = _gathered(self._studies, problems, "studies") or []
        imports = (
            _gathered(lambda: checked_curves([dict(row) for row in self.imported]), problems, "imported curves") or []
        )
        return Incoming(machines, portions, studies=studies, curves=imports), problems

    def _machines(self) -> dict[str, dict[str, str]]:
        for row in self.machines:
            check_row("machine", {c.name: row[c.name] for c in machine.columns})
        made = {row["hash"]: stored_machine(row) for row in self.machines}
        if unknown := sorted({str(row["machine"]) for row in self.trials if row["machine"]} - set(made)):
            raise ValueError(f"{unknown[0][:8]!r} is not there, and a trial was trained on it")
        return made

    def _studies(self) -> list[dict[str, Any]]:
        """The rows of the studies, each with its members. Raises: ValueError."""
        known, names = {row["key"] for row in self.trials}, set(self.names)
        for row in self.members:
            if row["trial"] not in known:
                raise ValueError(f"a member of study {str(row['study'])[:60]!r} has no trial")
            if row["study"] not in names:
                raise ValueError(f"a member is of study {str(row['study'])[:60]!r}, which is not there")
        if len(names) < len(self.studies):
            raise ValueError("two have one name")
        rows: list[dict[str, Any]] = []
        for number, study in enumerate(self.studies, 1):
            members = [{**row, "study": number} for row in self.members if row["study"] == study["name"]]
            text = json.dumps(study["definition"], allow_nan=False)
            rows.append(
                {
                    "id": number,
                    "name": study["name"],
                    "definition": text,
                    "digest": None,
                    "created": 0.0,
                    "updated": 0.0,
                }
                | {"members": members}
            )
        return checked_studies(rows)


def _gathered(make: Any, problems: list[str], what: str) -> Any:
    """What a function makes, or None where it raises, with a sentence in `problems`."""
    try:
        return make()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
        problems.append(f"{what}: {reason}")
        return None


def _portions(rows: list[dict[str, Any]], problems: list[str]) -> list[Portion]:
    """The checked trials; adds a sentence to `problems` for each row that is wrong, of many for the first ones."""
    portions: list[Portion] = []
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        before = len(problems)
        made = _gathered(partial(checked, some), problems, "trials")
        if made is not None:
            portions.append(made)
            continue
        del problems[before:]
        for number, row in enumerate(some, start + 1):
            if len(problems) - before >= _MOST_PROBLEMS:
                problems.append("trials: and more rows that cannot be read")
                return portions
            _gathered(partial(checked, [row]), problems, f"trials, row {number:,}")
    return portions
