"""What a file is that was given in place of another: by its first bytes, else by the ending of its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

SIGNATURES = {
    "git lfs": b"version https://git-lfs",
    "gzip": b"\x1f\x8b",
    "hdf5": b"\x89HDF",
    "jpeg": b"\xff\xd8\xff",
    "matlab": b"MATLAB 5.0 MAT-file",
    "numpy": b"\x93NUMPY",
    "parquet": b"PAR1",
    "pdf": b"%PDF",
    "png": b"\x89PNG",
    "sqlite": b"SQLite format 3",
    "zip": b"PK\x03\x04",
}
"""The first bytes of files that are given in place of others. What to do with one depends on what was expected."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (SIGNATURES["hdf5"], "an HDF5 file, such as Keras saves"),
    (SIGNATURES["sqlite"], "an SQLite database, such as a store of Assay"),
    (SIGNATURES["png"], "a PNG image"),
    (SIGNATURES["jpeg"], "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (SIGNATURES["pdf"], "a PDF document"),
    (SIGNATURES["parquet"], "a Parquet file"),
    (SIGNATURES["numpy"], "a NumPy array (.npy)"),
    (SIGNATURES["gzip"], "a gzip file"),
    (SIGNATURES["git lfs"], "a Git LFS pointer, not the file itself; `git lfs pull` fetches it"),
    (SIGNATURES["matlab"], "a MATLAB file"),
)

_ENDINGS: dict[str, str] = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), "a PyTorch checkpoint"),
    **dict.fromkeys((".h5", ".hdf5"), "an HDF5 file, such as Keras saves"),
    ".keras": "a Keras model",
    ".onnx": "an ONNX model",
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a Python pickle"),
    ".safetensors": "a safetensors file of weights",
    ".npz": "a NumPy archive (.npz)",
    ".npy": "a NumPy array (.npy)",
    ".toml": "a TOML file",
    ".json": "a JSON file",
    **dict.fromkeys((".yaml", ".yml"), "a YAML file"),
    ".csv": "a CSV file",
    ".parquet": "a Parquet file",
    ".html": "a web page",
    ".py": "a Python program",
    ".ipynb": "a Jupyter notebook",
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "an image"),
    ".gz": "a gzip file",
    ".zip": "a zip archive",
}

PICKLES = ("a PyTorch checkpoint", "a Python pickle")
"""Kinds that hold pickled objects, whose reading could run any code."""


def kind_of_name(path: Path) -> str:
    """What the ending of a file's name says, with an article; "" for any other ending.

    >>> kind_of_name(Path("net.pt"))
    'a PyTorch checkpoint'
    """
    return _ENDINGS.get(path.suffix.lower(), "")


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, such as a store, or the write-ahead log of one."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return start.startswith(SIGNATURES["sqlite"]) or start[:4] in (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


def kind_of_file(path: Path) -> str:
    """What a file is, with an article, or a folder; "" if that is unknown. Nothing in it is executed or unpickled."""
    if path.is_dir():
        return "a folder"
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return kind_of_name(path)
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    if start.startswith(SIGNATURES["zip"]):
        return _kind_of_zip(path)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return "a Python pickle" if kind_of_name(path) not in PICKLES else kind_of_name(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        return "a safetensors file of weights"
    if start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if start.lstrip()[:1] == b"{":
        return "a Jupyter notebook" if path.suffix.lower() == ".ipynb" else "a JSON file"
    return kind_of_name(path)


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a damaged zip archive"
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return "a PyTorch checkpoint"
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        return "a Keras model"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return "a zip archive"
