"""Every command that prints a table prints it as CSV, Markdown and LaTeX too, and no name in it is markup."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from assay.cli import tables
from assay.cli.commands import COMMANDS, Root
from assay.cli.formats import TableFormat, print_tables, words

WITHOUT = {
    "plot": "draws a picture",
    "rm": "removes",
    "new": "writes a folder",
    "publish": "writes a file",
    "slurm": "prints a script",
    "serve": "serves pages",
    "store repair": "prints sentences",
    "store backup": "prints a sentence",
    "store export": "writes files",
    "store import": "prints a sentence",
    "store vacuum": "prints a sentence",
    "data fetch": "prints a sentence",
    "data convert": "writes a file",
    "export": "writes a file",
    "schema": "prints JSON",
    "help": "prints text",
}
"""The commands that print no table, and why."""
STUDY = """
engine = "numpy"
timing = "packed"
[baseline]
budget = 3
log = 4
[axes."a|b_*"]
key = "optimizer.learning_rate"
values = [0.1, 0.2]
"""
CLAIMS = """
[[claims]]
id = "a_b"
text = "At most 100 % of a|b_*"
rule = "threshold"
side = { configuration = "*", pick = "best" }
at_most = 1
"""


def _leaves() -> Iterator[tuple[str, Any]]:
    """Every command by its words, those of groups too."""
    root = Root(name="assay")
    for name in COMMANDS:
        command: Any = root.commands[name]
        inner = getattr(command, "commands", {})
        yield from ((f"{name} {word}", inner[word]) for word in inner) if inner else [(name, command)]


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("name", "command"), list(_leaves()))
def test_every_command_that_prints_a_table_has_all_three_formats(name: str, command: Any) -> None:
    formats = {"--csv", "--markdown", "--latex"} & _options(command)
    assert formats == (set() if name in WITHOUT else {"--csv", "--markdown", "--latex"})
    assert set(WITHOUT) <= {name for name, _ in _leaves()}


@pytest.fixture
def stored(invoke: Any) -> Any:
    """A store with a study of two trials, whose axis has a name with markup in it."""
    Path("small.toml").write_text(STUDY)
    assert invoke("run", "small.toml", "--yes", "-q")[0] == 0
    Path("claims.toml").write_text(CLAIMS)
    Path("run.csv").write_text("epoch,loss,accuracy\n1,0.5,0.8\n2,0.4,0.9\n")
    return invoke


_COMMANDS = (
    ("train", "--set", "budget.iterations=3", "--engine", "numpy"),
    ("run", "small"),
    ("reproduce",),
    ("list",),
    ("list", "--trials"),
    ("show",),
    ("compare", "small"),
    ("target", "small", "--loss", "2"),
    ("check", "small", "claims.toml"),
    ("tag", "small", "owner=a|b"),
    ("import", "run.csv"),
    ("data", "info", "digits"),
    ("store", "check"),
)


def test_the_formats_are_well_formed(stored: Any) -> None:
    for typed in _COMMANDS:
        code, out, err = stored(*typed, "--csv", "-q")
        assert code == 0, err
        header, *rows = list(csv.reader(io.StringIO(out)))
        assert len(set(header)) == len(header) > 1 and all(len(row) == len(header) for row in rows), typed
        lines = stored(*typed, "--markdown", "-q")[1].splitlines()
        for block in re.split(r"\n\n", "\n".join(lines)):
            table = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) <= 1, block
        assert any(set(line) <= set("|- ") for line in lines), typed
        latex = stored(*typed, "--latex", "-q")[1]
        assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") > 0, typed
        text = "\n".join(line for line in latex.splitlines() if not line.startswith("%"))
        assert not re.search(r"(?<!\\)[%$#_]", text), typed


def test_a_table_has_one_format(stored: Any) -> None:
    for typed in (("--csv", "--markdown"), ("--latex", "--json")):
        code, _, err = stored("list", *typed)
        assert (code, f"{typed[0]} and {typed[1]}: expected one of them" in err) == (2, True)
    code, _, err = stored("run", "small", "--plan", "--csv")
    assert (code, "--csv: --plan prints no table" in err) == (2, True)
    code, _, err = stored("show", "--recipe", "--latex")
    assert (code, "--latex: --recipe prints no table" in err) == (2, True)


def test_csv_has_the_numbers_of_json(stored: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(stored("show", "--csv")[1])))
    curve = json.loads(stored("show", "--json")[1])["curve"]
    assert [float(row["test_loss"]) for row in rows] == [point["test_loss"] for point in curve]


def test_several_tables_in_one_csv_name_their_table(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tables.of_rows("one", ["a", "b"], [["1", "=x"]]), tables.of_rows("two", ["a", "c"], [["2", "y"]])
    print_tables([first, second], table_format=TableFormat.CSV)
    assert capsys.readouterr().out.splitlines() == ["table,a,b,c", "one,1,'=x,", "two,2,,y"]


def test_no_name_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[8] & {x}", "*a* | <b> \\", "=1+1"]
    table = tables.of_rows("t_1", ["name|", "n"], [[name, "1"] for name in names])
    print_tables([table], table_format=TableFormat.MARKDOWN)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == r"| name\| | n |"
    assert out[2:] == ["| [8] & {x} | 1 |", r"| \*a\* \| \<b\> \\ | 1 |", "| =1+1 | 1 |"]
    print_tables([table], table_format=TableFormat.LATEX)
    out = capsys.readouterr().out.splitlines()
    assert out[5] == r"{}[8] \& \{x\} & 1 \\"  # a bare "[8]" would be an argument of the command above
    assert out[6] == r"{}*a* | <b> \textbackslash{} & 1 \\"
    print_tables([table], table_format=TableFormat.CSV)
    assert capsys.readouterr().out.splitlines()[-1] == "'=1+1,1"


def test_the_words_of_a_drawn_table() -> None:
    table = Table(title="x")
    table.add_column("train\nloss")
    table.add_row(Text("[b]"))
    assert words(table).to_dict("list") == {"train loss": ["[b]"]}
    pairs = words(tables.pairs([("engine", "numpy")]))
    assert pairs.to_dict("list") == {"name": ["engine"], "value": ["numpy"]}
