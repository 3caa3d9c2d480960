"""Each format is read to the same training; what is cut off, missing, wrong or foreign is counted and reported."""

from __future__ import annotations

import codecs
import math
import time
from pathlib import Path

import pytest

from assay import logs
from assay.errors import AssayError, FileError
from assay.logs import FORMATS, Options
from assay.logs.lines import number_of
from assay.logs.tensorboard import crc32c
from assay.training.history import History
from assay.training.outcome import Outcome
from tests.logs import samples
from tests.logs.samples import ACCURACIES, LOSSES, SAMPLES, TRAINING, VALIDATION


@pytest.fixture
def read(tmp_path: Path):
    def reader(content: str | bytes, format: str | None = None, **options: object) -> History:
        path = tmp_path / "run.log"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return logs.read(path, format, Options(**options))  # pyright: ignore

    return reader


def lines(history: History) -> dict[str, int]:
    assert history.source is not None
    found = dict(history.source.lines)
    assert found["lines"] == sum(count for name, count in found.items() if name != "lines")
    return found


@pytest.mark.parametrize("format", SAMPLES)
def test_every_format_is_recognised_and_read_to_the_same_accuracies(format: str, read) -> None:
    history = read(SAMPLES[format])
    assert history.source.format == format
    assert [p.validation_accuracy for p in history.points] == pytest.approx(ACCURACIES)
    assert history.source.label == "run (imported)"
    assert lines(history)["malformed"] == 0
    assert history.outcome is Outcome.COMPLETED
    steps = "epochs" if format in ("pytorch", "flux", "csv", "json", "text") else "iterations"
    assert history.source.steps == steps
    assert [p.iteration for p in history.points] == ([1, 2, 3, 4] if steps == "epochs" else [100, 200, 300, 400])


def test_epochs_of_a_script_add_up_to_the_seconds_of_training_without_validation(read) -> None:
    for text in (samples.pytorch(total=False), samples.flux().rpartition("--->Total")[0]):
        history = read(text)
        assert history.final.seconds == pytest.approx(sum(TRAINING))
        assert history.source.seconds == pytest.approx({"train": sum(TRAINING), "evaluate": sum(VALIDATION)})
        assert "does not show the end" in history.reason
    assert read(samples.pytorch()).source.seconds == {"train": 4.16, "evaluate": 1.45, "wall": 5.7}


def test_units_are_detected_and_stated_and_can_be_specified(read) -> None:
    assert "percent in the log (the highest is 98.43)" in read(samples.flux()).source.units["accuracy"]
    assert "fractions in the log" in read(samples.pytorch()).source.units["accuracy"]
    assert "% signs" in read(samples.matlab()).source.units["accuracy"]
    assert read(samples.pytorch(), accuracy="percent").final.validation_accuracy == pytest.approx(0.009843)
    history = read(samples.flux().replace("97.4300", "0.9743"), accuracy="share")
    assert lines(history)["malformed"] == 3
    assert "lies outside 0 to 1" in history.warnings[0]


def test_matlab_has_iterations_elapsed_seconds_and_mini_batches(read) -> None:
    history = read(samples.matlab())
    assert [p.seconds for p in history.points] == [3540.0, 3541.0, 3542.0, 3543.0]
    assert history.final.train_accuracy == 0.975
    assert history.source.seconds == {"wall": 3545.5}
    assert history.source.clock == "elapsed, validation included"
    assert "mini-batch" in history.source.units["training"]


def test_a_matlab_table_with_other_columns_empty_cells_and_without_its_header(read) -> None:
    narrow = (
        "|  Epoch  |  Iteration  |  Time Elapsed  |  Mini-batch  |  Mini-batch  |\n"
        "|         |             |   (hh:mm:ss)   |     RMSE     |     Loss     |\n"
        "|       1 |           1 |       00:00:06 |         1.50 |       9.5761 |\n"
        "|       1 |          50 |       00:00:08 |         1.40 |              |\n"
    )
    history = read(narrow)
    assert [p.train_loss for p in history.points] == [9.5761]
    assert "1 step without a measured quantity left out" in history.warnings
    assert history.source.units["not taken"] == "Mini-batch RMSE"
    headless = read(samples.matlab_rows())
    assert headless.final.validation_loss == pytest.approx(LOSSES[3])
    assert "no header" in headless.source.units["columns"]


def test_what_was_validated_on_the_test_set_stands_under_test(read) -> None:
    history = read(samples.pytorch(), evaluated_on="test", iterations_per_epoch=100, batch_size=600)
    assert history.accuracy == pytest.approx(ACCURACIES[3])
    assert (history.final.iteration, history.final.examples) == (400, 240_000)
    assert history.effort == pytest.approx(sum(TRAINING) / ACCURACIES[3])


