"""Printed commands are quoted, and files are named for what they are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from assay.system.command_line import command_line
from assay.system.file_kinds import kind_of_file, kind_of_name


def test_a_printed_command_is_split_by_a_shell_into_what_was_given() -> None:
    line = command_line(
        "assay train",
        "my recipe's.toml",
        set=['data="a b"', "model.hidden=[8, 4]", "$HOME=`x`"],
        command="./train --rate 'a b'",
        threads=2,
        time_limit=1.5,
        allow_code=True,
        again=False,
        store=None,
        out=Path("~/my runs"),
    )
    assert shlex.split(line) == [
        "assay",
        "train",
        "my recipe's.toml",
        "--set",
        'data="a b"',
        "--set",
        "model.hidden=[8, 4]",
        "--set",
        "$HOME=`x`",
        "--command",
        "./train --rate 'a b'",
        "--threads",
        "2",
        "--time-limit",
        "1.5",
        "--allow-code",
        "--out",
        "~/my runs",
    ]


def test_words_that_begin_with_a_dash_stay_what_they_are() -> None:
    assert command_line("assay report", "-odd", store="-x.db") == "assay report --store=-x.db -- -odd"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a", b"SQLite format 3\0", "an SQLite database, such as a store of Assay"),
        ("a", b"\x93NUMPY\x01", "a NumPy array (.npy)"),
        ("a.gz", b"<!DOCTYPE html><p>", "a web page"),
        ("a", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a", (300).to_bytes(8, "little") + b'{"a": 1}', "a safetensors file of weights"),
        ("a.pt", b"\x80\x02\x8a\nl", "a PyTorch checkpoint"),
        ("a.pickle", b"\x80\x04\x95", "a Python pickle"),
        ("a.bin", b"PK\x03\x04rest", "a damaged zip archive"),
        ("a.toml", b"seed = 1", "a TOML file"),
        ("a", b"seed = 1", ""),
        ("a", b"", ""),
    ],
)
def test_a_file_is_named_for_what_it_is(name: str, content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of_file(tmp_path / name).startswith(kind)
    assert bool(kind_of_file(tmp_path / name)) == bool(kind)


def test_a_missing_file_is_named_by_its_ending() -> None:
    assert kind_of_file(Path("nowhere/net.H5")) == kind_of_name(Path("net.h5")) == "an HDF5 file, such as Keras saves"
    assert kind_of_name(Path("assay.db")) == ""
