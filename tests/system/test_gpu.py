"""What the libraries of a driver answer, with doubles in their place; without them everything is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.system import gpu


class Cuda:
    """libcuda with two devices under CUDA 12.8."""

    def cuInit(self, flags: Any) -> int:
        return 0

    def cuDriverGetVersion(self, number: Any) -> int:
        number._obj.value = 12080
        return 0

    def cuDeviceGet(self, device: Any, ordinal: Any) -> int:
        device._obj.value = ordinal.value
        return 0 if ordinal.value < 2 else 101

    def cuDeviceGetPCIBusId(self, text: Any, size: Any, device: Any) -> int:
        text.value = f"0000:0{device.value}:00.0".encode()
        return 0


class Nvml:
    """NVML of a driver, on whose second device 100 processes compute."""

    def nvmlSystemGetDriverVersion(self, text: Any, size: Any) -> int:
        text.value = b"570.124.06"
        return 0

    def nvmlDeviceGetHandleByPciBusId_v2(self, address: bytes, handle: Any) -> int:
        handle._obj.value = 1 + int(address[6:7])
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, found: Any) -> int:
        running = [] if handle.value == 1 else list(range(1000, 1100))
        room, count._obj.value = count._obj.value, len(running)
        if room < len(running):
            return 7
        for entry, pid in zip(found, running, strict=False):
            entry.pid = pid
        return 0


@pytest.fixture
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_cuda", Cuda)
    monkeypatch.setattr(gpu, "_nvml", Nvml)


@pytest.mark.usefixtures("_libraries")
def test_a_gpu_as_its_driver_reports_it() -> None:
    assert gpu.facts("Fake card") == {"model": "Fake card", "driver": "570.124.06", "cuda": "12.8"}
    assert gpu.processes(0) == frozenset()
    assert gpu.processes(1) == frozenset(range(1000, 1100))
    assert gpu.processes(2) is None


@pytest.mark.parametrize("missing", ["_cuda", "_nvml"])
@pytest.mark.usefixtures("_libraries")
def test_without_a_library_the_processes_are_unknown(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, missing, lambda: None)
    assert gpu.processes(0) is None


@pytest.mark.usefixtures("_libraries")
def test_an_older_driver_without_the_function_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Nvml, "nvmlDeviceGetComputeRunningProcesses_v3")
    assert gpu.processes(1) is None


def test_without_a_driver_only_the_model_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "_cuda", lambda: None)
    monkeypatch.setattr(gpu, "_nvml", lambda: None)
    assert gpu.driver_version(tmp_path) is None
    assert gpu.present(tmp_path) == []
    assert gpu.boot_id(tmp_path) is None
    assert gpu.cuda_version() is None


def test_the_kernel_tells_the_driver_where_nvml_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "_nvml", lambda: None)
    for folder in ("driver/nvidia/gpus/0000:01:00.0", "sys/kernel/random"):
        (tmp_path / folder).mkdir(parents=True)
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build  (dvs-builder)"
    (tmp_path / "driver/nvidia/version").write_text(f"{line}\nGCC version:  gcc version 12.2.0\n")
    (tmp_path / "sys/kernel/random/boot_id").write_text("abc\n")
    assert gpu.driver_version(tmp_path) == "570.124.06"
    assert gpu.present(tmp_path) == ["0000:01:00.0"]
    assert gpu.boot_id(tmp_path) == "abc"
