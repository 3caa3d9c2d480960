"""Numbers and durations in text logs: read as a table's cells are, or malformed; never a part of the number."""

from __future__ import annotations

from time import perf_counter

import pytest

from assay.errors import AssayError
from assay.logs import FORMATS, Options
from assay.logs.clocks import time_of
from assay.training.history import History

PLAIN = "epoch 1: loss 0.5, time 10 s\nepoch 2: loss 0.4, time {}, val acc 85.5%\n"
LOSSES = "epoch 1: loss 0.5\nepoch 2: loss {}, val acc 85.5%\nepoch 3: loss 0.25\n"


def losses(history: History) -> list[float | None]:
    return [point.train_loss for point in history.points]


def test_decimal_commas_are_read_where_the_log_has_them(read) -> None:
    history = read(
        "epoch 1: loss 2,94, val acc 85,5%, time 12,5 s\n"
        "epoch 2: loss 0,94, val acc 86,125%, time 13,5 s\n"
        "epoch 3: loss 1,234, val acc 87 %, time 25,5 s\n",
        "run.log",
    )
    assert losses(history) == [2.94, 0.94, 1.234]
    assert [point.validation_accuracy for point in history.points] == [0.855, 0.86125, 0.87]
    assert [point.seconds for point in history.points] == [12.5, 13.5, 25.5]
    assert "numbers such as 2,94 have a decimal comma" in history.warnings


def test_a_comma_next_to_decimal_points_groups_thousands_or_is_malformed(read) -> None:
    assert losses(read(LOSSES.format("1,234.5"), "run.log")) == [0.5, 1234.5, 0.25]
    assert losses(read(LOSSES.format("1,234"), "run.log")) == [0.5, 1234.0, 0.25]
    history = read(LOSSES.format("2,94"), "run.log")
    assert losses(history) == [0.5, 0.25]
    assert "line 2: its train loss is '2,94', which is not a number" in history.warnings[0]
    with pytest.raises(AssayError, match="line 1: its train loss is '1,234', which may have a decimal comma or one of"):
        read("epoch 1: loss 1,234\nepoch 2: loss 1,235\n", "run.log")
    assert [p.iteration for p in read("step 1,000: loss 0.5\nstep 2,000: loss 0.4\n", "run.log").points] == [1000, 2000]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1m 30s", 90),
        ("1m30s", 90),
        ("1 min 30 sec", 90),
        ("1 min, 30 s", 90),
        ("1h 30m", 5400),
        ("1 hour, 30 minutes", 5400),
        ("2 hrs", 7200),
        ("3 days", 259200),
        ("1 d 2 h", 93600),
        ("1 day, 0:02:00", 86520),
        ("1:02:03.5", 3723.5),
        ("90 Seconds", 90),
        ("21 milliseconds", 10.021),  # per epoch, as the times fall
        ("45 s 12ms/step", 45),
        ("20 s, 12 ms per step", 20),
    ],
)
def test_durations_are_those_of_a_table(written: str, seconds: float, read) -> None:
    assert read(PLAIN.format(written), "run.log").final.seconds == pytest.approx(seconds)
    if "step" not in written:
        cell = time_of(written)
        assert cell is not None
        assert cell.seconds == pytest.approx(seconds if seconds != 10.021 else 0.021)


@pytest.mark.parametrize("written", ["1h30", "1'30", "5 weeks", "12.3s/it", "2 Stunden", "30s 1m", "2x", "12,5 s"])
def test_a_duration_that_is_not_understood_is_malformed(written: str, read) -> None:
    history = read(PLAIN.format(written), "run.log", seconds="elapsed")
    if written == "30s 1m":  # what stands after the first duration is another one
        assert history.final.seconds == 30
        assert time_of(written) is None
        return
    assert losses(history) == [0.5]
    assert "line 2: its seconds are" in history.warnings[0]


@pytest.mark.parametrize("written", ["\u22120.5", "\u2212 0.5", "-0.5", "\ufe630.5"])
def test_a_minus_of_unicode_is_a_minus(written: str, read) -> None:
    assert losses(read(LOSSES.format(written), "run.log")) == [0.5, -0.5, 0.25]
    assert losses(read(f"epoch,loss\n1,0.5\n2,{written}\n")) == [0.5, -0.5]
    flux = f"--->Train, epoch: 1, loss: 0.5, time: 1\n--->Train, epoch: 2, loss: {written}, time: 1\n"
    assert losses(read(flux, "run.log")) == [0.5, -0.5]


@pytest.mark.parametrize(
    "written",
    [
        "1 234.5",
        "1\u202f234,5",
        "1'034.5",
        "1\u2019034.5",
        "1_000",
        "1.234,5",
        "1.5 x 10^3",
        "1.5\u00d710\u00b3",
        "1.5*10**3",
        "2**3",
        "1.5 e-3",
        "1.5D-03",
        "10k",
        "0x1F",
        "0.5-0.6",
        "0.5..0.6",
        "1.2.3",
        "1.#INF",
        "<0.001",
        "~0.5",
        "\u20130.5",
        "0.5m",
        "0.5%",
        "85\u2030",
        ": - 0.5",
    ],
)
def test_a_number_in_a_form_that_is_not_read_makes_its_line_malformed(written: str, read) -> None:
    history = read(LOSSES.format(written), "run.log")
    assert losses(history) == [0.5, 0.25]
    assert history.source.lines["malformed"] == 1
    assert "line 2: its train loss is" in history.warnings[0]


