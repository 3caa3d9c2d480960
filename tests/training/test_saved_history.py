"""A history in one file is read back equal, and predicts from raw values as it was measured."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.data.dataset import Dataset
from assay.data.idx import write_idx
from assay.engines.base import Checkpoint
from assay.errors import AssayError, DataError, FileError
from assay.logs import Options
from assay.logs import read as read_log
from assay.system.load import Load
from assay.training.checkpoints import restore, save, to_bytes
from assay.training.prediction import predict
from tests.store.makers import made_history, made_plan

RECIPES: dict[str, dict[str, Any]] = {
    "default": {"budget": {"epochs": 2}},
    "validation": {"data": {"name": "digits", "validation": 200}, "stop": {"patience": "3 points"}},
    "features": {"input": "standardise-features", "budget": {"epochs": 2}, "model": {"hidden": [16]}},
    "standardise": {"input": "standardise", "budget": {"epochs": 2}, "model": "2LR"},
    "each": {"input": "standardise-each", "budget": {"epochs": 1}, "precision": "float64"},
    "sigmoid": {"model": "3LS", "budget": {"epochs": 2}},
    "images": {
        "model": {
            "layers": [{"kind": "conv2d", "channels": 3, "kernel": 3}, "flatten", {"kind": "dense", "units": 10}]
        },
        "budget": {"iterations": 20},
    },
}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return assay.load_data("digits")


@pytest.fixture(scope="module", params=RECIPES)
def trained(request: pytest.FixtureRequest) -> assay.History:
    return assay.fit(RECIPES[request.param])


def differences(a: assay.History, b: assay.History) -> list[str]:
    """The fields in which two histories differ, in the form that they are read in."""
    different: list[str] = []
    for name in (field.name for field in fields(a)):
        x, y = getattr(a, name), getattr(b, name)
        if name == "checkpoint":
            same = x.t == y.t and all(
                p.keys() == q.keys() and all(np.array_equal(p[k], q[k]) for k in p)
                for p, q in ((x.weights, y.weights), (x.slots, y.slots))
            )
        elif name == "features":
            same = x is y or (np.array_equal(x.mean, y.mean) and np.array_equal(x.deviation, y.deviation))
        elif name == "ledger":
            same = (x.plain(), x.plain_processor()) == (y.plain(), y.plain_processor())
        elif name == "confusion":
            same = x is y or np.array_equal(x, y)
        elif name == "snapshots":
            same = x.keys() == y.keys()
        else:
            same = x == y
        different += [] if same else [name]
    return different


def test_a_saved_history_is_read_back_equal(trained: assay.History, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "history.safetensors")
    back = assay.load_history(path)
    assert differences(trained, back) == []
    assert (back.plain(), back.notes) == (trained.plain(), trained.notes)
    assert back.confusion is not None and back.machine == trained.machine != {}
    assert to_bytes(back, complete=True) == path.read_bytes()


def test_what_only_some_histories_have_is_read_back_too(trained: assay.History, tmp_path: Path) -> None:
    rich = replace(
        trained,
        cohort=3,
        peak_device_memory_bytes=2**31,
        load=Load(1.5, 0.25, True),
        warnings=("a note", "another"),
        outcome=assay.Outcome.DIVERGED,
        confusion=None,
    )
    assert differences(rich, assay.load_history(rich.save(str(tmp_path / "rich.safetensors")))) == []
    read = assay.load_history(save(trained, tmp_path / "weights.safetensors"))  # as `assay train --save` writes it
    assert differences(trained, read) == ["machine", "confusion"]


def test_it_predicts_every_test_example_as_it_was_measured(
    trained: assay.History, digits: Dataset, tmp_path: Path
) -> None:
    true = np.array(digits.classes)[digits.y_test]
    labels = trained.predict(digits.x_test)
    assert (labels == true).mean() == trained.accuracy
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (digits.y_test, labels.astype(int)), 1)
    np.testing.assert_array_equal(matrix, trained.confusion)
    likely = trained.predict(digits.x_test, probabilities=True)
    np.testing.assert_allclose(likely.sum(axis=1), 1)
    np.testing.assert_array_equal(np.array(trained.classes)[likely.argmax(axis=1)], labels)
    loaded = assay.load_history(trained.save(tmp_path / "history.safetensors"))
    np.testing.assert_array_equal(loaded.predict(digits.x_test, probabilities=True), likely)
    assert list(trained.predict(digits.x_test[:0])) == []


def test_it_agrees_with_the_command_on_the_same_pictures(digits: Dataset, tmp_path: Path) -> None:
    history = assay.fit(RECIPES["features"])
    images = digits.x_test[:40].reshape(-1, 8, 8)
    write_idx(tmp_path / "images.idx", images)
    told = predict(history, [tmp_path / "images.idx"], ink=False)
    assert [p.label for p in told] == history.predict(images).tolist()
    likely = [[p.probabilities[name] for name in history.classes] for p in told]
    np.testing.assert_allclose(likely, history.predict(images, probabilities=True), atol=1e-6)


def test_every_shape_and_type_of_raw_examples_is_read(digits: Dataset) -> None:
    history = assay.fit(RECIPES["default"])
    raw = digits.x_test[:7]
    labels = history.predict(raw).tolist()
    images = raw.reshape(7, 8, 8)
    for x in (images, raw.astype(float), raw.astype("int64"), images.tolist(), images[:, ::-1][:, ::-1]):
        assert history.predict(x).tolist() == labels
    assert history.predict(raw / 16, scale=1).tolist() == labels
    assert history.predict(raw * 2, scale=32).tolist() == labels


def test_channels_first_are_read_as_in_training() -> None:
    random = np.random.default_rng(3)
    x, y = random.integers(0, 256, (60, 3, 6, 6)).astype(np.uint8), np.arange(60) % 2
    data = assay.from_arrays(x[:40], y[:40], x[40:], y[40:])
    history = assay.fit({"model": {"hidden": [4]}, "budget": {"iterations": 20}}, data=data)
    assert history.shape == (6, 6, 3)
    labels = history.predict(data.x_test)
    np.testing.assert_array_equal(history.predict(x[40:]), labels)
    np.testing.assert_array_equal(history.predict(np.moveaxis(x[40:], 1, -1)), labels)
    assert (labels == np.array(data.classes)[data.y_test]).mean() == history.accuracy


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((8, 8)), r"shape \(8, 8\); expected \(N, 8, 8\) or \(N, 64\); for a single example pass x\[None\]"),
        (np.zeros(64), r"shape \(64,\)"),
        (np.zeros((2, 63)), r"shape \(2, 63\)"),
        (np.float64(3), r"shape \(\)"),
        (np.full((1, 64), np.nan), "example 0 holds NaN"),
        (np.full((2, 64), 1e39), "example 0 holds"),
        ([["a"] * 64], "expected numbers"),
        ([[1.0] * 64, [1.0] * 63], "no array"),
        (np.ma.masked_less(np.ones((1, 64)), 2), "masked"),
        (np.full((2, 64), 0.5), r"0.5 to 0.5; the training values were divided by 16, so these seem to be divided"),
        (np.full((2, 64), 255), "seem to be in another unit"),
    ],
)
def test_what_is_no_raw_example_is_refused(x: Any, message: str) -> None:
    history = assay.fit({"budget": {"iterations": 1}})
    with pytest.raises(DataError, match=message):
        history.predict(x)


def test_what_cannot_predict_says_why(digits: Dataset, tmp_path: Path) -> None:
    history = assay.fit({"budget": {"iterations": 1}})
    bare = replace(history, checkpoint=Checkpoint(1, {}, {}))
    with pytest.raises(AssayError, match="not kept"):
        bare.predict(digits.x_test)
    broken = {name: w * np.nan for name, w in history.checkpoint.weights.items()}
    with pytest.raises(AssayError, match="not finite"):
        replace(history, checkpoint=Checkpoint(1, broken, {})).predict(digits.x_test)
    with pytest.raises(AssayError, match="scale=255"):
        replace(history, scale=None).predict(digits.x_test)
    with pytest.raises(DataError, match="scale"):
        history.predict(digits.x_test, scale=0)
    with pytest.raises(FileError, match="cannot be written"):
        history.save(tmp_path / "missing" / "x.safetensors")
    (tmp_path / "log.csv").write_text("epoch,test_accuracy\n1,0.5\n2,0.6\n")
    imported = read_log(tmp_path / "log.csv", options=Options())
    for use in (lambda: imported.save(tmp_path / "log.safetensors"), lambda: imported.predict(digits.x_test)):
        with pytest.raises(AssayError, match="imported from a log"):
            use()


def damaged(content: bytes, **changes: Any) -> bytes:
    """The content of a file with entries of its `complete` metadata changed."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["assay"])
    about["complete"] |= changes
    header["__metadata__"]["assay"] = json.dumps(about)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"confusion": [[1, 2], [3, 4]]},
        {"confusion": [[-1] * 10] * 10},
        {"confusion": [[2**62] * 10] * 10},
        {"confusion": [[0.5] * 10] * 10},
        {"machine": {"cores": float("nan")}},
        {"machine": [1]},
        {"cohort": 0},
        {"processor_seconds": -1.0},
        {"peak_device_memory_bytes": "much"},
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(changes: dict[str, Any], tmp_path: Path) -> None:
    trial = next(iter(made_plan(1).trials.values()))
    content = to_bytes(made_history(trial), complete=True)
    path = tmp_path / "x.safetensors"
    path.write_bytes(damaged(content))
    assert restore(path).cohort == 1
    path.write_bytes(damaged(content, **changes))
    with pytest.raises(FileError, match=r"x\.safetensors: damaged"):
        assay.load_history(path)


def test_means_and_deviations_of_features_must_fit_the_network(tmp_path: Path) -> None:
    from safetensors.numpy import load, save_file

    history = assay.fit(RECIPES["features"])
    content = to_bytes(history)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors = load(content)
    path = tmp_path / "x.safetensors"
    for change in (
        {"input/mean": None},
        {"input/mean": np.zeros(3)},
        {"input/deviation": -tensors["input/deviation"] - 1},
        {"input/deviation": np.full(64, np.nan)},
        {"input/mean": tensors["input/mean"].astype(np.float32)},
    ):
        changed = {name: array for name, array in (tensors | change).items() if array is not None}
        save_file(changed, path, metadata=header["__metadata__"])
        with pytest.raises(FileError, match=r"damaged: input/"):
            assay.load_history(path)