def test_warnings_ellipses_line_ends_and_marks_change_nothing(read) -> None:
    text = samples.pytorch()
    whole = read(text)
    noisy = "UserWarning: lr_scheduler\n" + text.replace("\n", "\n                      ...\n", 2)
    found = read(noisy)
    assert found.points == whole.points
    assert lines(found)["ignored"] == 3
    for content in (
        text.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + text.encode(),
        codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        "\u5b66\n".encode("gbk") + text.encode(),
        text.replace("--->", "[12:00:01] --->").encode(),
        text.replace("--->", "\x1b[32m--->").encode(),
        text.replace("\n", "\n50%|###   |\r100%|######|\n").encode(),
    ):
        assert read(content).points == whole.points


def test_epochs_that_are_left_out_leave_the_seconds_unknown_up_to_the_total(read) -> None:
    rows = samples.pytorch(8).splitlines()
    cut = [*rows[:4], "...", *rows[12:]]
    history = read("\n".join(cut))
    assert [p.seconds is None for p in history.points] == [False, False, True, False]
    assert history.final.seconds == 4.16
    assert "epochs 3 to 6 are not in the log" in history.warnings[0]


def test_malformed_lines_are_counted_named_and_not_dropped_silently(read) -> None:
    text = samples.pytorch() + "--->Train epoch 4, loss: 0.2\n--->Train epoch 4, lo\n--->Valid epoch x, loss: 1\n"
    text += "--->Train epoch 5 loss 0.1 and more\n--->Train epoch 1, loss: 9, time: 1\n" + "--->Train\n" * 4
    history = read(text)
    assert lines(history)["malformed"] == 8
    told = "\n".join(history.warnings)
    for said in ("line 11: cannot be read from ', lo' on", "line 12: begins like a record", "line 14: epoch 2 has its"):
        assert said in told
    assert "3 more malformed lines" in told


def test_two_records_on_a_line_and_two_losses_are_malformed(read) -> None:
    text = (
        samples.pytorch()
        + "--->Train epoch 4, loss: 1--->Valid epoch 4, loss: 1\n--->Train epoch 4, loss: 1, loss: 2\n"
    )
    history = read(text)
    assert lines(history)["malformed"] == 2
    assert "holds two records" in history.warnings[0]


def test_a_loss_that_is_not_a_number_is_a_diverged_training(read) -> None:
    history = read(samples.flux().replace("loss: 0.2500", "loss: NaN"))
    assert history.outcome is Outcome.DIVERGED
    assert "epoch 4" in history.reason
    assert history.final.train_loss is None


def test_thousands_of_lines_are_read(read) -> None:
    history = read(samples.pytorch(5000))
    assert len(history.points) == 5000
    assert lines(history)["records"] == 10_000


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_is_read_by_its_names_or_as_specified(read) -> None:
    for separator in ",;\t":
        assert read(samples.csv(separator)).final.validation_accuracy == pytest.approx(ACCURACIES[3])
    text = samples.csv().replace("val_accuracy", "score")
    assert read(text, columns={"test_accuracy": "score"}).accuracy == pytest.approx(ACCURACIES[3])
    assert "score" in read(text).source.units["not taken"]
    with pytest.raises(AssayError, match="did you mean 'score'"):
        read(text, columns={"test_accuracy": "scor"})
    with pytest.raises(AssayError, match="did you mean 'test_accuracy'"):
        Options(columns={"test_acuracy": "score"})
    with pytest.raises(AssayError, match="expected a step and a measured quantity"):
        read("a,b\n1,2\n", "csv")


def test_seconds_of_a_table_are_elapsed_or_each_rows_own(read) -> None:
    assert read(samples.csv()).final.seconds == pytest.approx(sum(TRAINING))
    falling = "epoch,val_acc,time\n1,0.9,2\n2,0.91,1\n3,0.92,3\n"
    history = read(falling)
    assert [p.seconds for p in history.points] == [2, 3, 6]
    assert "they decrease" in history.source.units["seconds"]
    back = read(falling, seconds="elapsed")
    assert [p.seconds for p in back.points] == [2, None, None]
    assert "the seconds decrease at epoch 2" in back.warnings[0]


def test_odd_tables(read) -> None:
    history = read("# run 3\n\nepoch;val_acc;loss\n1;97,5;0,1\n2;98;nan\n3;x;1\n4;1\n5;130;1\n")
    assert [p.validation_accuracy for p in history.points[:2]] == [0.975, 0.98]
    assert history.outcome is Outcome.DIVERGED
    assert lines(history) == {"lines": 8, "records": 2, "headings": 1, "malformed": 3, "ignored": 2}
    split = read("epoch,step,train_loss,val_loss\n0,10,0.5,\n0,10,,0.4\n1,20,0.3,\n")
    assert [(p.iteration, p.train_loss, p.validation_loss) for p in split.points] == [(10, 0.5, 0.4), (20, 0.3, None)]
    percents = read("epoch,val_acc\n1,97%\n2,98%\n")
    assert percents.final.validation_accuracy == pytest.approx(0.98)


# --- TensorBoard -----------------------------------------------------------------------------------------------------


