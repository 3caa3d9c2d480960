"""Training logs of other frameworks, read into History: the table of formats, and which one a file looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from assay.errors import AssayError, FileError, unknown
from assay.logs.curves import history_of, problem_sentences
from assay.logs.log import Options, Read
from assay.logs.matlab import looks_matlab, read_matlab
from assay.logs.printed import looks_flux, looks_pytorch, read_flux, read_pytorch
from assay.logs.separated import looks_csv, read_csv
from assay.logs.tensorboard import looks_tensorboard, read_tensorboard
from assay.training.history import History

MOST_BYTES = 256 * 2**20
"""The largest file that is read: a text log of this size has millions of lines."""


class Format(NamedTuple):
    """How a format is read, how many lines of a content look like it, and a line about it."""

    read: Read
    looks: Callable[[bytes], int]
    about: str


FORMATS: dict[str, Format] = {
    "matlab": Format(read_matlab, looks_matlab, "the table that MATLAB's trainNetwork prints"),
    "flux": Format(read_flux, looks_flux, "lines such as --->Train, epoch: 1, loss: 0.5, time: 1.2"),
    "pytorch": Format(read_pytorch, looks_pytorch, "lines such as --->Train epoch 0, loss: 0.5, time: 1.2"),
    "csv": Format(read_csv, looks_csv, "a table of separated values with a head"),
    "tensorboard": Format(read_tensorboard, looks_tensorboard, "an event file of TensorBoard"),
}


def read(path: str | Path, format: str | None = None, options: Options | None = None, *, name: str = "") -> History:
    """The curve in a training log, as a History with a `source`.

    `format` is a name in FORMATS, or None for the one that the file looks like; `name` is that of the curve, else of
    the file. Raises: FileError for what is no such log, AssayError for an option that does not fit.

    >>> import assay.logs, tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "run.log"
    >>> _ = log.write_text("--->Train epoch 0, loss: 0.5, time: 2\\n--->Valid epoch 0, accuracy: 0.9, time: 1")
    >>> history = assay.logs.read(log)
    >>> history.source.framework, history.final.validation_accuracy, history.final.seconds
    ('PyTorch', 0.9, 2.0)
    """
    path = Path(path)
    content = _content(path)
    if format is not None and format not in FORMATS:
        raise AssayError(unknown("format", format, FORMATS))
    chosen = format or _detected(path, content)
    options = options or Options()
    try:
        reading = FORMATS[chosen].read(content, options)
    except AssayError as error:
        raise type(error)(f"{path}: {error}{_hint(content, chosen)}") from None
    if not reading.records:
        said = f"has no record of the format {chosen} ({FORMATS[chosen].about}){_hint(content, chosen)}"
        raise FileError(f"{path}: {'; '.join([said, *problem_sentences(reading)])}")
    digest = hashlib.sha256(content).hexdigest()
    try:
        return history_of(reading, options, name=name or path.stem, format=chosen, file=path.name, sha256=digest)
    except AssayError as error:
        raise type(error)(f"{path}: {error}") from None


_HEAD = 2**20  # bytes that show the format of a log, unless they show none


def looks_like(content: bytes) -> Mapping[str, int]:
    """The formats that a content looks like, each with how many of its first lines do; a table only if none else."""
    return _looks(content[:_HEAD]) or (_looks(content) if len(content) > _HEAD else {})


def _looks(content: bytes) -> dict[str, int]:
    if looks_tensorboard(content):
        return {"tensorboard": 1}
    found: dict[str, int] = {}
    for name, entry in FORMATS.items():
        try:
            count = entry.looks(content)
        except FileError:  # a binary file
            continue
        if count and not (name == "csv" and found):
            found[name] = count
    return found


def _content(path: Path) -> bytes:
    """The content of a file, its size checked first. Raises: FileError."""
    try:
        if path.is_dir():
            raise FileError(f"{path}: a folder; expected a log file")
        if not path.exists():
            raise FileError(f"{path}: no such file")
        if not path.is_file():
            raise FileError(f"{path}: not a file; expected a log file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1) if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if content is None or len(content) > MOST_BYTES:
        raise FileError(f"{path}: has more than {MOST_BYTES // 2**20} MiB; cut it to the lines of the training")
    if not content.strip():
        raise FileError(f"{path}: is empty")
    return content


def _detected(path: Path, content: bytes) -> str:
    found = looks_like(content)
    if len(found) == 1:
        return next(iter(found))
    if found:
        said = " and ".join(f"{name} ({count:,} lines)" for name, count in found.items())
        raise FileError(f"{path}: looks like {said}; say which with --as")
    known = ", ".join(FORMATS)
    binary = "is a binary file that is no event file of TensorBoard" if b"\0" in content[:4096] else "looks like none"
    raise FileError(
        f"{path}: {binary}; known formats: {known}" + ("" if "binary" in binary else "; say which with --as")
    )


def _hint(content: bytes, format: str) -> str:
    """Which other format it looks like, where there is one."""
    others = [name for name in looks_like(content) if name != format]
    return f"; it looks like {' or '.join(others)}: --as {others[0]}" if others else ""


__all__ = ["FORMATS", "MOST_BYTES", "Format", "History", "Options", "looks_like", "read"]
