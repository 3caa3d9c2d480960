"""JSON: an object per line, a list of them, lists by name, the state of Hugging Face's Trainer; also Python's dicts.

A line such as `{'loss': 0.31, 'epoch': 1.0}` is what Hugging Face's Trainer prints.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple, cast

from assay.errors import AssayError, FileError
from assay.logs.columns import meaning, normalised
from assay.logs.lines import lines_of, plain_numbers
from assay.logs.log import QUANTITIES, Options, Reading
from assay.logs.tables import Line, read_rows
from assay.system.limits import LOG_COLUMNS, LOG_OBJECT_CHARACTERS

MOST_CHARACTERS = LOG_OBJECT_CHARACTERS.most
"""The length limit of a line with an object."""
_BARE = re.compile(r"(?<=[:\[,])(\s*)(-?)(nan|inf|NaN|Infinity)(?=\s*[,}\]])")
_STEPS = ("iteration", "epoch")


class _Document(NamedTuple):
    entries: list[dict[str, Any]]
    framework: str
    note: str


def looks_json(content: bytes) -> int:
    """The number of objects with a measured quantity."""
    document = _document(content)
    if document is not None:
        return len(document.entries)
    found = (_object(text) for text in lines_of(content) if "{" in text)
    return sum(entry is not None and _is_measured(entry) for entry in found)


def read_json(content: bytes, options: Options) -> Reading:
    """Reads the objects, each as a row. Raises: AssayError."""
    document = _document(content)
    lines: list[Line] = []
    if document is not None:
        reading = Reading(kind="entry", lines=len(document.entries), framework=document.framework)
        if document.note:
            reading.notes.append(document.note)
        objects = list(enumerate(document.entries, 1))
    else:
        texts = lines_of(content)
        reading = Reading(lines=len(texts))
        parsed = [(number, _object(text)) for number, text in enumerate(texts, 1)]
        objects = [(number, entry) for number, entry in parsed if entry is not None]
        reading.ignored = len(texts) - len(objects)
    for number, entry in objects:
        lines.append(Line(number, "", _cells(entry)))
    names = list(dict.fromkeys(name for line in lines for name in line.cells))
    if len(names) > LOG_COLUMNS.most:
        raise AssayError(f"the objects have {len(names):,} names; expected those of a training log")
    if "eval_loss" in names or "train_runtime" in names:
        reading.framework = reading.framework or "Hugging Face Trainer"
    if [normalised(name) for name in names] == ["wall_time", "step", "value"] and not (
        set(QUANTITIES) & set(options.columns)
    ):
        raise AssayError(
            "this export of TensorBoard holds one quantity, in 'Value', and does not say which; "
            "such as --column validation_loss=Value"
        )
    read_rows(reading, names, lines, options, comma=False, source="a log")
    return reading


def names_of(content: bytes) -> list[str]:
    """The names in the objects of a content; none where it holds no object."""
    try:
        document = _document(content)
        entries = document.entries if document else [e for t in lines_of(content) if (e := _object(t)) is not None]
    except FileError:
        return []
    return list(dict.fromkeys(name for entry in entries[:1000] for name in _cells(entry)))


def _is_measured(entry: dict[str, Any]) -> bool:
    known = {target[0] for name in _cells(entry) if (target := meaning(name))}
    return bool(known & set(QUANTITIES))


def _object(text: str) -> dict[str, Any] | None:
    """The object in a line, which may follow a logger's prefix or a progress bar; None where there is none."""
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin or end - begin > MOST_CHARACTERS:
        return None
    written = text[begin : end + 1]
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(_BARE.sub(r"\1'\2\3'", plain_numbers(written)))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _document(content: bytes) -> _Document | None:
    """The entries of a file that is one JSON value; None for any other file. Raises: FileError for a binary file."""
    stripped = content.lstrip(b"\xef\xbb\xbf \r\n\t")
    if stripped[:1] not in (b"{", b"["):
        return None
    text = "\n".join(lines_of(content)).strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _object(text.replace("\n", " ")) if len(text) <= MOST_CHARACTERS else None
        if value is not None and not any(isinstance(item, list) for item in value.values()):
            return None
    return _entries(value, depth=0)


def _entries(value: Any, *, depth: int) -> _Document | None:
    """The entries of a JSON value: its list of objects or of numbers, its lists by name, or those of one member."""
    if isinstance(value, list) and value:
        items = cast("list[Any]", value)
        if all(isinstance(item, dict) for item in items):
            return _Document(items, "", "")
        if all(isinstance(item, list) and len(cast("list[Any]", item)) == 3 for item in items):
            names = ("Wall time", "Step", "Value")
            return _Document([dict(zip(names, item, strict=True)) for item in items], "TensorBoard's export", "")
        return None
    if not isinstance(value, dict):
        return None
    members = cast("dict[str, Any]", value)
    if isinstance(members.get("log_history"), list):
        history = [entry for entry in members["log_history"] if isinstance(entry, dict)]
        return _Document(history, "Hugging Face Trainer", "")
    columns = {name: item for name, item in members.items() if isinstance(item, list) and item and _flat(item)}
    known = {target[0] for name in columns if (target := meaning(name))}
    if known & set(QUANTITIES):
        return _by_name(columns, known)
    inner = [found for item in members.values() if depth < 2 and (found := _entries(item, depth=depth + 1))]
    return inner[0] if len(inner) == 1 else None


def _flat(items: list[Any]) -> bool:
    return not any(isinstance(item, (dict, list)) for item in items)


def _by_name(columns: dict[str, list[Any]], known: set[str]) -> _Document:
    """Rows of lists by name, as Keras' History holds them: the entries of a list are epochs."""
    length = max(len(items) for items in columns.values())
    entries: list[dict[str, Any]] = [
        {name: items[i] for name, items in columns.items() if i < len(items)} for i in range(length)
    ]
    note = ""
    short = [name for name, items in columns.items() if len(items) < length]
    if not known & set(_STEPS):
        entries = [{"epoch": i + 1} | entry for i, entry in enumerate(entries)]
        note = "the entries of the lists are read as epochs 1, 2, ..."
        if short:
            raise AssayError(f"the lists have different lengths, and nothing says their steps: {', '.join(short[:5])}")
    return _Document(entries, "", note)


def _cells(entry: dict[str, Any], prefix: str = "", depth: int = 0) -> dict[str, str]:
    """The numbers and texts of an object by name; those of inner objects by both names."""
    cells: dict[str, str] = {}
    for key, value in entry.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and depth < 3:
            cells |= _cells(cast("dict[str, Any]", value), f"{name}/", depth + 1)
        elif isinstance(value, bool) or value is None:
            continue
        elif isinstance(value, (int, float)):
            cells[name] = str(float(value)) if isinstance(value, float) else _whole(value)
        elif isinstance(value, str) and len(value) <= 200:
            cells[name] = plain_numbers(value)
    return cells


def _whole(value: int) -> str:
    return str(value) if abs(value) < 10**18 else "1e18"
