"""Places that take or give nothing: folders that may not be entered, full and read-only disks, full devices."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assay import cli
from assay.errors import StoreError
from assay.store import integrity
from assay.store.exchange import export
from assay.store.store import Store
from assay.system.files import write_atomically
from tests.hard.fuzz_exports import filled
from tests.store.makers import made_end, made_plan

STUDY = """
name = "made"
design = "one-at-a-time"
timing = "packed"
baseline.model.hidden = [4]
baseline.budget.iterations = 3
"""

_COMMANDS = """
import contextlib, io, json, sys
from assay import cli
from assay.errors import StoreError
ends = []
for words in json.load(sys.stdin):
    sys.argv = ["assay", *words]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
    ends.append([words, code, err.getvalue() or out.getvalue()])
print(json.dumps(ends))
"""


def ends_of(commands: Sequence[str], folder: Path, **environment: str) -> dict[str, tuple[int, str]]:
    """Runs commands in one process that has no more rights than the modes of files give; exit codes and messages."""
    words = [sys.executable, "-c", _COMMANDS]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("without setpriv, root may enter every folder")
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    given = json.dumps([command.split() for command in commands])
    done = subprocess.run(
        words, input=given, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return {" ".join(words): (code, text) for words, code, text in json.loads(done.stdout)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of a study with weights, closed."""
    path = tmp_path / "s.db"
    opened = Store(str(path))
    filled(opened, made_plan(2), made_end)
    opened.artifacts.put(b"weights" * 50_000)  # too large for a row
    opened.close()
    (tmp_path / "s.toml").write_text(STUDY)
    return path


