"""The table of commands, and how they are loaded: one only when it is run, so that `assay --help` loads none."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from assay.cli.exits import Exit
from assay.cli.shared import takes_shared_options
from assay.cli.unknown_options import explained


class Entry(NamedTuple):
    """A command: where its function is, the first sentence of its help, and the part of the list where it stands."""

    place: str
    about: str
    part: str


_TRAIN, _ANSWER, _STORE, _LEARN = "Train and measure", "Look at results", "Stores and data", "Find your way"

COMMANDS: dict[str, Entry] = {
    "train": Entry("train:train", "Train one recipe, and show its learning curve and its cost.", _TRAIN),
    "run": Entry("run:run", "Run a study: train the trials that are not stored yet, and show the results.", _TRAIN),
    "search": Entry(
        "search:search",
        "Search a space of recipes: each configuration is decided from the scores of earlier ones.",
        _TRAIN,
    ),
    "slurm": Entry(
        "slurm:slurm", "Print a batch script of Slurm that runs a study on several nodes, or submit it.", _TRAIN
    ),
    "bench": Entry(
        "bench:bench",
        "Benchmark engines on one recipe: check that they are numerically equivalent, then time them.",
        _TRAIN,
    ),
    "reproduce": Entry(
        "reproduce:reproduce",
        "Reproduce a published study, and compare its figures and claims with what is measured here.",
        _TRAIN,
    ),
    "new": Entry(
        "new:new",
        "Write the skeleton of an article: claims, a study and what its page shows, with comments; it runs as it is.",
        _TRAIN,
    ),
    "list": Entry(
        "list:list_trials", "List stored studies and benches, or the trials that match the filters.", _ANSWER
    ),
    "status": Entry(
        "status:status",
        "Show the studies in work: what is trained by which driver since when, throughput, time left and failures.",
        _ANSWER,
    ),
    "serve": Entry(
        "serve:serve",
        "Serve a page on which the studies of a store are watched while they run, explored and compared.",
        _ANSWER,
    ),
    "show": Entry("show:show", "Show a stored trial, bench or imported curve.", _ANSWER),
    "report": Entry(
        "report:report", "Write a self-contained HTML report of a study: answers, tables, charts and data.", _ANSWER
    ),
    "plot": Entry("plot:plot", "Draw a chart of a study.", _ANSWER),
    "compare": Entry(
        "compare:compare",
        "Compare configurations over paired seeds: differences, confidence intervals and significance.",
        _ANSWER,
    ),
    "target": Entry("target:target", "Report the time to a target accuracy or loss, per configuration.", _ANSWER),
    "tuning-cost": Entry(
        "tuning_cost:tuning_cost",
        "Report what tuning costs: the expected best of so many random trials or seconds, for each optimizer.",
        _ANSWER,
    ),
    "check": Entry("check:check", "Check claims about stored studies: what you expect, with a rule for each.", _ANSWER),
    "export": Entry(
        "export:export", "Export trained weights: a state_dict in torch's names and layout, or an ONNX model.", _ANSWER
    ),
    "predict": Entry("predict:predict", "Classify pictures with trained weights.", _ANSWER),
    "publish": Entry(
        "publish:publish",
        "Publish a study or an article: report, data, claims and checksums in one file that `assay verify` verifies.",
        _STORE,
    ),
    "verify": Entry(
        "verify:verify",
        "Verify a bundle: checksums, rows, figures and claims, and some trials trained again.",
        _STORE,
    ),
    "tag": Entry("tag:tag", "Tag a stored study with words of your own, or show its tags.", _STORE),
    "rm": Entry("rm:rm", "Remove studies, trials, benches or imported curves, after a confirmation.", _STORE),
    "import": Entry(
        "import_log:import_log",
        "Import a training log of another framework into a study, where its curve is marked as imported.",
        _STORE,
    ),
    "store": Entry("store:app", "Check, repair, back up, export and import a store of trials.", _STORE),
    "data": Entry("data:app", "Fetch, inspect and convert data sets.", _STORE),
    "doctor": Entry("doctor:doctor", "Show engines, devices, threads, libraries and data sets.", _LEARN),
    "schema": Entry(
        "schema:schema",
        "Print the JSON schema of a recipe, a study or claims, with which editors complete and check TOML files.",
        _LEARN,
    ),
    "help": Entry("help:show_help", "Show the help of a command, or what a key of a recipe or a study means.", _LEARN),
}


class SuggestingCommand(TyperCommand):
    """A command whose unknown options say what to write instead."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the words of the command. Raises: AssayError for an unknown option."""
        words = list(args)
        with explained(self, ctx.command_path, words):
            return super().parse_args(ctx, args)


class _Loaded(MutableMapping[str, Any]):
    """The commands by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, COMMANDS[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


def _made(name: str, entry: Entry) -> Any:
    """The command of an entry, or its group of commands, with the options that all commands share."""
    module, _, attribute = entry.place.partition(":")
    value: Any = getattr(importlib.import_module(f"assay.cli.{module}"), attribute)
    if isinstance(value, typer.Typer):
        for registered in value.registered_commands:
            if registered.cls is SuggestingCommand:  # made before
                continue
            registered.cls = SuggestingCommand
            registered.callback = _with_shared(registered.callback)
        command: Any = typer.main.get_command(value)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name=name, cls=SuggestingCommand)(_with_shared(value))
        command = typer.main.get_command(single)
    command.name = name
    if shutil.get_terminal_size().columns < _NARROW:
        for narrow in (command, *getattr(command, "commands", {}).values()):
            narrow.rich_markup_mode = None
    return command


_NARROW = 80
"""Columns below which the help of a command is plain: in panels, Rich would cut the ends of long words off."""


def _with_shared(function: Callable[..., Any] | None) -> Callable[..., Any]:
    assert function is not None  # of a registered command
    return takes_shared_options(function)


class Root(TyperGroup):
    """`assay` itself: its list of commands needs none of them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the words before the command; without any, prints the help, which is no answer: exit code 2."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit(Exit.USAGE)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help: usage, what the program is for, the commands by what they are for, the options."""
        formatter.write_usage("assay", "COMMAND [OPTIONS]")
        formatter.write_paragraph()
        formatter.write_text(str(self.help))
        for part in dict.fromkeys(entry.part for entry in COMMANDS.values()):
            with formatter.section(part):
                formatter.write_dl([(name, entry.about) for name, entry in COMMANDS.items() if entry.part == part])
        with formatter.section("Options"):
            formatter.write_dl([record for p in self.get_params(ctx) if (record := p.get_help_record(ctx))])
        formatter.write_paragraph()
        formatter.write_text("`assay COMMAND --help` shows the options of a command, `assay help KEY` a recipe's key.")
