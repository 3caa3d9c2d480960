"""Finding one's way: short options, models by name, commands without their study, tags, narrow terminals, the lock."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import assay
from assay.cli import tables
from assay.cli.commands import COMMANDS, Root
from assay.cli.narrow import fitted
from assay.cli.printing import Verbosity, set_verbosity
from assay.cli.progress import lines, training_bar
from assay.cli.shared import SHORT_FORMS
from assay.errors import AssayError
from assay.execution.status import RunningTrial, StudyStatus
from assay.store import queries, tags
from assay.store.store import Store
from assay.system.machine_lock import holders, machine_lock, waiting_sentence

QUICK = ("--set", "budget.iterations=3", "--engine", "numpy")
STUDY = """
engine = "numpy"
timing = "packed"
[baseline]
budget = 3
[axes.optimizer]
slow = { optimizer = { name = "descent", learning_rate = 0.1 } }
quick = { optimizer = "adam" }
[axes.rate]
key = "batches.size"
values = [16, 64]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and its store of four trials, which every test gets a copy of."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.toml").write_text(STUDY)
    words = [sys.executable, "-m", "assay.cli", "run", "small.toml", "--yes", "-q"]
    environment = os.environ | {"ASSAY_DATA": str(folder / "no-data"), "ASSAY_TURN": str(folder / "turn.lock")}
    environment.pop("ASSAY_STORE", None)
    subprocess.run(words, cwd=folder, env=environment, check=True, timeout=100)
    return folder


@pytest.fixture
def stored(invoke: Any, small: Path) -> Any:
    """Commands in a folder with a store of one study of four trials."""
    for name in ("small.toml", "assay.db"):
        shutil.copy(small / name, name)
    return invoke


def test_a_filter_of_keys_shows_the_others(stored: Any) -> None:
    trials = json.loads(stored("list", "--trials", "--json")[1])["trials"]
    keys = [row["key"] for row in trials]
    shown = json.loads(stored("list", f"key!={keys[0][:8]}", "--json")[1])["trials"]
    assert sorted(row["key"] for row in shown) == sorted(keys[1:])
    assert stored("list", "key=zzz")[::2] == (
        2,
        "error: filter 'key=zzz': got 'zzz'; expected a key or its beginning, such as key=1f3a\n",
    )


