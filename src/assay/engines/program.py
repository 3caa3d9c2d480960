"""A program of the user's that trains in place of an engine: its words, what it is made of, and which recipes it gets.

It never runs by itself: what names it comes from a study or a command line, and `choose` asks for permission first.
How it is run stands in `external`.
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
from assay.parts.part import Part
from assay.parts.user_optimizers import code_in
from assay.recipe.model import Recipe


def _listed(value: object) -> object:
    """A list of a TOML file as the tuple that a frozen part holds."""
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]


def _sound(word: str) -> str:
    if not word.isprintable() or not word:
        raise PydanticCustomError("word", "{sentence}", {"sentence": f"got {word!r}; expected printable characters"})
    return word


Words = Annotated[tuple[Annotated[str, BeforeValidator(_sound)], ...], BeforeValidator(_listed)]


class Command(Part):
    """How a program is run: `command` its words, without a shell, and `files` what else it is made of.

    The program, the words that are files, and `files` are hashed: where one changes, it is another trial.

    >>> Command(command=("./dense", "--quiet")).title
    'command:dense'
    """

    name: Literal["command"] = "command"
    command: Annotated[Words, Field(min_length=1)]
    files: Words = ()

    @property
    def text(self) -> str:
        """The words as one would type them."""
        return shlex.join(self.command)

    @property
    def title(self) -> str:
        """The name under which its trials are stored: that of the last word that is a file, else of the program."""
        files = [word for word in self.command[1:] if Path(word).is_file()]
        return f"command:{Path([self.command[0], *files][-1]).name}"


class Program:
    """A command whose files are there, as they are now; it stands where an engine stands until the training begins."""

    numerics = 1
    """Raised by hand when the contract of `external` changes, so that what an older one gave is another trial."""

    def __init__(self, command: Command, *, device: str = "cpu", threads: int | None = None) -> None:
        """Raises: CodeError where the program or one of its files is missing."""
        self.command, self.device, self.threads = command, device, threads
        self.name = command.title
        self.choice = f"seconds as the program reports them; run as: {command.text}"
        found = shutil.which(command.command[0])
        if found is None:
            word = command.command[0]
            way = (
                ""
                if not Path(word).is_file()
                else "; write ./ before the one here"
                if "/" not in word
                else ": chmod +x"
            )
            raise CodeError(f"command: {word!r} is no program that can be run{way}")
        self.path = str(Path(found).absolute())
        for name in command.files:
            if not Path(name).is_file():
                raise CodeError(f"files: {name!r} is no file; expected what the program is made of besides its words")

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each file that the program is made of, by the word that names it."""
        words = [word for word in self.command.command[1:] if Path(word).is_file()]
        return {self.command.command[0]: _hash(self.path)} | {w: _hash(w) for w in (*words, *self.command.files)}

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs of the same program have in common: it is in the trial's key."""
        return {"command": list(self.command.command), "hashes": self.hashes}

    def plain(self) -> dict[str, Any]:
        """What a worker needs to run the same program: `settings`, and `hashes` to see that it is the same."""
        return {"settings": self.command.model_dump(mode="json"), "hashes": self.hashes}

    @classmethod
    def planned(cls, plain: Mapping[str, Any], *, device: str, threads: int | None) -> Program:
        """The program that `plain` tells of. Raises: CodeError where its files have changed since."""
        program = cls(Command(**plain["settings"]), device=device, threads=threads)
        changed = [word for word, digest in program.hashes.items() if plain["hashes"].get(word) != digest]
        if changed:
            raise CodeError(f"{changed[0]!r} has changed since the study was planned; run it again")
        return program

    def why_not(self, recipe: Recipe) -> str | None:
        """None if the contract can say the recipe; else one sentence that names the way out."""
        if code_in(recipe.optimizer):
            return f"a command cannot run {recipe.optimizer.entry!r}, which is Python; use engine 'numpy'"
        if recipe.precision not in ("float32", "float64"):
            return f"a command gets .npy files, which have no {recipe.precision}; use precision 'float32'"
        if recipe.log.interval()[1] == "seconds":
            return "a command is told its log points before it starts; use log.every in iterations or epochs"
        if recipe.stop.seconds is not None:
            return "a command has its own clock, so stop.seconds cannot end it; use a budget, or a study's time_limit"
        return None

    def memory(self, cohort: Cohort, examples: int) -> int:
        """About how many bytes the weights take here, to start from and to judge the end."""
        return 8 * 4 * cohort.network.parameters

    def cancel(self) -> None:
        """Nothing: a training by a program looks up ten times a second."""

    def peak_device_memory(self) -> None:
        """Nothing is known of the program's device."""


def _hash(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def refusal(command: Command) -> str:
    """The sentence for a command that may not be run."""
    return (
        f"the command `{command.text}` is somebody's own program, which is run only where that is allowed: "
        "give --allow-code, or in Python plan it inside `with assay.allowing_code():`"
    )
