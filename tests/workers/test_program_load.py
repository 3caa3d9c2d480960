"""The foreign load of a program is read from its process tree while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from assay.system.load import FOREIGN_LOAD_IS_KNOWN, Load
from assay.workers.external import load
from assay.workers.external.load import ProgramLoad

LINUX = pytest.mark.skipif(not FOREIGN_LOAD_IS_KNOWN, reason="this kernel counts no run delay")
LOOP = "import os; os.sched_setaffinity(0, {%d}); print(flush=True)\nwhile True: pass"


@contextmanager
def program(code: str) -> Generator[subprocess.Popen[bytes]]:
    """A running program that has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def sampled(process: int, seconds: float) -> ProgramLoad:
    measured = ProgramLoad()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        measured.sample(process)
        time.sleep(0.02)
    measured.sample(process)
    return measured


@LINUX
def test_a_program_that_shares_its_core_is_kept_waiting() -> None:
    core = min(os.sched_getaffinity(0))
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LOOP % core!r}])"  # as a script would
    with program(child) as one, program(LOOP % core):
        measured = sampled(one.pid, 0.4)
    assert measured.seconds == pytest.approx(0.4, rel=0.3)
    assert measured.foreign > 0.25 * measured.seconds
    assert measured.load(1.0) == Load(None, measured.foreign, True)
    half = measured.load(measured.seconds / 2)
    assert half.foreign == pytest.approx(measured.foreign / 2)
    assert half.processor is None


@LINUX
def test_a_stopped_program_is_halted() -> None:
    with program("import time; print(flush=True); time.sleep(60)") as one:
        waiting = sampled(one.pid, 0.2)
        os.kill(one.pid, signal.SIGSTOP)
        time.sleep(0.05)
        stopped = sampled(one.pid, 0.3)
    assert waiting.foreign < 0.2 * waiting.seconds  # its own wait
    assert stopped.foreign == pytest.approx(stopped.seconds)


def test_without_a_process_or_counters_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = ProgramLoad()
    measured.sample(None)
    monkeypatch.setattr(load, "FOREIGN_LOAD_IS_KNOWN", False)
    measured.sample(os.getpid())
    measured.sample(os.getpid())
    assert measured.load(5.0) == Load(None, None, None)
