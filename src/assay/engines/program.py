"""A user's program that trains in place of an engine: its command line, its files, and the recipes it can train.

It runs only with permission, which `assay.engines.choose` checks. `assay.workers.external` runs it.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from assay.engines.base import Cohort
from assay.errors import CodeError
from assay.parts.modules import is_module
from assay.parts.part import Part
from assay.parts.user_optimizers import code_hash
from assay.recipe.model import Recipe


def _listed(value: object) -> object:
    """A list from a TOML file as a tuple, which a frozen part needs."""
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]


def _printable(word: str) -> str:
    if not word.isprintable() or not word:
        raise PydanticCustomError("word", "{sentence}", {"sentence": f"got {word!r}; expected printable characters"})
    return word


Words = Annotated[tuple[Annotated[str, BeforeValidator(_printable)], ...], BeforeValidator(_listed)]


class Command(Part):
    """How a program is run: `command` lists its arguments, without a shell, and `files` the other files it consists of.

    The program, the arguments that are files, and `files` are hashed: if one changes, it is another trial.

    >>> Command(command=("./dense", "--quiet")).title
    'command:dense'
    """

    name: Literal["command"] = "command"
    command: Annotated[Words, Field(min_length=1)]
    files: Words = ()

    @property
    def text(self) -> str:
        """The command line as typed in a shell."""
        return shlex.join(self.command)

    @property
    def title(self) -> str:
        """The name of its trials in the store: the last argument that is a file, else the program."""
        files = [word for word in self.command[1:] if Path(word).is_file()]
        return f"command:{Path([self.command[0], *files][-1]).name}"


class Program:
    """A command with its files as they are now; it takes the place of an engine until the training begins."""

    numerics = 1
    """Increased by hand when the contract of programs changes, so that older results belong to other trials."""

    def __init__(self, command: Command, *, device: str = "cpu", threads: int | None = None) -> None:
        """Raises: CodeError if the program or one of its files is missing."""
        self.command, self.device, self.threads = command, device, threads
        self.name = command.title
        self.choice = f"seconds as the program reports them; run as: {command.text}"
        path = shutil.which(command.command[0])
        if path is None:
            raise CodeError(_not_executable(command.command[0]))
        self.path = str(Path(path).absolute())
        for name in command.files:
            if not Path(name).is_file():
                raise CodeError(f"files: {name!r} is not a file; expected the other files that the program consists of")

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each file that the program consists of, by the argument that names it."""
        words = [word for word in self.command.command[1:] if Path(word).is_file()]
        return {self.command.command[0]: _hash(self.path)} | {w: _hash(w) for w in (*words, *self.command.files)}

    @property
    def identity(self) -> dict[str, Any]:
        """What runs of the same program have in common; part of the trial's key."""
        return {"command": list(self.command.command), "hashes": self.hashes}

    def plain(self) -> dict[str, Any]:
        """What a worker needs to run the same program: `settings`, and `hashes` to verify that it is the same."""
        return {"settings": self.command.model_dump(mode="json"), "hashes": self.hashes}

    @classmethod
    def planned(cls, plain: Mapping[str, Any], *, device: str, threads: int | None) -> Program:
        """The program that `plain` describes. Raises: CodeError if its files have changed since."""
        program = cls(Command(**plain["settings"]), device=device, threads=threads)
        changed = [word for word, digest in program.hashes.items() if plain["hashes"].get(word) != digest]
        if changed:
            raise CodeError(f"{changed[0]!r} has changed since the study was planned; run it again")
        return program

    def why_not(self, recipe: Recipe) -> str | None:
        """None if the contract can express the recipe; else a sentence: the reason and an alternative."""
        if is_module(recipe.model):
            return f"a command cannot run {recipe.model.entry!r}, which is a Python class; use engine 'auto'"
        if code_hash(recipe.optimizer):
            return f"a command cannot run {recipe.optimizer.entry!r}, which is a Python class; use engine 'numpy'"
        if recipe.is_regression:
            return "a command trains classifiers alone; use engine 'native', 'numpy', 'torch' or 'jax' for a regression"
        if recipe.precision not in ("float32", "float64"):
            return f"a command reads .npy files, which have no {recipe.precision}; use precision 'float32'"
        if recipe.log.interval()[1] == "seconds":
            return "a command gets its log points before it starts; use log.every in iterations or epochs"
        if recipe.budget.seconds is not None:
            return "a command has its own clock, so budget.seconds cannot end it; give iterations or epochs"
        if recipe.stop.seconds is not None:
            return "a command has its own clock, so stop.seconds cannot stop it; use a budget, or a study's time_limit"
        return None

    def memory(self, cohort: Cohort, examples: int) -> int:
        """An estimate of the bytes that the weights take in this process, at the start and at the end."""
        return 8 * 4 * cohort.network.parameters

    def cancel(self) -> None:
        """Does nothing: a training by a program checks for cancellation ten times a second."""

    def instruction_level(self) -> None:
        """Always None: the program's instructions are unknown."""

    def free_device_memory(self) -> None:
        """Always None: the program's device is unknown."""

    def device_facts(self) -> dict[str, str]:
        """Always empty: the program's device is unknown."""
        return {}

    def peak_device_memory(self) -> None:
        """Always None: the program's device is unknown."""


def _not_executable(word: str) -> str:
    """The message for a word that is not a program, with what may be missing."""
    if not Path(word).is_file():
        hint = ""
    elif "/" not in word:
        hint = f"; for the file in the current folder write './{word}'"
    else:
        hint = ": chmod +x"
    return f"command: {word!r} is not executable{hint}"


def _hash(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def refusal(command: Command) -> str:
    """The message for a command that may not be run."""
    return (
        f"the command `{command.text}` is third-party code, which is run only if allowed: "
        "give --allow-code, or in Python plan it inside `with assay.allowing_code():`"
    )
