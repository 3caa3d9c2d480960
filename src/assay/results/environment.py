"""The machines, engines and library versions of a study's trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.report.text import counted
from assay.system.gpu import gpu_text
from assay.system.machine import GPU

_ENVIRONMENT = {"level": "instruction level"}


def environment(rows: Sequence[Mapping[str, Any]], machines: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (name, text) on the trials of `rows`, which ran on `machines`, by their descriptions."""
    entries: dict[str, list[str]] = {}
    for description in machines:
        # a machine is one under every version of Assay; the one in its description is that of its first trial
        libraries = {name: v for name, v in description.get("versions", {}).items() if name != "assay"}
        versions = ", ".join(f"{name} {version}" for name, version in libraries.items())
        place = f"{description.get('cpu')}, {counted(description.get('cores', 0), 'core')}, {description.get('system')}"
        place += f", GPU {gpu_text(description[GPU])}" if GPU in description else ""
        entries.setdefault("machine", []).append(place)
        entries.setdefault("versions", []).append(versions)
        entries.setdefault("Python", []).append(str(description.get("python")))
    for row in rows:
        if row.get("origin") == "imported":
            log = f"{row['label']}: {row['file']} ({row['format']}), sha256 {row['sha256'][:16]}, {row['timing']}"
            entries.setdefault("imported", []).append(log)
    for column in ("engine", "level", "timing", "source_commit"):
        values = sorted({str(row[column]) for row in rows if row[column] is not None})
        entries[_ENVIRONMENT.get(column, column.replace("_", " "))] = values
    return [(name, "; ".join(dict.fromkeys(values))) for name, values in entries.items() if values]
