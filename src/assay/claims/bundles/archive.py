"""Zip files of bundles: equal content has equal bytes, and sizes are checked before memory is taken."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from assay.errors import FileError, shortened
from assay.system.files import read_limited
from assay.system.limits import (
    ARRAY_FREE_BYTES,
    ARRAY_RATIO,
    BUNDLE_BYTES,
    BUNDLE_CONTENT_BYTES,
    BUNDLE_DIRECTORY_BYTES,
    BUNDLE_FILES,
    BUNDLE_NAME_CHARACTERS,
)

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can have
_MODE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = b"PK\5\6"  # of the directory of a zip file
_END_BYTES = 22
_LOCATOR = b"PK\6\7"  # of the directory of a zip64 file, which would replace the other one
_LOCATOR_BYTES = 20
_SHOWN = 20  # names in one sentence
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError,
    OverflowError,
)  # fmt: skip


def packed(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a zip file: entries in the order of their names, dated 1980, without anything of this machine.

    Equal files have equal bytes under one version of zlib.

    >>> packed({"b": b"2", "a": b"1"}) == packed({"a": b"1", "b": b"2"})
    True
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.create_system, entry.external_attr, entry.compress_type = _UNIX, _MODE, zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)
    return target.getvalue()


def unpacked(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """The files of a zip file by their names, and what is wrong with it; without any file where something is.

    Nothing is written anywhere. Sizes are those that the headers claim, and no more is read of any file.

    Raises:
        FileError: The file cannot be read, or is no zip file.
    """
    content = read_limited(path, BUNDLE_BYTES)
    if problem := _directory_problem(content):
        raise FileError(f"{path}: {problem}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            problems = list(_problems(entries, archive.comment))
            if problems:
                return {}, problems
            return _read(archive, entries)
    except _UNREADABLE as error:
        raise FileError(f"{path}: not a zip file, or damaged: {_reason(error)}") from None


def _directory_problem(content: bytes) -> str:
    """Why the directory of a zip file is not read: it takes memory before an entry can be checked. Empty if it is."""
    at = content.rfind(_END, max(0, len(content) - _END_BYTES - 2**16))
    if at < 0 or len(content) - at < _END_BYTES:
        return "not a zip file; expected a bundle that `assay publish` wrote"
    if content[max(0, at - _LOCATOR_BYTES) : at].startswith(_LOCATOR):
        return f"has the directory of a zip64 file; expected at most {BUNDLE_FILES}"
    count, size = struct.unpack("<HL", content[at + 10 : at + 16])
    if size > BUNDLE_DIRECTORY_BYTES.most or count > BUNDLE_FILES.most:
        return f"claims a directory of {count:,} files and {size:,} bytes; expected at most {BUNDLE_FILES}"
    return ""


def _problems(entries: list[zipfile.ZipInfo], comment: bytes) -> Iterator[str]:
    """What is wrong with the entries, a sentence for each kind of problem or for each file."""
    if len(entries) > BUNDLE_FILES.most:
        yield f"has {len(entries):,} files; expected at most {BUNDLE_FILES.most:,}"
        return
    if comment:
        yield "the zip file has a comment, which no checksum covers"
    counts = Counter(entry.filename for entry in entries)
    if doubled := [name for name, count in counts.items() if count > 1]:
        yield f"more than one file has the name {_names(doubled)}"
    for reason, test in _REFUSED.items():
        if names := [entry.filename for entry in entries if test(entry)]:
            yield f"{_names(names)}: {reason}"
    total, compressed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if total > BUNDLE_CONTENT_BYTES.most:
        yield f"its files claim {total:,} bytes; expected at most {BUNDLE_CONTENT_BYTES}"
    elif total > ARRAY_FREE_BYTES.most and total > ARRAY_RATIO.most * max(1, compressed):
        yield f"its files claim {total:,} bytes of {compressed:,} compressed ones; expected at most {ARRAY_RATIO}"


def _is_unsafe(entry: zipfile.ZipInfo) -> bool:
    """Whether a name could lie outside the folder of the bundle, or is not the plain form of a path."""
    name = entry.filename
    parts = name.split("/")
    return (
        name != name.strip()
        or any(part in ("", ".", "..") for part in parts)
        or any(c in name for c in "\\:\0")
        or not name.isprintable()
        or len(name) > BUNDLE_NAME_CHARACTERS.most
    )


def _is_no_file(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG)


def _is_encrypted(entry: zipfile.ZipInfo) -> bool:
    return bool(entry.flag_bits & _ENCRYPTED)


def _has_other_method(entry: zipfile.ZipInfo) -> bool:
    return entry.compress_type not in _METHODS


_REFUSED: dict[str, Callable[[zipfile.ZipInfo], bool]] = {
    "an absolute path, or one with '..', a backslash or another part that no bundle has": _is_unsafe,
    "a link or a device; expected files only": _is_no_file,
    "encrypted; expected files that anyone can read": _is_encrypted,
    "packed by a method other than deflate": _has_other_method,
}


def _read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> tuple[dict[str, bytes], list[str]]:
    """The content of entries whose headers are sound, and which of them cannot be read."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            with archive.open(entry) as file:
                content = file.read(entry.file_size + 1)
        except _UNREADABLE as error:
            problems.append(f"{_names([entry.filename])}: cannot be unpacked: {_reason(error)}")
            continue
        if len(content) != entry.file_size:
            problems.append(f"{_names([entry.filename])}: holds another number of bytes than its header claims")
        files[entry.filename] = content
    return ({}, problems) if problems else (files, [])


def _names(names: list[str]) -> str:
    return shortened([repr(name[:80]) for name in names], _SHOWN)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
