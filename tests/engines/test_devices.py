"""Which devices there are is asked of another process, and only there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.engines import devices, installed
from assay.engines.devices import answered, line_of, load_for_planning, parsed, seen_by
from assay.engines.seen import Device, Seen
from assay.recipe.model import Recipe

CARD = Seen((Device("cuda:0", "Fake card", 8 * 10**9),))


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine with a driver, whose answers are kept in a folder of the test's own."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr(devices, "boot_id", lambda: "this boot")
    monkeypatch.setattr(devices, "driver_version", lambda: "570.1")
    monkeypatch.setattr(devices, "present", lambda: ["0000:01:00.0"])
    seen_by.cache_clear()
    yield
    seen_by.cache_clear()


def asks(monkeypatch: pytest.MonkeyPatch, answer: Seen) -> list[str]:
    """The engines that another process was asked for, which gives this answer."""
    asked: list[str] = []

    def fake(engine: str) -> Seen:
        asked.append(engine)
        return answer

    monkeypatch.setattr(devices, "answered", fake)
    return asked


def test_an_answer_is_the_same_after_its_way_through_the_pipe() -> None:
    assert parsed(json.loads(line_of(CARD).removeprefix("assay-devices "))) == CARD


def test_it_is_asked_once_a_process_and_once_a_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asks(monkeypatch, CARD)
    assert seen_by("jax") == seen_by("jax") == CARD
    seen_by.cache_clear()  # as in the next command
    assert seen_by("jax") == CARD
    assert asked == ["jax"]


@pytest.mark.parametrize("what", ["boot_id", "driver_version", "present", "CUDA_VISIBLE_DEVICES"])
def test_it_is_asked_again_when_the_machine_has_changed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asks(monkeypatch, CARD)
    seen_by("jax")
    seen_by.cache_clear()
    if what == "CUDA_VISIBLE_DEVICES":
        monkeypatch.setenv(what, "7")
    else:
        monkeypatch.setattr(devices, what, lambda: ["other"] if what == "present" else "other")
    seen_by("jax")
    assert asked == ["jax", "jax"]


@pytest.mark.parametrize("answer", [Seen(), Seen(reason="no CUDA-capable device is detected")])
def test_an_answer_without_a_gpu_is_not_kept(answer: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asks(monkeypatch, answer)
    for _ in range(2):
        seen_by.cache_clear()
        assert seen_by("jax") == answer
    assert asked == ["jax", "jax"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": 1}', '{"state": "x", "seen": {"devices": [1]}}'])
def test_a_damaged_answer_is_asked_for_again(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = asks(monkeypatch, CARD)
    (tmp_path / "devices-jax.json").write_text(content)
    assert seen_by("jax") == CARD
    assert asked == ["jax"]


def test_nobody_asks_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asks(monkeypatch, CARD)
    load_for_planning("numpy", device="cpu")
    load_for_planning("numpy", device="cuda")  # it has no library
    assert asked == []


def test_a_process_that_prints_no_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = [sys.executable, "-c", "import sys; sys.exit('libcuda.so: wrong version')"]
    monkeypatch.setattr(devices, "own_process", lambda *_: crash)
    assert answered("jax") == Seen(reason="jax could not list its devices: libcuda.so: wrong version")


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_planning_on_a_gpu_leaves_the_library_alone(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed(engine):
        pytest.skip(f"{engine} is not installed")
    asks(monkeypatch, CARD)
    planned = load_for_planning(engine, device="cuda")
    monkeypatch.setattr(f"assay.engines.{engine}_engine.seen_here", lambda: pytest.fail("it was asked here"))
    recipe = Recipe.parse({})
    assert planned.why_not(recipe) is None
    other = load_for_planning(engine, device="cuda:1").why_not(recipe)
    expected = "is not one that {} sees on this machine; use 'cpu' or 'cuda' or 'cuda:0'"
    assert other == f"device 'cuda:1' {expected.format(engine)}"


@pytest.mark.skipif(not installed("jax"), reason="jax is not installed")
def test_planning_starts_no_backend_of_jax() -> None:
    code = (
        "from assay.engines.devices import load_for_planning\n"
        "from assay.recipe.model import Recipe\n"
        "assert load_for_planning('jax').why_not(Recipe.parse({})) is None\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, xla_bridge._backends"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_refuses_the_name_that_only_jax_has_for_a_card() -> None:
    pytest.importorskip("torch")
    from assay.engines.torch_engine import missing_device

    cards = Seen((Device("cuda:0", "Fake card"),))
    assert missing_device("gpu:0", cards) == "device 'gpu:0' is not a name that torch knows; use 'cuda:0'"
    assert missing_device("cuda:0", cards) is None
    assert cards.missing("gpu:0", "jax") is None
