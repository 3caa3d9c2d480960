"""A folder of event files as one run: its subfolders train/ and validation/, and files of a run that was resumed.

Links that lead out of the folder are not followed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from assay.errors import FileError
from assay.logs.columns import SPLITS, is_bare, normalised
from assay.logs.log import Options, Reading
from assay.logs.tensorboard import ScalarEvent, Timed, read_scalars, scalars_of
from assay.report.text import counted

MOST_FILES = 1000
MOST_DEPTH = 6
MOST_ENTRIES = 20_000
_EVENTS = "tfevents"
_OTHERS = ("metrics.csv", "trainer_state.json", "history.csv", "history.json", "results.csv", "log.csv", "training.log")


class _File(NamedTuple):
    folder: str  # below the run, which says what its tags are of; "" for the run itself
    name: str
    path: Path


class _Events(NamedTuple):
    file: _File
    scalars: list[ScalarEvent]
    begin: float
    end: float


def split_of(folder: str) -> str:
    """The set of examples that the name of a folder says, or "".

    >>> split_of("validation"), split_of("Loss_train"), split_of("run_3")
    ('validation', 'train', '')
    """
    words = normalised(folder).split("_")
    splits = {SPLITS[word] for word in words if word in SPLITS}
    return splits.pop() if len(splits) == 1 and len(words) <= 2 else ""


def read_folder(folder: Path, options: Options, most_bytes: int) -> tuple[Reading, str]:
    """Reads the event files of a run; returns the reading and the hash of their contents.

    Raises: FileError for a folder without event files or with those of several runs, AssayError.
    """
    files = _run(folder)
    if sum(file.path.stat().st_size for file in files) > most_bytes:
        raise FileError(f"{folder}: its event files have more than {most_bytes // 2**20} MiB")
    reading = Reading(kind="event")
    digest = hashlib.sha256()
    events: list[_Events] = []
    for file in sorted(files, key=lambda file: (file.folder, file.name)):
        content = file.path.read_bytes()
        digest.update(f"{file.folder}/{file.name} {hashlib.sha256(content).hexdigest()}\n".encode())
        events.append(_events(file, content, reading))
    reading.notes.append(_note(files))
    name = folder.resolve().name
    if name.isalpha() and split_of(name) not in ("", "train"):
        reading.notes.append(f"tags that name no set of examples are of {split_of(name)}, as the folder {name!r} says")
        options = replace(options, split=split_of(name))
    read_scalars(reading, _in_order(reading, [entry for entry in events if entry.scalars]), options)
    return reading, digest.hexdigest()


def _note(files: list[_File]) -> str:
    folders = sorted({file.folder for file in files if file.folder})
    below = f" in {', '.join(folders[:6])}" if folders else ""
    return f"{counted(len(files), 'event file')}{below} read as one run"


def _run(folder: Path) -> list[_File]:
    """The event files of the one run below a folder. Raises: FileError."""
    runs: dict[str, list[_File]] = {}
    for path in _files(folder):
        parts = path.relative_to(folder).parts[:-1]
        below = parts[-1] if parts and split_of(parts[-1]) else ""
        run = "/".join(parts[:-1] if below else parts)
        runs.setdefault(run, []).append(_File(below, path.name, path))
    if not runs:
        others = [name for name in _OTHERS if (folder / name).is_file()]
        hint = f"; it holds {others[0]}: import that file" if others else "; expected a log file or a folder with them"
        raise FileError(f"{folder}: a folder without event files of TensorBoard{hint}")
    if len(runs) > 1:
        names = ", ".join(run or "." for run in sorted(runs)[:10]) + (", ..." if len(runs) > 10 else "")
        raise FileError(f"{folder}: a folder with {len(runs)} runs: {names}; import the folder of one run")
    return next(iter(runs.values()))


def _files(folder: Path) -> Iterable[Path]:
    """The event files below a folder; a link that leads out of it is not followed. Raises: FileError."""
    root = folder.resolve()
    found: list[Path] = []
    entries = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        here = Path(place)
        if len(here.relative_to(folder).parts) >= MOST_DEPTH:
            folders.clear()
        entries += len(names) + len(folders)
        if entries > MOST_ENTRIES:
            raise FileError(f"{folder}: a folder with more than {MOST_ENTRIES:,} files; import the folder of one run")
        for name in names:
            path = here / name
            if _EVENTS in name and path.is_file() and path.resolve().is_relative_to(root):
                found.append(path)
    if len(found) > MOST_FILES:
        raise FileError(f"{folder}: a folder with {len(found):,} event files; import the folder of one run")
    return found


def _events(file: _File, content: bytes, reading: Reading) -> _Events:
    """The scalars of a file, numbered after those of the files before. Adds its events to the reading."""
    part = Reading(kind="event")
    scalars, begin = scalars_of(content, part)
    before = reading.lines
    for problem in part.problems:
        reading.problems.append(replace(problem, line=problem.line + before, text=file.name))
    reading.lines += part.lines
    reading.headings += part.headings
    reading.ignored += part.ignored
    named = [
        scalar._replace(
            number=scalar.number + before,
            tag=f"{file.folder}/{scalar.tag}" if file.folder and is_bare(scalar.tag) else scalar.tag,
        )
        for scalar in scalars
    ]
    return _Events(file, named, begin, max((scalar.wall for scalar in scalars), default=begin))


def _in_order(reading: Reading, events: list[_Events]) -> list[Timed]:
    """The scalars with the seconds since the start. Files that follow each other are of a resumed run, whose later
    files replace the steps that both have; or, where the steps begin anew, of another training."""
    timed: list[Timed] = []
    training = 0
    for session in _sessions(events):
        scalars = [scalar for entry in session for scalar in entry.scalars]
        begin, first = min(entry.begin for entry in session), min(scalar.step for scalar in scalars)
        known = [entry for entry in timed if entry.training == training]
        shared = {entry.scalar.tag for entry in known} & {scalar.tag for scalar in scalars}
        base = 0.0
        if shared and first <= min(entry.scalar.step for entry in known):
            training += 1
        elif known:
            kept = [entry for entry in known if entry.scalar.step < first] if shared else known
            base = max((entry.elapsed for entry in kept), default=0.0)
            _note_resumed(reading, session[0].file.name, first, replaced=len(known) - len(kept))
            dropped = {id(entry) for entry in known} - {id(entry) for entry in kept}
            replaced = {e.scalar.number for e in timed if id(e) in dropped}
            timed = [entry for entry in timed if id(entry) not in dropped]
            reading.ignored += len(replaced - {entry.scalar.number for entry in timed})
        timed += [Timed(scalar, base + scalar.wall - begin, training) for scalar in scalars]
    return timed


def _note_resumed(reading: Reading, name: str, first: int, *, replaced: int) -> None:
    earlier = f"; it replaces {replaced:,} earlier values from there on" if replaced else ""
    reading.notes.append(
        f"{name} goes on at step {first}, as after a resumed run{earlier}; the pause before it is not in the seconds"
    )


def _sessions(events: list[_Events]) -> list[list[_Events]]:
    """The files by the times of their events: a file that begins after an earlier one of its folder begins another."""
    sessions: list[list[_Events]] = []
    for entry in sorted(events, key=lambda entry: (entry.begin, entry.file.name)):
        current = sessions[-1] if sessions else []
        same = [other for other in current if other.file.folder == entry.file.folder]
        if not current or (same and entry.begin > max(other.end for other in current)):
            sessions.append([entry])
        else:
            current.append(entry)
    return sessions
