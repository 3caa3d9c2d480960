"""Which column is which quantity, in which unit; which rows are a training, a resumed run, a repetition."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import logs
from assay.errors import AssayError
from assay.logs import Options
from assay.logs.columns import meaning
from assay.training.history import History
from assay.training.outcome import Outcome


@pytest.fixture
def read_all(tmp_path: Path):
    def reader(content: str, **options: object) -> list[History]:
        (tmp_path / "run.csv").write_text(content)
        return logs.read_all(tmp_path / "run.csv", options=Options(**options))  # pyright: ignore

    return reader


def values(history: History, quantity: str) -> list[float | None]:
    return [getattr(point, quantity) for point in history.points]


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("sparse_categorical_accuracy", "train_accuracy"),
        ("val_sparse_categorical_accuracy", "validation_accuracy"),
        ("val_binary_accuracy", "validation_accuracy"),
        ("val_acc_epoch", "validation_accuracy"),
        ("train_loss_step", "train_loss"),
        ("eval_accuracy", "validation_accuracy"),
        ("eval/loss", "validation_loss"),
        ("valid_1's multi_logloss", "validation_loss"),
        ("test-mlogloss", "test_loss"),
        ("Avg loss", "train_loss"),
        ("Acc@1", "train_accuracy"),
        ("Acc@5", None),
        ("loss_scale", None),
        ("box_loss", None),
        ("val_error", None),
        ("learning_rate", None),
        ("train_samples_per_second", None),
        ("eval_runtime", None),
        ("evaluation_loss_vs_iterations", None),
    ],
)
def test_names_of_frameworks(name: str, quantity: str | None) -> None:
    known = meaning(name)
    assert (known[0] if known else None) == quantity


def test_of_two_columns_the_one_with_values_is_taken(read) -> None:
    history = read("epoch,train_loss,loss,val_acc,val_accuracy\n1,,0.5,,0.8\n2,,0.4,,0.9\n3,0.45,0.3,,0.91\n")
    assert values(history, "train_loss") == [0.5, 0.4, 0.3]  # the single value of train_loss is a summary
    assert values(history, "validation_accuracy") == [0.8, 0.9, 0.91]
    with pytest.raises(AssayError, match="no value stands in 'loss' or 'val_acc'"):
        read("epoch,loss,val_acc\n1,,\n2,,\n")


def test_no_point_is_empty(read) -> None:
    history = read("epoch,loss,lr\n1,0.5,1\n2,,1\n3,nan,1\n4,0.3,1\n")
    assert [point.iteration for point in history.points] == [1, 4]
    with pytest.raises(AssayError, match="no finite value"):
        read("epoch,loss\n1,nan\n2,inf\n")


def test_two_names_that_fit_equally_are_asked_about(read) -> None:
    text = "[0]\tvalidation_0-logloss:0.60\tvalidation_1-logloss:0.62\n"
    text += "[1]\tvalidation_0-logloss:0.5\tvalidation_1-logloss:0.52\n"
    with pytest.raises(AssayError, match="could each be the validation loss; choose one, such as --column"):
        read(text)
    history = read(text, columns={"validation_loss": "validation_1-logloss", "train_loss": "validation_0-logloss"})
    assert (values(history, "train_loss"), values(history, "validation_loss")) == ([0.6, 0.5], [0.62, 0.52])


def test_fastai_prints_the_accuracy_of_validation(read) -> None:
    rows = "0,0.5,0.4,0.871,00:12\n1,0.3,0.35,0.91,00:11\n"
    history = read("epoch,train_loss,valid_loss,accuracy,time\n" + rows)
    assert values(history, "validation_accuracy") == [0.871, 0.91]
    assert values(history, "train_accuracy") == [None, None]
    assert any("taken as validation accuracy, as fastai and Hugging Face print it" in note for note in history.warnings)
    keras = read("epoch,accuracy,loss,val_accuracy,val_loss\n0,0.8,0.5,0.9,0.3\n1,0.9,0.4,0.92,0.25\n")
    assert values(keras, "train_accuracy") == [0.8, 0.9]
    with pytest.raises(AssayError, match="choose --column train_accuracy=accuracy or --column validation_accuracy"):
        read("epoch,loss,val_loss,accuracy\n1,0.5,0.4,0.9\n2,0.4,0.3,0.91\n")
    chosen = read("epoch,loss,val_loss,accuracy\n1,.5,.4,.9\n2,.4,.3,.91\n", columns={"train_accuracy": "accuracy"})
    assert values(chosen, "train_accuracy") == [0.9, 0.91]


# --- units of accuracy -----------------------------------------------------------------------------------------------


def test_the_unit_of_an_accuracy_is_decided_for_each_quantity(read) -> None:
    history = read("epoch,train_acc,val_acc\n1,0.871,91.20%\n2,0.9,92%\n")
    assert values(history, "train_accuracy") == [0.871, 0.9]
    assert values(history, "validation_accuracy") == [0.912, 0.92]
    assert any("two units: train accuracy fractions, validation accuracy percent" in n for n in history.warnings)


def test_a_percent_sign_binds_and_a_row_of_another_unit_is_malformed(read) -> None:
    signed = read("epoch,val_acc\n1,0.5%\n2,0.91\n3,92.5%\n")
    assert values(signed, "validation_accuracy") == [0.005, 0.925]
    assert "line 3: its validation accuracy has no % sign where others have" in signed.warnings[0]
    plain = read("epoch,val_acc\n1,0.871\n2,91.2\n3,92.5\n")
    assert values(plain, "validation_accuracy") == [0.912, 0.925]
    assert "line 2: its validation accuracy is a fraction where others are percent" in plain.warnings[0]
    named = read("epoch,val_acc (%),train_acc_pct\n1,0.5,50\n2,0.9,60\n")
    assert values(named, "validation_accuracy") == [0.005, 0.009]
    assert values(named, "train_accuracy") == [0.5, 0.6]
    small = read("epoch,val_acc\n1,0.5\n2,3.2\n3,9.5\n4,30\n")  # 1,000 classes begin at 0.1 percent
    assert values(small, "validation_accuracy") == [0.005, 0.032, 0.095, 0.3]


def test_accuracy_options_and_their_earlier_name(read) -> None:
    text = "epoch,val_acc\n1,0.5\n2,0.9\n"
    assert read(text, accuracy="percent").final.validation_accuracy == 0.009
    assert read(text, accuracy="fraction").final.validation_accuracy == 0.9
    assert read(text, accuracy="share").points == read(text, accuracy="fraction").points
    history = read("epoch,val_acc\n1,50%\n2,0.9\n", accuracy="fraction")
    assert values(history, "validation_accuracy") == [0.9]
    assert "has a % sign, but --accuracy fraction is specified" in history.warnings[0]


# --- sets of examples in a column or in brackets ---------------------------------------------------------------------


def test_a_column_may_name_the_set_of_examples(read) -> None:
    history = read(
        "epoch,phase,loss,acc,time\n1,train,0.5,0.8,9\n1,val,0.4,0.85,2\n2,train,0.3,0.9,8\n2,val,0.35,0.9,3\n"
    )
    assert values(history, "train_loss") == [0.5, 0.3]
    assert values(history, "validation_accuracy") == [0.85, 0.9]
    assert values(history, "seconds") == [9, 17]  # without the time of validation
    assert "the set of examples is named in the column 'phase'" in history.warnings


def test_numbers_that_are_absent_between_measurements_are_no_divergence(read) -> None:
    rows = "".join(f"{e},{1 / e},{1 / e if e % 2 == 0 else 'nan'}\n" for e in range(1, 8))
    history = read("epoch,train_loss,val_loss\n" + rows)
    assert history.outcome is Outcome.COMPLETED
    assert "the validation loss is NaN but in every 2 rows: read as not measured there" in history.warnings


# --- trainings -------------------------------------------------------------------------------------------------------


def test_one_number_that_is_not_finite_is_noted_and_the_end_decides(read) -> None:
    history = read("epoch,loss,val_acc\n1,0.9,0.8\n2,nan,0.85\n3,inf,0.86\n4,0.7,0.9\n")
    assert history.outcome is Outcome.COMPLETED
    assert (
        "the train loss is not finite at epoch 2 and 1 later points; it is finite again afterwards" in history.warnings
    )
    ended = read("epoch,loss,val_acc\n1,0.9,0.8\n2,nan,0.1\n3,nan,0.1\n")
    assert ended.outcome is Outcome.DIVERGED
    assert "from epoch 2 on, up to its end" in ended.reason


def test_an_identical_row_is_no_error(read) -> None:
    history = read("epoch,loss\n1,0.9\n2,0.8\n2,0.8\n3,0.7\n")
    assert values(history, "train_loss") == [0.9, 0.8, 0.7]
    assert history.source.lines["malformed"] == 0
    assert "1 row identical to an earlier row: ignored" in history.warnings


def test_two_trainings_in_a_file_are_two_curves(read_all, read) -> None:
    text = "epoch,loss\n1,0.9\n2,0.8\n3,0.7\n1,0.95\n2,0.85\n"
    first, second = read_all(text)
    assert (values(first, "train_loss"), values(second, "train_loss")) == ([0.9, 0.8, 0.7], [0.95, 0.85])
    assert (first.source.name, second.source.name) == ("run", "run (training 2)")
    assert len({first.source.key, second.source.key}) == 2
    assert first.source.key == first.source.sha256[:32]
    assert "training" not in first.source.plain()
    for history in (first, second, read(text)):
        assert any("holds 2 trainings (1 from line 2, 2 from line 5)" in note for note in history.warnings)
    assert [values(h, "train_loss") for h in read_all("epoch,loss\n1,.9\n2,.8\nepoch,loss\n1,.7\n")] == [
        [0.9, 0.8],
        [0.7],
    ]
    same_start = read_all("epoch,loss\n1,0.9\n2,0.8\n1,0.9\n2,0.7\n")
    assert [values(h, "train_loss") for h in same_start] == [[0.9, 0.8], [0.9, 0.7]]


def test_lines_of_scripts_hold_two_trainings_too(tmp_path: Path) -> None:
    run = "--->Train epoch 0, loss: {0}, time: 2\n--->Valid epoch 0, accuracy: 0.8, time: 1\n"
    run += "--->Train epoch 1, loss: 0.1, time: 3\n--->Total time: 5\n"
    (tmp_path / "run.log").write_text(run.format(0.5) + run.format(0.6))
    curves = logs.read_all(tmp_path / "run.log")
    assert [values(history, "train_loss") for history in curves] == [[0.5, 0.1], [0.6, 0.1]]


def test_a_resumed_run_replaces_the_rows_from_there_on(read_all) -> None:
    (history,) = read_all("epoch,loss\n1,0.9\n2,0.8\n3,0.7\n2,0.82\n3,0.72\n4,0.6\n")
    assert values(history, "train_loss") == [0.9, 0.82, 0.72, 0.6]
    assert any("goes back to epoch 2, as after a resumed run: 2 earlier rows" in note for note in history.warnings)


def test_a_single_odd_row_is_malformed_and_rows_of_mini_batches_are_asked_about(read) -> None:
    history = read("epoch,loss\n1,0.9\n2,0.8\n3,0.7\n2,0.5\n")
    assert values(history, "train_loss") == [0.9, 0.8, 0.7]
    assert "epoch 2 has its train loss already; the first is kept" in history.warnings[0]
    with pytest.raises(AssayError, match="as lines of mini-batches within an epoch do"):
        read("epoch,loss\n" + "".join(f"{e},{1 / (e + b / 9)}\n" for e in (1, 2, 3) for b in range(5)))


def test_iterations_that_begin_anew_in_each_epoch(read) -> None:
    text = "epoch,batch,loss\n1,0,0.9\n1,100,0.8\n2,0,0.7\n2,100,0.6\n"
    with pytest.raises(AssayError, match="begin anew in each epoch; give --iterations-per-epoch"):
        read(text)
    history = read(text, iterations_per_epoch=200)
    assert [(p.iteration, p.train_loss) for p in history.points] == [(1, 0.9), (101, 0.8), (201, 0.7), (301, 0.6)]


def test_steps_are_what_the_option_says(read) -> None:
    text = "step,loss\n1,0.9\n2,0.8\n"
    assert read(text).source.steps == "iterations"
    assert read(text, steps="epoch").source.steps == "epochs"
    assert read("epoch,loss\n1,0.9\n2,0.8\n", steps="iteration").source.steps == "iterations"


def test_no_option_is_lost_in_silence(read) -> None:
    text = "step,loss\n1,0.9\n2,0.8\n"
    notes = read(text, evaluated_on="test", iterations_per_epoch=5, accuracy="percent").warnings
    assert "--evaluated-on test changes nothing: the log has no validation values" in notes
    assert "--iterations-per-epoch changes nothing: the log counts iterations" in notes
    assert any("--accuracy percent changes nothing" in note for note in notes)
    assert any("--batch-size changes nothing" in n for n in read("epoch,loss\n1,1\n2,1\n", batch_size=5).warnings)
    with pytest.raises(AssayError, match="has a test loss of its own"):
        read("epoch,val_loss,test_loss\n1,0.5,0.6\n2,0.4,0.5\n", evaluated_on="test")
    with pytest.raises(AssayError, match="the quantities of pytorch have no names"):
        read("--->Train epoch 0, loss: 0.5\n", columns={"test_loss": "loss"})