@pytest.fixture
def locked(tmp_path: Path) -> Generator[Path]:
    """A folder that may not be entered."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A disk of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not on every machine")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_folders_that_may_not_be_entered_are_named_in_a_sentence(store: Path, locked: Path) -> None:
    unreadable = store.parent / "export"
    opened = Store(str(store))
    export(opened, unreadable)
    opened.close()
    (unreadable / "trials.parquet").chmod(0)
    commands = [
        "list --store locked/s.db",
        "store check --store locked/s.db",
        "store repair --store locked/s.db",
        "run s.toml --store locked/s.db",
        "run locked/s.toml",
        "train --store locked/s.db",
        "train --set data=locked",
        "train --set data=locked/x.npz",
        "train --set data=mnist",
        "data info locked",
        "import locked/log.csv",
        "import locked",
        "predict locked/w.safetensors locked/x.png",
        "store import locked/export --store s.db",
        "store import export --store s.db",
        "store export locked/export --store s.db",
        "store backup locked/b.db --store s.db",
        "report made -o locked/r.html --store s.db",
        "plot made curves -o locked/r.png --store s.db",
    ]
    ends = ends_of(commands, store.parent, ASSAY_DATA=str(locked))
    for command, (code, text) in ends.items():
        assert code == 2, (command, code, text)
        assert "ermission denied" in text or "not readable" in text, (command, text)
    assert Store(str(store), read_only=True)


def test_weights_that_may_not_be_read_are_not_called_missing_and_not_dropped(store: Path) -> None:
    artifacts = store.with_name("s.db.artifacts")
    names = sorted(path.name for path in artifacts.rglob("*") if path.is_file())
    inner = next(artifacts.iterdir())
    commands = ["store check --store s.db", "store repair --store s.db", "store vacuum --store s.db"]
    for folder in (artifacts, inner):
        folder.chmod(0)
        try:
            ends = ends_of(commands, store.parent)
        finally:
            folder.chmod(0o700)
        for code, text in ends.values():
            assert code == 2
            assert "cannot be read: permission denied; let this user read it" in text
    opened = Store(str(store))
    assert integrity.check(opened) == [d for d in integrity.check(opened) if d.kind == "orphan"]
    assert sorted(opened.artifacts.names()) == names


def test_a_store_is_checked_in_a_folder_that_may_not_be_written_to(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    opened = Store(str(store))  # whose newest rows are in the log only
    shutil.copytree(store.parent, store.parent / "copy")
    opened.register(made_plan(3, name="newer"))
    shutil.copytree(store.parent, store.parent / "with-log", ignore=shutil.ignore_patterns("copy"))
    opened.close()
    for name in ("copy", "with-log"):
        for extra in (store.parent / name).glob("s.db-shm"):
            extra.unlink()
    (store.parent / "copy" / "s.db-wal").unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in store.parent.glob("*/s.db*") if path.is_file()}
    for path in before:
        path.chmod(0o400)
        path.parent.chmod(0o500)
    try:
        ends = ends_of([f"store check --store {name}/s.db" for name in ("copy", "with-log")], store.parent)
    finally:
        for path in before:
            path.parent.chmod(0o700)
    code, text = ends["store check --store copy/s.db"]
    assert (code, text.splitlines()[-1]) == (0, "copy/s.db: sound")
    code, text = ends["store check --store with-log/s.db"]
    assert code == 2
    assert "its newest results are in s.db-wal, which cannot be read from a read-only folder; copy s.db and" in text
    assert before == {path: path.read_bytes() for path in store.parent.glob("*/s.db*") if path.is_file()}


def test_a_check_makes_no_store(invoke: Any, tmp_path: Path) -> None:
    code, _, err = invoke("store", "check", "--store", "none.db")
    assert code == 2
    assert "none.db: no such store" in err
    assert not list(tmp_path.glob("none.db*"))


@pytest.mark.endurance
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_full_and_a_read_only_disk_change_nothing(store: Path, disk: Path, how: str) -> None:
    for path in [store, store.with_name("s.db.artifacts")]:
        shutil.copytree(path, disk / path.name) if path.is_dir() else shutil.copy(path, disk)
    before = (disk / "s.db").read_bytes()
    if how == "full":
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    words = [
        "store vacuum",
        "rm made --yes",
        "run s.toml",
        "store backup disk/b.db",
        "store export disk/e",
        "store check",
    ]
    words += ["report made -o disk/r.html", "plot made curves -o disk/p.png"]
    ends = ends_of([f"{word} --store disk/s.db" for word in words], store.parent)
    for command, (code, text) in ends.items():
        assert code == 2 or (command.startswith("store check") and code == 0), (command, code, text)
        if code == 2:
            assert any(said in text for said in ("o space left", "full", "ead-only", "readonly", "for writing")), text
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(disk)], check=True)
    assert (disk / "s.db").read_bytes() == before
    opened = Store(str(disk / "s.db"))
    assert not [defect for defect in integrity.check(opened) if defect.kind != "orphan"]
    assert not list(disk.glob("*.html")) and not list(disk.glob("*.png")) and not list(disk.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("words", ["list --trials", "store check", "data info digits", "--help"])
def test_output_to_a_full_device_is_a_sentence(store: Path, words: str) -> None:
    run = [sys.executable, "-m", "assay.cli", *words.split()]
    environment = os.environ | {"ASSAY_STORE": str(store)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=100)
        assert done.returncode == 2
        assert done.stderr == "error: no space left on the device that the output goes to; what is stored is safe\n"
        unsaid = subprocess.run([*run, "--bogus"], stdout=subprocess.PIPE, stderr=full, env=environment, timeout=100)
    assert unsaid.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_files_are_not_written_over_devices_and_folders(store: Path) -> None:
    commands = [
        "store backup /dev/full",
        "store export /dev/full",
        "store export /dev/full/x",
        "store import /dev/zero",
    ]
    commands += ["run /dev/zero", "import /dev/zero", "data info /dev/zero", "predict /dev/zero /dev/zero"]
    for command, (code, text) in ends_of(
        [f"{c} --store s.db" if c[:5] == "store" else c for c in commands], store.parent
    ).items():
        assert code == 2, (command, text)


def test_files_of_pictures_pages_and_tables_are_whole_or_absent(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is renamed into place: a name never holds the half of a file."""
    (store.parent / "out").mkdir()
    replaced: list[str] = []
    replace = Path.replace

    def noted(path: Path, target: Path) -> Path:
        replaced.append(Path(target).name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noted)
    monkeypatch.chdir(store.parent)
    for words in (
        ["report", "made", "-o", "out/r.html"],
        ["plot", "made", "curves", "-o", "out/p.png"],
        ["plot", "made", "curves", "-o", "out/p.svg"],
        ["plot", "made", "curves", "-o", "out/p.json"],
        ["plot", "made", "curves", "-o", "out/p.html"],
        ["data", "info", "digits", "--out", "out"],
    ):
        monkeypatch.setattr(sys, "argv", ["assay", *words, *(["--store", "s.db"] if words[0] != "data" else [])])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    assert sorted(replaced) == sorted(path.name for path in (store.parent / "out").iterdir())
    assert len(replaced) == 6


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"content")
        assert os.read(reader, 99) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_weights_and_recipes_are_not_written_over_stores_and_other_files(
    store: Path, invoke: Any, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text("budget.iterations = 3")
    before = {path.name: path.read_bytes() for path in (store, tmp_path / "r.toml")}
    key = next(iter(made_plan(1).trials))
    for words, said in (
        (["train", "r.toml", "--save", "s.db"], "--save s.db: a database, such as a store of Assay"),
        (["train", "r.toml", "--save-best", "s.db"], "--save-best s.db: a database"),
        (["train", "r.toml", "--save", "r.toml"], "--save r.toml: already exists and is a TOML file"),
        (["show", key, "--recipe", "--out", "s.db", "--store", "s.db"], "--out s.db: a database"),
    ):
        code, _, err = invoke(*words)
        assert code == 2
        assert said in err
    assert before == {path.name: path.read_bytes() for path in (store, tmp_path / "r.toml")}
    assert invoke("train", "r.toml", "--save", "w.safetensors", "--store", "t.db")[0] == 0
    assert invoke("train", "r.toml", "--save", "w.safetensors", "--store", "t.db")[0] == 0


def test_pipes_are_refused_where_a_file_is_expected(invoke: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for words in (
        ["train", "pipe"],
        ["run", "pipe"],
        ["list", "--store", "pipe"],
        ["store", "check", "--store", "pipe"],
    ):
        code, _, err = invoke(*words)
        assert code == 2
        assert "pipe: a pipe or a device; expected" in err


def test_a_closed_pipe_ends_with_its_code(store: Path) -> None:
    for words in (["list", "--trials"], ["list", "--json"], ["--help"], ["run", "--help"]):
        read, write = os.pipe()
        os.close(read)
        run = [sys.executable, "-m", "assay.cli", *words]
        done = subprocess.run(
            run, stdout=write, stderr=subprocess.PIPE, env=os.environ | {"ASSAY_STORE": str(store)}, timeout=100
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (141, b""), words


def test_labels_are_not_markup(invoke: Any, tmp_path: Path) -> None:
    rows = "".join(
        f'[trials."{name}"]\nseed = {n}\n' for n, name in enumerate(("[/bold]", "[bold]x[/bold]", "[i]y[/i]"))
    )
    (tmp_path / "m.toml").write_text(f'design = "list"\n[baseline]\nbudget.iterations = 3\n{rows}')
    code, out, err = invoke("run", "m.toml", "--store", "m.db")
    assert code == 0, err
    for name in ("[/bold]", "[bold]x[/bold]", "[i]y[/i]"):
        assert name in out.replace("\n", "")


def test_thousands_of_axes_and_of_errors_are_a_short_list(invoke: Any, tmp_path: Path) -> None:
    axes = "\n".join(f"a{i} = {{b = {{seed = {i}}}}}" for i in range(2_000))
    (tmp_path / "g.toml").write_text(f'design = "grid"\n[baseline]\nbudget.epochs = 1\n[axes]\n{axes}')
    code, _, err = invoke("run", "g.toml", "--plan")
    assert code == 2
    assert "axes.a0 and axes.a1: both set seed; one overrides the other" in err
    assert err.rstrip().endswith("more")
    assert len(err.splitlines()) < 110


def test_a_store_url_of_sqlite_has_no_host() -> None:
    for url in ("sqlite://ada:secret@host/x", "sqlite://host/x", "sqlite:///x?mode=ro"):
        with pytest.raises(StoreError, match="SQLite has no host, user or options; expected sqlite:///FILE") as refused:
            Store(url)
        assert "secret" not in str(refused.value)


# --- a store whose cells were changed --------------------------------------------------------------------------------


def change(store: Path, *statements: str) -> str:
    """Changes the rows of a store behind Assay's back; returns the key of one of its trials."""
    connection = sqlite3.connect(store)
    with connection:
        for statement in statements:
            connection.execute(statement)
        key = str(connection.execute("SELECT key FROM trial").fetchone()[0])
    connection.close()
    return key


@pytest.fixture
def ended(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on the store: its exit code, and its words on the screen in one line."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["assay", *words, "--store", "s.db"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), " ".join((captured.out + captured.err).split())

    monkeypatch.chdir(store.parent)
    return run


@pytest.mark.parametrize("column", ["model", "optimizer", "batches", "batch_size", "engine", "learning_rate", "seed"])
def test_an_empty_column_of_a_trial_ends_no_command(store: Path, column: str, ended: Any) -> None:
    key = change(store, f"UPDATE trial SET {column} = NULL")
    for words in (["list", "--trials"], ["show", key], ["list", "--study", "made"]):
        assert ended(*words)[0] in (0, 2), words


def test_a_recipe_that_is_no_table_is_named(store: Path, ended: Any) -> None:
    key = change(store)
    change(store, f"UPDATE trial SET recipe = '5' WHERE key = '{key}'")
    for words in (["show", key], ["show", key, "--recipe"], ["compare", "made"], ["report", "made"]):
        code, text = ended(*words)
        assert code == 2, words
        assert f"the trial '{key[:8]}' cannot be read: trial.recipe: is" in text, words


@pytest.mark.parametrize(
    "damage", ["substr(recipe, 1, length(recipe) - 9)", "replace(recipe, '\"data\":{', '\"data\":[{')", "'{}'"]
)
def test_a_recipe_with_damaged_text_is_named_by_every_answer(store: Path, damage: str, ended: Any) -> None:
    change(store, f"UPDATE trial SET recipe = {damage}")
    assert ended("plot", "made", "curves")[0] == 0  # which needs no recipe
    code, text = ended("report", "made")
    assert code == 2
    assert re.search("the trial '[0-9a-f]{8}' cannot be read: trial.recipe: is no recipe", text)


def test_a_study_without_its_trials_ends_no_command(store: Path, ended: Any) -> None:
    change(store, "DELETE FROM member")
    charts = [["plot", "made", name] for name in ("curves", "pareto", "effort", "ledger", "parallel", "grid")]
    ways = ["compare", "report", "target", "show"]
    for words in (["list", "--study", "made"], *([way, "made"] for way in ways), *charts):
        assert ended(*words)[0] in (0, 1, 2), words


@pytest.mark.parametrize("moment", ["1e300", "253370764801", "9e18"])
def test_a_time_that_no_calendar_has_is_found_and_ends_no_command(store: Path, moment: str, ended: Any) -> None:
    change(store, f"UPDATE study SET updated = {moment}", f"UPDATE result SET finished = {moment}")
    for words, codes in ((["list"], (0,)), (["list", "--trials"], (0, 2))):
        assert ended(*words)[0] in codes, words
    code, text = ended("store", "check")
    assert code in (1, 2)
    assert "study.updated" in text


@pytest.mark.parametrize(
    ("statement", "command", "sentence"),
    [
        ("UPDATE study SET name = x'ff00'", "compare", "unknown study 'made'"),
        ("UPDATE machine SET description = '?'", "report", "cannot be read: machine.description"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    store: Path, statement: str, command: str, sentence: str, ended: Any
) -> None:
    change(store, statement)
    code, text = ended(command, "made")
    assert code == 2
    assert sentence in text
