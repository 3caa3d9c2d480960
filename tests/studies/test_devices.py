"""The device of `device = "auto"`, and the sentences on what is faster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.data.datasets import load
from assay.engines import AUTO, devices
from assay.engines.seen import Device, Seen
from assay.engines.speeds import SPEEDS, StudyWork, slower_device
from assay.errors import RecipeError
from assay.execution.ask_tell import Search
from assay.execution.search import execution_of
from assay.recipe.model import Recipe
from assay.store.store import Store
from assay.studies.devices import auto_device, device_notes, work_of
from assay.studies.study import Study

SMALL: dict[str, Any] = {"model": {"hidden": [4]}}
LARGE: dict[str, Any] = {"model": "3LS", "data": "digits-28", "batches": {"kind": "shuffled", "size": 128}}
IMAGES: dict[str, Any] = {"model": "lenet5", "data": "digits-28"}
SECONDS_3LS = 158.4e-6  # an iteration of the native engine on one core


@pytest.fixture(autouse=True)
def _one_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(devices, "answered", lambda engine: Seen((Device("cuda:0", "Fake card", 10**10),)))
    monkeypatch.setattr(devices, "boot_id", lambda: None)  # so that no answer is kept
    monkeypatch.setattr("assay.studies.devices.cores", lambda: 2)
    devices.seen_by.cache_clear()
    yield
    devices.seen_by.cache_clear()


def chosen(*raw: dict[str, Any], engine: str = "auto", timing: str = "isolated", seeds: int = 1) -> tuple[str, str]:
    return auto_device([(Recipe.parse(one), engine, seeds) for one in raw], timing=timing, data=load)


@pytest.mark.parametrize(
    ("raw", "engine", "device", "why"),
    [
        (SMALL, "auto", "cpu", "which is faster by what was measured for 0.0"),
        (LARGE, "auto", "cuda", "which is faster by what was measured for 28.2 million operations an iteration"),
        (LARGE, "torch", "cuda", "which is faster"),
        (LARGE, "native", "cpu", "because engine 'native' runs only there"),
        (IMAGES, "auto", "cuda", "layers other than dense ones"),
        (SMALL | {"precision": "bfloat16"}, "auto", "cuda", "mixed precision"),
    ],
)
def test_the_device_is_that_which_measured_faster(raw: dict[str, Any], engine: str, device: str, why: str) -> None:
    got, sentence = chosen(raw, engine=engine)
    assert got == device
    assert why in sentence
    assert sentence.startswith(f"device auto: '{device}'")


def test_many_packed_trials_are_worth_a_gpu_where_one_is_not() -> None:
    assert chosen(SMALL, timing="packed")[0] == "cpu"
    assert chosen(SMALL, timing="packed", seeds=20_000)[0] == "cuda"


def test_one_configuration_that_no_gpu_trains_keeps_all_on_the_cpu() -> None:
    uses = [(Recipe.parse(LARGE), "auto", 1), (Recipe.parse(LARGE), "numpy", 1)]
    assert auto_device(uses, timing="isolated", data=load)[0] == "cpu"


def test_without_a_gpu_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "answered", lambda engine: Seen())
    devices.seen_by.cache_clear()
    assert chosen(LARGE) == ("cpu", "device auto: 'cpu', because neither jax nor torch sees a CUDA device here")


def test_the_work_of_packed_trials_is_that_of_all_of_them() -> None:
    one = work_of([(Recipe.parse(LARGE), "auto", 1)], timing="packed", data=load)
    more = [(Recipe.parse(LARGE), "auto", 5), (Recipe.parse(LARGE | {"seed": 9}), "auto", 2)]
    assert work_of(more, timing="packed", data=load) == StudyWork(7 * one.operations)
    assert work_of(more, timing="isolated", data=load) == one


def test_a_named_device_and_engine_are_obeyed_with_a_line_on_what_is_faster() -> None:
    def notes(raw: dict[str, Any], engine: str, device: str = "cuda") -> list[str]:
        return device_notes([(Recipe.parse(raw), engine, 1)], device, timing="isolated", data=load)

    assert notes(LARGE, "jax") == []
    assert notes(LARGE, "torch", "cpu") == []
    (line,) = notes(IMAGES, "torch")
    assert line.startswith("engine 'jax' measured faster than 'torch' on a GPU: 0.85 ms an iteration, not 1.75 to 2.05")
    (line,) = notes(SMALL, "jax")
    assert line.startswith("device 'cpu' is probably faster than 'cuda'")


def test_where_the_gpu_begins_to_be_faster() -> None:
    even = 0.065e-3 / SECONDS_3LS * 28_153_420
    assert slower_device(StudyWork(0.99 * even), "cuda", cores=1) is not None
    assert slower_device(StudyWork(1.01 * even), "cuda", cores=1) is None


def test_auto_on_a_gpu_takes_what_measured_fastest() -> None:
    for row in SPEEDS:
        kinds = ("dense", "dense layers") if row.kind == "dense" else (row.kind,)
        for kind in kinds:
            assert AUTO[kind]["cuda"][0] == row.fastest, (row.work, kind)


def test_a_search_names_its_device(tmp_path: Path) -> None:
    raw: dict[str, Any] = {
        "name": "found",
        "design": "search",
        "device": "auto",
        "search": {"trials": 4},
        "baseline": SMALL,
    }
    raw["axes"] = {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}}
    with pytest.raises(RecipeError, match="device: 'auto' chooses for a list of configurations"):
        execution_of(Study.parse(raw), Store(str(tmp_path / "store.db")))
    with pytest.raises(RecipeError, match="device: 'auto' chooses for a list of configurations"):
        Search(Study.parse(raw))  # and does not end before its first suggestion