def test_the_checksum_is_the_published_one() -> None:
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_scalars_as_numbers_and_as_tensors_are_the_same(read) -> None:
    assert read(samples.tensorboard(samples.tensor)).points == read(samples.tensorboard()).points
    history = read(samples.tensorboard())
    assert history.points[0].seconds == pytest.approx(1.0)
    assert "weights/norm" in history.source.units["not taken"]
    assert lines(history) == {"lines": 13, "records": 8, "headings": 1, "malformed": 0, "ignored": 4}


def test_an_event_file_cut_anywhere_is_read_up_to_there(read) -> None:
    whole = samples.tensorboard()
    for cut in range(120, len(whole)):
        try:
            history = read(whole[:cut], "tensorboard")
        except AssayError:
            assert cut < 200
            continue
        assert lines(history)["malformed"] <= 1
    assert "as after a run that was killed" in read(whole[:-3]).warnings[0]


def test_a_damaged_event_is_reported_and_the_next_one_is_read(read) -> None:
    content = bytearray(samples.tensorboard())
    at = content.index(b"Loss/train")
    content[at] ^= 1
    history = read(bytes(content))
    assert history.warnings[0] == "event 2: its checksum does not match"
    assert lines(history)["records"] == 7


def test_a_size_that_lies_takes_no_memory(read) -> None:
    import struct

    size = struct.pack("<Q", 2**62)
    lie = size + struct.pack("<I", samples.masked(size)) + b"x" * 40
    history = read(samples.tensorboard() + lie)
    assert "the file ends within it: 40 bytes are left of 4,611,686,018,427,387,908" in history.warnings[0]


def test_tags_of_epochs_count_epochs(read) -> None:
    events = [samples.event(float(i), i, samples.tensor("epoch_accuracy", 0.5 + i / 10)) for i in range(3)]
    history = read(samples.framed(events))
    assert history.source.steps == "epochs"
    assert [p.iteration for p in history.points] == [1, 2, 3]
    assert read(samples.framed(events), steps="iteration").source.steps == "iterations"


# --- what is not a log ------------------------------------------------------------------------------------------------


def test_a_wrong_format_says_what_it_looks_like(read) -> None:
    for format, content in SAMPLES.items():
        for wrong in FORMATS:
            if wrong == "text" and format in ("flux", "pytorch", "json"):  # it reads their lines too
                assert read(content, wrong).final.validation_accuracy == pytest.approx(ACCURACIES[3])
            elif wrong != format:
                with pytest.raises(AssayError) as told:
                    read(content, wrong)
                said = str(told.value)
                assert f"it looks like {format}: --as {format}" in said, (format, wrong, said)
    with pytest.raises(FileError, match="it looks like flux: --as flux"):
        read(samples.flux(), "pytorch")


def test_a_file_of_two_formats_is_asked_about(read) -> None:
    with pytest.raises(FileError, match=r"looks like flux \(8 lines\) and pytorch \(8 lines\); choose one with --as"):
        read(samples.pytorch() + samples.flux())
    assert read(samples.pytorch() + samples.flux(), "flux").source.framework == "Flux"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"\x00\x01\x02" * 99, "binary"), (b"hello\nworld\n", "known formats")],
)
def test_what_is_not_a_log_is_refused(content: bytes, said: str, read) -> None:
    with pytest.raises(FileError, match=said):
        read(content)


def test_a_folder_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a folder"):
        logs.read(tmp_path)
    with pytest.raises(FileError, match="no such file"):
        logs.read(tmp_path / "none.log")
    with (tmp_path / "huge.log").open("wb") as file:
        file.truncate(logs.MOST_BYTES + 1)
    with pytest.raises(FileError, match="more than 256 MiB"):
        logs.read(tmp_path / "huge.log")


def test_an_imported_curve_has_no_recipe_and_says_so(read) -> None:
    import assay

    history = read(samples.pytorch(), iterations_per_epoch=100)
    with pytest.raises(AssayError, match="imported from a log"):
        assay.fit({"budget": {"epochs": 1}}, start=history)
    assert history.plain()["imported"] is True
    assert math.isclose(history.frame()["seconds"].iloc[-1], sum(TRAINING))


@pytest.mark.parametrize("start", ["9", "-9", "9.", ".9", "1e9"])
def test_a_long_number_that_is_none_is_refused_in_linear_time(start: str) -> None:
    begin = time.process_time()
    assert number_of(start + "9" * 200_000 + "x") is None
    assert time.process_time() - begin < 0.5


def test_numbers_of_every_form_are_read() -> None:
    assert [number_of(text) for text in ("1", "1.", ".5", "1.5", "-1.5e-3", "+2E4", " 7 ")] == [
        1.0, 1.0, 0.5, 1.5, -0.0015, 20000.0, 7.0
    ]  # fmt: skip
    assert [number_of(text) for text in ("", ".", "1.5.2", "1e", "--1", "1_000", "x1")] == [None] * 7