COLUMNS = ["0", "00", "-3", "", "1", "7", "x", "\u00b2", "9" * 5000, "123456789"]
TABLES = [["list"], ["list", "--trials"], ["compare", "small"], ["run", "small.toml", "--yes"]]
LONG = [["doctor"]]  # it tries every engine


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (["list"], COLUMNS),
        *((words, ["", "1", "9" * 9]) for words in TABLES),
        *(pytest.param(words, ["1", "9" * 9], marks=pytest.mark.endurance) for words in LONG),
    ],
)
def test_any_number_of_columns_draws_every_table(
    words: list[str], columns: list[str], stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in columns:
        monkeypatch.setenv("COLUMNS", number)
        monkeypatch.setenv("LINES", number)
        code, out, err = stored(*words)
        assert code == 0, err
        assert "".join(out.split()), number
        assert max(map(len, out.splitlines())) < 2000


# --- short forms and models ------------------------------------------------------------------------------------------


def test_short_forms_are_the_same_training_as_their_sets(invoke: Any) -> None:
    typed = ("--optimizer", "momentum", "--lr", "0.02", "--batch", "50", "--seed", "7", "--model", "3LS")
    sets = ("optimizer=momentum", "optimizer.learning_rate=0.02", "batches.size=50", "seed=7", "model=3LS")
    short = json.loads(invoke("train", *QUICK, *typed, "--json")[1])
    long = json.loads(invoke("train", *QUICK, *(w for text in sets for w in ("--set", text)), "--json")[1])
    assert (short["trial"], long["from_store"]) == (long["trial"], True)
    assert short["recipe"]["optimizer"] == {"name": "momentum", "learning_rate": 0.02, "momentum": 0.9}
    assert short["recipe"]["batches"] == {"kind": "shuffled", "size": 50}


@pytest.mark.parametrize("name", ["train", "run", "bench"])
def test_the_commands_with_set_have_every_short_form(name: str, invoke: Any) -> None:
    text = invoke(name, "--help")[1]
    for option in ("--data", *(f"--{form.option}" for form in SHORT_FORMS)):
        assert option in text, option


def test_a_key_that_is_given_in_two_ways_is_refused(invoke: Any) -> None:
    code, _, err = invoke("train", "--lr", "0.1", "--set", "optimizer.learning_rate=0.2")
    assert (code, "is given twice, as 0.2 and as 0.1" in err) == (2, True)
    code, _, err = invoke("train", "--data", "digits", "--set", "dataset=mnist")
    assert (code, "--data: is given together with --set data.name=mnist" in err) == (2, True)


def test_data_keeps_the_split_of_the_recipe(invoke: Any) -> None:
    Path("split.toml").write_text('data = { name = "mnist", train = 90 }\n')
    out = json.loads(invoke("train", "split.toml", *QUICK, "--data", "digits", "--json")[1])
    assert out["recipe"]["data"] == {"name": "digits", "train": 90, "validation": 0}


@pytest.mark.parametrize(("word", "name"), [("3LS", "3LS"), ("3ls", "3LS"), ("lenet5", "lenet5")])
def test_a_model_stands_where_a_recipe_may(word: str, name: str, invoke: Any) -> None:
    few = ("--set", "data.train=50", "--set", "budget.iterations=1")  # the reference engine convolves slowly
    code, out, err = invoke("train", word, *few, "--engine", "numpy", "--json")
    assert code == 0, err
    assert json.loads(out)["recipe"]["model"]["name"] == name
    assert f"{name}: a model, trained as {name}, adam 0.001" in err


def test_a_model_is_a_study_of_one_configuration(invoke: Any) -> None:
    code, out, _ = invoke("run", "4LS", *QUICK, "--repeats", "2", "--yes", "--json")
    trials = json.loads(out)["trials"]
    assert (code, [t["model"] for t in trials], [t["seed"] for t in trials]) == (0, ["4LS", "4LS"], [1, 2])


def test_a_word_that_is_no_model_has_the_nearest_one(invoke: Any) -> None:
    code, _, err = invoke("train", "3LX")
    assert (code, "neither the file of a recipe nor a model; did you mean '3LS'?" in err) == (2, True)


def test_fit_takes_the_name_of_a_model() -> None:
    with pytest.raises(AssayError, match="did you mean '3LS'"):
        assay.fit("3L")
    history = assay.fit("4LS", engine="numpy")
    assert history.recipe == assay.Recipe.parse({"model": "4LS"})


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["--learning-rate", "0.1"], "write --set optimizer.learning_rate=0.1, or --lr 0.1"),
        (["--batch-size=64"], "write --set batches.size=64, or --batch 64"),
        (["--dropout", "0.2"], "write --set model.dropout=0.2"),
        (["--patience"], "write --set stop.patience=VALUE"),
        (["--sed", "1"], "did you mean --seed?"),
    ],
)
def test_an_unknown_option_names_the_set_that_does_it(words: list[str], cure: str, invoke: Any) -> None:
    for command in ("train", "run"):
        code, _, err = invoke(command, *words)
        assert (code, f"assay {command} has no option {words[0].partition('=')[0]}; {cure}" in err) == (2, True), err


def test_an_unknown_option_of_a_command_without_set_has_the_nearest_one(invoke: Any) -> None:
    assert "assay report has no option --sto; did you mean --store?" in invoke("report", "x", "--sto", "3")[2]
    assert "--set" not in invoke("report", "x", "--learning-rate", "3")[2]


