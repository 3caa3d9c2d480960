"""The energy that the processor packages take, where the machine counts it (Linux, RAPL)."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

_COUNTERS = Path("/sys/class/powercap")
_SECONDS = 20.0  # between two readings: a counter begins anew after some hundred kilojoules, minutes under full load


class EnergyMeter:
    """Counts the joules of all processor packages while it is entered; also those of other programs on the machine.

    `joules` is None where the machine has no counters, or this user may not read them (most systems let only root).

    Args:
        folder: Where the kernel shows the counters, `intel-rapl:N` for package N.

    Examples:
        >>> with EnergyMeter() as meter:
        ...     total = sum(range(1000))
        >>> meter.joules is None or meter.joules >= 0
        True

    Source: Linux kernel documentation, "Power Capping Framework".
    """

    def __init__(self, folder: Path = _COUNTERS) -> None:
        self._counters = [_Counter(package) for package in sorted(folder.glob("intel-rapl:*")) if _is_package(package)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="energy", daemon=True)

    @property
    def joules(self) -> float | None:
        """What all packages took so far; None if a counter cannot be read, or none exists."""
        if not self._counters or any(counter.lost for counter in self._counters):
            return None
        return sum(counter.microjoules for counter in self._counters) / 1e6

    def __enter__(self) -> EnergyMeter:
        for counter in self._counters:
            counter.start()
        if self._counters:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._read()

    def _watch(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._read()

    def _read(self) -> None:
        for counter in self._counters:
            counter.read()


class _Counter:
    """The counter of one package, which begins anew at its `max_energy_range_uj`."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._last: int | None = None
        self.microjoules = 0
        self.lost = False

    def start(self) -> None:
        """Counts from now on."""
        self._last = self._number("energy_uj")

    def read(self) -> None:
        """Adds what was taken since the last reading."""
        now = self._number("energy_uj")
        if now is None or self._last is None:
            return
        if now < self._last:
            self.microjoules += (self._number("max_energy_range_uj") or 0) - self._last + now
        else:
            self.microjoules += now - self._last
        self._last = now

    def _number(self, name: str) -> int | None:
        try:
            return int((self._package / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            self.lost = True
            return None


def _is_package(folder: Path) -> bool:
    """Whether a counter is of a whole package: `intel-rapl:0:1` is a part of `intel-rapl:0`."""
    return folder.name.count(":") == 1


__all__ = ["EnergyMeter"]
