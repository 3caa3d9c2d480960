"""What kept this process from running: processor seconds, and the seconds that foreign load took from a training.

foreign = max(run delay, throttled) + halted + stolen

- run delay: the threads of this process were runnable but not running (Linux: /proc/self/task/*/schedstat), at most
  what they left of the cores that they may use: threads that compete with each other are no foreign load;
- throttled: the quota of a container was used up (cpu.stat of each control group), which most kernels count
  as run delay;
- halted: no thread could run, because of a signal, a frozen container or a suspended machine. A thread that only
  sleeps measures it: what it oversleeps without being runnable. A wait for a device halts no thread;
- stolen: taken by the hypervisor (/proc/stat), in proportion to this process's part of the machine's busy time.

On other systems foreign load is unknown. Processor seconds are known everywhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

BUSY = "busy machine"
"""The mark of seconds with foreign load."""
BUSY_FRACTION = 0.05
"""Foreign load above this fraction of the training time marks a trial as `BUSY`."""
JUDGED_SECONDS = 0.2
"""Trainings shorter than this are not judged: one time slice of another process is a large part of them."""
WAKE_SECONDS = 20e-6
"""What a thread waits for an idle core when it is woken: not foreign load."""

_WINDOW_SECONDS = 0.25  # of a training in short chunks, between two readings
_LONG_SECONDS = 0.25  # chunks from here on are read one by one; a reading takes some 0.00002 s
_BEAT_SECONDS = 0.05  # the sleep of the thread that measures halts
_HALT_SECONDS = 0.02  # shorter halts are not told from timer slack
_IDLE_SECONDS = 1.0  # without a training, after which that thread ends
_TASKS = "/proc/self/task"


@dataclass(frozen=True)
class Load:
    """The load of a training; None where a number is unknown.

    Attributes:
        processor: processor seconds of the training, user and system, all threads.
        foreign: seconds that foreign load took from it.
        busy: whether they are more than 5 % of the training time; None also for trainings shorter than 0.2 s.

    >>> Load.judged(processor=1.9, foreign=0.3, seconds=2.0).busy
    True
    """

    processor: float | None = None
    foreign: float | None = None
    busy: bool | None = None

    @classmethod
    def judged(cls, *, processor: float | None, foreign: float | None, seconds: float) -> Load:
        """The load of a training of so many seconds."""
        known = foreign is not None and seconds >= JUDGED_SECONDS
        return cls(processor, foreign, foreign > BUSY_FRACTION * seconds if known and foreign is not None else None)


@dataclass(frozen=True)
class _Reading:
    """Counters at one moment, in seconds."""

    at: float
    processor: float
    threads: dict[str, tuple[float, int]]  # run delay and number of time slices, by thread
    throttled: float
    halted: float
    stolen: float
    busy: float  # of all processors of the machine


@dataclass
class LoadMeter:
    """Adds up the processor seconds and the foreign load of a training, which runs between `begin` and `end`.

    Short blocks are measured together with what lies between them, and count in proportion to their time.
    """

    processor: float = 0.0
    _kept_waiting: float = 0.0
    _stolen: float = 0.0
    _busy: float = 0.0
    _window: _Reading | None = None
    _trained: float = 0.0  # seconds of training since the window began
    _processor_begin: float = 0.0

    def begin(self) -> None:
        """Called before the clock of the training starts."""
        if self._window is None and FOREIGN_LOAD_IS_KNOWN:
            _halts.enter()
            self._window, self._trained = _read(), 0.0
        self._processor_begin = process_time()

    def end(self, seconds: float) -> None:
        """Called after the clock has stopped; `seconds` of training are added, 0 if the block does not count."""
        if seconds:
            self.processor += process_time() - self._processor_begin
        self._trained += seconds
        window = self._window
        if window is not None and (seconds >= _LONG_SECONDS or perf_counter() - window.at >= _WINDOW_SECONDS):
            self.close()

    def close(self) -> None:
        """Reads the counters up to now."""
        if self._window is None:
            return
        before, after = self._window, _read()
        seconds, delay = after.at - before.at, _run_delay(before, after)
        if seconds - (after.processor - before.processor) - delay > _HALT_SECONDS and _halts.settled():
            after = _read()  # a halt may have ended just now
        self._window = None
        _halts.leave()
        fraction = min(1.0, self._trained / seconds) if seconds > 0 else 0.0
        delay = max(delay, after.throttled - before.throttled)
        self._kept_waiting += fraction * (delay + after.halted - before.halted)
        self._stolen += fraction * (after.stolen - before.stolen)
        self._busy += fraction * (after.busy - before.busy)

    @property
    def foreign(self) -> float | None:
        """The seconds of foreign load so far; None if unknown on this system."""
        if not FOREIGN_LOAD_IS_KNOWN:
            return None
        own = min(1.0, self.processor / self._busy) if self._busy > 0 else 1.0
        return max(0.0, self._kept_waiting + own * self._stolen)  # counters of the kernel may step back a little


def _run_delay(before: _Reading, after: _Reading) -> float:
    """The seconds in which threads waited for a core that this process did not use itself."""
    delay = 0.0
    for thread, (waited, slices) in after.threads.items():
        waited_before, slices_before = before.threads.get(thread, (0.0, 0))
        delay += max(0.0, waited - waited_before - WAKE_SECONDS * (slices - slices_before))
    left = core_count() * (after.at - before.at) - (after.processor - before.processor)
    return max(0.0, min(delay, left))


def core_count() -> int:
    """The number of cores that this process may run on, whatever its quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read() -> _Reading:
    stolen, busy = _machine_times()
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return _Reading(
        at=perf_counter(),
        processor=process_time(),
        threads=dict(_threads()),
        throttled=sum(_throttled(path) for path in throttling_files()),
        halted=_halts.seconds + suspended,
        stolen=stolen,
        busy=busy,
    )


