"""What frameworks of today print and export, written as they write it, read to the right values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay import logs
from assay.errors import AssayError
from assay.training.history import History


@pytest.fixture
def read(read):
    """Reads a log of lines, unless a test names its file otherwise."""
    return lambda content, name="run.log", format=None, **options: read(content, name, format, **options)


def values(history: History, *quantities: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(point, name) for name in ("iteration", *quantities)) for point in history.points]


# --- PyTorch ---------------------------------------------------------------------------------------------------------

LOSSES = ((2.3, 1.1, 0.5), (0.4, 0.3, 0.2))


def mnist_example() -> str:
    lines: list[str] = []
    for epoch, losses in enumerate(LOSSES, 1):
        for i, loss in enumerate(losses):
            lines.append(f"Train Epoch: {epoch} [{i * 25600}/60000 ({100 * i * 400 / 938:.0f}%)]\tLoss: {loss:.6f}")
        correct = 9700 + 99 * (epoch - 1)
        lines += ["", f"Test set: Average loss: 0.0{9 - epoch}89, Accuracy: {correct}/10000 ({correct // 100}%)", ""]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "prefix", ["", "2024-05-01 12:00:00,123 - root - INFO - ", "INFO:__main__:", "[2024-05-01 12:00:00] "]
)
def test_pytorchs_own_mnist_example(prefix: str, read) -> None:
    text = "".join(f"{prefix}{line}\n" for line in mnist_example().splitlines())
    history = read(text)
    assert values(history, "train_loss", "test_loss", "test_accuracy", "examples") == [
        (1, 0.5, 0.0889, 0.97, 60_000),
        (2, 0.2, 0.0789, 0.9799, 120_000),
    ]
    assert history.source.framework == "PyTorch"
    assert any("that of its last mini-batch in the log; 4 lines" in note for note in history.warnings)
    full = read(text, batch_size=64)
    assert values(full, "train_loss", "examples")[:4] == [
        (0, 2.3, 0),
        (400, 1.1, 25_600),
        (800, 0.5, 51_200),
        (938, 0.4, 60_000),
    ]
    assert (full.final.iteration, full.final.examples, full.accuracy) == (1876, 120_000, 0.9799)


def test_pytorchs_quickstart_and_other_tutorials(read) -> None:
    text = "".join(
        f"Epoch {e}\n-------------------------------\n"
        f"loss: {2.3 - e:>7f}  [   64/60000]\nloss: {2.2 - e:>7f}  [ 6464/60000]\n"
        f"Test Error: \n Accuracy: {40.7 + e:>0.1f}%, Avg loss: {2.15 - e / 10:>8f} \n\n"
        for e in (1, 2)
    )
    history = read(text + "Done!\n")
    assert values(history, "train_loss", "test_accuracy", "test_loss") == [
        (1, 1.2, 0.417, 2.05),
        (2, pytest.approx(0.2), 0.427, 1.95),
    ]
    steps = "".join(f"Epoch [{e}/2], Step [{s}/300], Loss: {e / s:.4f}\n" for e in (1, 2) for s in (100, 200, 300))
    history = read(steps)
    assert [point.iteration for point in history.points] == [100, 200, 300, 400, 500, 600]
    assert history.final.train_loss == 0.0067
    imagenet = "".join(
        f"Epoch: [{e}][{i:3d}/200]\tTime  0.250 ( 0.260)\tData  0.010 ( 0.020)\tLoss {6.9 - e:.4e} (6.9e+00)"
        f"\tAcc@1  {e * 10 + 2:.2f} (  5.00)\tAcc@5  {20:.2f} ( 10.00)\n"
        for e in (0, 1)
        for i in (1, 101)
    )
    history = read(imagenet)
    assert values(history, "train_loss", "train_accuracy")[-1] == (301, 5.9, 0.12)


def test_lightnings_tables_and_bars(read) -> None:
    table = (
        "epoch,step,train_acc_step,train_loss_epoch,train_loss_step,val_acc_epoch,val_loss\n"
        "0,49,0.8,,0.7,,\n0,99,0.85,,0.6,,\n0,99,,,,0.88,0.5\n0,99,,0.65,,,\n"
        "1,149,0.9,,0.5,,\n1,199,0.92,,0.4,,\n1,199,,,,0.9,0.4\n1,199,,0.45,,,\n"
    )
    history = read(table, "metrics.csv")
    assert values(history, "train_loss", "validation_accuracy")[1::2] == [(99, 0.65, 0.88), (199, 0.45, 0.9)]
    bar = "Epoch {0}: {1}%|{2}| {3}/938 [00:11<00:00, 85.1it/s, v_num=0, train_loss_step=0.{4}{5}]\r"
    text = "".join(
        bar.format(e, 50, "█████     ", 469, 9, "")
        + bar.format(e, 100, "██████████", 938, 3, "")
        + bar.format(e, 100, "██████████", 938, 3, f", val_acc=0.9{e}, train_loss_epoch=0.5{e}")
        for e in (0, 1)
    )
    assert values(read(text), "train_loss", "validation_accuracy") == [(1, 0.5, 0.9), (2, 0.51, 0.91)]


# --- Keras -----------------------------------------------------------------------------------------------------------


def test_keras_bars_of_both_versions(read) -> None:
    state = "1875/1875 [==============================] - {0} - loss: {1} - accuracy: {2}"
    text = "".join(
        f"Epoch {e}/2\n\r   1/1875 [....................] - ETA: 5:00 - loss: 2.3 - accuracy: 0.1"
        f"\r{state.format('ETA: 0s', 0.3, 0.9)}\r{state.format('5s 2ms/step', 0.3 / e, 0.9)}"
        f" - val_loss: 0.{e} - val_accuracy: 0.9{e}\n"
        for e in (1, 2)
    )
    evaluation = "313/313 [==============================] - 0s 1ms/step - loss: 9.9 - accuracy: 0.1\n"
    for content in (text, text + evaluation, text.replace("\r", "\x08" * 90)):
        history = read(content)
        assert values(history, "seconds", "train_loss", "validation_accuracy") == [
            (1875, 5, 0.3, 0.91),
            (3750, 10, 0.15, 0.92),
        ]
    assert any("as evaluate and predict print them" in note for note in read(text + evaluation).warnings)
    assert history.source.clock == "each epoch in whole seconds, validation included"


@pytest.mark.parametrize(
    "line",
    [
        "469/469 - 3s - loss: 0.3 - accuracy: 0.9 - val_loss: 0.2 - val_accuracy: 0.95 - 3s/epoch - 6ms/step",
        "469/469 - 3s - 6ms/step - accuracy: 0.9 - loss: 0.3 - val_accuracy: 0.95 - val_loss: 0.2",
    ],
)
def test_keras_lines_of_verbose_2(line: str, read) -> None:
    history = read(f"Epoch 1/2\n{line}\nEpoch 2/2\n{line}\n")
    assert values(history, "seconds", "train_loss", "train_accuracy", "validation_accuracy") == [
        (469, 3, 0.3, 0.9, 0.95),
        (938, 6, 0.3, 0.9, 0.95),
    ]


def test_a_keras_log_that_is_cut_off_and_one_of_samples(read) -> None:
    bar = "60000/60000 [==============================] - 3s 50us/sample - loss: 0.3 - acc: 0.9\n"
    history = read(f"Epoch 1/3\n{bar}Epoch 2/3\n{bar}Epoch 3/3\n\r 100/60000 [....] - ETA: 3s - loss: 0.1")
    assert (history.source.steps, history.final.iteration, history.final.seconds) == ("epochs", 2, 6)
    assert "epoch 3 was not finished; it is left out" in history.warnings
    quick = read(f"Epoch 1/1\n{bar.replace('3s', '0s')}")
    assert quick.final.seconds is None
    assert any("rounds them to whole seconds" in note for note in quick.warnings)


def test_a_keras_history_that_was_printed_or_saved(read) -> None:
    text = "{'loss': [np.float64(0.5), 0.4], 'accuracy': [0.8, 0.9], 'val_sparse_categorical_accuracy': [0.85, 0.91]}"
    history = read(text)
    assert values(history, "train_loss", "validation_accuracy") == [(1, 0.5, 0.85), (2, 0.4, 0.91)]
    assert "the entries of the lists are read as epochs 1, 2, ..." in history.warnings
    saved = read(json.dumps({"history": {"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}, "params": {"epochs": 2}}))
    assert values(saved, "train_loss", "validation_loss") == [(1, 0.5, 0.6), (2, 0.4, 0.5)]


# --- Hugging Face ----------------------------------------------------------------------------------------------------


def test_what_hugging_faces_trainer_prints(read) -> None:
    text = (
        "{'loss': 0.69, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 1.0}\n"
        "{'eval_loss': 0.5, 'eval_accuracy': 0.87, 'eval_runtime': 1.2, 'epoch': 1.0}\n"
        " 50%|█████     | 50/100 [00:10<00:10,  5.00it/s]{'loss': nan, 'learning_rate': 1e-05, 'epoch': 2.0}\n"
        "{'eval_loss': 0.45, 'eval_accuracy': 0.9, 'eval_runtime': 1.2, 'epoch': 2.0}\n"
        "INFO - {'loss': 0.31, 'epoch': 3.0}\n"
        "{'train_runtime': 20.5, 'train_samples_per_second': 9.7, 'train_loss': 0.5, 'epoch': 3.0}\n"
    )
    history = read(text)
    assert values(history, "train_loss", "validation_accuracy") == [(1, 0.69, 0.87), (2, None, 0.9), (3, 0.31, None)]
    assert (history.final.seconds, history.source.framework) == (20.5, "Hugging Face Trainer")
    with pytest.raises(AssayError, match=r"epoch 0\.5 is not a whole number; specify --iterations-per-epoch"):
        read("{'loss': 0.69, 'epoch': 0.5}\n{'loss': 0.6, 'epoch': 1.0}\n")


def test_the_state_of_hugging_faces_trainer(read) -> None:
    entries = [
        {"epoch": 0.5, "loss": 0.7, "step": 25},
        {"epoch": 1.0, "loss": 0.5, "step": 50},
        {"epoch": 1.0, "eval_loss": 0.45, "eval_accuracy": 0.8, "eval_runtime": 1.1, "step": 50},
        {"epoch": 2.0, "loss": 0.3, "step": 100},
        {"epoch": 2.0, "step": 100, "total_flos": 1e12, "train_loss": 0.5, "train_runtime": 33.2},
    ]
    state = {"best_metric": None, "epoch": 2.0, "global_step": 100, "log_history": entries, "max_steps": 100}
    history = read(json.dumps(state, indent=2), "trainer_state.json")
    assert values(history, "train_loss", "validation_accuracy") == [(25, 0.7, None), (50, 0.5, 0.8), (100, 0.3, None)]
    assert (history.source.format, history.source.framework, history.final.seconds) == (
        "json",
        "Hugging Face Trainer",
        33.2,
    )


def test_json_lines_with_inner_objects(read) -> None:
    text = "".join(
        json.dumps({"epoch": e, "train": {"loss": 0.5 / e}, "val": {"loss": 0.4, "acc": 0.9 + e / 100}}) + "\n"
        for e in (1, 2)
    )
    assert values(read(text), "train_loss", "validation_accuracy") == [(1, 0.5, 0.91), (2, 0.25, 0.92)]


# --- exports ---------------------------------------------------------------------------------------------------------


def test_the_export_of_weights_and_biases(read, tmp_path: Path) -> None:
    one = '"Step","glad-sun-1 - val_loss","glad-sun-1 - val_loss__MIN","glad-sun-1 - val_loss__MAX"\n'
    history = read(one + '"0","0.9","0.8","1.0"\n"10","0.5","0.4","0.6"\n')
    assert values(history, "validation_loss") == [(0, 0.9), (10, 0.5)]
    named = read(
        one.replace("val_loss", "score") + '"0","0.9","0.8","1.0"\n"10","0.5","0.4","0.6"\n',
        columns={"validation_accuracy": "glad-sun-1 - score"},
    )
    assert values(named, "validation_accuracy") == [(0, 0.9), (10, 0.5)]
    both = '"Step","a - val_loss","a - val_loss__MIN","b - val_loss"\n"0","0.9","0.9","0.8"\n"10","0.5","0.5",""\n'
    (tmp_path / "two.csv").write_text(both + '"20","","","0.4"\n')
    curves = logs.read_all(tmp_path / "two.csv")
    assert [(h.source.name, values(h, "validation_loss")) for h in curves] == [
        ("a", [(0, 0.9), (10, 0.5)]),
        ("b", [(0, 0.8), (20, 0.4)]),
    ]
    assert [h.source.name for h in logs.read_all(tmp_path / "two.csv", name="ours") if h.source] == ["ours a", "ours b"]


def test_tables_with_one_metric_per_row_as_mlflow_exports_them(read, tmp_path: Path) -> None:
    text = (
        "run_id,key,value,step,timestamp\n{0},val_loss,0.9,0,1700000000000\n{0},val_acc,0.8,0,1700000000000\n"
        "{0},val_loss,0.5,1,1700000010000\n{0},val_acc,0.9,1,1700000010000\n"
    )
    history = read(text.format("a"))
    assert values(history, "seconds", "validation_loss", "validation_accuracy") == [(0, 0, 0.9, 0.8), (1, 10, 0.5, 0.9)]
    (tmp_path / "two.csv").write_text(text.format("a") + text.format("b").partition("\n")[2].replace("0.9", "0.7"))
    first, second = logs.read_all(tmp_path / "two.csv")
    assert (first.source.name, second.source.name) == ("a", "b")
    assert values(second, "validation_loss") == [(0, 0.7), (1, 0.5)]


def test_tensorboards_exports_name_their_quantity_in_the_file_name_or_not_at_all(read) -> None:
    table, array = "Wall time,Step,Value\n1700000000.5,0,0.5\n1700000010.5,1,0.4\n", "[[17e8,0,0.5],[1700000010,1,0.4]]"
    for content, name in ((table, "run.csv"), (array, "run.json")):
        with pytest.raises(AssayError, match="does not say which; such as --column validation_loss=Value"):
            read(content, name)
        history = read(content, name, columns={"validation_loss": "Value"})
        assert values(history, "seconds", "validation_loss") == [(0, 0, 0.5), (1, 10, 0.4)]
    for name in ("run-validation-tag-epoch_loss.csv", "logs_validation-tag-epoch_loss.json"):
        history = read(table if name.endswith("csv") else array, name)
        assert values(history, "validation_loss") == [(1, 0.5), (2, 0.4)]
        assert history.source.steps == "epochs"


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nepoch;loss;val_acc\n1;0,5;97,5\n2;0,4;98,1\n",
        "sep=,\nepoch,loss,val_acc\n1,0.5,97.5\n2,0.4,98.1\n",
        "epoch     train loss  val acc\n1         0.5         97.5\n2         0.4         98.1\n",
        "epoch loss val_acc\n1 0.5 97.5\n2 0.4 98.1\n",
        "   epoch  loss  val_acc\n0      1   0.5     97.5\n1      2   0.4     98.1\n",
        "| epoch | train loss | val acc |\n|---|:---:|---|\n| 1 | 0.5 | 97.5 |\n| 2 | 0.4 | 98.1 |\n",
        '"epoch","loss","val_acc"\n"1","0.5","97.5"\n"2","0.4","98.1"\n',
        ",epoch,loss,val_acc\n0,1,0.5,97.5\n1,2,0.4,98.1\n",
        "epoch,loss,val_acc\n1,np.float64(0.5),97.5%\n2,\"tensor(0.4, device='cuda:0')\",98.1%\n",
        "epoch,loss,val_acc\n1,\"tensor(0.5, grad_fn=<NllLossBackward0>)\",97.5\n2,tensor(0.4, device='cuda:0'),98.1\n",
        "epoch,loss,val_acc\n1,Array(0.5, dtype=float32),97.5\n2,0.4f0,98.1\n",
    ],
)
def test_tables_of_every_kind(text: str, read) -> None:
    assert values(read(text), "train_loss", "validation_accuracy") == [(1, 0.5, 0.975), (2, 0.4, 0.981)]


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "epoch {0}: train loss {1}, train acc 87.1%, val loss 0.3, val acc {2}%, 12.0s",
        "Epoch {0}/10 | Train Loss: {1} | Train Acc: 87.1% | Val. Loss: 0.3 |  Val. Acc: {2}% | time: 12 s",
        "2024-05-01 12:00:00,123 - train - INFO - epoch={0} loss={1} acc=0.871 val_loss=0.3 val_acc={2}% time=12.0s",
        "INFO:root:Epoch {0}: loss=np.float64({1}), acc=0.871, val_loss=0.3, val_acc={2} % (12.0 s)",
        "[{0}/10]",
        "┌ Info: epoch {0}\n│   train_loss = {1}f0\n│   train_acc = 0.871\n│   val_loss = 0.3\n└   val_acc = {2}%",
        "I0501 12:00:00.123456 140 train.py:42] epoch {0} loss {1} acc 0.871 val_loss 0.3 val_acc {2}%",
        "Epoch {0} [train] loss: {1} acc: 87.1% time: 12s\nEpoch {0} [val] loss: 0.3 acc: {2}% time: 2s",
        "Training Results - Epoch: {0}  Avg accuracy: 0.871 Avg loss: {1}\n"
        "Validation Results - Epoch: {0}  Avg accuracy: {2}% Avg loss: 0.3",
        "I0501 12:00:00.123456 140 train.py:146] epoch:  {0}, train_loss: {1}, train_accuracy: 87.1, val_loss: 0.3, "
        "val_accuracy: {2}",
        "Epoch {0}\n  Train: loss {1} acc 87.1%\n  Val: loss 0.3 acc {2}%",
    ],
)
def test_lines_of_scripts(line: str, read) -> None:
    text = "".join(line.format(e, f"0.{6 - e}", f"9{e}.5") + "\n" for e in (1, 2, 3))
    if line == "[{0}/10]":
        with pytest.raises(AssayError, match="looks like no known format"):
            read(text)
        return
    history = read(text)
    assert values(history, "train_loss", "train_accuracy", "validation_loss", "validation_accuracy") == [
        (e, pytest.approx(0.6 - e / 10), 0.871, 0.3, pytest.approx(0.905 + e / 100)) for e in (1, 2, 3)
    ]
    if "12.0" in line or "time: 12" in line:
        history = read(text, seconds="per-epoch")
        assert history.final.seconds == 36


def test_boosting_and_scikit_learn(read) -> None:
    xgboost = read("[0]\ttrain-mlogloss:1.37\teval-mlogloss:1.38\n[1]\ttrain-mlogloss:1.10\teval-mlogloss:1.15\n")
    assert values(xgboost, "train_loss", "validation_loss") == [(0, 1.37, 1.38), (1, 1.1, 1.15)]
    lightgbm = read(
        "".join(f"[{i}]\ttraining's multi_logloss: 0.{9 - i}\tvalid_1's multi_logloss: 0.8\n" for i in (1, 2))
    )
    assert values(lightgbm, "train_loss", "validation_loss") == [(1, 0.8, 0.8), (2, 0.7, 0.8)]
    network = read(
        "Iteration 1, loss = 0.44\nValidation score: 0.95\nIteration 2, loss = 0.33\nValidation score: 0.96\n"
    )
    assert (values(network, "train_loss"), network.source.steps) == ([(1, 0.44), (2, 0.33)], "epochs")
    assert any("call an iteration is an epoch" in note for note in network.warnings)
    trees = read("      Iter       Train Loss   Remaining Time \n         1           1.2564            0.10s\n"
                 "         2           1.2012            0.09s\n")  # fmt: skip
    assert values(trees, "train_loss", "seconds") == [(1, 1.2564, None), (2, 1.2012, None)]


def test_lines_of_language_models(read) -> None:
    text = (
        "step 0: train loss 4.2874, val loss 4.2823\niter 0: loss 4.2654, time 31336.80ms, mfu -100.00%\n"
        "iter 10: loss 3.24, time 20.1ms, mfu 13.1%\nstep 250: train loss 1.9, val loss 2.0\n"
    )
    assert values(read(text), "train_loss", "validation_loss") == [(0, 4.2874, 4.2823), (250, 1.9, 2.0)]
    thousands = read("step 1,000: loss 0.5, tokens 1,000,000\nstep 2,000: loss 0.4, tokens 2,000,000\n")
    assert values(thousands, "train_loss") == [(1000, 0.5), (2000, 0.4)]


# --- what is not a log -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"PK\x03\x04" + bytes(40), "a zip, as .xlsx, .npz, .pt"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(40), "compressed with gzip"),
        (b"SQLite format 3\0" + bytes(40), "an SQLite database"),
        (b"PAR1" + bytes(40), "a Parquet file"),
        (b"\x80\x04\x95" + bytes(40), "a pickle, which is never read"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"round,score\n1,0.5\n2,0.6\n", "looks like a table of 'round', 'score'; its names do not say"),
    ],
)
def test_other_files_are_named_for_what_they_are(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AssayError, match=expected):
        logs.read(tmp_path / "file")


# --- names next to names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["[2024-05-01 10:00:00,123][train][INFO] - ", "[train] "])
def test_the_set_that_stands_next_to_a_number_wins_over_the_name_of_a_logger(prefix: str, read) -> None:
    text = "".join(f"{prefix}{line}\n" for line in mnist_example().splitlines() if line)
    history = read(text)
    assert values(history, "train_loss", "train_accuracy", "test_loss", "test_accuracy") == [
        (1, 0.5, None, 0.0889, 0.97),
        (2, 0.2, None, 0.0789, 0.9799),
    ]


def test_pytorchs_cifar_tutorial(read) -> None:
    text = "".join(f"[{e}, {b:5d}] loss: {2.0 / e + b / 1e5:.3f}\n" for e in (1, 2) for b in (2000, 4000))
    text += "Finished Training\nAccuracy of the network on the 10000 test images: 55 %\n"
    with pytest.raises(AssayError, match="begin anew in each epoch; give --iterations-per-epoch N"):
        read(text)
    assert values(read(text, iterations_per_epoch=5000), "train_loss", "test_accuracy") == [
        (2000, 2.02, None),
        (4000, 2.04, None),
        (7000, 1.02, None),
        (9000, 1.04, None),
        (10000, None, 0.55),
    ]


def test_the_validation_score_of_scikit_learn_is_an_accuracy(read) -> None:
    text = (
        "Iteration 1, loss = 1.95\nValidation score: 0.700000\nIteration 2, loss = 1.21\nValidation score: 0.800000\n"
    )
    history = read(text)
    assert values(history, "train_loss", "validation_accuracy") == [(1, 1.95, 0.7), (2, 1.21, 0.8)]
    assert any("a regressor's is R²" in note for note in history.warnings)


def test_no_log_of_hugging_face_is_an_absent_value(read) -> None:
    text = "Epoch\tTraining Loss\tValidation Loss\tAccuracy\n1\tNo log\t0.4512\t0.81\n2\t0.3921\t0.3811\t0.86\n"
    history = read(text)
    assert values(history, "train_loss", "validation_loss") == [(1, None, 0.4512), (2, 0.3921, 0.3811)]


def test_acc1_is_the_accuracy_and_acc5_is_not(read) -> None:
    text = '{"epoch": 0, "test_acc5": 90.1, "test_acc1": 71.2}\n{"epoch": 1, "test_acc5": 92.0, "test_acc1": 75.2}\n'
    assert values(read(text), "test_accuracy") == [(1, 0.712), (2, 0.752)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes("epoch;train_loss\r\n1;0,5\r\n2;0,25\r\n".encode(encoding))
    assert values(logs.read(path), "train_loss") == [(1, 0.5), (2, 0.25)]


def test_a_column_step_that_counts_one_by_one_is_noted(read) -> None:
    text = "step,train_loss\n0,0.5\n1,0.4\n2,0.3\n"
    note = "'step' counts 0, 1, 2, ...: read as iterations (--steps epoch reads epochs)"
    assert note in read(text, "a.csv").warnings
    assert note not in read(text, "b.csv", steps="epoch").warnings
    assert note not in read("step,train_loss\n100,0.5\n200,0.4\n", "c.csv").warnings
