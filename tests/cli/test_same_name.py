"""A study of the name of a stored one: what changes is said, the earlier one stays, and names find stored studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.results.results import Results
from assay.store.queries import studies
from assay.store.store import Store

SHORT = 'name = "s"\n[baseline]\nbudget = { iterations = 2 }\nmodel.hidden = [2]\n[axes]\n'
FOUR = SHORT + "seed = [1, 2, 3, 4]\n"
TWO = SHORT + "seed = [2, 9]\n"


def labels(name: str) -> list[str]:
    return sorted(set(Results(Store("assay.db"), name).frame()["configuration"].astype(str)))


def test_a_replaced_study_is_said_and_stays_under_another_name(tmp_path: Path, invoke: Any) -> None:
    for name, text in (("four", FOUR), ("two", TWO)):
        (tmp_path / f"{name}.toml").write_text(text)
    assert invoke("run", "four.toml")[0] == 0
    for plan_only in (["--plan"], []):
        code, _, err = invoke("run", "two.toml", *plan_only)
        assert code == 0
        assert "study 's' is stored with 4 trials: 1 stays, 3 are dropped and 1 is added" in err
        assert "the earlier definition stays as 's@1': assay report s@1" in err
    assert (labels("s"), labels("s@1")) == (["seed 2", "seed 9"], ["seed 1", "seed 2", "seed 3", "seed 4"])
    code, _, err = invoke("run", "s@1", "--plan")  # the stored definition, under its own name
    assert code == 0 and "s@1: 4 trials; 4 stored" in err and "dropped" not in err
    for file in ("four.toml", "two.toml", "four.toml"):  # no third revision
        assert invoke("run", file)[0] == 0
    assert sorted(row["name"] for row in studies(Store("assay.db").database)) == ["s", "s@1", "s@2"]
    assert labels("s") == labels("s@1")


def test_more_seeds_or_values_keep_everything_and_make_no_revision(tmp_path: Path, invoke: Any) -> None:
    (tmp_path / "two.toml").write_text(TWO)
    assert invoke("run", "two.toml")[0] == 0
    code, _, err = invoke("run", "two.toml")
    assert code == 0 and "is stored with" not in err
    (tmp_path / "two.toml").write_text(SHORT + "seed = [2, 9, 10]\n")
    code, _, err = invoke("run", "two.toml")
    assert code == 0 and "study 's' is stored with 2 trials: all stay and 1 is added" in err and "s@1" not in err
    assert [row["name"] for row in studies(Store("assay.db").database)] == ["s"]


def test_a_stored_study_runs_by_its_name_with_changes(tmp_path: Path, invoke: Any) -> None:
    code, _, err = invoke("run", "s", "--plan")
    assert code == 2 and "neither a file nor a bundled study" in err
    (tmp_path / "two.toml").write_text(TWO)
    assert invoke("run", "two.toml")[0] == 0
    (tmp_path / "two.toml").unlink()
    code, _, err = invoke("run", "s", "--plan", "--set", "budget.iterations=3")
    assert code == 0 and "s: 2 trials; 0 stored" in err and "2 are dropped and 2 are added" in err
    code, _, err = invoke("run", "s1", "--plan")
    assert code == 2 and "Stored in assay.db: s; did you mean 's'?" in err


def test_options_that_an_axis_overrides_are_refused(tmp_path: Path, invoke: Any) -> None:
    (tmp_path / "e.toml").write_text(SHORT + 'engine = ["numpy", "native"]\n')
    code, _, err = invoke("run", "e.toml", "--plan", "--engine", "numpy")
    assert code == 2 and "engine: axis 'engine' sets it, so that it has no effect" in err
    code, _, err = invoke("run", "e.toml", "--plan", "--set", "data=digits", "--data", "digits-28")
    assert code == 2 and "--data: is given together with --set data.name=digits; leave one of them out" in err


def test_the_report_prints_how_to_run_again_and_what_was_ignored(tmp_path: Path, invoke: Any) -> None:
    text = SHORT + 'optimizer = ["momentum", "descent"]\n"optimizer.momentum" = [0.5, 0.8]\n'
    (tmp_path / "m.toml").write_text(text)
    assert invoke("run", "m.toml")[0] == 0
    assert invoke("report", "s")[0] == 0
    page = (tmp_path / "s.html").read_text()
    assert "<p>Again: <code>assay run s</code> with this store, or save this definition as <code>s.toml</code>" in page
    ignoring = [f"&#x27;descent, momentum {value}&#x27;" for value in (0.5, 0.8)]
    assert f"optimizer.momentum is ignored by {', '.join(ignoring)}" in page