# --- commands without their study ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report", "compare", "target", "plot", "tag"])
def test_a_command_without_its_study_lists_them(name: str, stored: Any) -> None:
    code, out, err = stored(name)
    assert (code, "small" in out, "which study?" in err) == (2, True, True)


def test_a_chart_without_its_name_lists_them(stored: Any) -> None:
    code, out, _ = stored("plot", "small")
    assert (code, "pareto" in out, "ledger" in out) == (0, True, True)


def test_show_without_a_trial_shows_the_latest(stored: Any) -> None:
    latest = json.loads(stored("train", *QUICK, "--seed", "9", "--json")[1])["trial"]
    code, out, err = stored("show", "--json")
    assert (code, json.loads(out)["trial"], latest[:8] in err) == (0, latest, True)


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_is_the_help_option(invoke: Any) -> None:
    assert invoke("help")[1] == invoke("--help")[1]
    assert invoke("help", "train")[1] == invoke("train", "--help")[1]
    assert "Copy a store" in invoke("help", "store", "backup")[1]


def test_the_list_of_commands_says_what_each_command_says_of_itself() -> None:
    root = Root(name="assay")
    for name, entry in COMMANDS.items():
        assert root.commands[name].help.splitlines()[0] == entry.about


def test_a_key_is_explained_with_its_range_default_and_other_words(invoke: Any) -> None:
    code, out, _ = invoke("help", "lr")
    assert code == 0
    for text in ("optimizer.learning_rate", "> 0", "0.1 (descent", "0.001 (adam, adamw", "learning_rate_init"):
        assert text in " ".join(out.split()), text
    out = " ".join(invoke("help", "stop.patience")[1].split())
    assert "whole number, or text such as '5 epochs', in points" in out
    assert '--set stop.patience="5 epochs"' in out
    assert "beta2" in invoke("help", "adam")[1]
    lines = [line.strip() for line in invoke("help", "study")[1].splitlines()]
    assert "example  repeats = 1" in lines and 'example  axes.rate = { key = "lr", values = [0.1, 0.2] }' in lines
    plain = json.loads(invoke("help", "clip_norm", "--json")[1])
    assert [key["range"] for section in plain["sections"] for key in section["keys"]] == ["> 0"]
    code, _, err = invoke("help", "optimizer.learning_rat")
    assert (code, "did you mean 'optimizer.learning_rate'?" in err) == (2, True)


def test_schemas_are_printed_and_written(invoke: Any) -> None:
    assert "optimizer" in json.loads(invoke("schema")[1])["properties"]
    assert invoke("schema", "study", "-o", "study.json")[0] == 0
    assert "axes" in json.loads(Path("study.json").read_text())["properties"]
    assert json.loads(invoke("schema", "claims")[1])["required"] == ["claims"]
    assert "did you mean 'study'?" in invoke("schema", "studie")[2]


