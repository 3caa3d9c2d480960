"""The line that a command prints to go on: parsed again, it gives the arguments that were typed, for every option."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Generator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer

from assay.cli import app
from assay.cli.printing import Verbosity, set_verbosity
from assay.cli.repeat import same_command
from assay.execution.runner import Execution

GROUP: Any = typer.main.get_command(app)
COMMANDS = ("run", "train", "bench", "search", "reproduce")
ODD = 'it\'s a "name", $HOME and ~'


class Kind(Enum):
    """Values of an option."""

    ONE = "one"


@pytest.fixture(autouse=True)
def usual_verbosity() -> Generator[None]:
    """What is parsed here may be --quiet."""
    yield
    set_verbosity(Verbosity.NORMAL)


def parsed(name: str, words: list[str]) -> Any:
    """The context of a command, which is not run."""
    return GROUP.commands[name].make_context(name, list(words))


def words_of(parameter: Any) -> list[list[str]]:
    """Ways to type a parameter."""
    if parameter.param_type_name == "argument":
        return [["some thing.toml"], ["--", "-odd"]]
    names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name not in ("--help", "-h")]
    if parameter.is_flag:
        return [[name] for name in names]
    values, kind = {int: ["7"], float: ["0.5"]}, parameter.type_descriptor.annotation
    ways = [[name, value] for name in names for value in values.get(kind, [ODD, "a=[1, 2]"])]
    if kind not in values:
        ways.append([f"{names[0]}=-x y"])
    return [*ways, [word for way in ways for word in way]] if parameter.multiple else ways


def cases() -> list[Any]:
    return [
        pytest.param(name, way, id=f"{name} {' '.join(way)}"[:60])
        for name in COMMANDS
        for parameter in GROUP.commands[name].params
        if parameter.name != "help"
        for way in words_of(parameter)
    ]


@pytest.mark.parametrize(("name", "typed"), cases())
def test_the_line_gives_the_arguments_again(name: str, typed: list[str]) -> None:
    context = parsed(name, typed)
    program, command, *again = shlex.split(same_command(context))
    assert (program, command) == ("assay", name)
    assert again  # what was typed is in it
    assert parsed(name, again).params == context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_all_options_at_once_and_none(name: str) -> None:
    words: list[str] = []
    for parameter in GROUP.commands[name].params:
        if parameter.name != "help" and parameter.param_type_name == "option":
            words += words_of(parameter)[0]
    words += ["recipe.toml"]
    context = parsed(name, words)
    assert parsed(name, shlex.split(same_command(context))[2:]).params == context.params
    assert same_command(parsed(name, [])) == f"assay {name}"


def test_changes_additions_and_what_is_left_out() -> None:
    context = parsed("train", ["r.toml", "--again", "--engine", "numpy"])
    line = same_command(context, without=["again"], changes={"start": Path("my w.safetensors"), "engine": "torch"})
    assert line == "assay train r.toml --engine torch --start 'my w.safetensors'"


def test_a_password_is_left_out() -> None:
    line = same_command(parsed("run", ["--store", "postgresql+psycopg://me:secret@host/db"]))
    assert "secret" not in line
    assert "me" in line


def test_an_option_with_an_opposite_and_an_enumeration() -> None:
    other = typer.Typer(add_completion=False)

    @other.command(name="odd")
    def odd(ink: bool = True, kind: Kind = Kind.ONE) -> None:
        """Has both."""

    command: Any = typer.main.get_command(other)
    context = command.make_context("odd", ["--no-ink", "--kind", "one"])
    assert same_command(context) == "assay odd --no-ink --kind one"


# --- that each command prints it -------------------------------------------------------------------------------------


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is interrupted after the first result, or before it."""

    def execute(execution: Execution) -> bool:
        for _ in execution:
            if execution.outcomes:
                execution.stop()
        return True

    for module in ("run", "reproduce", "progress"):
        monkeypatch.setattr(f"assay.cli.{module}.execute", execute)
    monkeypatch.setattr("assay.cli.bench.run_with_progress", lambda runner, stop, bar: True)
    monkeypatch.setattr("assay.cli.train.run_with_progress", lambda runner, stop, bar: True)


RUN = ["run", "--set", "budget.epochs=1", "--retry", "--yes", "--repeats", "2", "--batch", "100", "--timing", "packed"]
SEARCH = ["search", "--space", "optimizer.learning_rate=1e-4..1:log", "--trials", "3", "--retry", "--yes", "-q"]


ONE = ["--set", "budget.epochs=1", "--yes"]
SAME = "run the same command to resume: "
NOTHING = frozenset[str]()


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(
    ("typed", "before", "left_out"),
    [
        (RUN, SAME, NOTHING),
        (["run", *ONE, "--repeats", "1", "--again"], "without --again, to resume: ", {"again"}),
        (["run", *ONE, "--repeats", "3", "--until-decided"], SAME, NOTHING),
        ([*SEARCH[:-1], *ONE, "--save-study", "s.toml"], SAME, {"save_study"}),
        (["train", "--set", "budget.epochs=3", "--seed", "7", "--again"], "start again with: ", NOTHING),
        (["bench", "3LS", "--engines", "numpy", "--quick", "--threads", "1"], "to measure all: ", NOTHING),
    ],
    ids=["run", "run again", "run until decided", "search", "train", "bench"],
)
def test_an_interrupted_command_prints_it(
    invoke: Any, typed: list[str], before: str, left_out: Collection[str]
) -> None:
    code, _, err = invoke(*typed)
    assert code == 130, err
    program, name, *again = shlex.split(err.split(before)[1].splitlines()[0])
    assert (program, name) == ("assay", typed[0])
    got, expected = parsed(name, again).params, parsed(name, typed[1:]).params
    assert {key: value for key, value in got.items() if value != expected[key]}.keys() == {
        key for key in left_out if expected[key]
    }
