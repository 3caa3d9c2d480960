"""A folder of event files is one run: its sets of examples, its resumed files, its further trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import logs
from assay.errors import AssayError, FileError
from assay.training.history import History
from tests.logs import samples


def write(path: Path, *events: tuple[float, int, dict[str, float]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = samples.event(events[0][0] - 1, 0) + samples.field(3, b"brain.Event:2")
    written = [
        samples.event(wall, step, *(samples.simple(t, v) for t, v in tags.items())) for wall, step, tags in events
    ]
    path.write_bytes(samples.framed([first, *written]))
    return path


def keras(run: Path, *, begin: float = 100, first: int = 0, number: int = 0, plus: float = 0.0) -> None:
    for folder, loss in (("train", 0.5), ("validation", 0.75)):
        events = [
            (begin + 10 * i, first + i, {"epoch_loss": loss + plus - 0.125 * i, "epoch_accuracy": 0.5 + 0.125 * i})
            for i in range(3)
        ]
        write(run / folder / f"events.out.tfevents.{begin:.0f}.host.{number}.v2", *events)


def losses(history: History) -> list[tuple[object, ...]]:
    return [(p.iteration, p.seconds, p.train_loss, p.validation_loss) for p in history.points]


WHOLE = [(1, 1.0, 0.5, 0.75), (2, 11.0, 0.375, 0.625), (3, 21.0, 0.25, 0.5)]


def test_the_folders_of_keras_are_of_training_and_of_validation(tmp_path: Path) -> None:
    keras(tmp_path / "run")
    history = logs.read(tmp_path / "run")
    assert losses(history) == WHOLE
    assert [p.validation_accuracy for p in history.points] == [0.5, 0.625, 0.75]
    assert (history.source.name, history.source.steps) == ("run", "epochs")
    assert "2 event files in train, validation read as one run" in history.warnings
    assert sum(history.source.lines.values()) == 2 * history.source.lines["lines"]
    for alone in (tmp_path / "run/validation", next((tmp_path / "run/validation").iterdir())):
        history = logs.read(alone)
        assert [(p.train_loss, p.validation_loss) for p in history.points] == [(None, 0.75), (None, 0.625), (None, 0.5)]
        assert (
            "tags that name no set of examples are of validation, as the folder 'validation' says" in history.warnings
        )
        assert history.source.name == "run"


def test_a_resumed_run_replaces_its_steps_and_leaves_out_the_pause(tmp_path: Path) -> None:
    keras(tmp_path / "run")
    keras(tmp_path / "run", begin=100_000, first=2, number=1, plus=1.0)
    (history,) = logs.read_all(tmp_path / "run")
    assert losses(history) == [*WHOLE[:2], (3, 12.0, 1.5, 1.75), (4, 22.0, 1.375, 1.625), (5, 32.0, 1.25, 1.5)]
    assert any("goes on at step 2, as after a resumed run; it replaces 4 earlier values" in n for n in history.warnings)


def test_steps_that_begin_anew_are_another_training(tmp_path: Path) -> None:
    keras(tmp_path / "run")
    keras(tmp_path / "run", begin=100_000, number=1, plus=1.0)
    first, second = logs.read_all(tmp_path / "run")
    assert losses(first) == WHOLE
    assert losses(second)[0] == (1, 1.0, 1.5, 1.75)
    assert second.source.name == "run (training 2)"
    assert any("holds 2 trainings" in note for note in first.warnings)


def test_files_of_several_writers_give_one_curve(tmp_path: Path) -> None:
    write(tmp_path / "run/events.out.tfevents.1.h.0", (10, 100, {"Loss/train": 0.5}), (30, 200, {"Loss/train": 0.25}))
    write(
        tmp_path / "run/events.out.tfevents.1.h.1", (11, 100, {"Accuracy/val": 0.5}), (31, 200, {"Accuracy/val": 0.75})
    )
    history = logs.read(tmp_path / "run")
    assert [(p.iteration, p.train_loss, p.validation_accuracy) for p in history.points] == [
        (100, 0.5, 0.5),
        (200, 0.25, 0.75),
    ]
    for split in ("train", "val"):  # as add_scalars writes
        write(tmp_path / f"more/Loss_{split}/events.out.tfevents.1.h", (10, 1, {"Loss": 0.5}), (20, 2, {"Loss": 0.25}))
    assert [(p.train_loss, p.validation_loss) for p in logs.read(tmp_path / "more").points] == [
        (0.5, 0.5),
        (0.25, 0.25),
    ]


def test_folders_that_are_not_one_run_are_refused_in_a_sentence(tmp_path: Path) -> None:
    keras(tmp_path / "runs/a")
    keras(tmp_path / "runs/b")
    with pytest.raises(FileError, match="a folder with 2 runs: a, b; import the folder of one run"):
        logs.read(tmp_path / "runs")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/metrics.csv").write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(FileError, match=r"it holds metrics\.csv: import that file"):
        logs.read(tmp_path / "other")
    with pytest.raises(AssayError, match="a folder"):
        logs.read(tmp_path / "other", "csv")


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    keras(tmp_path / "secret")
    keras(tmp_path / "run")
    (tmp_path / "run/more").symlink_to(tmp_path / "secret")
    (tmp_path / "run/train/events.out.tfevents.9").symlink_to(next((tmp_path / "secret/train").iterdir()))
    assert losses(logs.read(tmp_path / "run")) == WHOLE
    assert "2 event files in train, validation read as one run" in logs.read(tmp_path / "run").warnings


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras(tmp_path / "run")
    monkeypatch.setattr(logs.folders, "MOST_FILES", 1)
    with pytest.raises(FileError, match="a folder with 2 event files"):
        logs.read(tmp_path / "run")
    monkeypatch.setattr(logs.folders, "MOST_ENTRIES", 2)
    with pytest.raises(FileError, match="a folder with more than 2 files"):
        logs.read(tmp_path / "run")
