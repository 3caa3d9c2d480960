"""The IDX reader takes what is right, refuses what is not, and never believes a size."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assay.data.idx import read_idx, write_idx
from assay.errors import DataError

ELEMENTS = ["uint8", "int8", "int16", "int32", "float32", "float64"]


@given(
    array=st.sampled_from(ELEMENTS).flatmap(
        lambda e: hnp.arrays(
            e,
            hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
            elements={"allow_nan": False} if e[0] == "f" else None,
        )
    ),
    ending=st.sampled_from(["", ".gz"]),
)
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, ending: str) -> None:
    path = tmp_path_factory.mktemp("idx") / f"array{ending}"
    write_idx(path, array)
    back = read_idx(path)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_the_header_is_as_the_format_says(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.array([[1, 2, 3]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02" + "00000001" + "00000003" + "000100020003")


GOOD = bytes.fromhex("00000802" + "00000002" + "00000003" + "010203040506")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated|empty|header|magic"),
        (b"\x01" + GOOD[1:], "not an IDX file"),
        (GOOD[:2] + b"\x0a" + GOOD[3:], "type"),
        (GOOD[:3] + b"\x05" + GOOD[4:], "dimensions"),
        (GOOD[:9], "truncated|header"),
        (GOOD[:-1], "truncated|expected"),
        (GOOD + b"\x00", "trailing|expected"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path: Path, content: bytes, said: str) -> None:
    for name, bytes_ in (("plain", content), ("packed.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(bytes_)
        with pytest.raises(DataError, match=f"(?i){said}") as caught:
            read_idx(tmp_path / name)
        assert name in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "nothing")


def test_a_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD * 100)
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError):
        read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize("packed", [False, True])
def test_absurd_dimensions_take_no_memory(tmp_path: Path, packed: bool) -> None:
    content = bytes.fromhex("00000e04") + struct.pack(">4I", *[2**32 - 1] * 4) + b"\x00" * 100
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(DataError):
        read_idx(tmp_path / "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None, max_examples=200)
def test_random_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a"
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        read_idx(path)
    except DataError:
        pass


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
@settings(deadline=None, max_examples=200)
def test_a_mutated_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, end: int
) -> None:
    content = bytearray(GOOD)
    content[place] = value
    path = tmp_path_factory.mktemp("fuzz") / "a"
    path.write_bytes(bytes(content[:end]))
    try:
        read_idx(path)
    except DataError:
        pass
