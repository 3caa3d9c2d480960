"""What people type: printed commands work, wrong files and numbers are reported before any work, names are printed."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import assay
from assay import cli
from assay.cli import tables
from assay.cli.files import file_named
from assay.store.trial_command import repeat_command

SHORT = ["--set", "max_steps=3", "--set", "hidden_layers=[4]", "--engine", "numpy"]


def words_of(line: str) -> list[list[str]]:
    """The words of commands that are printed in one line, joined by &&, without the program's name."""
    commands = [shlex.split(command) for command in line.split(" && ")]
    assert all(words[0] == "assay" for words in commands)
    return [words[1:] for words in commands]


# --- printed commands ------------------------------------------------------------------------------------------------


def test_the_command_that_repeats_a_trial_works_when_it_is_pasted(invoke: Any, tmp_path: Path) -> None:
    store = "my store's.db"
    model = 'model={ layers = ["flatten", { kind = "dense", units = 5 }], output = "softmax" }'
    code, out, _ = invoke(
        "train", *SHORT[:2], "--set", model, "--threads", "1", "--engine", "numpy", "--store", store, "--json"
    )
    assert code == 0
    first = json.loads(out)
    shown = json.loads(invoke("show", first["trial"], "--store", store, "--json")[1])
    show, train = words_of(shown["command"])
    assert invoke(*show)[0] == 0
    assert tomllib.loads(Path(show[show.index("--out") + 1]).read_text())["seed"] == 1
    code, out, _ = invoke(*train, "--json")
    again = json.loads(out)
    assert (code, again["trial"], again["from_store"], again["store"]) == (0, first["trial"], False, store)
    assert again["accuracy"] == first["accuracy"]
    assert shown["command"] in invoke("show", first["trial"], "--store", store)[1]


def test_a_show_that_fails_leaves_no_file(invoke: Any, tmp_path: Path) -> None:
    assert invoke("train", *SHORT)[0] == 0
    for words in (["show", "ffffffff", "--recipe"], ["show", "ffff", "--recipe", "--store", "no.db"]):
        code, _, err = invoke(*words, "--out", "recipe.toml")
        assert (code, Path("recipe.toml").exists()) == (2, False), err
    assert "only with --recipe" in invoke("show", "ffffffff", "--out", "recipe.toml")[2]
    assert (
        "the folder no does not exist"
        in invoke(
            "show",
            json.loads(invoke("list", "--trials", "--json")[1])["trials"][0]["key"],
            "--recipe",
            "--out",
            "no/x.toml",
        )[2]
    )


def test_a_packed_trial_and_a_planned_program_are_said(invoke: Any) -> None:
    row = {"key": "a" * 64, "engine": "command:train.py", "engine_choice": None, "device": "cpu", "threads": None}
    row |= {"optimizer": "adam"}
    assert repeat_command(row, None) is None
    done = row | {"engine_choice": "seconds as the program reports them; run as: ./train.py 'a b'"}
    line = repeat_command(done, None)
    assert line is not None
    train = words_of(line)[1]
    assert shlex.split(train[train.index("--command") + 1]) == ["./train.py", "a b"]
    assert "--allow-code" in train
    study = {"name": "p", "timing": "packed", "engine": "numpy", "axes": {"lr": [0.1]}, "baseline": {"max_steps": 3}}
    key = assay.run(study).frame()["trial"][0]
    assert "`assay train` times isolated" in " ".join(invoke("show", key)[1].split())


def test_the_report_says_how_to_run_the_study_again(invoke: Any, tmp_path: Path) -> None:
    study = {"name": "it's mine", "engine": "numpy", "axes": {"lr": [0.1]}, "baseline": {"max_steps": 3}}
    study["baseline"]["model"] = {"layers": [{"kind": "flatten"}]}
    assay.run(study)
    assert invoke("report", "it's mine", "-o", "r.html")[0] == 0
    import html

    page = html.unescape(Path("r.html").read_text(encoding="utf-8"))
    words = shlex.split(page.split("then <code>")[1].split("</code>")[0])
    assert words[:2] == ["assay", "run"]
    Path(words[2]).write_text(page.split("<pre>")[1].split("</pre>")[0])
    code, _, err = invoke(*words[1:], "--plan")
    assert code == 0
    assert "it's mine: 1 trials; 1 stored, 0 to train" in err


