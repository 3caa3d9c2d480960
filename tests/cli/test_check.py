"""`assay check`: exit codes, formats, JUnit XML, and everything that is wrong at once."""

from __future__ import annotations

import importlib
import json
import shutil
import tomllib
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import assay

pytest_plugins = ("pytester",)

STUDY = """
engine = "numpy"
timing = "packed"
repeats = 3
[baseline]
budget = { iterations = 4 }
log = 2
[axes.rate]
key = "optimizer.learning_rate"
values = [0.1, 0.2]
"""
GOOD = """
[[claims]]
id = "low"
text = "Both stay <low>"
rule = "threshold"
each = { rate = [0.1, 0.2] }
side = { rate = "{rate}" }
at_most = "100 %"
"""
FAILS = '\n[[claims]]\nid = "high"\ntext = "High"\nrule = "threshold"\nside = { rate = 0.1 }\nat_least = 1.0\n'
UNKNOWN = (
    '\n[[claims]]\nid = "later"\ntext = "Later"\nrule = "threshold"\nside = { rate = 0.1, at = 400 }\nat_least = 0\n'
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a small study."""
    folder = tmp_path_factory.mktemp("check")
    assay.run({"name": "small", **tomllib.loads(STUDY)}, store=str(folder / "assay.db"))
    return folder


@pytest.fixture
def stored(invoke: Any, trained: Path) -> Any:
    shutil.copytree(trained, ".", dirs_exist_ok=True)  # with the journal of the store
    return invoke


def test_the_exit_code_is_the_answer(stored: Any) -> None:
    for text, expected in ((GOOD, 0), (GOOD + UNKNOWN, 3), (GOOD + FAILS, 1), (GOOD + UNKNOWN + FAILS, 1)):
        Path("claims.toml").write_text(text)
        code, _, err = stored("check", "small", "-q")
        assert code == expected, err


def test_the_formats_and_junit(stored: Any) -> None:
    Path("mine.toml").write_text(GOOD + UNKNOWN + FAILS)
    code, out, err = stored("check", "small", "mine.toml", "--json", "--junit", "out.xml")
    answer = json.loads(out)
    assert code == 1, err
    assert answer["verdicts"] == {"holds": 1, "cannot tell": 1, "does not hold": 1}
    assert [claim["verdict"] for claim in answer["claims"]] == ["holds", "cannot tell", "does not hold"]
    assert answer["claims"][0]["figures"][0]["n"] == 3
    suite = ET.parse("out.xml").getroot()[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "1", "skipped": "0",
    }  # fmt: skip
    assert [case.get("name") for case in suite] == ["low", "later", "high"]
    assert suite[0][0].text is not None and suite[0][0].text.startswith("Both stay <low>: holds.")
    assert suite[1][0].tag == "error" and suite[2][0].tag == "failure"
    for option in ("--csv", "--markdown", "--latex"):
        out = stored("check", "small", "mine.toml", option, "-q")[1]
        assert "does not hold" in out and "low" in out


def test_what_is_wrong_is_said_at_once(stored: Any) -> None:
    bad = GOOD.replace("threshold", "treshold") + FAILS.replace("at_least = 1.0", "at_least = 97.5")
    Path("bad.toml").write_text(bad)
    code, _, err = stored("check", "small", "bad.toml")
    assert code == 2
    assert "unknown rule 'treshold'; did you mean 'threshold'?" in err
    assert "0.975 is 97.5 %" in err
    sides = FAILS.replace("rate = 0.1", "rate = 0.3") + FAILS.replace('"high"', '"h"').replace("rate", 'study = "smal"')
    Path("sides.toml").write_text(sides.replace('study = "smal" = 0.1', 'study = "smal", configuration = "*"'))
    code, _, err = stored("check", "small", "sides.toml")
    assert code == 2
    assert "has no rate '0.3'" in err
    assert "unknown study 'smal'; did you mean 'small'?" in err


def test_without_a_file_or_a_study(stored: Any) -> None:
    code, _, err = stored("check", "small")
    assert (code, "write: assay check small FILE.toml" in err) == (2, True)
    assert stored("check")[0] == 2
    assert stored("check", "smal", "x.toml")[0] == 2
    code, _, err = stored("check", "small", "missing.toml")
    assert code == 2 and "missing.toml" in err


def test_a_claims_file_of_more_than_a_mebibyte_is_refused(stored: Any) -> None:
    Path("claims.toml").write_text(GOOD + "#" * 2**20)
    code, _, err = stored("check", "small")
    assert code == 2 and "1 MiB" in err


def test_the_pytest_plugin_makes_each_claim_a_test(pytester: pytest.Pytester, trained: Path) -> None:
    shutil.copytree(trained, pytester.path, dirs_exist_ok=True)
    Path("claims.toml").write_text('study = "small"\n' + GOOD + UNKNOWN + FAILS)
    pytester.makepyfile(
        test_mine="""
        def test_low(assay_claims):
            rule = {"rule": "threshold", "side": {"rate": 0.1}}
            assay_claims("small", [{"id": "a", "text": "A", **rule, "at_most": 1}])

        def test_high(assay_claims):
            assay_claims("small", "claims.toml")
        """
    )
    is_installed = "assay_claims" in entry_points(group="pytest11").names  # else this checkout is only on the path
    plugin = "assay_claims" if is_installed else "assay.claims.pytest_plugin"
    words = ["-p", plugin, "--assay-store", "assay.db", "-p", "no:cacheprovider"]
    done = pytester.runpytest_inprocess(*words, "--assay-claims", "claims.toml", "test_mine.py")
    done.assert_outcomes(passed=2, failed=3)
    rule = "test accuracy of rate 0.1 in small, median over seeds, is at least 100.00 %"
    done.stdout.fnmatch_lines([f"High: does not hold. Rule: {rule}.*"])
    done.stdout.fnmatch_lines(["Later: cannot tell. *"])
    pytester.runpytest_inprocess(*words, "claims.toml").assert_outcomes()  # only where it is asked for
    Path("claims.toml").write_text(GOOD)
    done = pytester.runpytest_inprocess(*words, "--assay-claims", "claims.toml")
    done.stdout.fnmatch_lines(['*names no study; write at its top: study = "NAME"*'])


def test_the_plugin_is_registered_by_an_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module = project["entry-points"]["pytest11"]["assay_claims"]
    assert callable(importlib.import_module(module).pytest_collect_file)
