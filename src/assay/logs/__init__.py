"""Training logs of other frameworks, read into History: the table of formats, and the detection of a file's format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from assay.errors import AssayError, FileError, unknown
from assay.logs.curves import LogFile, history_of, problem_sentences
from assay.logs.log import Options, Reader
from assay.logs.matlab import looks_matlab, read_matlab
from assay.logs.printed import looks_flux, looks_pytorch, read_flux, read_pytorch
from assay.logs.separated import looks_csv, read_csv
from assay.logs.tensorboard import looks_tensorboard, read_tensorboard
from assay.training.history import History

MOST_BYTES = 256 * 2**20
"""The size limit of a file; a text log of this size has millions of lines."""


class Format(NamedTuple):
    """A log format.

    Attributes:
        read: parses the content of a file.
        looks: counts the lines of a content that look like this format.
        about: a description in one line.
    """

    read: Reader
    looks: Callable[[bytes], int]
    about: str


FORMATS: dict[str, Format] = {
    "matlab": Format(read_matlab, looks_matlab, "the table that MATLAB's trainNetwork prints"),
    "flux": Format(read_flux, looks_flux, "lines such as --->Train, epoch: 1, loss: 0.5, time: 1.2"),
    "pytorch": Format(read_pytorch, looks_pytorch, "lines such as --->Train epoch 0, loss: 0.5, time: 1.2"),
    "csv": Format(read_csv, looks_csv, "a table of separated values with a header"),
    "tensorboard": Format(read_tensorboard, looks_tensorboard, "an event file of TensorBoard"),
}


def read(path: str | Path, format: str | None = None, options: Options | None = None, *, name: str = "") -> History:
    """Reads the curve in a training log, as a History with a `source`.

    Args:
        path: of the log file.
        format: a name in FORMATS; by default the format is detected.
        options: what the log itself does not state.
        name: of the curve; by default the name of the file.

    Raises: FileError for a file that is not a log of the format, AssayError for an option that does not fit.

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
    format = format or _detect(path, content)
    options = options or Options()
    try:
        reading = FORMATS[format].read(content, options)
    except AssayError as error:
        raise type(error)(f"{path}: {error}{_hint(content, format)}") from None
    if not reading.records:
        problem = f"has no record of the format {format} ({FORMATS[format].about}){_hint(content, format)}"
        raise FileError(f"{path}: {'; '.join([problem, *problem_sentences(reading)])}")
    file = LogFile(format=format, file=path.name, sha256=hashlib.sha256(content).hexdigest())
    try:
        return history_of(reading, options, file, name=name or path.stem)
    except AssayError as error:
        raise type(error)(f"{path}: {error}") from None


_SAMPLE = 2**20  # bytes from which the format is detected, unless they match none


def looks_like(content: bytes) -> Mapping[str, int]:
    """The formats that a content looks like, each with the number of matching lines; a table only if nothing else."""
    return _matches(content[:_SAMPLE]) or (_matches(content) if len(content) > _SAMPLE else {})


def _matches(content: bytes) -> dict[str, int]:
    if looks_tensorboard(content):
        return {"tensorboard": 1}
    matches: dict[str, int] = {}
    for name, entry in FORMATS.items():
        try:
            count = entry.looks(content)
        except FileError:  # a binary file
            continue
        if count and not (name == "csv" and matches):
            matches[name] = count
    return matches


def _content(path: Path) -> bytes:
    """The content of a file, after a check of its size. Raises: FileError."""
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


def _detect(path: Path, content: bytes) -> str:
    """The one format that a content looks like. Raises: FileError."""
    matches = looks_like(content)
    if len(matches) == 1:
        return next(iter(matches))
    if matches:
        formats = " and ".join(f"{name} ({count:,} lines)" for name, count in matches.items())
        raise FileError(f"{path}: looks like {formats}; choose one with --as")
    known = ", ".join(FORMATS)
    if b"\0" in content[:4096]:
        raise FileError(f"{path}: is a binary file but not an event file of TensorBoard; known formats: {known}")
    raise FileError(f"{path}: looks like no known format; known formats: {known}; choose one with --as")


def _hint(content: bytes, format: str) -> str:
    """The end of an error that names the other format that the content looks like, if there is one."""
    others = [name for name in looks_like(content) if name != format]
    return f"; it looks like {' or '.join(others)}: --as {others[0]}" if others else ""


__all__ = ["FORMATS", "MOST_BYTES", "Format", "History", "Options", "looks_like", "read"]
