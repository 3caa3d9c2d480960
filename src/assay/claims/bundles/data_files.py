"""The files of a bundle that hold its data: written from the content, and read back to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.claims.bundles import layout, tables
from assay.claims.bundles.content import About, Content
from assay.errors import AssayError
from assay.system.limits import BUNDLE_STUDIES, BUNDLE_TEXT_BYTES


def data_files(content: Content) -> dict[str, bytes]:
    """The files that everything else in a bundle is made from."""
    parquet = content.about.parquet
    rows = {"trials": content.trials, "members": content.members, "curves": content.points}
    files = {
        layout.table_file(name, parquet=parquet): tables.written(rows[name], columns, parquet=parquet)
        for name, columns in tables.TABLES.items()
    }
    files |= {name: json_bytes(plain) for name, plain in _plain_files(content).items()}
    return files | {layout.EXTRA + name: data for name, data in content.extra.items()}


def data_names(content: Content) -> set[str]:
    """The names of `data_files`."""
    named = {layout.table_file(name, parquet=content.about.parquet) for name in tables.TABLES}
    return named | set(_plain_files(content)) | {layout.EXTRA + name for name in content.extra}


def _plain_files(content: Content) -> dict[str, object]:
    """What the JSON files hold, by name."""
    plain: dict[str, object] = {layout.STUDIES: list(content.studies), layout.MACHINES: content.machines}
    if content.imported:
        plain[layout.IMPORTED] = content.imported
    if content.claims:
        plain[layout.CLAIMS_SOURCE] = dict(content.claims)
    return plain


def json_bytes(value: object) -> bytes:
    """Plain data as JSON that people can read."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def content_of(files: Mapping[str, bytes], about: About) -> tuple[Content, list[str]]:
    """The content that the files of a bundle hold, and what is wrong with them, a sentence each."""
    problems: list[str] = []
    rows: dict[str, list[tables.Row]] = {}
    for name, columns in tables.TABLES.items():
        file, rows[name] = layout.table_file(name, parquet=about.parquet), []
        if file not in files:
            problems.append(f"{file}: is missing")
            continue
        try:
            rows[name] = tables.read(files[file], columns, parquet=about.parquet, most=tables.MOST[name])
        except (ValueError, AssayError, KeyError, TypeError, OSError) as error:
            problems.append(f"{file}: {' '.join(str(error).split())[:300]}")
    studies = _plain(files, layout.STUDIES, list, problems)
    machines = _plain(files, layout.MACHINES, list, problems)
    imported = _plain(files, layout.IMPORTED, list, problems) if layout.IMPORTED in files else []
    claims = _plain(files, layout.CLAIMS_SOURCE, dict, problems) if layout.CLAIMS_SOURCE in files else {}
    if len(studies) > BUNDLE_STUDIES.most:
        problems.append(f"{layout.STUDIES}: has {len(studies):,} studies; expected at most {BUNDLE_STUDIES}")
        studies = []
    if not all(_is_study(study) for study in studies):
        problems.append(f"{layout.STUDIES}: expected tables with the name and the definition of each study")
        studies = []
    extra = {name.removeprefix(layout.EXTRA): data for name, data in files.items() if name.startswith(layout.EXTRA)}
    content = Content(
        about, tuple(studies), rows["members"], rows["trials"], rows["curves"], machines, imported, claims, extra
    )
    return content, problems


def _is_study(study: Any) -> bool:
    return (
        isinstance(study, dict)
        and set(study) == {"name", "definition"}
        and isinstance(study["name"], str)
        and isinstance(study["definition"], dict)
    )


def _plain(files: Mapping[str, bytes], name: str, kind: type, problems: list[str]) -> Any:
    """The JSON of a file: a list of tables, or a table."""
    if name not in files:
        problems.append(f"{name}: is missing")
        return kind()
    if len(files[name]) > BUNDLE_TEXT_BYTES.most:
        problems.append(f"{name}: has {len(files[name]):,} bytes; expected at most {BUNDLE_TEXT_BYTES}")
        return kind()
    try:
        value = json.loads(files[name].decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        problems.append(f"{name}: not JSON: {str(error)[:200]}")
        return kind()
    if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(entry, dict) for entry in value)):
        problems.append(f"{name}: expected a {'list of tables' if kind is list else 'table'}")
        return kind()
    return value


def _refuse(word: str) -> Any:
    raise ValueError(f"holds {word}")
