"""Code of an author is named in a bundle and never run by it; paths of the author's machine are in no file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from assay.claims.bundles.archive import unpacked
from assay.claims.bundles.content import About
from assay.claims.bundles.paths import leaks, plain_without_paths, without_paths
from assay.claims.bundles.publishing import publish
from assay.claims.bundles.verifying import verify
from assay.errors import AssayError
from assay.parts.user_optimizers import allowing_code
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from tests.claims.bundles.conftest import trained
from tests.hard.fuzz_exports import filled

RULES = '''
from typing import Any, ClassVar
from pathlib import Path
from assay.parts.optimizers import Optimizer

Path("imported").write_text("x")


class Copied(Optimizer):
    """Descent again."""

    learning_rate: float = 0.1
    flops: ClassVar[int] = 2

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        return h.learning_rate * g, ()
'''


@pytest.fixture
def coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_pages: None) -> Path:
    """A bundle of a study with an optimizer of its author, whose module is forgotten again."""
    folder = tmp_path / "home of ada"
    folder.mkdir()
    (folder / "rules_of_ada.py").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)
    raw = {"name": "mine", "engine": "numpy", "threads": 1, "baseline": {"budget": 5, "model": {"hidden": [4]}}}
    with allowing_code():
        planned = plan(Study.parse(raw | {"axes": {"optimizer": ["rules_of_ada:Copied"]}}))
        store = Store(str(tmp_path / "s.db"))
        filled(store, planned, trained)
    path = publish(store, About("mine"), ["mine"], tmp_path / "mine.zip").path
    sys.modules.pop("rules_of_ada")
    (tmp_path / "imported").unlink()
    return path


def test_an_optimizer_of_the_author_is_not_run_without_permission(coded: Path) -> None:
    made = verify(coded, seed=1)
    assert made.findings == []
    assert [str(one.answer) for one in made.repeated] == ["not run"]
    assert "it needs code of its author; --allow-code" in made.repeated[0].sentence
    assert "1 of the 1 trials that were drawn" in made.open
    assert not Path("imported").exists()
    commands = unpacked(coded)[0]["commands.sh"].decode()
    assert commands.splitlines()[-1].endswith("--engine numpy --threads 1 --allow-code")


def test_an_optimizer_of_the_verifier_is_run_with_permission(coded: Path) -> None:
    with allowing_code():
        made = verify(coded, seed=1, allow_code=True)
    assert (made.findings, made.open) == ([], [])
    assert [str(one.answer) for one in made.repeated] == ["same bits"]
    assert Path("imported").exists() or "rules_of_ada" in sys.modules


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("run as: python /home/ada/train.py --rate 1/2", "run as: python train.py --rate 1/2"),
        ("~/runs/x/train.py", "train.py"),
        ("C:\\Users\\ada\\train.py failed", "train.py failed"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("0.5 points/seed, 3/4", "0.5 points/seed, 3/4"),
    ],
)
def test_sentences_lose_the_folders_of_paths(text: str, without: str) -> None:
    assert without_paths(text) == without


def test_a_program_loses_its_folders() -> None:
    plain: Any = {"engine": {"command": ["python", "/home/ada/train.py"], "files": ["/home/ada/data/x.bin"]}}
    assert plain_without_paths(plain) == {"engine": {"command": ["python", "train.py"], "files": ["x.bin"]}}
    assert plain_without_paths({"about": "/home/ada/x.py"}) == {
        "about": "/home/ada/x.py"
    }  # it is looked for, and refused


def test_a_folder_is_found_in_text_json_and_pages() -> None:
    files = {
        "a.csv": b"x,/home/ada/s.db\n",
        "b.json": b'"C:\\\\Users\\\\ada"',
        "c.html": b"<p>/home/ada</p> /data",
        "d.csv": b"/home/adam/s.db /srv/home/ada",
        "e.csv": b"at /data",
    }
    found = list(leaks(files, ["/home/ada", "C:\\Users\\ada", "/data"]))
    assert found == [
        "a.csv: names /home/ada, a folder of this machine",
        "b.json: names C:\\\\Users\\\\ada, a folder of this machine",
        "c.html: names /home/ada, a folder of this machine",
        "e.csv: names /data, a folder of this machine",
    ]


def test_a_study_without_a_result_is_not_published(tmp_path: Path, without_pages: None) -> None:
    store = Store(str(tmp_path / "s.db"))
    store.register(plan(Study.parse({"name": "new", "design": "one-at-a-time", "engine": "numpy"})))
    with pytest.raises(AssayError, match="study 'new' has no trial with a result yet; `assay run new` trains it"):
        publish(store, About("new"), ["new"], tmp_path / "n.zip")
