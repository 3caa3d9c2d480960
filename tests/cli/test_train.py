"""The command line as a user meets it: real processes, real files, sentences instead of tracebacks."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assay.cli.train import _started
from assay.data.datasets import load as load_data
from assay.data.idx import write_idx
from assay.engines import ENGINES
from assay.engines import load as load_engine
from assay.execution.fit import fit
from assay.recipe.model import Recipe
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import plan_of_one
from assay.studies.settings import Settings
from assay.training.checkpoints import restore, to_bytes
from assay.training.checkpoints import save as save_weights
from assay.training.loop import Training, prepared
from tests.folders import mnist_folder

QUICK = ["--set", "budget.epochs=1", "--set", "model.hidden=[8]"]


def assay(*words: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assay.cli", *words], cwd=cwd, capture_output=True, text=True, timeout=120, **options
    )


def test_train_without_arguments_learns_the_digits(tmp_path: Path) -> None:
    began = time.perf_counter()
    done = assay("train", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - began < 60  # ten seconds on a quiet machine; see the README
    for expected in (
        "test accuracy",
        "test loss",
        "train loss",
        "seconds",
        "effort",
        "operations",
        "peak memory",
        "numpy",
    ):
        assert expected in done.stdout
    picture = next((tmp_path / "assay-out").glob("quickstart-*.png"))
    assert picture.name in done.stdout.replace("\n", "")
    with Image.open(picture) as image:
        assert image.width > 800


def test_json_holds_the_result(invoke: Any) -> None:
    code, out, _ = invoke("train", "--json", *QUICK)
    assert code == 0
    result = json.loads(out)
    assert {
        "accuracy",
        "test_loss",
        "train_loss",
        "outcome",
        "iterations",
        "seconds",
        "flops",
        "peak_memory_bytes",
        "engine",
        "curve",
    } <= set(result)
    assert list(result["seconds"]) == ["data", "compile", "train", "evaluate", "checkpoint", "wait", "other", "wall"]
    assert result["iterations"] == 45
    assert result["accuracy"] == result["curve"][-1]["test_accuracy"]
    assert Path(result["files"]["plot"]).is_file()


def test_the_quickstart_is_accurate(invoke: Any) -> None:
    _, out, _ = invoke("train", "--json")
    assert json.loads(out)["accuracy"] >= 0.95


def test_a_recipe_file_and_changes_to_it(invoke: Any) -> None:
    Path("mine.toml").write_text('model = "2LR"\n[optimizer]\nname = "descent"\nlearning_rate = 0.2\n')
    code, out, _ = invoke("train", "mine.toml", "--json", "--set", "optimizer.name=adam", "--set", "budget.epochs=1")
    assert code == 0
    recipe = json.loads(out)["recipe"]
    assert (recipe["model"]["name"], recipe["loss"]) == ("2LR", "cross_entropy")
    assert (recipe["optimizer"]["name"], recipe["optimizer"]["learning_rate"]) == ("adam", 0.001)
    assert "mine-" in json.loads(out)["files"]["plot"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "nothing.toml"], "nothing.toml: no such file"),
        (["train", "--set", "modle=3LS"], "did you mean 'model'"),
        (["train", "--set", "model"], "expected KEY=VALUE"),
        (["train", "--set", "seed=x", "--set", "loss=mze"], "2 errors"),
        (["train", "--engine", "nmpy"], "did you mean 'numpy'"),
        (["train", "--threads", "0"], "expected a number >= 1"),
        (["train", "--set", "batches.size=5000"], "expected at most 1437"),
        (["train", "--set", "data=mnist"], "assay data fetch mnist"),
        (["train", "--start", "none.safetensors"], "no such file"),
        (["train", "--set", "precision=bfloat16", "--engine", "numpy"], "use engine 'torch'"),
        (["predict", "none.safetensors", "a.png"], "no such file"),
        (["data", "info", "digitz"], "did you mean 'digits'"),
        (["data", "fetch", "imagenet"], "unknown data set to fetch"),
    ],
)
def test_an_error_is_a_sentence(invoke: Any, words: list[str], expected: str) -> None:
    code, _, err = invoke(*words)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err


def test_an_error_shows_no_traceback_in_a_real_process(tmp_path: Path) -> None:
    done = assay("train", "--set", "optimizer.name=adm", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: recipe: 1 error\n  - optimizer: unknown optimizer 'adm'; did you mean 'adam'?"
    )
    (tmp_path / "file").write_text("")
    done = assay("train", "--out", "file", cwd=tmp_path)
    assert (done.returncode, "cannot create this output folder" in done.stderr) == (2, True)


def test_saving_going_on_and_predicting(invoke: Any) -> None:
    assert invoke("train", "--save", "w.safetensors", "--set", "budget.epochs=10", "--set", "seed=5")[0] == 0
    code, out, _ = invoke("train", "--start", "w.safetensors", "--json", "--set", "budget.epochs=20")
    assert code == 0
    assert json.loads(out)["iterations"] == 900
    assert "w-" in json.loads(out)["files"]["plot"]
    digits = load_data("digits").x_test[:2].reshape(2, 8, 8) * np.uint8(15)  # a mere ramp of grey has no ink
    write_idx(Path("images"), digits)
    code, out, _ = invoke("predict", "w.safetensors", "images", "--json")
    assert code == 0
    predictions = json.loads(out)["predictions"]
    assert [p["image"] for p in predictions] == ["images[0]", "images[1]"]
    assert sum(predictions[0]["probabilities"].values()) == pytest.approx(1)
    code, out, _ = invoke("predict", "w.safetensors", "images")
    assert (code, out.count("images[")) == (0, 2)


def test_divergence_is_a_result_with_exit_code_0(invoke: Any) -> None:
    wild = ["--set", "model.output=identity", "--set", "loss=mse", "--set", "optimizer.name=descent"]
    code, out, _ = invoke("train", *wild, "--set", "optimizer.learning_rate=1e9", "--json")
    assert code == 0
    assert json.loads(out)["outcome"] == "diverged"
    code, out, _ = invoke("train", *wild, "--set", "optimizer.learning_rate=1e9")
    assert (code, "diverged: loss not finite a" in " ".join(out.split())) == (0, True)


@pytest.mark.endurance
def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "assay.cli", "train", "--set", "budget.iterations=100000000"]
    words += ["--json", "--store", "my store.db", "--out", "my runs", "--set", "model.hidden=[8, 4]"]
    words += ["--engine", "numpy", "--threads", "1", "--again"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("training quickstart: ")  # the first line of progress
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    iterations = int(err.split("interrupted after ")[1].split()[0].replace(",", ""))
    printed = shlex.split(err.split("resume with: ")[1])
    options = ["--threads", "1", "--out", "my runs", "--start", "my runs/quickstart.safetensors"]
    options += ["--store", "my store.db", "--again", "--json"]
    assert printed == ["assay", *words[3:6], "--set", "model.hidden=[8, 4]", "--engine", "numpy", *options]
    longer = [word.replace("budget.iterations=100000000", f"max_steps={iterations + 5}") for word in printed[1:]]
    done = assay(*longer, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    resumed = json.loads(done.stdout)
    assert (resumed["iterations"], resumed["store"]) == (iterations + 5, "my store.db")
    assert resumed["engine"] == "numpy"


def test_a_terminal_shows_a_progress_bar(tmp_path: Path) -> None:
    terminal, stream = pty.openpty()
    words = [sys.executable, "-m", "assay.cli", "train", "--set", "budget.epochs=60"]
    environment = {**os.environ, "COLUMNS": "120"}
    child = subprocess.Popen(words, cwd=tmp_path, env=environment, stdin=stream, stdout=stream, stderr=stream)
    os.close(stream)
    shown = b""
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:  # what Linux answers once the child has gone
        pass
    os.close(terminal)
    assert child.wait(timeout=120) == 0
    text = shown.decode()
    for expected in ("training quickstart", "/2,700, loss ", "accuracy ", "ETA", "test accuracy"):
        assert expected in text


def test_a_start_that_does_not_fit_is_refused_before_anything_is_trained_or_stored(invoke: Any) -> None:
    words = ["train", "--set", "model.hidden=[4]", "--engine", "numpy"]
    assert invoke(*words, "--set", "budget.epochs=2", "--save", "w.safetensors")[0] == 0
    for change, sentence in (
        ("budget.epochs=1", "is at iteration 90; the budget is 45"),
        ("optimizer=descent", "optimizer: differs from the training to resume"),
        ("data.train=100", "data: differs from the training to resume"),
    ):
        code, _, err = invoke("train", "--start", "w.safetensors", "--set", change, "--engine", "numpy")
        assert (code, sentence in err) == (2, True), err
    assert json.loads(invoke("list", "--trials", "--json")[1])["count"] == 1


def test_data_info_draws_a_contact_sheet(invoke: Any) -> None:
    code, out, _ = invoke("data", "info", "digits", "--json")
    assert code == 0
    about = json.loads(out)
    assert (about["training_examples"], about["test_examples"]) == (1437, 360)
    with Image.open(about["contact_sheet"]) as sheet:
        assert sheet.width > 300
    assert "share of zeros" in invoke("data", "info", "digits")[1]


def test_doctor_has_a_line_for_everything(invoke: Any) -> None:
    code, out, _ = invoke("doctor")
    assert code == 0
    for expected in ("cpu", "cores", "blas", "engine numpy", "engine jax", "engine torch", "data digits", "data mnist"):
        assert expected in out
    assert set(json.loads(invoke("doctor", "--json")[1])["engines"]) == set(ENGINES)


def test_version_and_help(invoke: Any) -> None:
    assert invoke("--version")[1].startswith("assay 0.")
    assert "train" in invoke("--help")[1]


def test_control_characters_in_names_do_not_reach_the_terminal(invoke: Any) -> None:
    from assay.report.text import clean

    assert "\x1b" not in clean("a\x1b[2Jb")


HEAVY = ("jax", "torch", "pandas", "sklearn", "altair", "numpy", "scipy", "pydantic", "sqlalchemy", "psutil")


@pytest.mark.parametrize("code", ["import assay", "import assay.cli, sys; sys.argv = ['assay', '--help']"])
def test_starting_loads_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


COMMANDS = """
import json, sys
from assay.cli import main

