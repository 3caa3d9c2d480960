"""Bundles that were changed by someone who knows how they are made."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.claims.bundles.archive import packed, unpacked
from assay.claims.bundles.manifest import manifest, read_manifest

Change = Callable[[dict[str, bytes]], None]


def tampered(bundle: Path, target: Path, *changes: Change, hashes: bool = True) -> Path:
    """A bundle with changed files; `hashes`: whether the manifest has the new checksums."""
    files, problems = unpacked(bundle)
    assert not problems
    about = read_manifest(files["manifest.json"]).about
    made_with = json.loads(files["manifest.json"])["made_with"]
    for change in changes:
        change(files)
    if hashes:
        del files["manifest.json"]
        table = json.loads(manifest(about, files)) | {"made_with": made_with}
        files["manifest.json"] = json.dumps(table).encode()
    target.write_bytes(packed(files))
    return target


def rows(files: Mapping[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[f"data/{name}.csv"].decode(), newline="")))


def with_rows(files: dict[str, bytes], name: str, new: list[dict[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(new[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(new)
    files[f"data/{name}.csv"] = text.getvalue().encode()


def cells(name: str, number: int, **values: str) -> Change:
    """Changes cells of a row of a table."""

    def change(files: dict[str, bytes]) -> None:
        table = rows(files, name)
        table[number] |= values
        with_rows(files, name, table)

    return change


def plain(name: str, edit: Callable[[Any], None]) -> Change:
    """Changes the JSON of a file."""

    def change(files: dict[str, bytes]) -> None:
        table = json.loads(files[name])
        edit(table)
        files[name] = (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()

    return change


def raw(target: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], comment: bytes = b"") -> Path:
    """A zip file of any entries."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for name, content in entries:
            archive.writestr(name, content)
    return target
