"""What is above a limit is refused by its number, before anything is built; the documentation has the table."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from assay.data.bounds import too_large
from assay.data.datasets import load
from assay.data.idx import read_idx
from assay.data.images import read_images
from assay.data.picture_style import PictureStyle
from assay.errors import AssayError, DataError, FileError, RecipeError
from assay.logs import FORMATS, Options
from assay.logs.lines import lines_of, refuse_size
from assay.recipe.model import Recipe
from assay.recipe.patches import assignment
from assay.recipe.toml import read_toml
from assay.studies.study import Study
from assay.system import limits
from assay.system.files import read_limited
from assay.training.checkpoints import from_bytes
from assay.training.log_points import log_points, too_many_log_points


def test_the_documentation_has_the_table() -> None:
    assert limits.table() in (Path(__file__).parents[2] / "docs" / "limits.md").read_text()


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"repeats": 10**9}, "has 1,000,000,000 trials; expected at most 100,000"),
        ({"design": "random", "draws": 10**9}, "has 1,000,000,000 configurations; expected at most 100,000"),
        ({"repeats": 2**63}, "repeats: got 9,223,372,036,854,775,808; expected at most"),
    ],
)
def test_counts_of_a_study_are_refused_by_number(raw: dict[str, Any], sentence: str) -> None:
    axes = {"rate": {"key": "optimizer.learning_rate", "values": [0.1]}}
    with pytest.raises(RecipeError, match=sentence):
        Study.parse({"axes": axes, **raw})


def test_repeats_of_a_baseline_alone_are_refused_by_number() -> None:
    with pytest.raises(RecipeError, match="has 1,000,000,000 trials; expected at most 100,000: lower repeats"):
        Study.parse({"design": "one-at-a-time", "repeats": 10**9})


def test_a_grid_is_refused_before_its_product_is_made() -> None:
    axes = {f"a{i}": {"key": f"optimizer.{key}", "values": [k / 99 for k in range(1, 99)]}
            for i, key in enumerate(("learning_rate", "beta1", "beta2", "epsilon"))}  # fmt: skip
    with pytest.raises(RecipeError, match="has 92,236,816 configurations; expected at most 100,000"):
        Study.parse({"axes": axes})


def test_log_points_are_refused_by_number() -> None:
    recipe = Recipe.parse({"log": 1, "budget": {"iterations": 10**10}})
    assert too_many_log_points(recipe, 1000) == (
        "log.every: makes about 10,000,000,002 log points; expected at most 100,000: log less often"
    )
    with pytest.raises(RecipeError, match="10,000,000,002 log points"):
        log_points(recipe, 1000)
    assert not too_many_log_points(Recipe.parse({"log": 1, "budget": {"iterations": 1000}}), 1000)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed=" + "9" * 5000, "a number of more than 4,300 digits"),
        ("seed=0x" + "f" * 5000, "a whole number of about 6,021 digits"),
        ("seed=9223372036854775808", "seed: got 9,223,372,036,854,775,808; expected at most 9,223,372,036,854,775,807"),
        ("model.hidden=" + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a." * 400 + "b=1", "a key of 401 parts"),
        ("model={" + "a." * 400 + "b=1}", "a dotted key of more than 16 parts"),
    ],
)
def test_an_assignment_beyond_the_limits_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        assignment(text)


@pytest.mark.parametrize("budget", ["9" * 400 + " epochs", "1e400 iterations", 10**400, "1e19 iterations"])
def test_a_budget_beyond_64_bits_is_a_sentence(budget: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        Recipe.parse({"budget": budget})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a" + ".a" * 50_000 + " = 1", "line 1: a dotted key of more than 16 parts"),
        ("x = 1\n[" + "'a.b'." * 30 + "c]", "line 2: a dotted key of more than 16 parts"),
        ("x = " + "[" * 5000, "nested too deeply|not valid TOML"),
        ("x = " + "1" * 5000, "a number of more than 4,300 digits"),
        ("#" * (2**20 + 1), "has more than 1 MiB"),
    ],
)
def test_toml_beyond_the_limits_is_refused_before_it_is_parsed(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(FileError, match=sentence):
        read_toml(tmp_path / "x.toml")


def test_dots_in_texts_and_comments_are_no_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        f"about = '{'a.' * 50}'\n# {'b.' * 50}\nx.y = [{'1.5, ' * 50}]\n" + 'z = """\na' + ".a" * 50 + '"""\n'
    )
    assert read_toml(tmp_path / "x.toml")["x"]["y"][0] == 1.5


def test_compressed_arrays_claim_no_more_than_their_bytes_allow(tmp_path: Path) -> None:
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", 200_000, 28, 28)
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(1000)))
    with pytest.raises(DataError, match="claims 156,800,000 bytes, but .* compressed bytes hold at most"):
        read_idx(tmp_path / "x.gz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array_header_1_0(
                    member, {"descr": "|u1", "fortran_order": False, "shape": (70 * 2**20,)}
                )
                for _ in range(70):
                    member.write(bytes(2**20))
    with pytest.raises(DataError, match="expected at most 100 times as many"):
        load(tmp_path / "x.npz")
    assert too_large(2**26, 2**20) == ""
    assert "expected at most 4 GiB" in too_large(2**32 + 1, None)


@pytest.mark.parametrize(("width", "height"), [(9459, 9459), (89_000_000, 1), (70_000, 10)])
def test_a_picture_is_refused_by_its_pixels_before_it_is_decoded(width: int, height: int, tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**7), 9)), (b"IEND", b""))
    content = b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(FileError, match=f"claims {width:,} x {height:,} pixels; expected at most 64,000,000"):
        read_images(tmp_path / "x.png", (28, 28), PictureStyle(None))


def test_a_pipe_and_a_device_are_no_files_of_an_export(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "studies.json")
    for path in (tmp_path / "studies.json", Path("/dev/zero")):
        with pytest.raises(FileError, match="a pipe or a device; expected a file"):
            read_limited(path, limits.EXPORT_JSON_BYTES)


def test_a_log_is_refused_by_its_lines_and_cells() -> None:
    with pytest.raises(FileError, match="500,001 lines; expected at most 500,000 lines"):
        lines_of(b"\n" * 500_001)
    with pytest.raises(FileError, match="2,000 columns in 400,000 lines"):
        refuse_size(400_000, columns=2_000)
    with pytest.raises(FileError, match="10,001 columns"):
        FORMATS["csv"].read(("epoch," + ",".join(f"x{i}" for i in range(10_000)) + "\n").encode() * 2, Options())


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("flux", "--->Total time" + " " * 20_000),
        ("pytorch", "--->Total time" + " " * 20_000),
        ("pytorch", "-" * 20_000),
        ("matlab", "|" + "-" * 20_000 + "!"),
        ("csv", "-" * 20_000 + "!"),
        ("keras", "1/2" + " - a" * 5_000),
    ],
)
def test_long_lines_are_read_in_linear_time(format: str, line: str) -> None:
    begin = process_time()
    try:
        FORMATS[format].read(f"epoch,val_acc\n1,0.8\n{line}\n".encode(), Options())
    except AssayError:
        pass
    assert process_time() - begin < 1


@pytest.mark.parametrize("about", [1, [], None, {"format": 1, "points": 3}, {"format": 1, "recipe": {"seed": 2**64}}])
def test_broken_metadata_of_weights_are_a_sentence(about: object) -> None:
    from safetensors.numpy import save

    with pytest.raises(FileError, match="damaged|not one that Assay wrote"):
        from_bytes(save({"a": np.zeros(1)}, metadata={"assay": json.dumps(about)}), source="x")
