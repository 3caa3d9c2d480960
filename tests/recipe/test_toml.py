"""A TOML file is read in every marked encoding; where it cannot be read, the error names the cause."""

from __future__ import annotations

import pickle
import tomllib
import zipfile
from pathlib import Path

import pytest

from assay.errors import FileError
from assay.recipe.model import Recipe
from assay.recipe.toml import read_toml, toml_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes("seed = 3 # größer\r\nlr = 0.5\r\n".encode(encoding))
    assert read_toml(tmp_path / "r.toml") == {"seed": 3, "lr": 0.5}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("seed = 1".encode("utf-16-le"), "UTF-16 without a byte-order mark"),
        (b"a = 1\nabout = 'caf\xe9'", "line 2 has the byte 0xe9, which is not UTF-8 (in Windows-1252 it is 'é')"),
        (b"\xff\xfea", "it begins as UTF-16, but is damaged"),
    ],
)
def test_another_encoding_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_toml(tmp_path / "r.toml")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed = 1\nlr = .001", "line 2: TOML needs a digit before and after the point: 0.001"),
        ("lr = -.5", "-0.5"),
        ("lr = 1.", "1.0"),
        ("lr = 1.e-3", "1.0"),
        ("x = [0.1, .2]", "0.2"),
        ("optimizer = \u201cadam\u201d", "typographic quotes \u201c\u201d; write straight quotes"),
        ("optimizer = \u2018adam\u2019", "typographic quotes"),
        ('optimizer = "adam\u201d', "typographic quotes \u201d"),
        ("lr = 1e\u20133", "a dash that is no minus sign"),
        ("lr\u00a0= 1", "a space of another kind"),
        ("lr\u200b = 1", "an invisible character"),
        ('data = "C:\\data\\mnist"', "a backslash is an escape; use single quotes"),
        ("data = C:\\data\\mnist", "use single quotes: 'C:\\data\\mnist'"),
        ("data = /data/mnist", 'a string needs quotes: data = "/data/mnist"'),
        ("optimizer = adam", 'optimizer = "adam"'),
        ("seed: 1", "TOML assigns with ="),
        ("x = True", "TOML writes true"),
        ("stop.patience = None", "leave out stop.patience"),
        ("x = 90 %", "a percentage is a string"),
        ("x = 0,5", "a decimal point: 0.5"),
        ("x = 007", "no leading zero: 7"),
    ],
)
def test_the_cause_of_a_syntax_error_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FileError) as caught:
        read_toml(tmp_path / "r.toml")
    assert "not valid TOML" in str(caught.value)
    assert sentence in str(caught.value)


def test_files_of_another_kind_are_named_for_what_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02]q\x00.")
    (tmp_path / "net.pkl").write_bytes(pickle.dumps([1, 2.5]))
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\xff\xfe")
    (tmp_path / "recipe.json").write_text('{"seed": 1}')
    (tmp_path / "recipe.yaml").write_text("seed: 1\nlr: 2\n")
    (tmp_path / "net.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}\xff")
    for name, kind in (
        ("net.pt", "a PyTorch checkpoint"),
        ("net.pkl", "a Python pickle"),
        ("net.h5", "an HDF5 file"),
        ("net.onnx", "an ONNX model"),
        ("recipe.json", "a JSON file"),
        ("recipe.yaml", "a YAML file"),
        ("net.safetensors", "assay train --start"),
    ):
        with pytest.raises(FileError, match="expected a recipe or a study in TOML") as caught:
            read_toml(tmp_path / name)
        assert kind in str(caught.value)


def test_a_recipe_with_layers_is_written_so_that_it_is_read_back() -> None:
    plain = Recipe.parse({"model": "lenet5", "data": "mnist"}).plain()
    assert tomllib.loads(toml_text(plain)) == plain
    assert toml_text({"a": None, "b": [{"c": 1, "d": None}, {}]}) == "b = [{ c = 1 }, {}]\n"


def test_a_home_folder_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "r.toml").write_text("seed = 5")
    assert Recipe.load("~/r.toml").seed == 5
