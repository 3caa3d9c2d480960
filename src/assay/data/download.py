"""Downloading data sets: mirrors in order, interrupted downloads resumed, every file verified before it is renamed."""

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
from assay.system.limits import DOWNLOAD_BYTES

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes downloaded and the total, if known."""

_CHUNK_BYTES = 1 << 16
_MAX_BYTES = DOWNLOAD_BYTES.most  # no file of these sets comes near; a download that exceeds it is stopped
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class File:
    """The checksums of a file: of its bytes as served, and of the decompressed content, if known."""

    md5_gz: str
    sha256: str | None = None


@dataclass(frozen=True)
class Remote:
    """Where a data set can be downloaded from, and the checksums of its files."""

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
    """Downloads a data set into a folder and returns the folder; default: the set's own in the data folder.

    Files that are already complete are kept; an interrupted download is resumed.

    Args:
        mirrors: base addresses to try in order, in place of the known ones.
        progress: called after every chunk.

    Raises: DataError if no mirror has a file with the right checksum, naming each mirror and the reason.
    """
    if name not in REMOTES:
        raise DataError(unknown("data set to fetch", name, REMOTES))
    remote = REMOTES[name]
    target = Path(folder).expanduser() if folder is not None else data_folder() / name
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            for file_name, expected in remote.files.items():
                path = target / file_name
                if not (path.is_file() and _mismatch(path, expected) is None):
                    _fetch_file(path, expected, mirrors or remote.mirrors, progress or _no_progress)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    """Waits until no other process downloads into the folder: two would corrupt the same .part file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks; the checksum still guards every file
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
            reason = _mismatch(part, expected)
            if reason is None:
                part.replace(path)
                return
            part.unlink()
            if not resumed or attempt == "whole":
                reasons.append(f"{url}: {reason}")
                break  # a whole download with a wrong checksum would repeat it; a resumed one is retried once
    raise DataError(f"{path.name} could not be downloaded:\n" + "\n".join(f"  - {reason}" for reason in reasons))


class _HTTPRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise ValueError(f"redirected to {newurl}; only http and https are followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, part: Path, name: str, progress: Progress) -> None:
    """Downloads the missing bytes of a file into `part`, which may hold its beginning."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("only http and https are supported")
    size = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={size}-"} if size else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme was checked)
    try:
        response = urllib.request.build_opener(_HTTPRedirects).open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and size:  # nothing is missing; the checksum decides
                return
            raise
    with response:
        resumed = response.status == 206 and str(response.headers.get("Content-Range", "")).startswith(f"bytes {size}-")
        size = size if resumed else 0
        length = response.headers.get("Content-Length")
        total = size + int(length) if length and length.isdecimal() else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise ValueError(f"more than {_MAX_BYTES:,} bytes; stopped")
                file.write(chunk)
                progress(name, size, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and size < total:
        raise ValueError(f"interrupted after {size:,} of {total:,} bytes; the next attempt resumes there")


def _no_progress(name: str, done: int, total: int | None) -> None:
    """Ignores the progress."""


def _reason(error: Exception) -> str:
    return f"{error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)


def _mismatch(path: Path, expected: File) -> str | None:
    """None for the right file, else what differs.

    The content's checksum decides if it is known, because gzip files of the same content differ by compressor.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            md5.update(chunk)
    if expected.sha256 is None:
        return None if md5.hexdigest() == expected.md5_gz else f"MD5 {md5.hexdigest()}; expected {expected.md5_gz}"
    sha256, length = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                sha256.update(chunk)
                length += len(chunk)
                if length > _MAX_BYTES:
                    return f"more than {_MAX_BYTES:,} bytes inside"
    except (OSError, EOFError, zlib.error) as error:
        return f"not a complete gzip file: {error}"
    return (
        None if sha256.hexdigest() == expected.sha256 else f"SHA-256 {sha256.hexdigest()}; expected {expected.sha256}"
    )
