"""Fuzzer of bundles: bytes, entries, tables and JSON that were changed, with their checksums redone or not."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

from . import fuzzing

_BUNDLES: list[dict[str, bytes]] = []
_REPORTS: list[Any] = []
_DEEP = ("data/studies.json", "data/claims.json", "results.json", "claims.json", "README.md", "environment.json")
_NAMES = ("../x", "/x", "a\\b", "a//b", "./x", "C:/x", "data/", "x" * 300, "", " ", "\x00", "é", "data/trials.csv")
_CLAIMS = {
    "claims": [
        {
            "id": "a",
            "text": "It learns",
            "rule": "threshold",
            "side": {"configuration": "baseline"},
            "at_least": "50 %",
        },
        {
            "id": "b",
            "text": "It is not worse",
            "rule": "less",
            "left": {"configuration": "baseline"},
            "right": {"configuration": "baseline"},
        },
    ]
}


def case(draw: random.Random, place: Path) -> str:
    """One changed bundle, verified: "refused" where it cannot be read, "taken" where it is judged."""
    from assay.claims.bundles import derived
    from assay.claims.bundles.verifying import verify

    derived._reports = _REPORTS[0] if draw.random() < 0.02 else lambda content, studies: {}
    path = place / "b.zip"
    path.write_bytes(_changed(draw, dict(draw.choice(_BUNDLES))))
    if draw.random() < 0.05:
        return fuzzing.command("verify", str(path), "--sample", "1", *draw.choice(((), ("--json",), ("--csv",))))
    made = verify(path, sample=draw.choice((0, 0, 0, 1)), seed=draw.randrange(9))
    assert [entry.name for entry in place.iterdir()] == ["b.zip"], "wrote a file"
    for finding in made.findings:
        assert finding.sentence and len(finding.sentence) < 20_000
    json.dumps(made.plain())
    return "refused" if {finding.kind for finding in made.findings} & {"file", "row"} else "taken"


def _changed(draw: random.Random, files: dict[str, bytes]) -> bytes:
    from assay.claims.bundles.archive import packed

    how = draw.random()
    if how < 0.15:
        return fuzzing.changed(draw, packed(files))
    for _ in range(draw.choice((1, 1, 2, 3))):
        _change_file(draw, files)
    if draw.random() < 0.8:
        _redo_hashes(files)
    if how < 0.3:
        return _odd_zip(draw, files)
    return packed(files)


def _change_file(draw: random.Random, files: dict[str, bytes]) -> None:
    deep = [name for name in _DEEP if name in files]  # what is looked at only where every row is sound
    name = draw.choice(deep) if deep and draw.random() < 0.6 else draw.choice(sorted(files))
    if name.endswith(".html"):
        return
    how = draw.random()
    if how < 0.05:
        del files[name]
    elif how < 0.1:
        files[draw.choice(_NAMES[-2:]) + str(draw.randrange(9))] = files[name]
    elif name.endswith(".csv") and how < 0.9:
        files[name] = _changed_table(draw, files[name])
    elif name.endswith(".json") and how < 0.9:
        try:
            table = json.loads(files[name])
            _change(draw, table)
            files[name] = json.dumps(table).encode("utf-8", "surrogatepass")
        except (ValueError, TypeError):
            files[name] = fuzzing.changed(draw, files[name])
    else:
        files[name] = fuzzing.changed(draw, files[name])


def _changed_table(draw: random.Random, content: bytes) -> bytes:
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    except (ValueError, csv.Error):  # an earlier change
        return fuzzing.changed(draw, content)
    if len(rows) < 2:
        return content
    at, how = draw.randrange(len(rows)), draw.random()
    if how < 0.1:
        del rows[at]
    elif how < 0.2:
        rows.insert(at, list(draw.choice(rows)))
    elif how < 0.25:
        draw.shuffle(rows)
    elif rows[at]:
        column = draw.randrange(len(rows[at]))
        cell = rows[at][column]
        if cell[:1] in ("{", "[") and draw.random() < 0.8:
            try:
                table = json.loads(cell)
                _change(draw, table)
                rows[at][column] = json.dumps(table)
            except ValueError:
                rows[at][column] = ""
        else:
            rows[at][column] = str(fuzzing.value(draw)).encode("utf-8", "replace").decode()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _change(draw: random.Random, value: Any) -> None:
    """Changes one entry somewhere in plain data."""
    if not isinstance(value, dict | list) or not value:
        return
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value[key], dict | list) and value[key] and draw.random() < 0.8:
        _change(draw, value[key])
    elif draw.random() < 0.15:
        del value[key]
    elif isinstance(value, dict) and draw.random() < 0.1:
        value[fuzzing.word(draw)] = fuzzing.value(draw)
    else:
        value[key] = fuzzing.value(draw)


def _redo_hashes(files: dict[str, bytes]) -> None:
    """Gives the manifest the checksums of the changed files, as a forger would."""
    import hashlib

    try:
        table = json.loads(files["manifest.json"])
        table["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
            if name != "manifest.json"
        }
        files["manifest.json"] = json.dumps(table).encode("utf-8", "surrogatepass")
    except (KeyError, ValueError, TypeError):  # an earlier change
        return


def _odd_zip(draw: random.Random, files: dict[str, bytes]) -> bytes:
    """A zip file as no bundle is: odd names, links, other methods, changed headers."""
    import warnings

    target = io.BytesIO()
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in files.items():
            entry = zipfile.ZipInfo(draw.choice(_NAMES) if draw.random() < 0.05 else name)
            entry.compress_type = method
            entry.external_attr = draw.choice((0, 0, 0, 0o120777 << 16, 0o60644 << 16)) if draw.random() < 0.1 else 0
            archive.writestr(entry, data)
        if draw.random() < 0.1:
            archive.writestr("data/zeros", bytes(draw.choice((2**20, 70 * 2**20))))
        archive.comment = b"x" * draw.choice((0, 0, 0, 10, 60_000))
    data = bytearray(target.getvalue())
    if draw.random() < 0.5:  # a header of the directory
        ats = [n for n in range(len(data)) if data.startswith((b"PK\1\2", b"PK\5\6", b"PK\3\4"), n)]
        at = draw.choice(ats) + draw.randrange(4, 30)
        data[at : at + 4] = draw.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\1\0\0\0", bytes([draw.randrange(256)]) * 4)
        )
    return bytes(data)


def warm() -> None:
    """Makes the bundles that are changed."""
    import tempfile

    from assay.claims.bundles import derived
    from assay.claims.bundles.archive import unpacked
    from assay.claims.bundles.content import About
    from assay.claims.bundles.publishing import publish
    from assay.store.store import Store
    from tests.hard.fuzz_exports import filled
    from tests.store.makers import made_end, made_plan

    root = Path(tempfile.mkdtemp(prefix="assay-fuzz-bundles-", dir=fuzzing.MEMORY_FOLDER))
    store = Store(str(root / "s.db"))
    filled(store, made_plan(3), made_end)
    _REPORTS.append(derived._reports)
    for number, (claims, parquet) in enumerate(((_CLAIMS, False), (None, False), (None, True))):
        about = About("made", authors=("Lovelace, Ada",), licence="MIT", parquet=parquet)
        if number:
            derived._reports = lambda content, studies: {}
        path = publish(store, about, ["made"], root / f"{number}.zip", claims=claims).path
        _BUNDLES.append(unpacked(path)[0])
        fuzzing.command("verify", str(path), "--sample", "1", "--json")


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("bundles", case, seed, cases, warm=warm)
