"""Fetching data sets: mirrors in order, broken downloads resumed, every file verified before it gets its name."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.datasets import data_folder
from assay.errors import DataError, unknown

Progress = Callable[[str, int, "int | None"], None]
"""Told the file's name, the bytes that are there and the bytes that there will be, if known."""

_PIECE = 1 << 16
_MOST_BYTES = 200 << 20  # no file of these sets comes near; a server that sends more is stopped
_SECONDS = 30


@dataclass(frozen=True)
class File:
    """The checksums of a file: of its bytes as served, and of what is inside the gzip, where that is known."""

    md5_gz: str
    sha256: str | None = None


@dataclass(frozen=True)
class Remote:
    """Where a data set can be fetched from, and what its files must be."""

    mirrors: tuple[str, ...]
    files: dict[str, File]


REMOTES: dict[str, Remote] = {
    "mnist": Remote(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3-ubyte.gz": File(
                "f68b3c2dcbeaaa9fbdd348bbdeb94873", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
            "train-labels-idx1-ubyte.gz": File(
                "d53e105ee54ea40749a09fcbcd1e9432", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            "t10k-images-idx3-ubyte.gz": File(
                "9fb629c4189551a2d022fa330f9573f3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            "t10k-labels-idx1-ubyte.gz": File(
                "ec29112dd5afa0611ce80d1b7f02629c", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
        },
    ),
    "fashion-mnist": Remote(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": File("8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            "train-labels-idx1-ubyte.gz": File("25c81989df183df01b3e8a0aad5dffbe"),
            "t10k-images-idx3-ubyte.gz": File("bef4ecab320f06d8554ea6380940ec79"),
            "t10k-labels-idx1-ubyte.gz": File("bb300cfdad3c16e7a12a480ee83cd310"),
        },
    ),
}


def fetch(
    name: str,
    *,
    folder: str | Path | None = None,
    mirrors: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Downloads a data set into a folder, by default its place in the data folder; returns the folder.

    A file that is there and right is left alone; a download that broke off is continued.

    Raises: DataError where no mirror has a file with the right checksum, naming each mirror and its reason.
    """
    if name not in REMOTES:
        raise DataError(unknown("data set to fetch", name, REMOTES))
    remote = REMOTES[name]
    target = Path(folder).expanduser() if folder is not None else data_folder() / name
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            for file_name, expected in remote.files.items():
                path = target / file_name
                if not (path.is_file() and _wrong(path, expected) is None):
                    _fetch_file(path, expected, mirrors or remote.mirrors, progress or _silent)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


@contextmanager
def _alone(folder: Path) -> Generator[None, None, None]:
    """Waits until no other process fetches into the folder: two that write one .part file would spoil it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks; the checksum still guards what gets its name
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fetch_file(path: Path, expected: File, mirrors: Sequence[str], progress: Progress) -> None:
    reasons: list[str] = []
    part = path.with_name(path.name + ".part")
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + path.name
        for attempt in ("resumed", "whole"):
            resumed = part.is_file() and part.stat().st_size > 0
            try:
                _download(url, part, path.name, progress)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reasons.append(f"{url}: {_reason(error)}")
                break
            reason = _wrong(part, expected)
            if reason is None:
                part.replace(path)
                return
            part.unlink()
            if not resumed or attempt == "whole":
                reasons.append(f"{url}: {reason}")
                break  # a whole download that is wrong will be wrong again; a resumed one is tried once more
    raise DataError(f"{path.name} could not be fetched:\n" + "\n".join(f"  - {reason}" for reason in reasons))


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise ValueError(f"redirected to {newurl}; only http and https are followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, part: Path, name: str, progress: Progress) -> None:
    """Fetches what is missing of a file into `part`, which may hold its beginning."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("only http and https are fetched")
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme was checked)
    try:
        response = urllib.request.build_opener(_SameScheme).open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # nothing is missing; the checksum will tell
                return
            raise
    with response:
        resumed = response.status == 206 and str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        with part.open("ab" if resumed else "wb") as file:
            while piece := response.read(_PIECE):
                have += len(piece)
                if have > _MOST_BYTES:
                    raise ValueError(f"more than {_MOST_BYTES:,} bytes; stopped")
                file.write(piece)
                progress(name, have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ValueError(f"broke off after {have:,} of {total:,} bytes; the next attempt goes on from there")


def _silent(name: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


def _reason(error: Exception) -> str:
    return f"{error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)


def _wrong(path: Path, expected: File) -> str | None:
    """None for the right file; the content decides where its checksum is known, for gzip bytes differ by who packed."""
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            md5.update(piece)
    if expected.sha256 is None:
        return None if md5.hexdigest() == expected.md5_gz else f"MD5 {md5.hexdigest()}; expected {expected.md5_gz}"
    sha256, length = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                sha256.update(piece)
                length += len(piece)
                if length > _MOST_BYTES:
                    return f"more than {_MOST_BYTES:,} bytes inside"
    except (OSError, EOFError, zlib.error) as error:
        return f"not a whole gzip file: {error}"
    return (
        None if sha256.hexdigest() == expected.sha256 else f"SHA-256 {sha256.hexdigest()}; expected {expected.sha256}"
    )
