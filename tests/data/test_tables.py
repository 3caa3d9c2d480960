"""Tables as data sets: CSV, Parquet, Kaggle's and Hugging Face's folders, frames, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

import assay
from assay.data.conversion import write_npz_set
from assay.data.datasets import load
from assay.errors import DataError

N = 30
TABLE = pandas.DataFrame(
    {
        "width": np.arange(N) * 0.5 - 3,
        "count": (np.arange(N) * 7) % 11,
        "colour": np.array(["red", "blue", "green"])[np.arange(N) % 3],
        "old": np.arange(N) % 4 == 1,
        "label": np.array(["b", "a"])[np.arange(N) % 2],
    }
)


def rows_of(data: assay.Dataset) -> list[tuple[Any, ...]]:
    """Every example of both sets with the name of its class, sorted."""
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    return sorted((*map(float, row), data.classes[k]) for row, k in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("name", "loaded"),
    [("iris", load_iris()), ("wine", load_wine()), ("breast_cancer", load_breast_cancer())],
)
def test_the_bundled_sets_are_those_of_scikit_learn(name: str, loaded: Any) -> None:
    data = load(name)
    x, names = loaded.data.astype(np.float32), [str(name) for name in loaded.target_names]
    assert rows_of(data) == sorted((*map(float, row), names[k]) for row, k in zip(x, loaded.target, strict=True))
    total = len(x)
    assert len(data.x_test) == round(0.2 * total)
    whole = np.bincount(loaded.target)
    assert np.abs(np.bincount(data.y_test) - whole * len(data.x_test) / total).max() < 1
    note = f"no test set was given: {len(data.x_test):,} of {total:,} examples"
    assert any(said.startswith(note) for said in data.notes)
    assert not any("sorted by class" in said for said in data.notes)
    assert load(name).checksum == data.checksum
    assert assay.Recipe.parse({"data": name}).data.name == data.name


def test_a_table_is_read_by_its_columns(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    expected = sorted(
        (w, c, *(float(colour == k) for k in ("blue", "green", "red")), float(o), label)
        for w, c, colour, o, label in TABLE.itertuples(index=False)
    )
    assert rows_of(data) == expected
    assert (len(data.x_train), len(data.x_test), data.classes) == (24, 6, ("a", "b"))
    assert data.notes[:3] == (
        "column 'label' is read as the labels",
        "no test set was given: 6 of 30 examples, the same fraction of each class, were drawn to test on, always the "
        "same",
        "column 'colour' of texts became 3 features of 0 and 1, one for each category",
    )


@pytest.mark.parametrize("name", ["a.parquet", "a.tsv", "a.csv.gz", "semicolons.csv", "frame"])
def test_every_form_of_a_table_gives_the_same_data(tmp_path: Path, name: str) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    path: Any = tmp_path / name
    if name == "a.parquet":
        TABLE.to_parquet(path)
    elif name == "a.tsv":
        TABLE.to_csv(path, sep="\t", index=False)
    elif name == "a.csv.gz":
        path.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    elif name == "semicolons.csv":
        path.write_bytes(b"\xef\xbb\xbf" + TABLE.to_csv(sep=";", index=False).replace("\n", "\r\n").encode())
    else:
        path = TABLE
    assert load(path).checksum == load(tmp_path / "a.csv").checksum


def test_the_label_the_test_set_and_a_table_without_a_header_are_said(tmp_path: Path) -> None:
    TABLE.rename(columns={"label": "kind"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="which column holds the labels.*width, count, colour, old, kind.*--label"):
        load(tmp_path / "a.csv")
    with pytest.raises(DataError, match="has no column 'kidn'; did you mean 'kind'"):
        load(tmp_path / "a.csv", label="kidn")
    assert len(load(tmp_path / "a.csv", label="kind", test=0.5).x_test) == 15
    assert len(load(tmp_path / "a.csv", label="kind", test=4).x_test) == 4
    for wrong in (0, -1, 29, 1.5, 30):
        with pytest.raises(DataError, match="expected a fraction below 1, or a number from 1 to 28"):
            load(tmp_path / "a.csv", label="kind", test=wrong)
    (tmp_path / "plain.csv").write_text("".join(f"{i % 2},{i},{i * i % 7}\n" for i in range(10)))
    data = load(tmp_path / "plain.csv", label="0", test=2)
    assert (len(data.x_train), data.x_train.shape[1]) == (8, 2)  # the first line is an example
    two = TABLE.assign(target=TABLE.label)
    with pytest.raises(DataError, match="'label' and 'target' may both be it"):
        load(two)
    with pytest.raises(DataError, match="iris: label given for data that need no such setting"):
        load("iris", label="species")


def test_numbers_in_the_first_line_are_never_taken_in_silence(tmp_path: Path) -> None:
    numbered = pandas.DataFrame({0: np.arange(N) / 7, 1: 0.5 - np.arange(N) % 5, 2: np.arange(N) % 2})
    numbered.to_csv(tmp_path / "named.csv", index=False)  # its header is 0,1,2
    numbered.to_csv(tmp_path / "plain.csv", index=False, header=False)
    named, plain = (load(tmp_path / name, label="2") for name in ("named.csv", "plain.csv"))
    assert named.checksum == plain.checksum == load(numbered, label="2").checksum
    assert len(named.x_train) + len(named.x_test) == N
    assert named.notes[0] == "named.csv: the first line, 0 to 2, is read as the names of the columns"
    assert plain.notes[0] == "plain.csv: the first line is read as an example; the columns are named 0 to 2"


def test_settings_that_the_data_have_no_use_for_are_refused(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    for source in (tmp_path / "a.csv", TABLE):
        with pytest.raises(DataError, match="size given for data that need no such setting"):
            load(source, size=(8, 8))
    for wrong in (True, float("nan"), float("inf")):
        with pytest.raises(DataError, match="expected a fraction below 1, or a number from 1 to 28"):
            load(TABLE, test=wrong)


def test_blanks_around_a_class_make_no_other_class() -> None:
    assert load(TABLE.assign(label=np.array(["a", " b", "b", "a "])[np.arange(N) % 4])).classes == ("a", "b")


def test_some_pixels_of_a_picture_are_no_picture() -> None:
    x = np.arange(4 * N).reshape(N, 4) % 251
    shapes: dict[tuple[str, ...], tuple[int, ...]] = {
        ("pixel3", "pixel9", "pixel10", "pixel700"): (4,),
        ("pixel1", "pixel2", "pixel3", "pixel4"): (2, 2),
        ("1x1", "1x2", "2x1", "2x2"): (2, 2),
        ("1x1", "1x2", "1x3", "1x4"): (4,),
    }
    for names, shape in shapes.items():
        assert load(pandas.DataFrame(x, columns=list(names)).assign(label=np.arange(N) % 2)).shape == shape


def test_a_training_and_a_test_table_are_one_set(tmp_path: Path) -> None:
    TABLE[:20].to_csv(tmp_path / "mnist_train.csv", index=False)
    TABLE[20:][["label", "old", "colour", "count", "width"]].to_csv(tmp_path / "mnist_test.csv", index=False)
    data = load(tmp_path)
    assert (len(data.x_train), len(data.x_test)) == (20, 10)
    np.testing.assert_array_equal(data.x_test[:, 0], TABLE.width[20:].to_numpy(np.float32))
    assert load(TABLE[:20], test=TABLE[20:]).checksum == data.checksum
    with pytest.raises(DataError, match="test: got 0.5, but the data have a test set"):
        load(tmp_path, test=0.5)
    with pytest.raises(DataError, match="the test table lacks old, other than the training table"):
        load(TABLE[:20], test=TABLE[20:].drop(columns="old"))


def test_kaggles_test_table_without_labels_is_not_used(tmp_path: Path) -> None:
    x = np.arange(20 * 16).reshape(20, 16) % 256
    frame = pandas.DataFrame(x, columns=[f"pixel{i}" for i in range(16)])
    frame.insert(0, "label", np.arange(20) % 4)
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    data = load(tmp_path)
    assert (data.shape, data.x_train.dtype, len(data.x_test), data.scale) == ((4, 4), np.uint8, 4, 255.0)
    assert sorted(map(tuple, np.concatenate([data.x_train, data.x_test]).tolist())) == sorted(map(tuple, x.tolist()))
    assert data.notes[0] == "test.csv has no labels and is not used"
    assert "the columns 'pixel0' to 'pixel15' are read as 4 x 4 pixels" in data.notes


def test_a_test_table_that_lacks_a_feature_is_never_taken_for_one_without_labels(tmp_path: Path) -> None:
    TABLE[:20].to_csv(tmp_path / "train.csv", index=False)
    TABLE[20:].drop(columns="old").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match="the test table lacks old, other than the training table"):
        load(tmp_path)


def test_columns_that_number_the_rows_are_left_out() -> None:
    """Of a table sorted by class, such a column alone would tell the classes apart."""
    ordered = TABLE.sort_values("label", ignore_index=True)
    for name, values in (("anything", np.arange(N)), ("Id", np.arange(N)[::-1] * 3), ("Unnamed: 0", np.arange(N) + 7)):
        data = load(ordered.assign(**{name: values}))
        assert data.checksum == load(ordered).checksum
        assert f"column {name!r} numbers the rows and is left out" in data.notes
    kept = load(ordered.assign(age=np.arange(N)[::-1]))  # counts down, and may be a measure
    assert kept.x_train.shape[1] == 7


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hugging_face(path: Path, x: Any, y: list[int]) -> None:
    table = pa.table({"image": [{"bytes": png(one), "path": None} for one in x], "label": y})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "ant"]}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def test_hugging_faces_parquet_folder_is_read(tmp_path: Path) -> None:
    x = np.arange(8 * 6, dtype=np.uint8).reshape(8, 2, 3) * 5
    for number in range(2):
        part = slice(3 * number, 3 * number + 3)
        hugging_face(tmp_path / "data" / f"train-0000{number}-of-00002.parquet", x[part], [0, 1, 0])
    hugging_face(tmp_path / "data" / "test-00000-of-00001.parquet", x[6:], [1, 0])
    data = load(tmp_path)
    np.testing.assert_array_equal(data.x_train.reshape(-1, 2, 3), x[:6])
    assert (data.classes, data.y_train.tolist(), data.y_test.tolist()) == (("cat", "ant"), [0, 1, 0, 0, 1, 0], [1, 0])
    (tmp_path / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="are not all there; expected 2"):
        load(tmp_path)


def test_hugging_faces_names_are_kept_where_a_class_is_missing_and_its_missing_labels_are_none(tmp_path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat"]}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    for name, labels in (("train", np.arange(N) % 2 + 1), ("test", np.full(N, -1))):
        table = pa.Table.from_pandas(TABLE.assign(label=labels), preserve_index=False)
        pq.write_table(table.replace_schema_metadata(about), tmp_path / f"{name}.parquet")
    alone = load(tmp_path / "train.parquet")
    assert (alone.classes, set(alone.y_train.tolist())) == (("ant", "bee", "cat"), {1, 2})
    data = load(tmp_path)
    assert data.checksum == alone.checksum
    assert data.notes[0] == "test.parquet has no labels and is not used"


def test_columns_next_to_pictures_are_named_as_unused(tmp_path: Path) -> None:
    pictures = [{"bytes": png(np.full((2, 2), i, np.uint8)), "path": None} for i in range(10)]
    pq.write_table(pa.table({"image": pictures, "label": [0, 1] * 5, "age": range(10)}), tmp_path / "a.parquet")
    assert "next to the pictures, the columns 'age' are not used" in load(tmp_path / "a.parquet").notes


def test_arrays_that_are_no_examples_with_labels_are_refused() -> None:
    x = np.arange(20.0)
    for data, sentence in (
        (([[1, 2], [3]], [0, 1]), "x or y is no array: .*; expected examples of one shape"),
        ((x, np.array([None, 1] * 10)), "the labels are of several types, or some are missing"),
    ):
        with pytest.raises(DataError, match=sentence):
            assay.fit({"budget": "1 iteration"}, data=data)


def test_a_converted_file_is_the_same_data(tmp_path: Path) -> None:
    for source in (load(TABLE), load("digits"), load("iris")):
        write_npz_set(source, tmp_path / "a.npz")
        again = load(tmp_path / "a.npz")
        assert (again.checksum, again.classes, again.shape) == (source.checksum, source.classes, source.shape)
        assert set(source.notes) <= set(again.notes)
    with pytest.raises(DataError, match="expected a path that ends in .npz"):
        write_npz_set(load("digits"), tmp_path / "a.csv")


def test_numbers_that_are_classes_keep_their_names() -> None:
    grades = TABLE.assign(label=np.array([3, 8, 5])[np.arange(N) % 3])
    assert load(grades).classes == ("3", "5", "8")
    assert load(TABLE.assign(label=np.arange(N) % 2 == 0)).classes == ("False", "True")
    assert load(TABLE.assign(label=(np.arange(N) % 2).astype(float))).classes == ("0", "1")


def test_a_test_table_without_some_classes_keeps_the_numbers_of_the_others() -> None:
    numbered = TABLE.assign(label=np.arange(N) % 4)
    data = load(numbered[:24], test=numbered[24:][numbered.label[24:] >= 2])
    assert (data.classes, data.y_test.tolist()) == (("0", "1", "2", "3"), [2, 3])
    with pytest.raises(DataError, match="labels run from 0 to 9"):
        load(numbered[:24], test=numbered[24:].assign(label=9))


def test_a_test_category_that_training_lacks_is_noted() -> None:
    test = TABLE[20:].assign(colour="violet")
    data = load(TABLE[:20], test=test)
    assert not data.x_test[:, 2:5].any()
    assert any("10 test examples have categories without a training example (violet)" in note for note in data.notes)


def test_columns_without_use_are_noted() -> None:
    data = load(TABLE.assign(one=1.0, time=1.7e9 + np.arange(N)[::-1] * 2.0))
    assert "column 'one' is constant in the training set, so nothing is learned from it" in data.notes
    assert any("column 'time' varies little next to its size" in note for note in data.notes)


WRONG: dict[str, tuple[pandas.DataFrame, str]] = {
    "missing": (
        TABLE.assign(width=TABLE.width.where(TABLE.index != 4)),
        r"row 5 has no value in column 'width' \(1 rows, 1 columns",
    ),
    "real": (TABLE.assign(label=TABLE.width + 0.25), r"such as -2.75 in row 1, .* say data.task"),
    "one class": (TABLE.assign(label="a"), "all training examples are of class 'a'"),
    "mixed": (TABLE.assign(width=["?", *map(str, range(N - 1))]), "numbers and texts, such as '\\?'"),
    "commas": (TABLE.assign(width=[f"{i},5" for i in range(N)]), "numbers with commas, such as '1?[0-9],5'"),
    "strings": (TABLE.assign(width=[str(i) for i in range(N)]), "numbers as texts"),
    "dates": (TABLE.assign(day=pandas.Timestamp("2026-01-01")), "'day' holds dates or times"),
    "objects": (TABLE.assign(x=[[1]] * N), "holds objects of type list"),
    "no features": (TABLE[["label"]], "no column next to the labels"),
    "no rows": (TABLE[:0], "no rows"),
    "complex": (TABLE.assign(x=1j), "'x' holds objects of type complex"),
    "infinite": (TABLE.assign(width=np.inf), "row 1 is infinite in column 'width'"),
    "each its own": (TABLE.assign(label=[f"n{i}" for i in range(N)]), "from 1 to|one example"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_is_no_data_set_says_what_to_do(name: str) -> None:
    frame, sentence = WRONG[name]
    with pytest.raises(DataError, match=sentence):
        assay.fit({"data": "frame", "budget": "1 iteration"}, data=load(frame))


def test_a_column_of_names_is_refused() -> None:
    many = pandas.concat([TABLE] * 5, ignore_index=True)
    with pytest.raises(
        DataError, match="has 120 different texts, such as 'n[01]'; .* at most 100 categories: leave it out"
    ):
        load(many.assign(colour=[f"n{i}" for i in range(150)]))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "the file is empty; expected a header and a row for each example"),
        ("a.csv", b"x,label\n", "0 rows"),
        ("a.csv", b"x,label\n1,a\n2,b,c\n", "as many cells in each line"),
        ("a.csv", b"x,label\n1,a,7\n2,b,7\n", "as many cells in each line"),
        ("a.csv", b"x,label\n1,\xff\n", "byte 10 is not UTF-8"),
        ("a.csv", b"x,x,label\n1,2,a\n", "two columns are named 'x'"),
        ("a.csv", b"<!DOCTYPE html><html>404</html>", "a web page"),
        ("a.csv.gz", b"x,label\n", "not a gzip file"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("a.parquet", b"\0" * 40, "not a Parquet file"),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / name)


def test_data_sets_of_torch_are_read() -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.arange(10 * 48.0).reshape(10, 3, 4, 4), torch.arange(10) % 2
    data = load(torch.utils.data.TensorDataset(x[:8], y[:8]), test=torch.utils.data.TensorDataset(x[8:], y[8:]))
    assert (data.shape, data.y_train.tolist(), len(data.x_test)) == ((3, 4, 4), [0, 1] * 4, 2)
    assert len(load(torch.utils.data.TensorDataset(x, y)).x_test) == 2
    uneven = [(np.zeros(3), 0), (np.zeros(4), 1)]
    with pytest.raises(DataError, match=r"item 1 has shape \(4,\), item 0 \(3,\)"):
        load(uneven)
    for wrong in (3, {"a": 1}, [1, 2]):
        with pytest.raises(DataError, match="expected a name, a path, a pandas.DataFrame, or a data set of torch"):
            load(wrong)


def test_features_in_different_units_are_noted_unless_they_are_scaled() -> None:
    wine = load("wine")
    note = "the features are in different units"
    assert any(note in said for said in assay.fit({"budget": "1 iteration"}, data=wine).warnings)
    scaled = {"budget": "1 iteration", "input": "standardise-features"}
    assert not any(note in said for said in assay.fit(scaled, data=wine).warnings)
    assert not any(note in said for said in assay.fit({"budget": "1 iteration"}, data=load("iris")).warnings)
