"""Zip files that are no bundles: each problem is a sentence, all at once, and nothing is unpacked or written."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from assay.claims.bundles.archive import packed, unpacked
from assay.claims.bundles.verifying import verify
from assay.errors import FileError
from assay.system.limits import BUNDLE_CONTENT_BYTES
from tests.claims.bundles.tampering import raw


def problems(path: Path) -> list[str]:
    files, sentences = unpacked(path)
    assert not (files and sentences)
    return sentences


def test_entries_are_sorted_dated_1980_and_the_same_whatever_the_order() -> None:
    data = packed({"b/x": b"2" * 1000, "a": b"1", "A": b"0"})
    assert data == packed({"A": b"0", "a": b"1", "b/x": b"2" * 1000})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["A", "a", "b/x"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {stat.S_IFREG | 0o644}
    assert {entry.create_system for entry in entries} == {3}


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up.txt", "a/../../up.txt", "a\\..\\up.txt", "C:/x", "./x", "a//b", "folder/", " x", "x" * 201],
)
def test_names_outside_the_bundle_are_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    path = raw(tmp_path / "z.zip", (name, b"x"), ("manifest.json", b"{}"))
    sentence = problems(path)[0]
    assert repr(name[:80]) in sentence
    assert "an absolute path, or one with '..'" in sentence
    made = verify(path, seed=1)
    assert {finding.kind for finding in made.findings} == {"file"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["z.zip"]


def test_links_doubled_names_encryption_and_comments_are_all_named_at_once(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("data/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = raw(
            tmp_path / "z.zip", (link, b"/etc/passwd"), ("a", b"1"), ("a", b"2"), ("../b", b"3"), comment=b"hello"
        )
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\1\2")  # of the last entry: its flag of encryption
    content[at + 8] |= 1
    path.write_bytes(content)
    assert problems(path) == [
        "the zip file has a comment, which no checksum covers",
        "more than one file has the name 'a'",
        "'../b': an absolute path, or one with '..', a backslash or another part that no bundle has",
        "'data/link': a link or a device; expected files only",
        "'../b': encrypted; expected files that anyone can read",
    ]


def test_a_bomb_is_refused_by_what_its_headers_claim(tmp_path: Path) -> None:
    path = raw(tmp_path / "z.zip", ("data/trials.csv", bytes(80 * 2**20)))
    assert path.stat().st_size < 2**17
    (sentence,) = problems(path)
    assert sentence.startswith("its files claim 83,886,080 bytes of 8")
    assert sentence.endswith("compressed ones; expected at most 100 times its compressed bytes")


def test_a_claim_of_more_than_memory_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = raw(tmp_path / "z.zip", ("data/trials.csv", b"x" * 100))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\1\2")
    content[at + 24 : at + 28] = struct.pack("<L", 2**32 - 2)  # its size when unpacked
    path.write_bytes(content)
    assert problems(path) == [f"its files claim 4,294,967,294 bytes; expected at most {BUNDLE_CONTENT_BYTES}"]


def test_a_file_that_holds_more_or_less_than_its_header_claims_is_named(tmp_path: Path) -> None:
    for claimed in (50, 500):
        path = raw(tmp_path / f"{claimed}.zip", ("data/trials.csv", b"x" * 100))
        content = bytearray(path.read_bytes())
        at = content.rfind(b"PK\1\2")
        content[at + 24 : at + 28] = struct.pack("<L", claimed)
        path.write_bytes(content)
        (sentence,) = problems(path)
        assert sentence.startswith("'data/trials.csv': ")


def test_changed_bytes_of_a_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:  # not compressed
        archive.writestr("a", b"0123456789")
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    (sentence,) = problems(path)
    assert sentence == "'a': cannot be unpacked: Bad CRC-32 for file 'a'"


def test_methods_that_turn_few_bytes_into_many_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"0123456789")
    assert problems(path) == ["'a': packed by a method other than deflate"]


def test_a_directory_of_very_many_files_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = raw(tmp_path / "z.zip", ("a", b"1"))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\5\6")
    content[at + 10 : at + 12] = struct.pack("<H", 65_001)
    path.write_bytes(content)
    with pytest.raises(FileError, match="directory of 65,001 files and .*; expected at most 65,000 files"):
        unpacked(path)
    locator = b"PK\6\7" + bytes(16)
    path.write_bytes(content[:at] + locator + content[at:])
    with pytest.raises(FileError, match="has the directory of a zip64 file"):
        unpacked(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\5\6", b"PK\3\4" + bytes(100)])
def test_a_file_that_is_no_zip_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    path.write_bytes(content)
    with pytest.raises(FileError, match="z.zip: not a zip file; expected a bundle that `assay publish` wrote"):
        unpacked(path)


def test_a_zip_file_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    made = verify(raw(tmp_path / "z.zip", ("a.txt", b"1")), seed=1)
    assert [finding.sentence for finding in made.findings] == [
        "has no manifest.json; expected a bundle that `assay publish` wrote"
    ]
    made = verify(raw(tmp_path / "y.zip", ("manifest.json", b'{"bundle": 2}')), seed=1)
    assert made.findings[0].sentence.startswith("manifest.json: cannot be read: bundle: Input should be 1")


def test_a_table_of_too_many_rows_and_packed_data_of_a_page_are_bounded() -> None:
    import base64
    import gzip

    from assay.claims.bundles import tables
    from assay.claims.bundles.comparing import comparable
    from assay.system.limits import BUNDLE_TEXT_BYTES, Limit

    rows = [dict.fromkeys(tables.MEMBERS, None) | {"study": "a", "position": n} for n in range(4)]
    content = tables.written(rows, tables.MEMBERS, parquet=False)
    assert len(tables.read(content, tables.MEMBERS, parquet=False, most=Limit(4, "rows", "a table"))) == 4
    with pytest.raises(ValueError, match="has more than 3 rows"):
        tables.read(content, tables.MEMBERS, parquet=False, most=Limit(3, "rows", "a table"))
    packed_data = base64.b64encode(gzip.compress(bytes(BUNDLE_TEXT_BYTES.most // 2 + 1)))
    page = b'"data:application/gzip;base64,' + packed_data + b'"'
    assert len(comparable(page)) == 1
    with pytest.raises(ValueError, match="its packed data have more than 64 MiB"):
        comparable(page + page)
