"""What the seconds of a log count: decided by names and values, stated, asked about where two readings fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import logs
from assay.errors import AssayError
from assay.logs import Options
from assay.training.history import History


def table(name: str, *times: object) -> str:
    rows = "".join(f"{i},0.{i},{time}\n" for i, time in enumerate(times, 1))
    return f"epoch,val_acc,{name}\n{rows}"


def seconds(history: History) -> list[float | None]:
    return [point.seconds for point in history.points]


@pytest.mark.parametrize(
    ("name", "times", "expected", "reason"),
    [
        ("Wall time", (1700000000.5, 1700000010.5, 1700000030), [0, 10, 29.5], "Unix times in seconds"),
        ("timestamp", (1700000000500, 1700000010500), [0, 10], "Unix times in milliseconds"),
        ("_timestamp", (1700000000500000, 1700000010500000), [0, 10], "Unix times in microseconds"),
        ("date", ("2024-05-01 23:59:50", "2024-05-02 00:00:10"), [0, 20], "they are dates"),
        ("time", ("2024-05-01T10:00:00Z", "2024-05-01T12:01:00+02:00"), [0, 60], "they are dates"),
        ("time", ("23:59:30", "23:59:50", "00:00:10", "00:00:30"), [0, 20, 40, 60], "pass midnight"),
        ("clock", ("14:59:30", "14:59:50", "15:00:10"), [0, 20, 40], "times of day: the first is 14:59:30"),
        ("date", (45000.5, 45000.5625), [0, 5400], "the days of a spreadsheet"),
        ("timestamp", (3.5, 5.5, 9), [0, 2, 5.5], "by its name"),
    ],
)
def test_an_absolute_clock_is_counted_from_the_first_row(name, times, expected, reason, read) -> None:
    history = read(table(name, *times))
    assert seconds(history) == expected
    assert history.effort is None or history.effort < 1000
    assert any(reason in note for note in history.warnings)
    assert "the time before the first row is unknown and not in the seconds" in history.warnings
    assert history.source.clock == "of a table, since the first row"  # never ranked with elapsed seconds


@pytest.mark.parametrize(
    ("name", "times", "expected", "reason"),
    [
        ("time", (12, 12, 12), [12, 24, 36], "they are constant"),
        ("time", (12, 11.5, 11.9), [12, 23.5, 35.4], "they decrease"),
        ("time", ("00:12", "00:11", "00:11"), [12, 23, 34], "they decrease"),
        ("epoch_time", (12, 12.5, 13), [12, 24.5, 37.5], "by its name"),
        ("time per epoch [s]", (10, 20, 40), [10, 30, 70], "by its name"),
        ("sec/epoch", (10, 20, 40), [10, 30, 70], "by its name"),
        ("time", (12, 24.5, 37), [12, 24.5, 37], "at least twice the first"),
        ("elapsed", (100, 101, 102), [100, 101, 102], "by its name"),
        ("_runtime", (5.5, 6, 6.5), [5.5, 6, 6.5], "by its name"),
        ("elapsed", ("23:59:00", '"1 day, 0:02:00.5"'), [86340, 86520.5], "by its name"),
    ],
)
def test_seconds_per_epoch_and_elapsed_seconds_are_told_apart_by_evidence(name, times, expected, reason, read) -> None:
    history = read(table(name, *times))
    assert seconds(history) == pytest.approx(expected)
    assert any(reason in note for note in history.warnings), history.warnings
    assert reason in history.source.units["seconds"]


@pytest.mark.parametrize(
    "times",
    [(12, 12.5, 13), (1, 1, 1.5), (60, 120, 180, 61, 122, 183), ("01:00:00", "01:10:00"), ("1:02:03", "1:02:10")],
)
def test_where_both_readings_fit_the_user_is_asked(times, read) -> None:
    with pytest.raises(AssayError, match="choose --seconds per-epoch or --seconds elapsed"):
        read(table("time", *times))


def test_the_option_decides_in_both_ways_and_its_earlier_name_stays(read) -> None:
    text = table("time", 12, 12.5, 13)
    assert seconds(read(text, seconds="per-epoch")) == seconds(read(text, seconds="each")) == [12, 24.5, 37.5]
    assert seconds(read(text, seconds="elapsed")) == [12, 12.5, 13]
    assert seconds(read(text, seconds="unix")) == [0, 0.5, 1]
    assert "as specified" in read(text, seconds="elapsed").source.units["seconds"]
    with pytest.raises(AssayError, match="are dates; expected --seconds unix"):
        read(table("date", "2024-05-01 10:00:00", "2024-05-01 10:01:00"), seconds="elapsed")
    with pytest.raises(AssayError, match="no seconds that can be read"):
        read("epoch,val_acc\n1,0.5\n2,0.6\n", seconds="elapsed")


@pytest.mark.parametrize(
    ("name", "times", "total"),
    [
        ("time (min)", (1, 2, 3), 180),
        ("Time[h]", (0.5, 1, 2), 7200),
        ("ms", (1000, 2000, 3500), 3.5),
        ("time_ms", (1000, 2000, 3500), 3.5),
        ("elapsed_minutes", (1, 2, 3), 180),
        ("Epoch time, ms", (1000, 1000, 1500), 3.5),
        ("time", ("1m 5s", "2m 10s", "3m 15s"), 195),
        ("time", ("350ms", "700 ms", "1.1s"), 1.1),
        ("elapsed (hh:mm:ss)", ("0:01:00", "0:02:00", "0:03:30"), 210),
    ],
)
def test_units_in_the_header_and_in_the_cells_are_obeyed(name, times, total, read) -> None:
    name = f'"{name}"' if "," in name else name
    assert read(table(name, *times)).final.seconds == pytest.approx(total)


def test_other_times_are_not_the_seconds_of_training(read) -> None:
    for name in ("eval_time", "data_time", "batch_time", "eta", "remaining time", "val_runtime"):
        history = read(table(name, 1, 2, 3))
        assert seconds(history) == [None] * 3
        assert name in history.source.units["not taken"]


def test_times_of_rows_that_are_many_iterations_apart_are_not_added_up(read) -> None:
    text = "step,loss,time\n100,0.5,0.05\n200,0.4,0.051\n300,0.3,0.049\n"
    history = read(text)
    assert seconds(history) == [None] * 3
    assert "all 100 since the row before (--seconds per-epoch adds them up)" in history.warnings[-1]
    assert read(text, seconds="per-epoch").final.seconds == pytest.approx(0.15)


def test_times_that_cannot_be_read_leave_the_rest(read) -> None:
    history = read(table("time", "05/01/2024 10:00:00 PM", "05/01/2024 10:01:00 PM"))
    assert [(p.validation_accuracy, p.seconds) for p in history.points] == [(0.1, None), (0.2, None)]
    assert any("the times in 'time' are not read: '05/01/2024 10:00:00 PM'" in note for note in history.warnings)


def test_two_clocks_in_one_table_give_the_elapsed_one(read) -> None:
    history = read("_step,_timestamp,_runtime,loss\n1,1700000000.5,5.5,0.5\n2,1700000010.5,15.5,0.4\n")
    assert seconds(history) == [5.5, 15.5]
    assert any("Weights & Biases counts calls of log" in note for note in history.warnings)


def test_lines_of_scripts_obey_the_option_too(tmp_path: Path) -> None:
    text = "--->Train epoch 0, loss: 0.5, time: 2\n--->Train epoch 1, loss: 0.4, time: 5\n"
    (tmp_path / "run.log").write_text(text)
    assert seconds(logs.read(tmp_path / "run.log")) == [2, 7]
    assert seconds(logs.read(tmp_path / "run.log", options=Options(seconds="elapsed"))) == [2, 5]
