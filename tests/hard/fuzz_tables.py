"""Fuzzer of tables and of folders of pictures: CSV and Parquet with changed bytes, cells, types and pictures."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

from . import fuzzing

_CELLS = (
    "1", "0", "-1", "2.5", "1e300", "1e400", "nan", "inf", "-inf", "", "NA", "x", "a b", "1,5", '"1,5"', '"', '""', "'",
    "True", "9223372036854775808", "-9223372036854775809", "9" * 400, "0x10", "2026-01-01", "?", "\u2028", "\x00",
    "\x1b[31m", "é", "1_000", " 1 ", "a" * 5000, "=1+1",
)  # fmt: skip
_NAMES = (
    "label",
    "class",
    "x",
    "y",
    "id",
    "pixel0",
    "pixel1",
    "pixel2",
    "pixel3",
    "",
    "a,b",
    "1",
    "Label",
    "\x00",
    "é",
)
_FILES = ("a.csv", "a.tsv", "a.csv.gz", "a.parquet", "folder")


def case(draw: random.Random, place: Path) -> str:
    """One table, or a folder of tables or pictures, loaded as a data set."""
    from assay.data.datasets import load
    from assay.data.prepare import Preparation, prepare

    name = draw.choice(_FILES)
    path = place / name
    if name == "folder":
        _folder(draw, path)
    else:
        path.write_bytes(_content(draw, name))
    label = draw.choice((None, None, None, "label", "0", "x"))
    data = load(path, label=label, test=draw.choice((None, None, 0.5, 1, 3)), size=draw.choice((None, None, (3, 2))))
    _ = data.checksum, data.classes, data.notes
    prepare(data, Preparation("standardise-features", "float32"))
    return "taken"


def _content(draw: random.Random, name: str) -> bytes:
    if name.endswith("parquet"):
        content = _parquet(draw)
        if draw.random() < 0.6:  # also in the footer, where pyarrow reads what it allocates
            content = fuzzing.changed(draw, content, most=3)
        return content
    content = _csv(draw, "\t" if name.endswith("tsv") else draw.choice((",", ",", ";", "|"))).encode("utf-8", "replace")
    if draw.random() < 0.3:
        content = fuzzing.changed(draw, content)
    if name.endswith("gz"):
        content = gzip.compress(content if draw.random() < 0.9 else bytes(2**29 + 10), 1)
        return fuzzing.changed(draw, content, most=2) if draw.random() < 0.3 else content
    return content


def _csv(draw: random.Random, separator: str) -> str:
    columns, rows = draw.randint(1, 6), draw.choice((0, 1, 8, 30))
    odd = draw.choice((0.0, 0.0, 0.02, 0.3))
    names = ["label", *(f"c{i}" for i in range(columns))]
    lines = [[draw.choice(_NAMES) if draw.random() < odd else name for name in names]] if draw.random() < 0.9 else []
    for i in range(rows):
        cells = [str(i % 3), *(f"{draw.random():.3f}" for _ in range(columns))]
        lines.append([draw.choice(_CELLS) if draw.random() < odd else cell for cell in cells])
        if draw.random() < odd / 4:
            lines[-1] = lines[-1][: draw.randrange(3)] * draw.randint(1, 4)
    return draw.choice(("\n", "\n", "\r\n")).join(separator.join(line) for line in lines)


def _parquet(draw: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = draw.choice((1, 8, 30))
    makers: tuple[Any, ...] = (
        lambda: pa.array([draw.random() for _ in range(rows)]),
        lambda: pa.array([draw.choice((1, 2, None, 2**63 - 1)) for _ in range(rows)], pa.int64()),
        lambda: pa.array([draw.choice(("a", "b", "")) for _ in range(rows)]),
        lambda: pa.array([draw.random() < 0.5 for _ in range(rows)]),
        lambda: pa.array([[1, 2]] * rows),
        lambda: pa.array([{"bytes": _picture(draw), "path": None} for _ in range(rows)]),
        lambda: pa.array([None] * rows),
        lambda: pa.array(["a" * 10**6] * rows).dictionary_encode(),
        lambda: pa.array([0] * rows, pa.timestamp("ns")),
        lambda: pa.array([0.5] * rows, pa.float16()),
    )
    few = draw.random() < 0.6
    columns: dict[str, Any] = {
        f"c{i}": (makers[0] if few else draw.choice(makers))() for i in range(draw.randint(1, 3))
    }
    if draw.random() < 0.3:
        columns["image"] = makers[5]()
    columns["label"] = pa.array([i % 2 for i in range(rows)]) if draw.random() < 0.9 else draw.choice(makers)()
    table = pa.table(columns)
    if draw.random() < 0.4:
        about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": fuzzing.value(draw)}}}}
        text = json.dumps(about if draw.random() < 0.7 else fuzzing.value(draw)) if draw.random() < 0.9 else "{"
        table = table.replace_schema_metadata({"huggingface": text.encode("utf-8", "replace")})
    file = io.BytesIO()
    pq.write_table(table, file, compression=draw.choice(("snappy", "none", "gzip", "zstd", "brotli", "lz4")))
    return file.getvalue()


def _picture(draw: random.Random) -> bytes | None:
    from PIL import Image

    if draw.random() < 0.05:
        return draw.choice((None, b"", b"\x89PNG\r\n\x1a\n", draw.randbytes(40)))
    mode = draw.choice(("L", "L", "RGB", "RGBA", "1", "I;16")) if draw.random() < 0.1 else "L"
    file = io.BytesIO()
    Image.new(mode, (2, 3) if draw.random() < 0.95 else (4, 1)).save(file, "PNG")
    content = file.getvalue()
    return fuzzing.changed(draw, content, most=2) if draw.random() < 0.03 else content


def _folder(draw: random.Random, folder: Path) -> None:
    kind = draw.randrange(3)
    parts = draw.choice((("train", "test"), ("",), ("train", "val"), ("train",), ("training", "test", "valid")))
    for part in parts:
        if kind == 0:
            _pictures(draw, folder / part)
        elif kind == 1:
            folder.mkdir(exist_ok=True)
            name = f"{part or 'train'}{draw.choice(('', '-00000-of-00001', '-00000-of-00002'))}"
            (folder / f"{name}.parquet").write_bytes(_content(draw, "a.parquet"))
        else:
            folder.mkdir(exist_ok=True)
            (folder / f"{draw.choice(('', 'set_'))}{part or 'x'}.csv").write_bytes(_content(draw, "a.csv"))


def _pictures(draw: random.Random, folder: Path) -> None:
    for label in ("a", "b", draw.choice(("a", "b", "c", "\x1b[31m", "é"))):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(draw.randint(1, 4)):
            name = f"{number}{draw.choice(('.png', '.png', '.jpg', '.txt', '.PNG'))}"
            (folder / label / name).write_bytes(_picture(draw) or b"")
        if draw.random() < 0.05:
            (folder / label / "inner").mkdir(exist_ok=True)


def warm() -> None:
    """Imports what the cases need."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    from PIL import Image

    import assay.data.datasets  # noqa: F401

    Image.init()


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("tables", case, seed, cases, warm=warm)