def _threads() -> Iterator[tuple[str, tuple[float, int]]]:
    """The run delay in seconds and the time slices of each thread, without the one that measures halts."""
    with suppress(OSError):
        for name in os.listdir(_TASKS):  # noqa: PTH208 - many times faster than pathlib
            if name == _halts.thread:
                continue
            with suppress(OSError, ValueError):  # a thread may end at any moment
                yield name, schedstat(f"{_TASKS}/{name}/schedstat")[1:]


def schedstat(path: str) -> tuple[float, float, int]:
    """The processor seconds of a thread, its run delay in seconds, its time slices. Raises: OSError, ValueError."""
    ran, delay, slices = _content(path).split()
    return int(ran) / 1e9, int(delay) / 1e9, int(slices)


def _content(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, 4096)
    finally:
        os.close(handle)


def _machine_times() -> tuple[float, float]:
    """Seconds of all processors together: stolen by the hypervisor, and busy."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, _content("/proc/stat").split(None, 9)[1:9])
    except (OSError, ValueError):
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    return steal / tick, (user + nice + system + irq + softirq) / tick


# --- control groups --------------------------------------------------------------------------------------------------


def control_groups(root: Path = Path("/")) -> list[Path]:
    """The folders of the control groups that limit this process's processor time, the innermost first.

    Those of version 2 hold cpu.max, those of version 1 cpu.cfs_quota_us. `root`: where /proc and /sys are.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        mounts = ("unified", "") if not controllers else (controllers, "cpu", "cpu,cpuacct")
        base = next(
            (m for m in (root / "sys/fs/cgroup" / name for name in mounts) if (m / "cgroup.procs").is_file()), None
        )
        if base is None:
            continue
        inner = base / path.strip("/")  # inside a container the path may be that of the host, which is not mounted
        within = [inner, *inner.parents] if inner.is_dir() and ".." not in path else [base]
        folders += [folder for folder in within if folder == base or base in folder.parents]
    return folders