@pytest.mark.parametrize("written", ["0.5.", "0.5...", "(0.5)", "0.5 (0.6)", "0.5\u00b10.1", "0.5 m", "5e-1", ".5"])
def test_what_stands_around_a_number_is_no_part_of_it(written: str, read) -> None:
    assert losses(read(LOSSES.format(written), "run.log")) == [0.5, 0.5, 0.25]


@pytest.mark.parametrize("step", ["step 10k", "step 1 000", "epoch 1-5", "step 1.234", "epoch 1_000"])
def test_a_step_in_a_form_that_is_not_read_is_malformed(step: str, read) -> None:
    with pytest.raises(AssayError, match="line 1: its (iteration|epoch) is"):
        read(f"{step} loss 0.5\n", "run.log")


def test_percent_may_be_a_word(read) -> None:
    history = read("epoch 1: loss 0.5, val acc 0.5 percent\nepoch 2: loss 0.4, val acc 0.75 %\n", "run.log")
    assert [point.validation_accuracy for point in history.points] == [0.005, 0.0075]


@pytest.mark.parametrize("record", ["--->Train epoch {0}, ", "--->Train, epoch: {0}, "])
def test_scripts_of_pytorch_and_flux(record: str, read) -> None:
    commas = "".join(record.format(i) + f"loss: {loss}, time: 1,5\n" for i, loss in ((1, "2,94"), (2, "1,234")))
    history = read(commas + "--->Total time: 1m 30,5s, training time: 3,5\n", "run.log")
    assert losses(history) == [2.94, 1.234]
    assert [point.seconds for point in history.points] == [1.5, 3.0]
    assert history.ledger.wall == 90.5
    points = read(record.format(1) + "loss: 0.5, time: 1m 30s\n" + record.format(2) + "loss: 10k, time: 2\n", "run.log")
    assert (losses(points), points.final.seconds) == ([0.5], 90.0)
    assert "line 2: its loss is '10k', which is not a number" in points.warnings[0]


def test_bars_of_keras(read) -> None:
    bar = "Epoch 1/2\n100/100 [====] - 1m 30s 12ms/step - loss: {0}\nEpoch 2/2\n100/100 [====] - 2s - loss: {1}\n"
    history = read(bar.format("2,94", "1,234"), "run.log")
    assert losses(history) == [2.94, 1.234]
    assert history.final.seconds == 92
    assert losses(read(bar.format("\u22120.5", "0.25"), "run.log")) == [-0.5, 0.25]
    for written in ("2,94", "1.5 x 10^3", "1 234.5", "10k"):
        history = read(bar.format("0.25", written), "run.log")
        assert losses(history) == [0.25]
        assert "line 4: its train loss is" in history.warnings[0]


def test_tables_of_matlab(read) -> None:
    row = "| 1 | {0} | 00:00:0{0} | 97,50% | 98,5% | {1} | 0,25 | 0,01 |\n"
    history = read(row.format(1, "2,94") + row.format(2, "1,234") + "Total time: 1m 30s\n", "run.log")
    assert losses(history) == [2.94, 1.234]
    assert [point.validation_accuracy for point in history.points] == [0.985, 0.985]
    assert history.ledger.wall == 90


def test_tables_with_units_after_a_decimal_comma(read) -> None:
    history = read("epoch;loss;val acc;time\n1;2,94;85,5%;12,5 s\n2;1,234;86,5 %;1m 30,5s\n")
    assert losses(history) == [2.94, 1.234]
    assert [point.validation_accuracy for point in history.points] == [0.855, 0.865]
    assert [point.seconds for point in history.points] == [12.5, 90.5]
    mixed = read("epoch;loss;time\n1;2,94;1.5\n2;1,234;2.5\n3;0,5;5.5\n")
    assert losses(mixed) == [2.94, 0.5]
    assert "line 3: its train loss is '1,234', which may have a decimal comma" in mixed.warnings[0]


@pytest.mark.parametrize("written", ["2,94", "1 234.5", "1.5 x 10^3", "0.5_1"])
def test_a_pattern_that_ends_within_a_number_makes_the_line_malformed(written: str, read) -> None:
    expressions = (r"E(?P<epoch>\d+) L=(?P<train_loss>[\d.]+)",)
    history = read(f"E1 L=0.25 A=1\nE2 L={written} A=1\n", "run.log", patterns=expressions)
    assert losses(history) == [0.25]
    assert "line 2: its train loss is" in history.warnings[0]
    commas = read("E1 L=2,94\nE2 L=1,5\n", "run.log", patterns=(r"E(?P<epoch>\d+) L=(?P<train_loss>\S+)",))
    assert losses(commas) == [2.94, 1.5]


@pytest.mark.parametrize(
    "line",
    ["epoch 1 time " + "1m " * 30_000, "loss 1" + ",1" * 40_000, "loss " + "1'0" * 20_000, "loss 1" + " 000" * 20_000,
     "epoch 1: " + "loss 1k " * 9_000, "time " + "1h30" * 20_000, "loss " + "1e" * 30_000, "loss 1" + "x10" * 20_000],
)  # fmt: skip
def test_long_numbers_are_read_in_linear_time(line: str) -> None:
    content = "\n".join(line[start : start + 4_900] for start in range(0, len(line), 4_900)).encode()
    begin = perf_counter()
    for name in ("text", "flux", "pytorch", "keras"):
        try:
            FORMATS[name].read(content + b"\n" + line.encode(), Options())
        except AssayError:
            continue
    assert perf_counter() - begin < 10  # tenths of a second on an idle machine
