"""`assay import`, and what other commands show of imported curves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay import logs
from assay.cli import tables
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


def test_two_trainings_of_a_file_are_imported_and_both_stay(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("epoch,test_acc\n1,0.8\n2,0.9\n1,0.7\n2,0.95\n")
    code, out, err = invoke("import", "twice.csv")
    assert code == 0
    assert "twice.csv holds 2 trainings; each is imported as a curve of its own" in words(err)
    assert "twice (training 2) (imported) in study imported" in words(out)
    results = json.loads(invoke("import", "twice.csv", "--json")[1])["trainings"]
    assert [result["accuracy"] for result in results] == [0.9, 0.95]
    assert [result["before"] for result in results] == [
        "twice (imported) of study imported",
        "twice (training 2) (imported) of study imported",
    ]
    rows = json.loads(invoke("list", "--trials", "--json")[1])["imported"]
    assert sorted(row["accuracy"] for row in rows) == [0.9, 0.95]
    assert json.loads(invoke("show", results[1]["key"], "--json")[1])["accuracy"] == 0.95
    assert invoke("store", "check") == (0, "assay.db: sound\n", "")
    assert invoke("store", "export", "exported")[0] == 0
    assert invoke("store", "import", "exported", "--store", "other.db")[0] == 0
    assert len(json.loads(invoke("list", "--trials", "--json", "--store", "other.db")[1])["imported"]) == 2


def test_files_named_alike_do_not_clash(invoke: Any, tmp_path: Path) -> None:
    for name, loss in (("net.csv", 1), ("net.txt", 2), ("more/net.csv", 3), ("more/net.txt", 4)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"epoch,loss\n1,{loss}\n2,0.5\n")
        assert invoke("import", name)[0] == 0, name
    rows = json.loads(invoke("list", "--trials", "--json")[1])["imported"]
    assert {row["label"].removesuffix(" (imported)") for row in rows} == {"net", "net.txt", "net.csv", "net (2)"}
    assert "has an imported curve 'net' already" in invoke("import", "more/net.txt", "--name", "net")[2]


def test_lines_of_any_format_by_a_pattern(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "odd.log").write_text("E01 L=0.5 A=91.2\nE02 L=0.4 A=92.2\n")
    pattern = r"E(?P<epoch>\d+) L=(?P<train_loss>\S+) A=(?P<test_accuracy>\S+)"
    result = json.loads(invoke("import", "odd.log", "--pattern", pattern, "--json")[1])
    assert (result["accuracy"], result["train_loss"], result["source"]["format"]) == (0.922, 0.4, "pattern")
    code, _, err = invoke("import", "odd.log", "--pattern", "E(?P<epoch>")
    assert (code, "is not a regular expression" in words(err)) == (2, True)


def test_a_folder_of_event_files_is_imported_as_one_run(invoke: Any, tmp_path: Path) -> None:
    for folder in ("train", "validation"):
        (tmp_path / "run" / folder).mkdir(parents=True)
        tags = [samples.event(101.0 + i, i, samples.simple("epoch_accuracy", 0.5 + i / 4)) for i in range(2)]
        (tmp_path / "run" / folder / "events.out.tfevents.1.host.v2").write_bytes(samples.framed(tags))
    result = json.loads(invoke("import", "run", "--json")[1])
    assert (result["label"], result["train_accuracy"], result["validation_accuracy"]) == ("run (imported)", 0.75, 0.75)


def test_assumptions_are_shown_stored_and_kept(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "wall.csv").write_text("Wall time,epoch,test_acc\n1700000000,1,0.8\n1700000030,2,0.9\n")
    _, out, _ = invoke("import", "wall.csv")
    notes = (
        "the seconds are counted from the first row: they are Unix times in seconds",
        "the time before the first row is unknown and not in the seconds",
        "test accuracy read as fractions in the log (the highest is 0.9)",
    )
    stored = json.loads(invoke("list", "--trials", "--json")[1])["imported"][0]
    shown = json.loads(invoke("show", stored["key"], "--json")[1])
    for note in notes:
        assert note in words(out)
        assert note in shown["warnings"]
    assert shown["effort"] == pytest.approx(30 / 0.9)


def test_curves_without_iterations_are_said_to_count_epochs(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("epoch,test_acc\n1,0.8\n2,0.9\n3,0.95\n")
    invoke("import", "net.csv")
    code, out, err = invoke("target", "imported", "--accuracy", "0.85")
    assert code == 0
    assert "epoch to 85.00 % accuracy" in words(out)
    assert "iteration" not in out
    assert "the curves count epochs, not iterations: times are in epochs" in err
    assert invoke("report", "imported")[0] == 0
    assert "reached first by net (imported): 1 of 1 seeds, median 3 epochs" in (tmp_path / "imported.html").read_text()
    invoke("import", "net.csv", "--study", "made")
    _, out, err = invoke("target", "made")
    assert "net (imported): no time, because the log counts epochs" in words(err)
    assert "iteration to" in words(out)
    assert invoke("report", "made")[0] == 0
    assert "never reached by net" not in (tmp_path / "made.html").read_text()


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
        (("flux.log", "--seconds", "unx"), "did you mean 'unix'"),
        (("flux.log", "--column", "test_loss=loss"), "the quantities of flux have no names"),
        (("csv.log", "--as", "csv", "--pattern", "x"), "--as csv and --pattern"),
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


def test_a_table_of_a_curve_cuts_no_digit_and_leaves_out_what_a_log_does_not_hold(tmp_path: Path) -> None:
    log = tmp_path / "all.csv"
    header = "iteration,elapsed,train_loss,train_acc,val_loss,val_acc,test_loss,test_acc"
    log.write_text(
        f"{header}\n123456,0.5,0.51,0.912,0.52,1.0,0.53,0.914\n1234567,12345.678,0.41,1.0,0.42,1.0,0.43,1.0\n"
    )
    console = Console(width=80, file=io.StringIO())
    console.print(tables.curve(logs.read(log)))
    text = console.file.getvalue()  # pyright: ignore
    assert "…" not in text
    assert all(cell in text for cell in ("1,234,567", "12345.678", "100.00 %", "91.20 %", "0.4200"))
    log.write_text("epoch,val_acc\n1,0.8\n2,0.9\n")
    assert [column.header for column in tables.curve(logs.read(log)).columns] == ["epoch", "valid. acc."]
