"""`assay help`: the help of a command, or the reference of a key of recipes and studies."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.options import Json
from assay.cli.printing import console, note, print_json
from assay.errors import AssayError, unknown

if TYPE_CHECKING:
    from assay.recipe.reference import Key, KeySection


def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND | KEY]",
            help="A command, or a key of a recipe or a study, such as optimizer.learning_rate, lr, budget or adam.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the help of a command, or what a key of a recipe or a study means.

    Without an argument, this is `assay --help`.
    """
    root = context.find_root()
    commands: Any = root.command
    if not words:
        typer.echo(root.get_help())
        return
    command = commands.commands.get(words[0])
    if command is None:
        _show_key(" ".join(words), list(commands.commands), as_json=as_json)
        return
    with command.make_context(words[0], [], parent=root, resilient_parsing=True) as inner:
        if len(words) > 1 and (inner_command := getattr(command, "commands", {}).get(words[1])):
            with inner_command.make_context(words[1], [], parent=inner, resilient_parsing=True) as innermost:
                typer.echo(innermost.get_help())
            return
        typer.echo(inner.get_help())


def _show_key(word: str, commands: Sequence[str], *, as_json: bool) -> None:
    """Shows every key that a word names, or the keys of the table or component that it names. Raises: AssayError."""
    sections = matching(word)
    if not sections:
        raise AssayError(_unknown(word, commands))
    if as_json:
        plain = [vars(section) | {"keys": [vars(key) for key in section.keys]} for section in sections]
        print_json({"sections": plain})
        return
    for line in text_of(sections, width=console().width):
        typer.echo(line)
    note("`assay schema` prints the schema that editors read; docs/keys.md lists every key")


def matching(word: str) -> list[KeySection]:
    """The sections that a word names, each with the keys that it names: a table, a component, or one key."""
    from dataclasses import replace

    from assay.recipe.reference import paths_named, sections
    from assay.studies.schema import study_sections

    name = word.strip().lstrip("-")
    entries = [*sections(), *study_sections()]
    folded = name.casefold()
    whole = [s for s in entries if s.component and folded in (s.component.casefold(), f"{s.path}.{s.component}")]
    if whole:
        return whole
    fields = {s.path for s in entries if s.path}
    if name in ("recipe", "study"):
        return [entries[0]] if name == "recipe" else study_sections()
    paths = set(paths_named(name))
    study = [replace(s, keys=kept) for s in study_sections() if (kept := _named(s, {name, f"axes.NAME.{name}"}))]
    own = [replace(s, keys=kept) for s in sections() if (kept := _named(s, paths))]
    tables = [s for s in entries if s.path == name] if name in fields else []
    inner = [replace(s, keys=kept) for s in entries if name.count(".") > 1 and (kept := _named(s, {name}))]
    return [*own, *tables, *study, *(s for s in inner if s not in own)]


def _named(section: KeySection, paths: set[str]) -> tuple[Key, ...]:
    return tuple(key for key in section.keys if key.path in paths)


def _unknown(word: str, commands: Sequence[str]) -> str:
    from assay.recipe.reference import all_keys, sections
    from assay.studies.schema import study_sections

    keys = [*(key.path for key in all_keys()), *(key.path for s in study_sections() for key in s.keys)]
    known = dict.fromkeys([*commands, *keys, *(s.component for s in sections() if s.component)])
    sentence, _, _ = unknown("command or key", word, known).partition(" Known:")
    return (
        f"{sentence.rstrip('.')}{'' if sentence.endswith('?') else ';'} `assay help recipe` and `assay help study` "
        "list the keys"
    )


def text_of(sections: Sequence[KeySection], *, width: int) -> list[str]:
    """Sections as lines of text. A key that several components have is said once, with the default of each."""
    from assay.recipe.reference import together

    lines: list[str] = []
    for section in together(sections):
        where = ", ".join(name for name in (section.path, section.component) if name)
        title = f"{where}: {section.about}" if where and section.about else where or section.about
        lines += textwrap.wrap(title, width, subsequent_indent="  ") if title else []
        lines += [f"  {section.choice}"] if section.choice else []
        for key in section.keys:
            lines += ["", f"  {key.path}"]
            for name, value in facts(key).items():
                first, rest = f"    {name:8} ", " " * 13
                lines += textwrap.wrap(value, width, initial_indent=first, subsequent_indent=rest) if value else []
        lines.append("")
    return lines[:-1]


def facts(key: Key) -> Mapping[str, str]:
    """What is said of a key, by name; "" for what it does not have."""
    return {
        "meaning": key.meaning,
        "type": key.type + (f", in {key.unit}" if key.unit else ""),
        "values": key.range,
        "default": "none: it must be given" if key.required else key.default or "none",
        "example": _example(key),
        "of": key.component,
        "also": ", ".join(key.aliases),
    }


def _example(key: Key) -> str:
    """A key with a value: of a recipe as an option, of a study as a line of its file."""
    from assay.studies.schema import study_sections

    if not key.example or "NAME" in key.path:
        return key.example
    if not any(key in section.keys for section in study_sections()):
        return f"--set {key.path}={key.example}"
    return f"{key.path}.{key.example}" if key.path in ("axes", "trials") else f"{key.path} = {key.example}"
