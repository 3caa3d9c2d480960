"""A disk that loses power: what was not flushed is missing, torn or there, in any combination.

A file keeps what was flushed with it. Of the writes since, any subset survives, and of each one any subset of its
sectors. A folder keeps the names that were flushed with it. Of the creations, renames and unlinks since, any subset
survives. That is less than journaling file systems promise.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
Change = tuple[int, bytes | None]  # where, and what is written; None sets the size


@dataclass
class File:
    """The content of a file: what was flushed, and the changes since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    size: int = 0

    def change(self, offset: int, content: bytes | None) -> None:
        """Adds a change."""
        self.pending.append((offset, content))
        self.size = offset if content is None else max(self.size, offset + len(content))

    def flush(self) -> None:
        """Makes all changes durable."""
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def after_cut(self, survives: Callable[[], bool]) -> bytearray:
        """The content after a power cut; `survives` decides for each sector and each change of the size."""
        content = bytearray(self.durable)
        for offset, written in self.pending:
            if written is None:
                if survives():
                    _apply(content, (offset, None))
                continue
            start = 0
            while start < len(written):
                end = min(len(written), start + SECTOR - (offset + start) % SECTOR)
                if survives():
                    _apply(content, (offset + start, written[start:end]))
                start = end
        return content


@dataclass
class Folder:
    """The names of a folder: those that were flushed, and the changes since; None removes a name."""

    durable: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, File | Folder | None]) -> None:
        """Changes names in one step."""
        self.pending.append(names)
        _rename(self.now, names)

    def flush(self) -> None:
        """Makes all changes durable."""
        self.durable = dict(self.now)
        self.pending.clear()


class Disk:
    """A folder on such a disk, to which recorded operations are applied."""

    def __init__(self) -> None:
        self.root = Folder()

    def apply(self, operation: tuple[str, ...]) -> None:
        """Applies an operation of `recording`."""
        kind, path, *rest = operation
        folder, name = self._place(path)
        if kind == "create":
            if name not in folder.now:
                folder.change({name: File()})
        elif kind == "mkdir":
            folder.change({name: Folder()})
        elif kind == "unlink":
            folder.change({name: None})
        elif kind == "rename":
            assert self._place(rest[0])[0] is folder
            folder.change({name: None, self._place(rest[0])[1]: folder.now[name]})
        elif kind == "flush":
            (folder.now[name] if name else self.root).flush()
        else:
            file = folder.now[name]
            assert isinstance(file, File)
            if kind == "append":
                file.change(file.size, rest[0])  # type: ignore[arg-type]
            elif kind == "write":
                file.change(rest[0], rest[1])  # type: ignore[arg-type]
            else:
                file.change(rest[0], None)  # type: ignore[arg-type]

    def _place(self, path: str) -> tuple[Folder, str]:
        *folders, name = path.split("/")
        folder = self.root
        for part in folders:
            below = folder.now[part]
            assert isinstance(below, Folder)
            folder = below
        return folder, name

    def after_cut(self, target: Path, chance: random.Random) -> None:
        """Writes a state that a power cut may leave at this moment into a folder."""
        _write(self.root, target, chance)


def _write(folder: Folder, target: Path, chance: random.Random) -> None:
    target.mkdir(exist_ok=True)
    names, survives = dict(folder.durable), _survival(chance)
    for change in folder.pending:
        if survives():
            _rename(names, change)
    for name, entry in names.items():
        if isinstance(entry, Folder):
            _write(entry, target / name, chance)
        else:
            (target / name).write_bytes(entry.after_cut(_survival(chance)))


def _survival(chance: random.Random) -> Callable[[], bool]:
    """How much of what was not flushed survives: nothing, all, the first so many, or any part."""
    kind = chance.choice(["nothing", "all", "first", "part"])
    left, part = chance.randint(0, 40), chance.random()

    def first() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    if kind == "first":
        return first
    return lambda: kind == "all" or (kind == "part" and chance.random() < part)


def _apply(content: bytearray, change: Change) -> None:
    """Applies a change to `content`; a gap is filled with zeros."""
    offset, written = change
    end = offset if written is None else offset + len(written)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if written is None:
        del content[offset:]
    else:
        content[offset:end] = written


def _rename(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    """Applies a change to `names`."""
    for name, entry in change.items():
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry
