"""Training logs of other frameworks, read into History: the table of formats, and the detection of a file's format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from assay.errors import AssayError, FileError, unknown
from assay.logs.columns import meaning, normalised
from assay.logs.curves import LogFile, histories_of, problem_sentences
from assay.logs.documents import looks_json, names_of, read_json
from assay.logs.folders import read_folder, split_of
from assay.logs.keras import looks_keras, read_keras
from assay.logs.lines import number_of
from assay.logs.log import QUANTITIES, Options, Reader, Reading
from assay.logs.matlab import looks_matlab, read_matlab
from assay.logs.pattern import looks_pattern, read_pattern
from assay.logs.printed import looks_flux, looks_pytorch, read_flux, read_pytorch
from assay.logs.separated import header_of, looks_csv, read_csv
from assay.logs.tensorboard import looks_tensorboard, read_tensorboard
from assay.logs.text import looks_text, read_text
from assay.system.file_kinds import SIGNATURES
from assay.system.limits import LOG_BYTES
from assay.training.history import History

MOST_BYTES = LOG_BYTES.most
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
    "keras": Format(read_keras, looks_keras, "the progress bars of Keras, each after Epoch 1/10"),
    "json": Format(read_json, looks_json, "JSON or Python's dicts: one per line, a list, or trainer_state.json"),
    "csv": Format(read_csv, looks_csv, "a table with a header"),
    "tensorboard": Format(read_tensorboard, looks_tensorboard, "an event file of TensorBoard"),
    "text": Format(read_text, looks_text, "lines that name a step and their numbers, such as epoch 3: loss 0.41"),
    "pattern": Format(read_pattern, looks_pattern, "lines that match --pattern"),
}
_WEAK = ("csv", "text")  # formats that a content looks like only if it looks like no other, in this order


def read(path: str | Path, format: str | None = None, options: Options | None = None, *, name: str = "") -> History:
    """Reads the curve in a training log, as a History with a `source`.

    Args:
        path: of the log file, or of a folder with the event files of a run.
        format: a name in FORMATS; by default the format is detected.
        options: what the log itself does not state.
        name: of the curve; by default the name of the file.

    Returns:
        The curve. Of a file with several trainings it is that of the first, and a note says so; see `read_all`.

    Raises: FileError for a file that is not a log of the format, AssayError for an option that does not fit.

    >>> import assay.logs, tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "run.log"
    >>> _ = log.write_text("--->Train epoch 0, loss: 0.5, time: 2\\n--->Valid epoch 0, accuracy: 0.9, time: 1")
    >>> history = assay.logs.read(log)
    >>> history.source.framework, history.final.validation_accuracy, history.final.seconds
    ('PyTorch', 0.9, 2.0)
    """
    return read_all(path, format, options, name=name)[0]


def read_all(
    path: str | Path, format: str | None = None, options: Options | None = None, *, name: str = ""
) -> list[History]:
    """Reads the curves of all trainings in a log, as `read` reads the first.

    Args:
        path: of the log file, or of a folder with the event files of a run.
        format: a name in FORMATS; by default the format is detected.
        options: what the log itself does not state.
        name: of the first curve; the further ones add their number to it.

    Raises: FileError for a file that is not a log of the format, AssayError for an option that does not fit.

    >>> import assay.logs, tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "twice.csv"
    >>> _ = log.write_text("epoch,val_acc\\n1,0.8\\n2,0.9\\n1,0.7\\n2,0.95\\n")
    >>> [(history.source.name, history.final.validation_accuracy) for history in assay.logs.read_all(log)]
    [('twice', 0.9), ('twice (training 2)', 0.95)]
    """
    path = Path(path)
    options = options or Options()
    if format is not None and format not in FORMATS:
        raise AssayError(unknown("format", format, FORMATS))
    if options.patterns and format not in (None, "pattern"):
        raise AssayError(f"--as {format} and --pattern: expected one of them")
    if path.is_dir() and format in (None, "tensorboard") and not options.patterns:
        return _read_folder(path, options, name)
    content = _content(path)
    format = format or ("pattern" if options.patterns else _detect(path, content, options))
    options, note = _placed(path, format, options)
    try:
        _refuse_columns(format, options)
        reading = FORMATS[format].read(content, options)
    except AssayError as error:
        raise type(error)(f"{path}: {error}{_hint(content, format)}") from None
    if note:
        reading.notes.append(note)
    if not reading.records:
        problem = f"has no record of the format {format} ({FORMATS[format].about}){_hint(content, format)}"
        raise FileError(f"{path}: {'; '.join([problem, *problem_sentences(reading)])}")
    file = LogFile(format=format, file=path.name, sha256=hashlib.sha256(content).hexdigest())
    return _histories(path, reading, options, file, name=name or _name_of(path), named=bool(name))


def _histories(
    path: Path, reading: Reading, options: Options, file: LogFile, *, name: str, named: bool
) -> list[History]:
    try:
        return histories_of(reading, options, file, name=name, named=named)
    except AssayError as error:
        raise type(error)(f"{path}: {error}") from None


def _read_folder(path: Path, options: Options, name: str) -> list[History]:
    """The curves of a folder with the event files of a run. Raises: FileError, AssayError."""
    folder = path.resolve()
    try:
        reading, sha256 = read_folder(path, options, MOST_BYTES)
    except FileError:
        raise
    except AssayError as error:
        raise type(error)(f"{path}: {error}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not reading.records:
        raise FileError(f"{path}: {'; '.join(['its event files have no record', *problem_sentences(reading)])}")
    file = LogFile(format="tensorboard", file=folder.name, sha256=sha256)
    run = folder.parent.name if split_of(folder.name) else folder.name
    return _histories(path, reading, options, file, name=name or run or "run", named=bool(name))


def _name_of(path: Path) -> str:
    """The name of a curve: that of the file without its suffix, for an event file that of its run's folder."""
    if "tfevents" not in path.name:
        return path.stem
    folder = path.resolve().parent
    return (folder.parent.name if split_of(folder.name) else folder.name) or path.name


def _placed(path: Path, format: str, options: Options) -> tuple[Options, str]:
    """The options that the place and the name of a file add, and a note on them."""
    folder = path.resolve().parent.name
    if format == "tensorboard" and folder.isalpha() and split_of(folder) not in ("", "train"):
        note = f"tags that name no set of examples are of {split_of(folder)}, as the folder {folder!r} says"
        return replace(options, split=split_of(folder)), note
    exported = re.search(r"[_-]tag-(.+?)(?: ?\(\d+\))?\.(?:csv|json)$", path.name)
    if format in ("csv", "json") and exported and not set(QUANTITIES) & set(options.columns):
        run = re.search(r"(?:run-)?(.*?)[_-]tag-", path.name)
        split = split_of(run[1]) if run else ""
        known = meaning(exported[1], split or "train")
        if known and known[0] in QUANTITIES:
            steps = options.steps or ("epoch" if normalised(exported[1]).startswith("epoch") else "")
            note = f"'Value' is {known[0].replace('_', ' ')}, as the name of the file says"
            if steps != options.steps:
                note += "; its steps are epochs"
            columns = {**options.columns, known[0]: "Value"}
            return replace(options, columns=columns, steps=steps), note
    return options, ""


_NAMED = ("csv", "json", "keras", "tensorboard", "text", "pattern")


def _refuse_columns(format: str, options: Options) -> None:
    if options.columns and format not in _NAMED:
        raise AssayError(f"--column is for the formats {', '.join(_NAMED)}; the quantities of {format} have no names")


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
        if count and not (name in _WEAK and matches):
            matches[name] = count
    return matches


def _content(path: Path) -> bytes:
    """The content of a file, after a check of its size. Raises: FileError."""
    try:
        if path.is_dir():
            raise FileError(f"{path}: a folder; expected a log file, or the event files of TensorBoard in it")
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


def _detect(path: Path, content: bytes, options: Options) -> str:
    """The one format that a content looks like; with --column one that has these columns. Raises: FileError."""
    matches = looks_like(content)
    if options.columns and not looks_tensorboard(content):
        named = [name for name, names in _names(content).items() if set(options.columns.values()) <= set(names)]
        if named:
            return named[0]
    if len(matches) == 1:
        return next(iter(matches))
    if matches:
        formats = " and ".join(f"{name} ({count:,} lines)" for name, count in matches.items())
        raise FileError(f"{path}: looks like {formats}; choose one with --as")
    if kind := next((kind for mark, kind in _FOREIGN if content.startswith(mark)), ""):
        raise FileError(f"{path}: {kind}")
    known = ", ".join(FORMATS)
    if b"\0" in content[:4096]:
        raise FileError(f"{path}: is a binary file but not an event file of TensorBoard; known formats: {known}")
    if names := [name for names in _names(content).values() for name in names][:20]:
        raise FileError(
            f"{path}: looks like a table of {', '.join(map(repr, names))}; its names do not say which is the step "
            "and which a loss or an accuracy; say so, such as --column epoch=NAME --column test_accuracy=NAME"
        )
    raise FileError(
        f"{path}: looks like no known format; known formats: {known}; choose one with --as, "
        "or read its lines with --pattern"
    )


def _names(content: bytes) -> dict[str, list[str]]:
    """The names of columns by format, in a content that has any."""
    try:
        objects, header = names_of(content), header_of(content)
    except FileError:
        return {}
    table = (
        len(header) > 1
        and all(number_of(name) is None and ": " not in name for name in header)
        and content.count(b"\n") > 1
    )
    return {**({"json": objects} if objects else {}), **({"csv": header} if table and not objects else {})}


_FOREIGN = (
    (SIGNATURES["zip"], "a zip, as .xlsx, .npz, .pt and .keras files are; export the numbers as CSV"),
    (SIGNATURES["hdf5"], "an HDF5 file; export the numbers as CSV"),
    (SIGNATURES["gzip"], "compressed with gzip; unpack it first"),
    (SIGNATURES["sqlite"], "an SQLite database, such as MLflow's or Optuna's; export the numbers as CSV"),
    (SIGNATURES["parquet"], "a Parquet file; export it as CSV"),
    (b"\x80\x04", "a pickle, which is never read; export the numbers as CSV or JSON"),
    (b"\x80\x05", "a pickle, which is never read; export the numbers as CSV or JSON"),
    (b"<!DOCTYPE", "a web page; save the raw file instead"),
    (b"<html", "a web page; save the raw file instead"),
    (SIGNATURES["pdf"], "a PDF; expected the numbers as text"),
)


def _hint(content: bytes, format: str) -> str:
    """The end of an error that names the other format that the content looks like, if there is one."""
    others = [name for name in looks_like(content) if name != format]
    return f"; it looks like {' or '.join(others)}: --as {others[0]}" if others else ""


__all__ = ["FORMATS", "MOST_BYTES", "Format", "History", "Options", "looks_like", "read", "read_all"]
