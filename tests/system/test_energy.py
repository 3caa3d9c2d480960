"""The counters of a machine, made by hand: most machines that run the tests have none, or show them to root alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from assay.system import energy
from assay.system.energy import EnergyMeter


def package(folder: Path, name: str, microjoules: int, *, most: int = 1_000_000_000) -> Path:
    made = folder / name
    made.mkdir()
    (made / "energy_uj").write_text(f"{microjoules}\n")
    (made / "max_energy_range_uj").write_text(f"{most}\n")
    return made


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = package(tmp_path, "intel-rapl:0", 5_000_000), package(tmp_path, "intel-rapl:1", 0)
    part = package(tmp_path, "intel-rapl:0:0", 0)
    with EnergyMeter(tmp_path) as meter:
        (first / "energy_uj").write_text("8000000")
        (second / "energy_uj").write_text("500000")
        (part / "energy_uj").write_text("900000")
    assert meter.joules == 3.5


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_SECONDS", 0.01)
    counted = package(tmp_path, "intel-rapl:0", 900_000, most=1_000_000)
    with EnergyMeter(tmp_path) as meter:
        for number in range(2, 9, 2):  # replaced in one step, as a reading of the kernel's file never sees half of it
            (tmp_path / "next").write_text(f"{number}00000")
            (tmp_path / "next").replace(counted / "energy_uj")
            time.sleep(0.03)
    assert meter.joules == pytest.approx(0.1 + 0.8)


def test_without_counters_or_where_one_cannot_be_read_it_is_unknown(tmp_path: Path) -> None:
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules is None
    counted = package(tmp_path, "intel-rapl:0", 0)
    with EnergyMeter(tmp_path) as meter:
        (counted / "energy_uj").unlink()
    assert meter.joules is None
