"""`assay import`, and what other commands show of imported curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay import logs
from assay.store.store import Store
from tests.logs import samples
from tests.store.makers import made_end, made_plan


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path) -> None:
    for name, content in samples.SAMPLES.items():
        (tmp_path / f"{name}.log").write_bytes(content)
    store, plan = Store(str(tmp_path / "assay.db")), made_plan(3)
    store.register(plan)
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])
    store.close()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("format", samples.SAMPLES)
def test_a_log_is_imported_listed_shown_plotted_and_removed(format: str, invoke: Any, tmp_path: Path) -> None:
    code, out, err = invoke("import", f"{format}.log", "--name", "theirs", "--evaluated-on", "test")
    assert code == 0, err
    assert f"{format}.log looks like {format}:" in err
    assert "theirs (imported) in study imported" in words(out)
    key = json.loads(invoke("list", "--trials", "--json")[1])["imported"][0]["key"]
    assert "(imported)" in invoke("list", "--study", "imported")[1]
    assert invoke("list", "--trials", "--csv")[1].count("imported") == 2
    code, out, _ = invoke("show", key[:6])
    for expected in ("theirs (imported)", "98.43 %", "sha256", "0 malformed", "study imported"):
        assert expected in words(out), expected
    shown = json.loads(invoke("show", key, "--json")[1])
    assert (shown["imported"], shown["source"]["format"]) == (True, format)
    for chart in ("curves", "curve"):
        assert invoke("plot", "imported", chart)[0] == 0
        assert (tmp_path / f"imported-{chart}.png").stat().st_size > 5000
    assert "imported from a log, which holds no recipe" in invoke("show", key, "--recipe")[2]
    assert "1 imported curve;" in invoke("rm", key[:8], "--yes")[2]
    assert invoke("store", "check") == (0, "assay.db: sound\n", "")


def test_a_log_appears_next_to_the_trials_of_a_study(invoke: Any, tmp_path: Path) -> None:
    more = ("--study", "made", "--evaluated-on", "test", "--iterations-per-epoch", "2")
    assert invoke("import", "flux.log", "--as", "flux", *more)[0] == 0
    assert "1 " in invoke("list")[1]
    code, out, err = invoke("compare", "made")
    assert code == 0, err
    assert "flux (imported)" in words(out)
    assert "an imported log is a single run without paired seeds" in err
    result = json.loads(invoke("compare", "made", "--json")[1])
    assert result["rows"][0]["configuration"] == "flux (imported)"
    assert "flux (imported)" in words(invoke("target", "made")[1])
    code, out, err = invoke("target", "made", "--by", "seconds")
    assert (code, "flux (imported) left out" in err, "imported" in out) == (0, True, False)
    code, out, err = invoke("report", "made")
    assert code == 0, err
    assert "flux (imported)" in out
    page = (tmp_path / "made.html").read_text()
    for expected in ("flux (imported)", "<td>imported</td>", "flux.log (flux), sha256"):
        assert expected in page, expected


def test_the_result_as_json_and_the_second_import_of_a_file(invoke: Any) -> None:
    result = json.loads(invoke("import", "pytorch.log", "--json")[1])
    assert result["seconds"] == {"train": 4.16, "evaluate": 1.45, "wall": 5.7}
    assert (result["epochs"], result["before"]) == (4, "")
    assert result["source"]["lines"] == {"lines": 9, "records": 8, "headings": 1, "malformed": 0, "apart": 0}
    _, out, _ = invoke("import", "pytorch.log", "--name", "other")
    assert "already imported as pytorch (imported) of study imported; read again and replaced" in words(out)


def test_columns_are_named(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("round,score,loss\n1,90,0.5\n2,95,0.4\n")
    code, _, err = invoke("import", "mine.csv", "--as", "csv")
    assert (code, "the columns are 'round', 'score', 'loss'" in err) == (2, True)
    named = ("--column", "epoch=round", "--column", "test_accuracy=score", "--accuracy", "percent")
    result = json.loads(invoke("import", "mine.csv", "--as", "csv", *named, "--json")[1])
    assert result["accuracy"] == 0.95


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("flux.log", "--as", "pytorch"), "it looks like flux: --as flux"),
        (("flux.log", "--as", "fluks"), "did you mean 'flux'"),
        (("csv.log", "--as", "tensorboard"), "it looks like csv: --as csv"),
        (("none.log",), "no such file"),
        (("empty.log",), "is empty"),
        (("binary.log",), "a binary file"),
        ((".",), "a folder"),
        (("huge.log",), "more than 256 MiB"),
        (("flux.log", "--study", "mad"), "did you mean 'made'"),
        (("csv.log", "--column", "score"), "expected QUANTITY=NAME"),
        (("csv.log", "--column", "epoch=epoc"), "did you mean 'epoch'"),
        (("flux.log", "--accuracy", "percents"), "did you mean 'percent'"),
        (("flux.log", "--batch-size", "0"), "expected a number >= 1"),
        (("flux.log", "--evaluated-on", "tests"), "did you mean 'test'"),
    ],
)
def test_an_error_is_a_sentence(arguments: tuple[str, ...], expected: str, invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "binary.log").write_bytes(bytes(range(256)) * 9)
    with (tmp_path / "huge.log").open("wb") as file:
        file.truncate(logs.MOST_BYTES + 1)
    code, out, err = invoke("import", *arguments)
    assert (code, out) == (2, "")
    assert expected in words(err)
    assert "Traceback" not in err