# --- before any work -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--save", "no/w.safetensors"],
            "--save no/w.safetensors: the folder no does not exist; create it: mkdir -p no",
        ),
        (["--save", "no folder/w"], "mkdir -p 'no folder'"),
        (["--save", "."], "--save .: a folder"),
        (["--save", "study.toml/w"], "study.toml is a file; expected a folder"),
        (["--store", "no/x.db"], "no/x.db: cannot be opened: the folder no does not exist; create it: mkdir -p no"),
        (["--store", "net.pt"], "net.pt: by its name a PyTorch checkpoint; expected the file of a store"),
        (["--store", "study.toml"], "is a TOML file, not a store of Assay"),
        (["--store", "sqlite:x.db"], "expected two slashes after 'sqlite:'"),
        (["--store", "~nobody-here/x.db"], "there is no home folder of '~nobody-here'"),
        (["--start", "net.pkl"], "is a Python pickle, which holds pickled objects; Assay reads no pickle"),
        (["--start", "."], "a folder; expected weights"),
        (["study.toml"], "is a study, because it has axes; expected a recipe; run it: assay run study.toml"),
        (["quickstart"], "is a bundled study, not a recipe; run it: assay run quickstart"),
        (["3LX"], "neither the file of a recipe nor a model; did you mean '3LS'?"),
        (["net.pkl"], "is a Python pickle; expected a recipe or a study in TOML"),
        (["--set", "stop.accuracy=97"], "0.97 is 97 %"),
        (["--set", "batches=mini-batch"], "can be 'shuffled'"),
        (["--set", 'data="C:\\new"'], "use single quotes"),
    ],
)
def test_what_is_wrong_is_said_before_any_training(words: list[str], sentence: str, invoke: Any) -> None:
    Path("study.toml").write_text("[axes]\nlr = [0.1]")
    Path("net.pkl").write_bytes(b"\x80\x04\x95\x00")
    code, _, err = invoke("train", *words, "--set", "max_steps=1000000000")
    assert code == 2
    assert sentence in err
    assert not Path("assay.db.artifacts").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "recipe.toml"], "is a recipe, because it has optimizer and no baseline or axes"),
        (["bench", "study.toml", "--quick"], "is a study, because it has axes; expected a recipe"),
        (["predict", "net.onnx", "x.png"], "is an ONNX model; expected weights that `assay train --save` wrote"),
        (["predict", "net.h5", "x.png"], "no such file"),
        (["list", "accuracy>90"], "filter 'accuracy>90': got 90; expected a fraction between 0 and 1: 0.9 is 90 %"),
        (["list", "validation_accuracy<=97.5"], "0.975 is 97.5 %"),
        (
            ["target", "made", "--accuracy", "90"],
            "--accuracy: got 90; expected a fraction between 0 and 1: 0.9 is 90 %",
        ),
        (["target", "made", "--accuracy", "high"], "--accuracy: got 'high'; expected a number between 0 and 1"),
        (["reproduce", "parameter-grid", "--sample", "50"], "0.5 is 50 %"),
    ],
)
def test_other_commands_say_it_too(words: list[str], sentence: str, invoke: Any) -> None:
    Path("study.toml").write_text("[axes]\nlr = [0.1]")
    Path("recipe.toml").write_text('optimizer = "adam"')
    Path("net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    assert invoke("train", *SHORT)[0] == 0
    code, _, err = invoke(*words)
    assert code == 2
    assert sentence in err


def test_an_accuracy_with_a_percent_sign_is_a_fraction(invoke: Any) -> None:
    study = {"name": "made", "engine": "numpy", "axes": {"lr": [0.01]}, "baseline": {"max_steps": 60}}
    results = assay.run(study)
    accuracy = results.frame()["accuracy"][0]
    below, above = f"{100 * accuracy - 1:.0f}", f"{100 * accuracy + 1:.0f}"
    assert json.loads(invoke("list", f"accuracy>{below}%", "--json")[1])["count"] == 1
    assert json.loads(invoke("list", f"accuracy>{above}%", "--json")[1])["count"] == 0
    rows = [json.loads(invoke("target", "made", "--accuracy", text, "--json")[1])["rows"] for text in ("30%", "0.3")]
    assert rows[0] == rows[1]
    assert rows[0][0]["reached"] == 1
    with pytest.raises(assay.AssayError, match=r"accuracy: got 30; .* 0.3 is 30 %"):
        results.targets(accuracy=30)


def test_weights_under_another_ending_are_saved_with_a_note(invoke: Any) -> None:
    code, _, err = invoke("train", *SHORT, "--save", "net.pt")
    assert code == 0
    assert "net.pt: its name says a PyTorch checkpoint, but it will hold safetensors" in err
    assert Path("net.pt").read_bytes()[8:9] == b"{"
    with zipfile.ZipFile("real.pt", "w") as archive:
        archive.writestr("real/data.pkl", b"")
    assert "is a PyTorch checkpoint" in invoke("predict", "real.pt", "x.png")[2]


def test_a_home_folder_is_replaced_wherever_a_path_is_taken(invoke: Any, tmp_path: Path, monkeypatch: Any) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    words = ["--out=~/out", "--save=~/w.safetensors", "--store=sqlite:///~/x.db"]
    assert invoke("train", *SHORT, *words)[0] == 0
    assert {"out", "w.safetensors", "x.db"} <= {path.name for path in home.iterdir()}
    assert not Path("~").exists()
    assert json.loads(invoke("list", "--trials", "--json", "--store", "~/x.db")[1])["count"] == 1


# --- encodings -------------------------------------------------------------------------------------------------------

NAME = "Größe – 日本 ✓"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_terminal_cannot_show_are_replaced(
    encoding: str, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = {"name": NAME, "engine": "numpy", "repeats": 2, "baseline": {"max_steps": 3}}
    study["axes"] = {"rate ≤": {"niedrig ½": {"lr": 0.001}, "höher →": {"lr": 0.1}}}
    assay.run(study)
    monkeypatch.setenv("COLUMNS", "200")
    commands = [["list"], ["list", "--trials"], ["compare", NAME], ["target", NAME], ["run", "s.toml"]]
    for words in [*commands, *([["report", NAME]] if encoding == "cp1252" else [])]:  # charts take seconds
        Path("s.toml").write_text(
            f'name = "{NAME}"\nengine = "numpy"\n[baseline]\nmax_steps = 3\n[axes]\nlr = [0.1]\n', encoding="utf-8"
        )
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["assay", *words])
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            try:
                cli.main()
            except SystemExit as stop:
                assert not stop.code, words
        printed = b"".join(stream.buffer.getvalue() for stream in streams.values() if stream.flush() is None)
        assert b"Traceback" not in printed
        if words[0] in ("list", "run") and "--trials" not in words:
            assert NAME.encode(encoding, "replace") in printed


@pytest.mark.endurance
def test_a_locale_without_an_encoding_prints_and_writes_any_name(tmp_path: Path) -> None:
    """The arguments arrive as bytes that the locale cannot read."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "ASSAY_TURN": str(tmp_path / "turn")}
    (tmp_path / "größe ✓.toml").write_text('engine = "numpy"\n[baseline]\nmax_steps = 3\n[axes]\nlr = [0.1]\n')
    for words in (["run", "größe ✓.toml"], ["list", "--study", "größe ✓"]):
        done = subprocess.run(
            [sys.executable, "-m", "assay.cli", *words],
            cwd=tmp_path,
            env=os.environ | locale,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    assert file_named("größe ✓", ".html") == Path("größe --defe7d8a.html")
    assert file_named("a/b", ".html") != file_named("a:b", ".html")
    assert file_named("small", ".html") == Path("small.html")


def test_labels_that_look_alike_show_their_code_points() -> None:
    labels = ["e\u0301", "\u00e9", "y", "y ", "x\u202e", "x\u202d", "a b", "a  b", "a\u00a0b", "größe"]
    rows = [[label, "1"] for label in labels]
    table = tables.of_rows("labels", ["configuration", "n"], rows)
    shown = [str(cell) for cell in table.columns[0].cells]
    expected = ["e<U+0301>", "<U+00E9>", "y", "y<U+0020>", "x<U+202E>", "x<U+202D>"]
    assert shown == [*expected, "a b", "a <U+0020>b", "a<U+00A0>b", "größe"]
