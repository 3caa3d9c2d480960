"""Files that are no data set of ours, named for what they are, by content or by name, with what to do."""

from __future__ import annotations

from pathlib import Path

from assay.system.file_kinds import SIGNATURES

HEADER_BYTES = 512
"""The bytes of a file from which `advice_for` recognises it."""

SAVE_NPZ = "save its arrays with np.savez('data.npz', x_train=..., y_train=..., x_test=..., y_test=...)"

_WEB_PAGE = "a web page, so the download went wrong: download it again"
_LFS = "a Git LFS pointer, not the file itself: run `git lfs pull` in its repository, or download it again"
_ZIP = "a zip archive: unpack it"
_PICKLE = f"a pickle, which is never read because it can run code: load it where you trust it, and {SAVE_NPZ}"

_CONTENTS: tuple[tuple[int, bytes, str], ...] = (
    (0, SIGNATURES["git lfs"], _LFS),
    (0, SIGNATURES["zip"], _ZIP),
    (0, SIGNATURES["gzip"], "gzip inside gzip: unpack it once with gunzip"),
    (0, b"\xfd7zXZ\x00", "an xz archive: unpack it with xz -d"),
    (0, b"BZh", "a bzip2 archive: unpack it with bunzip2"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it with zstd -d"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive: unpack it"),
    (257, b"ustar", "a tar archive: unpack it with tar -x"),
    (0, SIGNATURES["numpy"], f"a single NumPy array: {SAVE_NPZ}"),
    (0, SIGNATURES["hdf5"], f"an HDF5 file: read it with h5py, and {SAVE_NPZ}"),
    (0, SIGNATURES["parquet"], "a Parquet table: give its path, with a name that ends in .parquet"),
    (0, SIGNATURES["matlab"], f"a MATLAB file: read it with scipy.io.loadmat, and {SAVE_NPZ}"),
    (0, SIGNATURES["png"], "a picture, not a data set"),
    (0, SIGNATURES["jpeg"], "a picture, not a data set"),
    *((0, b"\x80" + bytes([protocol]), _PICKLE) for protocol in range(2, 6)),
    (0, SIGNATURES["pdf"], "a PDF document"),
)

_PICTURE = "a picture: pictures are for `assay predict WEIGHTS PICTURE`"
_TABLE = "a table: save it as CSV or Parquet"
_MODEL = "the weights of a model, not a data set"
_PACKED = "an archive: unpack it, and give the folder of its four IDX files or an .npz file"
_SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), f"a file of PyTorch, a pickle, which is never read: {SAVE_NPZ}"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), f"a file of HDF5 or Keras: read it with h5py, and {SAVE_NPZ}"),
    ".onnx": _MODEL,
    ".safetensors": f"{_MODEL}; `assay predict` takes weights that `assay train --save` wrote",
    **dict.fromkeys((".csv", ".tsv", ".parquet"), "a table: give its path"),
    **dict.fromkeys((".feather", ".arrow", ".arff", ".xls", ".xlsx"), _TABLE),
    ".json": _TABLE,
    ".mat": f"a MATLAB file: read it with scipy.io.loadmat, and {SAVE_NPZ}",
    ".npy": f"a single NumPy array: {SAVE_NPZ}",
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar", ".xz", ".bz2", ".zst"), _PACKED),
    ".toml": "a recipe or a study: run it with `assay train FILE` or `assay run FILE`",
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic"), _PICTURE),
}


def advice_for(header: bytes) -> str | None:
    """What a file that begins with these bytes is, and what to do; None if it is not recognised.

    >>> advice_for(b"<!DOCTYPE html>")
    'a web page, so the download went wrong: download it again'
    """
    text = header.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return _WEB_PAGE
    return next((kind for start, magic, kind in _CONTENTS if header[start : start + len(magic)] == magic), None)


def advice_for_name(path: Path) -> str | None:
    """What a file of this name is, and what to do; None if its ending is not known.

    >>> advice_for_name(Path("train.XLSX")).partition(":")[0]
    'a table'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-2:-1] == [".tar"]:
        return _PACKED
    if suffixes[-1:] == [".gz"]:
        del suffixes[-1]
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None
