"""Imported curves in a store: one entry a file, beside a study's trials and never among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from assay import logs
from assay.analysis import verdicts
from assay.analysis.effort import comparable
from assay.errors import AssayError, FileError, StoreError
from assay.logs import Options
from assay.report.answers import answers
from assay.results.results import Results
from assay.store import exchange, imported, integrity, queries, schema
from assay.store.store import Store
from assay.training.history import History
from tests.logs import samples
from tests.store.makers import made_end, made_plan


def read(folder: Path, text: str, name: str = "net", **options: object) -> History:
    path = folder / f"{name}.log"
    path.write_text(text)
    asked = {"evaluated_on": "test", "iterations_per_epoch": 10, **options}
    return logs.read(path, options=Options(**asked))  # pyright: ignore


def with_study(store: Store, seeds: int = 4) -> None:
    store.register(plan := made_plan(seeds))
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])


def test_a_stored_curve_is_read_back_as_it_was(store: Store, tmp_path: Path) -> None:
    history = read(tmp_path, samples.flux())
    stored = imported.add(store.database, history)
    assert (stored.study, stored.label, stored.before) == ("imported", "net (imported)", "")
    row = imported.find(store.database, stored.key[:6])
    assert row is not None
    again = imported.history_of(row)
    assert (again.points, again.source, again.warnings) == (history.points, history.source, history.warnings)
    assert again.plain() == history.plain()
    assert integrity.check(store) == []


def test_a_file_that_is_imported_twice_is_one_entry_and_the_second_reading_counts(store: Store, tmp_path: Path) -> None:
    with_study(store)
    imported.add(store.database, read(tmp_path, samples.pytorch(), "first"))
    moved = imported.add(store.database, read(tmp_path, samples.pytorch(), "second"), study_name="made", named=False)
    assert (moved.label, moved.study, moved.before) == (
        "first (imported)",
        "made",
        "first (imported) of study imported",
    )
    assert len(imported.listed(store.database)) == 1
    assert imported.add(store.database, read(tmp_path, samples.pytorch(), "third")).study == "made"
    assert [row["label"] for row in imported.rows_of_study(store.database, "made")] == ["third (imported)"]


def test_an_unknown_study_and_a_name_that_is_taken_are_refused(store: Store, tmp_path: Path) -> None:
    with_study(store)
    with pytest.raises(StoreError, match="did you mean 'made'"):
        imported.add(store.database, read(tmp_path, samples.flux()), study_name="mad")
    imported.add(store.database, read(tmp_path, samples.flux()))
    with pytest.raises(StoreError, match=r"'net' already, from net\.log; give another --name"):
        imported.add(store.database, read(tmp_path, samples.pytorch()))
    assert len(imported.listed(store.database)) == 1


def test_imported_curves_stand_in_the_frames_marked_and_without_what_a_log_does_not_tell(
    store: Store, tmp_path: Path
) -> None:
    with_study(store)
    imported.add(store.database, read(tmp_path, samples.flux()), study_name="made")
    results = Results(store, "made")
    frame, curves = results.frame(), results.curves()
    assert list(frame["origin"]) == ["measured"] * 4 + ["imported"]
    assert list(frame["seed"]) == [1, 2, 3, 4, None]
    last = frame.iloc[-1]
    assert (last["configuration"], last["engine"]) == ("net (imported)", "Flux")
    assert last["accuracy"] == pytest.approx(samples.ACCURACIES[3])
    mine = curves[curves["trial"] == last["trial"]]
    assert list(mine["iteration"]) == [10, 20, 30, 40]
    assert mine["flops"].isna().all()
    assert mine["examples"].isna().all()
    assert results.summary()["configuration"].tolist() == ["baseline", "net (imported)"]


def test_a_log_of_epochs_has_no_iterations_beside_trials_that_have_them(store: Store, tmp_path: Path) -> None:
    with_study(store)
    imported.add(store.database, read(tmp_path, samples.flux(), iterations_per_epoch=None), study_name="made")
    results = Results(store, "made")
    curves = results.curves()
    foreign = results.frame()["trial"].iloc[-1]
    assert curves[curves["trial"] == foreign]["iteration"].isna().all()
    said = json.dumps(results.picture("curves").to_dict())
    assert "net (imported) not drawn" in said
    imported.add(store.database, read(tmp_path, samples.pytorch(), "alone", iterations_per_epoch=None))
    alone = Results(store, "imported")
    assert list(alone.curves()["iteration"]) == [1, 2, 3, 4]
    assert '"epochs"' in json.dumps(alone.picture("curves").to_dict())


def test_imported_curves_take_no_part_in_verdicts_and_rankings_of_time(store: Store, tmp_path: Path) -> None:
    with_study(store)
    imported.add(store.database, read(tmp_path, samples.flux()), study_name="made")
    trials = Results(store, "made").frame()
    assert verdicts.best(trials).name == "baseline"
    with pytest.raises(AssayError, match="comes from a log"):
        verdicts.between(trials, "baseline", "net (imported)")
    with pytest.raises(AssayError, match="only one configuration"):
        verdicts.pairwise(trials)
    fair, said = comparable(trials)
    assert set(fair["origin"]) == {"measured"}
    assert "1 imported curve with seconds of another framework (training alone, validation apart)" in said
    with pytest.raises(AssayError, match="these seconds are not comparable"):
        Results(store, "made").effort()
    told = answers(trials, Results(store, "made").curves())
    assert any(line.startswith("Imported from logs, without a verdict: net (imported)") for line in told)
    for name in ("effort", "pareto"):
        said = json.dumps(Results(store, "made").picture(name).to_dict())
        assert "net (imported) left out" in said


def test_logs_of_one_stated_machine_and_one_clock_are_ranked(store: Store, tmp_path: Path) -> None:
    for name, text in (("flux", samples.flux()), ("pytorch", samples.pytorch()), ("matlab", samples.matlab())):
        imported.add(store.database, read(tmp_path, text, name, machine="GTX 1080 Ti"))
    fair, said = comparable(Results(store, "imported").frame())
    assert sorted(fair["configuration"]) == ["flux (imported)", "pytorch (imported)"]
    assert "elapsed, validation included" in said


def test_a_study_takes_its_curves_with_it_and_a_curve_goes_alone(store: Store, tmp_path: Path) -> None:
    with_study(store)
    key = imported.add(store.database, read(tmp_path, samples.flux()), study_name="made").key
    assert imported.remove(store.database, [key]) == 1
    imported.add(store.database, read(tmp_path, samples.flux()), study_name="made")
    assert queries.studies(store.database)[0]["imported"] == 1
    store.remove(studies=["made"])
    assert imported.listed(store.database) == []
    assert integrity.check(store) == []


def test_filters_pass_by_what_a_log_does_not_tell(store: Store, tmp_path: Path) -> None:
    imported.add(store.database, read(tmp_path, samples.flux()))
    for filters, count in ((["accuracy>0.9"], 1), (["accuracy>0.99"], 0), (["optimizer=adam"], 0), (["seed=1"], 0)):
        assert len(imported.listed(store.database, filters)) == count, filters
    with pytest.raises(StoreError, match="did you mean 'accuracy'"):
        imported.listed(store.database, ["acuracy>1"])


def test_a_damaged_curve_is_found_and_quarantined(store: Store, tmp_path: Path) -> None:
    key = imported.add(store.database, read(tmp_path, samples.flux())).key
    with store.database.write() as connection:
        connection.execute(sa.update(schema.imported).values(curve='{"iteration": ['))
    assert [finding.kind for finding in integrity.check(store)] == ["unreadable"]
    assert integrity.repair(store)[0] == f"quarantined the imported curve {key[:8]}; import its log again"
    assert integrity.check(store) == []


def test_exports_carry_curves_and_strange_ones_are_refused(store: Store, tmp_path: Path) -> None:
    with_study(store)
    imported.add(store.database, read(tmp_path, samples.flux()), study_name="made")
    imported.add(store.database, read(tmp_path, samples.pytorch(), "other"))
    exchange.export(store, out := tmp_path / "out")
    target = Store(f"sqlite:///{tmp_path / 'target.db'}")
    assert exchange.read_back(target, out) == (6, 0)
    assert exchange.read_back(target, out) == (0, 6)
    for name in ("made", "imported"):
        assert Results(target, name).curves().equals(Results(store, name).curves())
    exchange.export(store, part := tmp_path / "part", study_name="made")
    assert len(json.loads((part / "imported.json").read_text())) == 1
    rows = json.loads((out / "imported.json").read_text())
    for name, value in (("key", "0" * 32), ("curve", "{"), ("source", "[]"), ("outcome", "won")):
        (out / "imported.json").write_text(json.dumps([rows[0] | {name: value}]))
        fresh = Store(f"sqlite:///{tmp_path / f'{name}.db'}")
        with pytest.raises(FileError, match="not an export of Assay, or damaged"):
            exchange.read_back(fresh, out)
        assert imported.listed(fresh.database) == []
        fresh.close()
    (out / "imported.json").unlink()  # an export of an earlier version
    assert exchange.read_back(target, out) == (0, 4)
    target.close()


def test_curves_of_one_name_from_two_stores_are_kept_apart(store: Store, tmp_path: Path) -> None:
    imported.add(store.database, read(tmp_path, samples.flux(), "base"))
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    with_study(other, 3)
    theirs = imported.add(other.database, read(tmp_path, samples.pytorch(), "base")).key
    exchange.export(other, out := tmp_path / "out")
    sentences: list[str] = []
    assert exchange.read_back(store, out, say=sentences.append) == (4, 0)
    assert sentences == [
        "study 'imported' has another imported curve or configuration 'base': "
        "that of the export, from base.log, was added as 'base.log'"
    ]
    labels = {row["key"]: row["label"] for row in imported.rows_of_study(store.database, "imported")}
    assert (len(labels), labels[theirs]) == (2, "base.log (imported)")
    assert exchange.read_back(store, out, say=sentences.append) == (0, 4)  # again: nothing is refused or renamed
    assert len(sentences) == 1
    assert integrity.check(store) == []
    exchange.export(store, both := tmp_path / "both")  # the new name is in the source as well
    third = Store(f"sqlite:///{tmp_path / 'third.db'}")
    assert exchange.read_back(third, both, say=sentences.append) == (5, 0)
    assert {row["label"] for row in imported.rows_of_study(third.database, "imported")} == set(labels.values())
    assert len(sentences) == 1
    other.close()
    third.close()
