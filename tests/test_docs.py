"""What the documentation shows is run or checked: examples of docstrings, recipes, commands, paths, public names."""

from __future__ import annotations

import doctest
import importlib
import itertools
import pkgutil
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import assay
from assay import logs
from assay.cli.commands import COMMANDS
from assay.engines import ENGINES, installed, promises, speeds
from assay.parts.activations import OUTPUTS
from assay.parts.initials import INITIALS
from assay.parts.losses import LOSSES
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.user_optimizers import allowing_code
from assay.recipe.model import Recipe
from assay.recipe.notes import PAIRINGS
from assay.recipe.patches import assignment, merged

ROOT = Path(__file__).resolve().parents[1]
MISSING = [ENGINES[name][0] for name in ENGINES if not installed(name)]
MODULES = [
    m.name
    for m in pkgutil.walk_packages(assay.__path__, "assay.")
    if m.name not in MISSING and not m.name.endswith((".__main__", "migrations.env"))
]


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_the_readme_is_short_and_its_recipe_is_one() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
    (table,) = blocks("README.md", "toml")
    recipe = Recipe.parse(tomllib.loads(table))
    assert (recipe.model.name, recipe.loss, recipe.budget.iterations) == ("3LS", "mse", 64_000)


def test_the_changes_that_the_readme_shows_are_recipes() -> None:
    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines() if "--set" in line]
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command, comments=True)
        patches = [assignment(text) for flag, text in itertools.pairwise(words) if flag == "--set"]
        Recipe.parse(merged({}, patches))


def test_the_readme_or_the_guide_names_every_command_and_component() -> None:
    text = "".join((ROOT / name).read_text() for name in ("README.md", "docs/studies.md"))
    for name in [*COMMANDS, *OPTIMIZERS]:
        assert name in text, name


def test_the_log_that_the_page_on_importing_shows_gives_the_figures_below_it(tmp_path: Path) -> None:
    log, shown = blocks("docs/importing.md", "text")
    (tmp_path / "flux.log").write_text(log)
    options = logs.Options(evaluated_on="test", iterations_per_epoch=100, batch_size=600)
    history = logs.read(tmp_path / "flux.log", options=options)
    assert history.source is not None
    lines = [
        *history.warnings,
        *(f"{name}: {unit}" for name, unit in history.source.units.items() if name == "accuracy"),
    ]
    lines += [f"{p.iteration:,} | {p.seconds:.3f} | {p.train_loss:.4f}" for p in history.points]
    kinds = {name: count for name, count in history.source.lines.items() if name != "lines"}
    lines += [", ".join(f"{count} {'ignored' if name == 'apart' else name}" for name, count in kinds.items())]
    for line in lines:
        assert line in re.sub(" +", " ", shown), line


def test_the_study_of_the_guide_is_one() -> None:
    (table, *_) = blocks("docs/studies.md", "toml")
    study = assay.Study.parse(tomllib.loads(table))
    assert len(list(study.candidates())) * study.settings.repeats == 32


GUIDES = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/checks.md", "docs/articles/README.md"]


@pytest.mark.parametrize("name", GUIDES)
def test_the_paths_that_a_guide_names_exist(name: str) -> None:
    paths = re.findall(r"`((?:src|tests|docs|scripts|examples)/[\w./-]*)`", (ROOT / name).read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_architecture_has_every_room_in_its_table_and_in_its_picture() -> None:
    text, picture = ((ROOT / "docs" / name).read_text() for name in ("architecture.md", "rooms.svg"))
    rooms = [entry.parent.name for entry in (ROOT / "src" / "assay").glob("*/__init__.py")]
    assert len(rooms) > 10
    for room in rooms:
        assert f"| `{room}` |" in text, room
        assert f">{room}</text>" in picture, f"{room}: run scripts/draw_rooms.py"


def test_the_page_on_checks_has_every_refused_pairing_and_every_output_that_follows() -> None:
    text = (ROOT / "docs" / "checks.md").read_text()
    rows = [f"| `{o}` | `{loss}` | {p.effect} |" for (o, loss), p in PAIRINGS.items() if not p.trains]
    rows += [f"| `{name}` | `{loss.output}` |" for name, loss in LOSSES.items() if loss.output]
    for row in rows:
        assert row in text


def test_the_architecture_shows_what_the_engines_promise() -> None:
    assert promises.table() in (ROOT / "docs" / "architecture.md").read_text()


def test_the_page_on_gpus_shows_what_measured_fastest_there() -> None:
    assert speeds.table() in (ROOT / "docs" / "gpu.md").read_text()


def test_the_reference_has_every_public_name() -> None:
    places = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    entries = [
        getattr(importlib.import_module(module), name) for module, _, name in (p.rpartition(".") for p in places)
    ]
    public = [getattr(assay, name) for name in assay.__all__ if name != "__version__"]
    assert [value for value in public if value not in entries] == []


@pytest.mark.parametrize("name", [name for name in assay.__all__ if name != "__version__"])
def test_the_sections_of_a_public_docstring_are_those_that_the_reference_reads(name: str) -> None:
    text = getattr(assay, name).__doc__
    assert not re.search(r"^\s*(Example|Parameters|Raises: .*|Return):?$", text, re.MULTILINE)


def test_the_glossary_is_sorted() -> None:
    terms = re.findall(r"^\*\*(.+)\*\*$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(terms) > 30
    assert terms == sorted(terms, key=str.casefold)


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {assay.__version__} - 20" in (ROOT / "CHANGELOG.md").read_text()


def test_the_optimizer_of_the_guide_works(monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(block for block in blocks("CONTRIBUTING.md", "python") if "class Lion" in block)
    space: dict[str, Any] = dict(vars(importlib.import_module("assay.parts.optimizers")))
    exec("from __future__ import annotations\n" + source, space)
    lion = space["Lion"]()
    g, h = np.array([1.0, -2.0, 0.5]), SimpleNamespace(**lion.settings())
    step, slots = lion.rule(np, np.ones(3), g, (np.zeros(3),), h)
    np.testing.assert_allclose(step, 1e-4 * np.array([1, -1, 1]))
    assert len(slots) == lion.slots


def test_the_user_optimizer_of_the_guide_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(block for block in blocks("CONTRIBUTING.md", "python") if "class SignDescent" in block)
    (tmp_path / "my_rules.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with allowing_code():
        recipe = Recipe.parse({"optimizer": {"name": "my_rules:SignDescent", "momentum": 0.5}, "budget": {"epochs": 2}})
    accuracy = assay.fit(recipe, engine="numpy").accuracy
    del sys.modules["my_rules"]  # other tests have modules of that name
    assert accuracy is not None
    assert accuracy > 0.8


def test_the_page_on_models_has_every_initial_and_every_output_with_its_losses() -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    first = [re.sub("`", "", row[0]) for row in rows]
    assert [name for name in first if name in INITIALS] == list(INITIALS)
    outputs = {re.sub("`", "", row[0]): re.findall("`([^`]+)`", row[2]) for row in rows if len(row) == 3}
    for name, output in OUTPUTS.items():
        fitting = {loss for loss, entry in LOSSES.items() if name in entry.outputs}
        assert (outputs[name][0], set(outputs[name])) == (outputs[name][0], fitting)
        assert f"| `{name}` | `{output.loss}` |" in text