def quota(root: Path = Path("/")) -> float | None:
    """The number of cores that the control groups of this process grant; None without a limit.

    A plan asks thousands of times in a second: an answer is valid for a second.
    """
    now = time.monotonic()
    if root in _answered and now - _answered[root][0] < _VALID_SECONDS:
        return _answered[root][1]
    limits = [limit for folder in control_groups(root) if (limit := _limit(folder)) is not None]
    granted = min(limits, default=None)
    if root == Path("/"):
        _answered[root] = (now, granted)
    return granted


_VALID_SECONDS = 1.0
_answered: dict[Path, tuple[float, float | None]] = {}  # when, and what


def _limit(folder: Path) -> float | None:
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed = int((folder / "cpu.cfs_quota_us").read_text())
        return None if allowed <= 0 else allowed / int((folder / "cpu.cfs_period_us").read_text())
    return None


_throttling: tuple[bytes, list[str]] = (b"", [])


def throttling_files() -> list[str]:
    """The files that count the throttled time of this process's control groups."""
    global _throttling
    try:
        current = _content("/proc/self/cgroup")
    except OSError:
        return []
    if current != _throttling[0]:
        _throttling = (
            current,
            [str(folder / "cpu.stat") for folder in control_groups() if (folder / "cpu.stat").is_file()],
        )
    return _throttling[1]


def _throttled(path: str) -> float:
    """Seconds, summed over processors."""
    try:
        words = _content(path).split()
    except OSError:
        return 0.0
    counts = dict(zip(words[::2], words[1::2], strict=False))
    if b"throttled_usec" in counts:
        return int(counts[b"throttled_usec"]) / 1e6
    return int(counts.get(b"throttled_time", b"0")) / 1e9


# --- halts -----------------------------------------------------------------------------------------------------------


@dataclass
class _Halts:
    """A thread that only sleeps while trainings run, and adds up what it oversleeps without being runnable."""

    seconds: float = 0.0
    thread: str = ""  # its number, as in /proc/self/task
    _running: threading.Thread | None = None
    _users: int = 0
    _due: float = 0.0  # when it should be awake next
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._running is None or not self._running.is_alive():
                self._due = perf_counter() + _BEAT_SECONDS
                self._running = threading.Thread(target=self._measure, name="assay-halts", daemon=True)
                self._running.start()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1

    def settled(self) -> bool:
        """Waits a little if the thread is overdue: after a halt it may not have run yet. Whether it was overdue."""
        begin = now = perf_counter()
        while now - self._due > _HALT_SECONDS and now - begin < _BEAT_SECONDS:
            time.sleep(0.001)
            now = perf_counter()
        return now > begin

    def _measure(self) -> None:
        self.thread = str(threading.get_native_id())
        path = f"{_TASKS}/{self.thread}/schedstat"
        idle = 0.0
        while True:
            begin, (_, delay, slices) = perf_counter(), schedstat(path)
            self._due = begin + _BEAT_SECONDS
            time.sleep(_BEAT_SECONDS)
            overslept = perf_counter() - begin - _BEAT_SECONDS
            _, delay_after, slices_after = schedstat(path)
            # while it waits for the interpreter's lock, it wakes once in every switch interval
            locked = 1.1 * sys.getswitchinterval() * max(0, slices_after - slices - 1)
            halted = overslept - (delay_after - delay) - locked
            if halted > _HALT_SECONDS:
                self.seconds += halted
            with self._lock:
                idle = 0.0 if self._users else idle + _BEAT_SECONDS
                if idle > _IDLE_SECONDS:
                    self._running, self.thread, self._due = None, "", float("inf")
                    return


_halts = _Halts()


def _is_known() -> bool:
    """Whether the kernel counts run delay: some have the file and leave it at 0."""
    try:
        *_, slices = schedstat(f"{_TASKS}/{os.getpid()}/schedstat")
    except (OSError, ValueError):
        return False
    return slices > 0 and hasattr(time, "CLOCK_BOOTTIME")


FOREIGN_LOAD_IS_KNOWN = _is_known()
