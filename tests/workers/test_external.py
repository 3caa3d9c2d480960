"""A program of the user's that trains: held to parity, kept on a short leash, judged by what it prints and leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import assay
from assay.data.dataset import from_arrays
from assay.data.prepare import Prepared
from assay.engines import choose, load
from assay.engines.program import Command, Program
from assay.errors import AssayError, CodeError, EngineError, ProgramError, RecipeError
from assay.parts.batches import BATCHES
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.studies.keys import trajectory_key
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.history import History
from assay.training.log_points import log_points
from assay.training.loop import prepared, train
from assay.training.outcome import Outcome
from assay.workers.batch import EndedEvent, train_together
from assay.workers.external.folder import final_weights
from assay.workers.external.reported_curve import ReportedCurve
from assay.workers.external.training import ExternalTraining, make_training

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL: dict[str, Any] = {
    "model": {"hidden": [4], "activation": "sigmoid"},
    "batches": {"kind": "window", "size": 10},
    "budget": {"iterations": 6},
    "log": 2,
    "precision": "float64",
}


def data(recipe: Recipe, *, examples: int = 97, inputs: int = 7, classes: int = 5) -> Prepared:
    y = stream(0, "labels").integers(classes, examples)
    x = stream(0, "inputs").uniform(examples * inputs).reshape(examples, inputs)
    x = x * (x > 0.3) + 0.5 * (np.arange(inputs) == y[:, None])
    x = (x / x.max()).astype("float64")
    return prepared(recipe, from_arrays(x, y, x[:41], y[:41]))


def run(recipe: Recipe, *words: str, files: tuple[str, ...] = ()) -> ExternalTraining:
    training = make_training(recipe, Program(Command(command=words, files=files), threads=1), data(recipe))
    assert isinstance(training, ExternalTraining)
    return training


def finished(training: ExternalTraining) -> History:
    for _ in training:
        pass
    return training.histories()[0]


# --- law 1: parity ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    if not shutil.which("cc"):
        pytest.skip("no C compiler: Debian has it in the package gcc")
    program = tmp_path_factory.mktemp("c") / "dense"
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    subprocess.run(["cc", "-O2", *strict, "-o", str(program), str(EXAMPLES / "c" / "dense.c"), "-lm"], check=True)
    return (str(program),)


@pytest.fixture(scope="session")
def octave_script() -> tuple[str, ...]:
    if not shutil.which("octave-cli"):
        pytest.skip("no GNU Octave: Debian has it in the package octave")
    return ("octave-cli", "--norc", "--quiet", str(EXAMPLES / "octave" / "dense.m"))


@pytest.fixture(params=["c_program", "octave_script"])
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.getfixturevalue(request.param)


CASES = [
    # hidden, activation, output, loss, optimizer, batches
    ([4, 3], "sigmoid", "log_softmax", "nll", "adam", "shuffled"),
    ([6], "relu", "softmax", "cross_entropy", "descent", "window"),
    ([6], "sigmoid", "sigmoid", "mse", "descent", "full"),
    ([], "tanh", "identity", "logit_cross_entropy", "momentum", "single"),
    ([5], "leaky_relu", "sigmoid", "cross_entropy", "adam", "replacement"),
    ([5], "tanh", "softmax", "quadratic", "momentum", "shuffled"),
    ([3], "identity", "softmax", "nll", "descent", "window"),
    ([3], "sigmoid", "identity", "mse", "adam", "full"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[1:])))
def test_losses_agree_with_the_reference(words: tuple[str, ...], case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # the formulas count here, also of a pairing that nobody plans a training of
    monkeypatch.setattr("assay.training.checks.refusals", lambda recipe: [])
    hidden, activation, output, loss, optimizer, kind = case
    recipe = Recipe.parse(
        {
            "data": {"validation": 11},
            "model": {"hidden": hidden, "activation": activation, "output": output, "initial": "kaiming_uniform"},
            "loss": loss,
            "optimizer": {"name": optimizer, "learning_rate": 0.02},
            "batches": {"kind": kind} | ({"size": 10} if "size" in BATCHES[kind].model_fields else {}),
            "schedule": {"name": "exponential", "every": 20},
            "budget": {"iterations": 60},
            "log": 7,
            "precision": "float64",
        }
    )
    (reference,) = train([recipe], load("numpy", threads=1), data(recipe))
    history = finished(run(recipe, *words))
    assert history.outcome is Outcome.COMPLETED
    assert [p.iteration for p in history.points] == [p.iteration for p in reference.points]
    for mine, other in zip(history.points, reference.points, strict=True):
        for name in ("train", "validation", "test"):
            expected = getattr(other, f"{name}_loss")
            assert abs(getattr(mine, f"{name}_loss") - expected) < 1e-10 * max(1.0, abs(expected))
            assert getattr(mine, f"{name}_accuracy") == getattr(other, f"{name}_accuracy")
    for name, w in reference.checkpoint.weights.items():
        np.testing.assert_allclose(history.checkpoint.weights[name], w, rtol=1e-9, atol=1e-10)


def test_the_program_of_the_guide_agrees_too(tmp_path: Path) -> None:
    guide = (EXAMPLES.parent / "docs" / "runners.md").read_text()
    (tmp_path / "linear.py").write_text(guide.partition("```python\n")[2].partition("```")[0])
    recipe = Recipe.parse(
        {
            "model": {"hidden": [], "output": "identity"},
            "optimizer": "descent",
            "batches": {"kind": "shuffled", "size": 10},
            "budget": {"iterations": 60},
            "precision": "float64",
        }
    )
    (reference,) = train([recipe], load("numpy", threads=1), data(recipe))
    history = finished(run(recipe, sys.executable, str(tmp_path / "linear.py")))
    for mine, other in zip(history.points, reference.points, strict=True):
        assert (mine.iteration, mine.test_accuracy) == (other.iteration, other.test_accuracy)
        assert mine.train_loss == pytest.approx(other.train_loss, rel=1e-10)
        assert mine.test_loss == pytest.approx(other.test_loss, rel=1e-10)


@pytest.mark.parametrize(("train_loss", "precision"), [("batch", "float64"), (20, "float32")])
def test_the_training_loss_is_measured_as_the_recipe_says(words: Any, train_loss: Any, precision: str) -> None:
    log = {"every": 2, "train_loss": train_loss}
    recipe = Recipe.parse(SMALL | {"log": log, "precision": precision, "batches": {"kind": "shuffled", "size": 10}})
    (reference,) = train([recipe], load("numpy", threads=1), data(recipe))
    history = finished(run(recipe, *words))
    losses = [[p.train_loss for p in h.points if p.train_loss is not None] for h in (history, reference)]
    np.testing.assert_allclose(losses[0], losses[1][-len(losses[0]) :], rtol=1e-9 if precision == "float64" else 1e-5)
    assert history.ledger.train == history.points[-1].seconds > 0
    assert history.ledger.wall > history.ledger.train


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"hidden": [3], "activation": "gelu"}}, "gelu"),
        ({"model": {"hidden": [3], "dropout": 0.2}}, "dropout"),
        ({"optimizer": "rmsprop"}, "rmsprop"),
        ({"regularisation": {"l2": 0.1}}, "l1 and l2 are not known here"),
        ({"clip_norm": 1.0}, "clip_norm is not known here"),
    ],
)
def test_an_example_refuses_what_it_does_not_know(words: tuple[str, ...], changes: Any, said: str) -> None:
    with pytest.raises(ProgramError, match=r"ended with code 1 after 0 of 4 log points") as caught:
        finished(run(Recipe.parse(SMALL | changes), *words))
    assert said in str(caught.value)


# --- what programs do ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def truth() -> list[dict[str, Any]]:
    """The curve of SMALL as an honest program prints it."""
    recipe = Recipe.parse(SMALL)
    (history,) = train([recipe], load("numpy", threads=1), data(recipe))
    keys = ("iteration", "train_loss", "test_loss", "test_accuracy")
    return [{key: getattr(point, key) for key in keys} | {"seconds": 0.0} for point in history.points]


@pytest.fixture
def parrot(tmp_path: Path, truth: list[dict[str, Any]]) -> Any:
    """Makes a program that says what it is told; `say` prints the true lines."""

    def make(body: str) -> tuple[str, ...]:
        head = f"""
            import json, os, signal, subprocess, sys, time
            lines = {truth!r}
            def say(line):
                print(json.dumps(line), flush=True)
        """
        program = tmp_path / "parrot.py"
        program.write_text(textwrap.dedent(head) + textwrap.dedent(body))
        return (sys.executable, "-I", str(program))

    return make


def test_an_honest_program_needs_no_weights(parrot: Any) -> None:
    training = run(Recipe.parse(SMALL), *parrot("for line in lines: say(line)"))
    statuses = list(training)
    assert [s.iteration for s in statuses if s.new_point] == [0, 2, 4, 6]
    history = training.histories()[0]
    assert (history.outcome, history.iterations, len(history.points)) == (Outcome.COMPLETED, 6, 4)
    assert history.engine == "command:parrot.py"
    assert history.checkpoint.weights == {}
    assert training.outputs(training.data.x_test) is None


FAILURES = {
    "malformed": ("say(lines[0]); print('epoch 1 done')", "line 2 of its output: got 'epoch 1 done'; expected a JSON"),
    "not an object": ("print('[1]')", r"line 1 of its output: got '\[1\]'; expected a JSON object"),
    "deep": ("print('[' * 60000)", "line 1 of its output: got .*; expected a JSON object"),
    "another iteration": ("say(lines[1])", "line 1 of its output: iteration: got 2; expected 0"),
    "a missing key": ("del lines[0]['test_loss']; say(lines[0])", "line 1 of its output: test_loss is missing"),
    "a key unknown": ("say(lines[0] | {'tets_loss': 1})", "unknown key 'tets_loss'; did you mean 'test_loss'"),
    "a word": ("say(lines[0] | {'test_loss': 'low'})", "line 1 of its output: test_loss: got 'low'; expected a number"),
    "a share": ("say(lines[0] | {'test_accuracy': 97.5})", "test_accuracy: got 97.5; expected a fraction from 0 to 1"),
    "a clock ahead": ("say(lines[0] | {'seconds': 1e6})", r"seconds: got 1e\+06; expected from 0, .* to 0\.\d+"),
    "a clock back": (
        "say(lines[0] | {'seconds': 1e-3}); say(lines[1])",
        "line 2 .*: seconds: got 0; expected from 0.001",
    ),
    "no clock": ("del lines[0]['seconds']; say(lines[0])", "line 1 of its output: seconds: got nan"),
    "another network": ("say(lines[0] | {'test_loss': 9})", "at iteration 0 test_loss is reported as 9; these"),
    "too much": (
        "[say(line) for line in lines]; say(lines[3])",
        "line 5 of its output: got .*; expected nothing after the 4",
    ),
    "nothing": ("", "ended with code 0 after 0 of 4 log points"),
    "too little": ("[say(line) for line in lines[:2]]", "code 0 after 2 of 4 log points, the last at iteration 2"),
    "a code": ("say(lines[0]); sys.exit('no idea')", r"ended with code 1 after 1 of 4 .*\n.*ends with:\nno idea"),
    "a code at the end": ("[say(line) for line in lines]; sys.exit(3)", "ended with code 3 after 4 of 4 log points"),
    "a signal": ("say(lines[0]); os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV after 1 of 4"),
    "gigabytes": ("while True: os.write(1, b'x' * 2**20)", "line 1 of its output: longer than 65,536 bytes"),
    "gigabytes of lines": ("while True: print('{}')", "line 1 of its output: iteration: got None; expected 0"),
    "gigabytes of errors": (
        "for _ in range(300): os.write(2, b'y' * 2**20)\nsys.exit(2)",
        r"ended with code 2 .*\n.*ends with:\n\.\.\. y{1000}",
    ),
}


@pytest.mark.parametrize(("body", "said"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_a_sentence(parrot: Any, body: str, said: str) -> None:
    training = run(Recipe.parse(SMALL), *parrot(body))
    with pytest.raises(ProgramError, match=r"^command:parrot.py.*" + said):
        finished(training)
    assert not psutil.Process().children(recursive=True)


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None"])
def test_a_loss_that_is_not_finite_is_a_diverged_training(parrot: Any, value: str) -> None:
    body = f"say(lines[0]); say(lines[1]); say(lines[2] | {{'train_loss': {value}}}); time.sleep(60)"
    history = finished(run(Recipe.parse(SMALL), *parrot(body)))
    assert (history.outcome, history.reason) == (Outcome.DIVERGED, "loss not finite after iteration 4")
    assert [point.iteration for point in history.points] == [0, 2]


def test_a_stopping_rule_ends_the_program(parrot: Any, truth: list[dict[str, Any]]) -> None:
    reached = truth[1]["test_accuracy"]
    recipe = Recipe.parse(SMALL | {"stop": {"accuracy": reached}})
    history = finished(run(recipe, *parrot("say(lines[0]); say(lines[1]); time.sleep(60)")))
    assert history.outcome is Outcome.STOPPED


CHILDREN = """
    for line in lines[:2]: say(line)
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        open(sys.argv[1] + '/../{name}', 'w').write(f'{{os.getpid()}} {{child.pid}}')
        time.sleep(300)
        os._exit(0)
    {rest}