def test_completion_completes_commands_and_studies(stored: Any) -> None:
    for words, wanted in (("assay rep", "report"), ("assay report sm", "small")):
        environment = os.environ | {"_ASSAY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
        command = [sys.executable, "-c", "import sys; sys.argv = ['assay']; from assay.cli import main; main()"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert wanted in done.stdout.split(), done.stderr


# --- list and tags ---------------------------------------------------------------------------------------------------


def test_studies_are_sorted_by_a_column_that_they_have(stored: Any) -> None:
    assert stored("run", "4LS", *QUICK, "--yes", "-q")[0] == 0
    names = [row["name"] for row in json.loads(stored("list", "--sort", "trials", "--json")[1])["studies"]]
    assert names == ["4LS", "small"]
    names = [row["name"] for row in json.loads(stored("list", "--sort", "-trials", "--json")[1])["studies"]]
    assert names == ["small", "4LS"]
    code, _, err = stored("list", "--sort", "nmae")
    assert (code, "did you mean 'name'?" in err) == (2, True)
    assert "1 of 2 studies" in stored("list", "--limit", "1")[2]


def test_tags_are_set_listed_filtered_and_removed_with_their_study(stored: Any) -> None:
    assert stored("tag", "small", "owner=ada", "stage=draft")[1].split() == ["owner=ada", "stage=draft"]
    assert stored("tag", "small", "stage=")[1].split() == ["owner=ada"]
    assert json.loads(stored("list", "--tag", "owner=ada", "--json")[1])["studies"][0]["tags"] == {"owner": "ada"}
    assert json.loads(stored("list", "--tag", "owner=bob", "--json")[1])["studies"] == []
    assert "owner=ada" in stored("list")[1]
    for wrong in ("owner", "=x", "a b=c"):
        assert stored("tag", "small", wrong)[0] == 2
    assert "did you mean 'small'?" in stored("tag", "smal", "a=b")[2]
    assert "cannot be combined" in stored("list", "--trials", "--tag", "owner")[2]
    for wrong in ("owner!=ada", "owner>ada", "=ada", "own er"):
        assert stored("list", "--tag", wrong)[::2] == (
            2,
            f"error: --tag {wrong!r}: expected KEY or KEY=VALUE, such as owner=ada\n",
        )
    assert stored("rm", "small", "--yes")[0] == 0
    assert tags.read(Store(None, read_only=True).database) == {}
    assert stored("run", "small.toml", "--yes", "-q")[0] == 0  # of the same name, without the old one's tags
    assert stored("tag", "small")[1] == ""


def test_trials_are_filtered_by_the_value_of_an_axis(stored: Any) -> None:
    def count(*filters: str) -> int:
        return json.loads(stored("list", *filters, "--json")[1])["count"]

    assert (count("axis.optimizer=quick"), count("axis.rate>16"), count("axis.rate!=16")) == (2, 2, 2)
    assert (count("axis.rate=16", "axis.optimizer=slow", "--study", "small"), count("axis.rate<16")) == (1, 0)
    assert (count("axis.rate!=16.0"), count("axis.rate=sixteen"), count("axis.optimizer!=quick")) == (2, 0, 2)
    for wrong, sentence in (
        ("axis.rate>high", "got 'high'; expected a number, or = or !="),
        ("axis.rate>nan", "got 'nan'; expected a number, or = or !="),
        ("axis.optimizer>3", "no value of this axis is a number; expected = or !="),
    ):
        assert stored("list", wrong)[::2] == (2, f"error: filter {wrong!r}: {sentence}\n")
    assert "unknown axis 'rat'; did you mean 'rate'?" in stored("list", "axis.rat=16")[2]
    with pytest.raises(AssayError, match="expected axis.NAME=VALUE"):
        queries.axis_condition(Store(None, read_only=True).database, "axis.rate")


# --- what is printed -------------------------------------------------------------------------------------------------


def test_quiet_prints_results_and_errors_alone(invoke: Any) -> None:
    code, out, err = invoke("-q", "train", *QUICK)
    assert (code, "test accuracy" in out, err) == (0, True, "")
    assert invoke("train", "--quiet", *QUICK)[2] == ""
    assert "already in" in invoke("train", *QUICK)[2]
    assert "nothing.toml" in invoke("train", "nothing.toml", "-q")[2]


def test_progress_in_a_pipe_is_ever_rarer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr("assay.cli.progress.perf_counter", lambda: clock[0])

    def count(level: Verbosity) -> int:
        set_verbosity(level)
        clock[0] = 0.0
        show = lines(str, seconds=10.0)
        for second in range(3600):
            clock[0] = float(second)
            show(second)
        set_verbosity(Verbosity.NORMAL)
        return len(capsys.readouterr().err.splitlines())

    assert (count(Verbosity.NORMAL), count(Verbosity.VERBOSE), count(Verbosity.QUIET)) == (15, 359, 0)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_fit_the_terminal_and_cut_no_word(width: int) -> None:
    row = {"name": "a-study-with-a-long-name", "trials": 18, "finished": 18, "unfinished": 0, "imported": 0}
    row |= {"best": 0.9861, "seconds": 11.3, "updated": 0.0, "tags": {"owner": "ada"}}
    screen = Console(width=width, record=True, file=io.StringIO())
    screen.print(fitted(tables.studies([row]), width))
    text = screen.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "98.61 %" in text
    assert "1970" in text


def test_the_help_fits_60_columns(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for words in (["--help"], ["help", "optimizer"]):
        assert all(len(line) <= 60 for line in invoke(*words)[1].splitlines())


# --- the machine's lock ----------------------------------------------------------------------------------------------


def test_who_holds_the_lock_is_said_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    with machine_lock("isolated", work="study 'a'"):
        (holder,) = holders()
        assert (holder.pid, holder.work, holder.timing) == (os.getpid(), "study 'a'", "isolated")
        assert before <= holder.since <= time.time()
        monkeypatch.setattr("assay.system.machine_lock.os.getpid", lambda: 1)  # as another process sees it
        text = waiting_sentence(of_study=True)
        monkeypatch.undo()
    assert f"held by study 'a' (process {os.getpid()}, isolated, since " in text
    assert "--timing packed a study does not wait" in text


def test_a_note_of_a_process_that_has_ended_tells_nothing(tmp_path: Path) -> None:
    lock = Path(os.environ["ASSAY_TURN"])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note = {"pid": ended.pid, "work": "study 'x'", "since": time.time(), "timing": "isolated"}
    lock.with_name(f"{lock.name}.{ended.pid}").write_text(json.dumps(note))
    reused = {"pid": os.getpid(), "work": "study 'y'", "since": 1.0, "timing": "isolated"}  # before this process began
    lock.with_name(f"{lock.name}.{os.getpid()}").write_text(json.dumps(reused))
    lock.with_name(f"{lock.name}.7").write_text("{")
    assert holders() == []
    assert "held by" not in waiting_sentence()
    assert "packed" not in waiting_sentence(), "a training of its own has no timing to choose"


def test_a_training_that_waits_says_once_for_whom(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = RunningTrial("3LS", 0, 10, None, None, True)
    status = StudyStatus(1, 0, {}, (waiting,), 0, None, None)
    with machine_lock("isolated", work="bench 'other'"), training_bar("training", lambda _: None) as show:
        show(status)
        show(status)
    assert capsys.readouterr().err.count("waiting for another trial on this machine") == 1


def test_verbose_says_what_is_decided(stored: Any, caplog: pytest.LogCaptureFixture) -> None:
    Path("again.toml").write_text(STUDY.replace("budget = 3", "budget = 4").replace('engine = "numpy"\n', ""))
    code, _, err = stored("run", "again.toml", "--yes", "--verbose")
    assert code == 0, err
    for part in (
        "assay.db: opened",
        "data digits: 1,437 training and 360 test examples, read in",
        "engine of mlp 128, descent 0.1, shuffled 16, digits: ",
        "again: 0 trials stored before, 4 to train",
        "worker 0: ",
        "from the beginning (mlp 128, ",
    ):
        assert part in caplog.text, part
    assert stored("run", "again.toml", "--yes", "--quiet")[2] == ""


@pytest.mark.parametrize("name", [*COMMANDS, "store check", "data info"])
def test_help_at_60_columns_cuts_no_word(name: str, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = invoke(*name.split(), "--help")
    assert (code, "…" in out) == (0, False)
    assert max(len(line) for line in out.splitlines()) <= 60, out


@pytest.mark.parametrize("width", [60, 80, 200])
def test_units_in_headers_are_shown(width: int) -> None:
    table = tables.of_rows("differences", ["a", "difference [points]", "training [s]"], [["[b]" * 9, "1.00", "0.5"]])
    screen = Console(width=width, file=io.StringIO())
    screen.print(fitted(table, width))
    text = screen.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(part in text for part in ("[points]", "[s]", "[b][b]"))