loaded = {}
for name, words in WORDS.items():
    sys.argv = ["assay", *words, "--store", "store.db"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (name, end.code)
    loaded[name] = [module for module in HEAVY if module in sys.modules]
print(json.dumps(loaded))
"""


def test_commands_load_what_they_need_alone(invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plans, lists or shows a trial needs no frames, and a table of results no statistics and no chart."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(
        'design = "one-at-a-time"\nengine = "numpy"\n[baseline]\nmodel.hidden = [4]\nbudget.iterations = 2\n'
    )
    run = ["run", "study.toml"]
    key = json.loads(invoke(*run, "--json", "--store", "store.db")[1])["trials"][0]["trial"]
    words = {"plan": [*run, "--plan"], "list": ["list"], "trials": ["list", "--trials"], "show": ["show", key]}
    heavy = ("pandas", "scipy.special", "sklearn", "altair", "alembic", "jax", "torch", "PIL", "vl_convert")
    code = f"HEAVY = {heavy!r}\nWORDS = { {**words, 'finished': run}!r}\n{COMMANDS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {name: [] for name in words} | {"finished": ["pandas"]}


@pytest.mark.parametrize("words", [["-c", "import assay"], ["-m", "assay.cli", "--help"]])
def test_starting_is_quick(words: list[str], tmp_path: Path) -> None:
    """Processor time, the best of up to twenty, so that a busy machine does not decide."""
    spent: list[float] = []
    while len(spent) < 20 and min(spent, default=9.0) >= 0.4:
        before = os.times()
        subprocess.run([sys.executable, *words], capture_output=True, check=True, cwd=tmp_path, timeout=60)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.4


@pytest.mark.mnist
def test_mnist_trains_from_a_folder(invoke: Any) -> None:
    folder = mnist_folder()
    code, out, _ = invoke(
        "train", "--json", "--set", f"data={folder}", "--set", "model=2LR", "--set", "optimizer.name=descent",
        "--set", "optimizer.learning_rate=0.2", "--set", "batches=window", "--set", "budget.iterations=500",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["accuracy"] > 0.85


def edited(source: str, target: str, **changes: Any) -> None:
    """Copies a file of weights with the first bias changed, or with changes in its metadata alone."""
    from safetensors.numpy import load, save

    content = Path(source).read_bytes()
    arrays = {name: array.copy() for name, array in load(content).items()}
    about = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["assay"])
    if not changes:
        arrays["weights/0.bias"][0] += 1
    Path(target).write_bytes(save(arrays, metadata={"assay": json.dumps(about | changes)}))


def test_edited_weights_never_answer_for_the_plain_training(invoke: Any) -> None:
    plain = ("train", "--json", "--engine", "numpy", "--set", "budget.epochs=2")
    save_weights(fit({"budget": {"epochs": 1}}, engine="numpy"), "w.safetensors")
    edited("w.safetensors", "edited.safetensors")
    code, out, err = invoke(*plain, "--start", "edited.safetensors")
    assert code == 0
    assert "edited.safetensors: not a checkpoint of this training in assay.db" in " ".join(err.split())
    started = json.loads(out)
    assert [w for w in started["warnings"] if "started from the weights in edited.safetensors (sha256 " in w]
    honest = json.loads(invoke(*plain)[1])
    assert honest["trial"] != started["trial"]
    assert not honest["from_store"]
    assert honest["test_loss"] != started["test_loss"]
    assert honest["warnings"] == []
    assert json.loads(invoke("show", started["trial"][:8], "--json")[1])["warnings"] == started["warnings"]


def test_weights_of_the_training_itself_keep_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint in the store and the initial weights do, with the store's own curve; changed ones do not."""
    store, data = Store(str(tmp_path / "store.db")), load_data("digits")
    recipe = Recipe.parse({"budget": {"iterations": 20}})
    short = Training([recipe.with_budget(iterations=10)], load_engine("numpy"), prepared(recipe, data))
    for _ in short:
        break
    begun = short.histories()[0]
    for _ in short:
        pass
    ended = short.histories()[0]
    plan = plan_of_one(recipe, Settings(engine="numpy"))
    first = plan_of_one(ended.recipe, Settings(engine="numpy"))
    store.register(first)
    lease, job = store.leases.claim(first.jobs) or (None, None)
    assert lease is not None and job is not None
    store.finish(lease, job.trials[0], Finished(ended.outcome, ended.reason, ended, content=to_bytes(ended)))
    files = {name: tmp_path / f"{name}.safetensors" for name in ("begun", "ended", "no-begun", "no-ended", "curve")}
    save_weights(begun, files["begun"])
    save_weights(ended, files["ended"])
    for name in ("begun", "ended"):
        edited(str(files[name]), str(files[f"no-{name}"]))
    (key,) = plan.trials
    trajectory = plan.trials[key].trajectory
    curve = [asdict(point) | {"test_accuracy": 1.0} for point in ended.points]
    edited(str(files["ended"]), str(files["curve"]), points=curve)
    found = {name: _started(path, restore(path), plan, store) for name, path in files.items()}
    assert found["begun"] == (plan, {})
    for name in ("ended", "curve"):
        kept, starts = found[name]
        assert (kept, list(starts)) == (plan, [trajectory])
        assert starts[trajectory].points == ended.points
    notes = capsys.readouterr().err
    assert all((f"{path}: not a checkpoint" in notes) == name.startswith("no-") for name, path in files.items())
    keys = {name: next(iter(found[name][0].trials)) for name in ("no-begun", "no-ended")}
    assert len({key, *keys.values()}) == 3
    again, starts = _started(files["no-ended"], restore(files["no-ended"]), plan, store)
    assert list(again.trials) == [keys["no-ended"]]
    assert [trial.trajectory for trial in again.trials.values()] == list(starts) != [trajectory]
    assert [trial.notes[-1] for trial in again.trials.values()] == [
        f"started from the weights in no-ended.safetensors (sha256 {digest(files['no-ended'])[:16]}), "
        "not from those of this recipe"
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