"""


def wait_for(path: Path) -> list[int]:
    until = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 10
    while any(psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE for p in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that leaves its group escapes")
@pytest.mark.parametrize("ending", ["breaks off", "ends by itself"])
def test_no_descendant_survives_the_training(parrot: Any, temporary: Path, ending: str) -> None:
    rest = "time.sleep(300)" if ending == "breaks off" else "time.sleep(0.5); [say(line) for line in lines[2:]]"
    training = run(Recipe.parse(SMALL), *parrot(CHILDREN.format(name="pids", rest=rest)))
    for status in training:
        if ending == "breaks off" and status.iteration == 2 and (temporary / "pids").exists():
            break
    assert gone(wait_for(temporary / "pids"))
    assert [path.name for path in temporary.iterdir()] == ["pids"]  # the folder of the run is gone too
    expected = Outcome.INTERRUPTED if ending == "breaks off" else Outcome.COMPLETED
    assert training.histories()[0].outcome is expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that leaves its group escapes")
def test_the_program_dies_with_assay(parrot: Any, temporary: Path, tmp_path: Path) -> None:
    words = parrot(CHILDREN.format(name="pids", rest="time.sleep(300)"))
    (tmp_path / "recipe.json").write_text(json.dumps(SMALL))
    code = (
        "import json, sys, tempfile; sys.path.insert(0, sys.argv[1]); tempfile.tempdir = sys.argv[2]\n"
        "from tests.workers.test_external import *\n"
        f"finished(run(Recipe.parse(json.load(open({str(tmp_path / 'recipe.json')!r}))), *{words!r}))"
    )
    root = str(EXAMPLES.parent)
    assay_itself = subprocess.Popen([sys.executable, "-c", code, root, str(temporary)])
    pids = wait_for(temporary / "pids")
    assay_itself.send_signal(signal.SIGKILL)
    assay_itself.wait()
    assert gone(pids)
    until = time.monotonic() + 10
    while [path.name for path in temporary.iterdir()] != ["pids"]:  # the folder of the run goes too
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_program_gets_a_folder_of_its_own_and_no_input(parrot: Any) -> None:
    body = """
        about = json.load(open(sys.argv[-1] + '/recipe.json'))
        there = sorted(f'{os.path.basename(top)}/{name}' for top, _, names in os.walk(sys.argv[-1]) for name in names)
        sys.exit(json.dumps([about['layers'], sys.stdin.read(), os.environ['OMP_NUM_THREADS'], there]))
    """
    with pytest.raises(ProgramError) as caught:
        finished(run(Recipe.parse(SMALL), *parrot(body)))
    layers, given, threads, there = json.loads(str(caught.value).splitlines()[-1])
    assert layers == [
        {"kind": "dense", "inputs": 7, "units": 4, "number": 0},
        {"kind": "activate", "function": "sigmoid", "units": 4},
        {"kind": "dense", "inputs": 4, "units": 5, "number": 1},
    ]
    assert (given, threads) == ("", "1")
    names = ["sizes", "starts", "test.x", "test.y", "train.x", "train.y", "0.bias", "0.weight", "1.bias", "1.weight"]
    assert {name.rpartition("/")[2].removesuffix(".npy") for name in there} == {
        *names,
        "learning_rates",
        "log_points",
        "recipe.json",
    }


# --- the weights that it leaves --------------------------------------------------------------------------------------

SHAPES = {"0.weight": (3, 2), "0.bias": (2,)}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    (tmp_path / "final").mkdir()
    for name, shape in SHAPES.items():
        np.save(tmp_path / "final" / f"{name}.npy", np.ones(shape, np.float32))
    return tmp_path


def test_weights_are_read_in_either_order_and_width(left: Path) -> None:
    array = np.arange(6, dtype=np.float64).reshape(3, 2)
    np.save(left / "final" / "0.weight.npy", np.asfortranarray(array))
    np.testing.assert_array_equal(final_weights(left, SHAPES)["0.weight"], array)


def swapped(path: Path, make: Any) -> None:
    path.unlink()
    make(path)


DAMAGE = {
    "a link": (lambda p: p.symlink_to("/etc/hostname"), "cannot be read"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "nothing": (lambda p: None, "is missing; expected every array"),
    "text": (lambda p: p.write_text("weights"), "is not a .npy file"),
    "empty": (lambda p: p.write_bytes(b""), "is not a .npy file"),
    "objects": (lambda p: np.save(p, np.array([{}, []], object), allow_pickle=True), "got object of shape"),
    "another shape": (lambda p: np.save(p, np.ones((2, 3))), r"shape \(2, 3\)"),
    "whole numbers": (lambda p: np.save(p, np.ones((3, 2), int)), "got int64"),
    "not finite": (lambda p: np.save(p, np.full((3, 2), np.nan)), "not finite"),
}


@pytest.mark.parametrize(("make", "said"), DAMAGE.values(), ids=DAMAGE)
def test_weights_that_are_not_what_they_should_be_are_refused(left: Path, make: Any, said: str) -> None:
    swapped(left / "final" / "0.weight.npy", make)
    with pytest.raises(ProgramError, match=said):
        final_weights(left, SHAPES)


def test_a_header_that_promises_terabytes_takes_no_memory(left: Path) -> None:
    path = left / "final" / "0.weight.npy"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(3, 2)", b"(3, 9999999999)".ljust(15))[: len(content)])
    with pytest.raises(ProgramError):
        final_weights(left, SHAPES)


def test_a_folder_that_became_a_link_is_refused(left: Path) -> None:
    shutil.move(left / "final", left / "elsewhere")
    (left / "final").symlink_to(left / "elsewhere")
    with pytest.raises(ProgramError, match="'final' cannot be read"):
        final_weights(left, SHAPES)


def test_weights_that_do_not_give_what_is_claimed_are_a_failure(parrot: Any) -> None:
    body = """
        import shutil
        for name in os.listdir(sys.argv[1] + '/weights'):
            shutil.copy(f'{sys.argv[1]}/weights/{name}', f'{sys.argv[1]}/final/{name}')
        for line in lines: say(line)
    """
    with pytest.raises(ProgramError, match="line 4 of its output: at iteration 6 test_loss is .* these weights give"):
        finished(run(Recipe.parse(SMALL), *parrot(body)))


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_bytes_are_a_point_or_a_sentence(lines: list[bytes]) -> None:
    curve = ReportedCurve([0, 5], ["train_loss", "test_loss", "test_accuracy"], batch_loss=False)
    for line in lines:
        try:
            curve.read(line, seconds=1.0, examples=0)
        except ProgramError as error:
            assert str(error).startswith("line ")


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([[]])


@given(
    st.dictionaries(st.sampled_from(["iteration", "seconds", "train_loss", "test_loss", "test_accuracy"]), json_values)
)
def test_any_object_is_a_point_or_a_sentence(table: dict[str, Any]) -> None:
    curve = ReportedCurve([0], ["train_loss", "test_loss", "test_accuracy"], batch_loss=False)
    try:
        point = curve.read(json.dumps(table).encode(), seconds=1.0, examples=0)
    except ProgramError as error:
        assert str(error).startswith("line ")
    else:
        assert 0 <= point.seconds <= 1


# --- what it is made of, and who may run it --------------------------------------------------------------------------


def key(program: Program) -> str:
    return trajectory_key(Recipe.parse(SMALL), data_checksum="", engine=program, timing="isolated", threads=None)


def test_a_changed_program_is_another_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "more.py"):
        (tmp_path / name).write_text("pass")
    command = Command(command=(sys.executable, "train.py"), files=("more.py",))
    first = key(Program(command))
    assert key(Program(command)) == first
    assert key(Program(Command(command=(sys.executable, "train.py", "--fast"), files=("more.py",)))) != first
    planned = Program(command)
    plain = planned.plain()
    for name in ("train.py", "more.py"):
        (tmp_path / name).write_text("print()")
        assert key(Program(command)) != first
        with pytest.raises(CodeError, match=rf"'{name}' has changed since the study was planned"):
            Program.planned(plain, device="cpu", threads=None)
        (tmp_path / name).write_text("pass")
    assert key(Program.planned(plain, device="cpu", threads=None)) == first


def test_a_command_is_refused_unless_code_is_allowed() -> None:
    recipe, command = Recipe.parse(SMALL), Command(command=("true",))
    with pytest.raises(CodeError, match=r"`true` is third-party code.*--allow-code.*allowing_code"):
        choose(recipe, command)
    with assay.allowing_code():
        assert choose(recipe, command).name == "command:true"
        for changes, said in (
            ({"precision": "bfloat16"}, "float32"),
            ({"log": "5 s"}, "log.every in iterations"),
            ({"stop": {"seconds": 3}}, "time_limit"),
        ):
            with pytest.raises(EngineError, match=said):
                choose(Recipe.parse(SMALL | changes), command)
        with pytest.raises(CodeError, match="'no-such-program' is not executable"):
            choose(recipe, Command(command=("no-such-program",)))
        with pytest.raises(CodeError, match="files: 'no-such-file' is not a file"):
            choose(recipe, Command(command=("true",), files=("no-such-file",)))


def test_a_study_names_programs_beside_engines() -> None:
    raw = {
        "baseline": SMALL,
        "axes": {"engine": {"numpy": {"engine": "numpy"}, "mine": {"engine": {"command": ["true"]}}}},
    }
    study = Study.parse(raw)
    with pytest.raises(RecipeError, match=r"mine: the command `true` is third-party code"):
        plan(study)
    with assay.allowing_code():
        planned = plan(study)
    assert [trial.engine for trial in planned.trials.values()] == ["numpy", "command:true"]
    for engine, said in (
        ("nunpy", "mine: engine: unknown engine 'nunpy'; did you mean 'numpy'"),
        ("command", 'mine: engine: engine "command" needs a command line'),
        ({"comand": ["true"]}, "did you mean 'command'"),
        ({"command": []}, "expected 1 or more entries"),
        ({"command": ["a\n"]}, "printable"),
        ({"command": "true -x"}, "expected a list"),
    ):
        with pytest.raises(RecipeError, match=said):
            Study.parse(raw | {"axes": {"engine": {"mine": {"engine": engine}}}})
        with pytest.raises(RecipeError):
            Study.parse({"baseline": SMALL, "design": "one-at-a-time", "engine": engine})


def test_a_program_begins_anew(parrot: Any) -> None:
    recipe = Recipe.parse(SMALL)
    history = finished(run(recipe, *parrot("for line in lines: say(line)")))
    with pytest.raises(AssayError, match="cannot resume from a history"):
        make_training(recipe, Program(Command(command=("true",))), data(recipe), start=[history])
    with pytest.raises(AssayError, match="by command:parrot.py, kept no weights"):
        train([recipe.with_budget(iterations=9)], load("numpy"), data(recipe), start=[history])


def test_the_log_points_are_those_of_the_recipe(parrot: Any) -> None:
    recipe = Recipe.parse(SMALL)
    assert list(run(recipe, *parrot("")).curve.log_points) == log_points(recipe, 97)


# --- from the command line -------------------------------------------------------------------------------------------

RECIPE = """
data.train = 200
model = { hidden = [8], activation = "sigmoid" }
precision = "float64"
budget.iterations = 30
log = 10
"""


def test_train_by_a_program_is_stored_and_not_run_twice(invoke: Any, tmp_path: Path, c_program: Any) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    words = ("train", "recipe.toml", "--command", c_program[0], "--allow-code", "--json")
    code, _, err = invoke(*words[:4])
    assert (code, "--allow-code" in err) == (2, True)
    code, _, err = invoke(*words, "--engine", "torch")
    assert (code, "--command: replaces the engine" in err) == (2, True)
    code, out, err = invoke(*words, "--save", "w.safetensors")
    assert code == 0, err
    first = json.loads(out)
    reference = json.loads(invoke("train", "recipe.toml", "--engine", "numpy", "--json")[1])
    assert first["engine"] == "command:dense"
    assert [p["test_loss"] for p in first["curve"]] == pytest.approx(
        [p["test_loss"] for p in reference["curve"]], rel=1e-10
    )
    assert json.loads(invoke(*words)[1])["from_store"] is True
    code, out, _ = invoke("show", first["trial"][:10])
    said = " ".join(out.split())
    assert "seconds as the program reports them" in said
    assert "--command" in said and "--allow-code" in said
    code, _, err = invoke("train", "--start", "w.safetensors", "--set", "budget.iterations=40", "--engine", "numpy")
    assert (code, "kept no optimizer state" in err) == (2, True)
    assert invoke("store", "check")[1] == "assay.db: sound\n"


def test_a_failing_program_is_a_sentence_of_train(invoke: Any, tmp_path: Path, parrot: Any) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    parrot("sys.exit('no idea')")
    words = ("train", "recipe.toml", "--allow-code", "--command")
    code, _, err = invoke(*words, f"{sys.executable} parrot.py")
    assert code == 2
    assert "error: command:parrot.py ended with code 1 after 0 of 4 log points" in err
    assert err.rstrip().endswith("no idea")
    parrot("time.sleep(60)")
    code, _, err = invoke(*words, f"{sys.executable} parrot.py", "--time-limit", "0.5")
    assert code == 2
    assert "timed out after 0.5 s, before the first log point" in err
    for text, said in (("'", "No closing quotation"), ("", "expected a program"), ("nowhere", "not executable")):
        code, _, err = invoke(*words, text)
        assert (code, said in err) == (2, True), err


def test_a_study_with_programs_from_its_plan_to_its_tables(
    invoke: Any, tmp_path: Path, parrot: Any, c_program: Any
) -> None:
    parrot("sys.exit('no idea')")
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)")
    python = json.dumps(sys.executable)
    (tmp_path / "mine.toml").write_text(
        f"""
        time_limit = 2
        [baseline]
        {RECIPE.strip()}
        [axes.engine]
        numpy = {{ engine = "numpy" }}
        c = {{ engine = {{ command = ["{c_program[0]}"] }} }}
        fails = {{ engine = {{ command = [{python}, "parrot.py"] }} }}
        hangs = {{ engine = {{ command = [{python}, "hangs.py"] }} }}
        """.replace("\n        ", "\n")
    )
    code, _, err = invoke("run", "mine.toml")
    assert (code, "c: the command" in err, "--allow-code" in err) == (2, True, True)
    code, out, err = invoke("run", "mine.toml", "--allow-code", "--json")
    assert code == 0, err
    trials = {trial["axis.engine"]: trial for trial in json.loads(out)["trials"]}
    outcomes = [trial["outcome"] for trial in json.loads(out)["trials"]]
    assert outcomes == ["completed", "completed", "failed", "timed out"]
    assert abs(trials["c"]["test_loss"] - trials["numpy"]["test_loss"]) < 1e-10
    failed = json.loads(invoke("show", trials["fails"]["trial"][:12], "--json")[1])
    assert failed["error"].splitlines()[0] == "command:parrot.py ended with code 1 after 0 of 4 log points"
    assert "no idea" in failed["error"]
    assert "4 stored, 0 to train" in invoke("run", "mine.toml", "--allow-code", "--plan")[2]
    (tmp_path / "hangs.py").write_text("import time; time.sleep(61)")
    assert "3 stored, 1 to train" in invoke("run", "mine.toml", "--allow-code", "--plan")[2]
    code, out, err = invoke("run", "mine.toml", "--allow-code", "--set", "budget.iterations=20", "--json")
    shorter = {trial["axis.engine"]: trial for trial in json.loads(out)["trials"]}
    shown = json.loads(invoke("show", shorter["c"]["trial"][:12], "--json")[1])
    assert "read off the curve of a longer trial" in shown["reason"]
    assert invoke("store", "check")[1] == "assay.db: sound\n"


def test_points_of_another_trial_do_not_count_for_a_stopping_rule(parrot: Any, truth: list[dict[str, Any]]) -> None:
    """A recipe with a point at iteration 2 shares the program's training; the goal is reached there already."""
    goal = truth[1]["test_accuracy"]
    dense = Recipe.parse(SMALL)
    coarse = Recipe.parse(SMALL | {"log": 5, "stop": {"accuracy": goal}})
    own = [0, 5, 6]
    truth_at = {
        point.iteration: point for point in train([dense.patched({"log": 1})], load("numpy"), data(dense))[0].points
    }
    reached = [t for t in own if (truth_at[t].test_accuracy or 0.0) >= goal]
    lines = [truth[0] | vars(truth_at[t]) | {"seconds": 0.0} for t in (0, 2, 4, 5, 6)]
    kept = [{key: line[key] for key in truth[0]} for line in lines]
    program = Program(Command(command=parrot(f"for line in {kept!r}: say(line)")), threads=1)
    events = train_together([dense, coarse], program, data(dense))
    ended = {event.number: event.history for event in events if isinstance(event, EndedEvent)}
    assert [p.iteration for p in ended[0].points] == [0, 2, 4, 6]
    assert ended[1].iterations == (reached[0] if reached else 6)
    assert [p.iteration for p in ended[1].points] == [t for t in own if t <= ended[1].iterations]
    assert ended[1].outcome is (Outcome.STOPPED if reached else Outcome.COMPLETED)
