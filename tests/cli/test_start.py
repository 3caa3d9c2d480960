"""How Assay starts: its version, and `python -m assay` in a folder that holds anybody's modules."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import assay
from assay.system.import_path import leave_out_current_folder, own_environment
from assay.system.machine import describe

ROOT = Path(__file__).parents[2]
QUICK = ("--set", "budget.iterations=3", "--store", "store.db")

HOSTILE = """
import posix
posix.close(posix.open({marker!r}, posix.O_WRONLY | posix.O_CREAT))
raise ImportError("the module {name} of the current folder")
"""
OPTIMIZER = """
from assay.parts.optimizers import Optimizer

class Mine(Optimizer):
    learning_rate: float = 0.1

    @staticmethod
    def rule(xp, w, g, slots, h):
        return h.learning_rate * g, ()
"""


def run(module: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a module for every name that Assay or a library could import; each leaves a file `imported-NAME`.

    What Python itself imports to run any module comes from there whatever Assay does; those are left out.
    """
    (tmp_path / "probe.py").write_text("import sys\nprint(*sys.modules)")
    of_python = run("probe", folder=tmp_path).stdout.split()
    installed = {module.name for module in pkgutil.iter_modules() if "-" not in module.name}
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in (sys.stdlib_module_names | installed) - {*of_python, "assay", "tests"}:
        (folder / f"{name}.py").write_text(HOSTILE.format(marker=str(folder / f"imported-{name}"), name=name))
    assert {"numpy.py", "typer.py", "queue.py", "typing.py", "__future__.py"} <= {p.name for p in folder.iterdir()}
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["assay", "--help"],
        ["assay.cli", "--help"],
        pytest.param(["assay", "doctor"], marks=pytest.mark.endurance),  # with every engine
        ["assay", "run", "--yes", *QUICK],  # with a worker process
    ],
)
def test_python_m_imports_nothing_from_the_current_folder(words: list[str], hostile: Path) -> None:
    done = run(*words, folder=hostile)
    assert (done.returncode, [path.name for path in hostile.glob("imported-*")]) == (0, []), done.stderr


@pytest.mark.parametrize(("module", "command"), [("assay", "run"), ("assay.cli", "train")])
def test_python_m_imports_a_user_optimizer_with_the_flag_alone(module: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIMIZER)
    (tmp_path / "run.toml").write_text(
        'engine = "numpy"\ndesign = "one-at-a-time"\nrepeats = 1\nbaseline.optimizer = "mine:Mine"\n'
    )
    (tmp_path / "train.toml").write_text('optimizer = "mine:Mine"\n')
    words = [command, f"{command}.toml", *QUICK]
    refused = run(module, *words, folder=tmp_path)
    assert (refused.returncode, "--allow-code" in refused.stderr) == (2, True)
    trained = run(module, *words, "--allow-code", "--json", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "mine:Mine" in trained.stdout


def test_what_is_not_the_current_folder_stays_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for before, after in (
        ([str(tmp_path), "/elsewhere"], ["/elsewhere"]),
        ([str(tmp_path), str(tmp_path)], [str(tmp_path)]),  # the second is PYTHONPATH's, which somebody has set
        (["/elsewhere", str(tmp_path)], ["/elsewhere", str(tmp_path)]),
        ([], []),
    ):
        monkeypatch.setattr(sys, "path", before)
        leave_out_current_folder()
        assert sys.path == after


def test_workers_find_assay_where_it_is_in_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.chdir(tmp_path)
    assert own_environment()["PYTHONPATH"] == "before"
    source = Path(assay.__file__).parents[1]
    monkeypatch.chdir(source)
    assert own_environment()["PYTHONPATH"] == f"{source}{os.pathsep}before"
    monkeypatch.delenv("PYTHONPATH")
    assert own_environment()["PYTHONPATH"] == str(source)


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    source = project["tool"]["scikit-build"]["metadata"]["version"]["input"]
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    written = re.findall(r'^__version__ = "(.+)"$', (ROOT / source).read_text(), re.MULTILINE)
    assert written == [assay.__version__]


def test_the_version_is_the_same_everywhere(tmp_path: Path) -> None:
    assert run("assay", "--version", folder=tmp_path).stdout == f"assay {assay.__version__}\n"
    assert describe()["versions"]["assay"] == assay.__version__
