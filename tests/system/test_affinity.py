"""Threads that are moved to some cores for a while, and back."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from assay.system.affinity import on_cores

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")


def places() -> dict[int, set[int]]:
    return {int(path.name): os.sched_getaffinity(int(path.name)) for path in Path("/proc/self/task").iterdir()}


def test_every_thread_moves_and_comes_back_also_one_that_was_started_meanwhile() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two cores")
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    core = max(before)
    with on_cores([core]):
        late = threading.Thread(target=end.wait)
        late.start()
        inside = places()
    after = places()
    end.set()
    other.join()
    late.join()
    assert {frozenset(cores) for cores in inside.values()} == {frozenset([core])}
    assert late.native_id in inside
    assert after[late.native_id or 0] == before
    assert os.sched_getaffinity(0) == before


def test_without_cores_nothing_moves() -> None:
    before = os.sched_getaffinity(0)
    with on_cores([]):
        assert os.sched_getaffinity(0) == before


def test_an_error_within_brings_the_threads_back() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ValueError, match="x"), on_cores([min(before)]):
        raise ValueError("x")
    assert os.sched_getaffinity(0) == before
