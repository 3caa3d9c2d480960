"""What engines measured on GPUs, from which `auto` takes the fastest, and whether a GPU or the CPU is faster.

Milliseconds an iteration, data on the device, the lowest and the highest of several runs. They were measured before the
kernels were deterministic by default, so that they are to be measured again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.engines.promises import kind_of

CARD = "NVIDIA H100, PyTorch 2.11, JAX 0.11.2"
"""Where the milliseconds were measured."""


@dataclass(frozen=True)
class Speeds:
    """A training that was measured: `kind` is that of its network, `milliseconds` are by engine."""

    work: str
    kind: str
    precision: str
    milliseconds: dict[str, tuple[float, float]]

    @property
    def fastest(self) -> str:
        """The engine with the lowest milliseconds."""
        return min(self.milliseconds, key=lambda engine: self.milliseconds[engine])


_WIDE = "lenet5-wide, batches of 600"
_3LS = "3LS, batches of 128, adam"

SPEEDS = (
    Speeds(_WIDE, "layers", "float32", {"jax": (0.85, 0.85), "torch": (1.75, 2.05)}),
    Speeds(_WIDE, "layers", "tensorfloat32", {"jax": (0.68, 0.68), "torch": (1.54, 2.31)}),
    Speeds(_WIDE, "layers", "bfloat16", {"jax": (0.48, 0.48), "torch": (1.84, 2.67)}),
    Speeds(_3LS, "dense", "float32", {"jax": (0.065, 0.065), "torch": (1.03, 1.12)}),
    Speeds("90 of these as one cohort", "dense", "float32", {"jax": (0.43, 0.43), "torch": (107.0, 122.0)}),
)

_3LS_FLOPS = 28_153_420  # of an iteration of 3LS in batches of 128
_LEAST_SECONDS = 0.065e-3  # of an iteration of jax on the card: hardly less where there is less to compute
_COHORT_RATE = 90 * _3LS_FLOPS / 0.43e-3  # operations a second of a cohort of them
_CORE_RATE = _3LS_FLOPS / 158.4e-6  # of one core with the native engine (docs/performance.md)


def faster_engine(engine: str, device: str, *, kind: str, precision: str) -> str | None:
    """The sentence on an engine that was faster on such a device; None if none was, or nothing was measured.

    >>> faster_engine("torch", "cuda", kind="dense", precision="float32")[:72]
    "engine 'jax' measured faster than 'torch' on a GPU: 0.065 ms an iteratio"
    >>> faster_engine("jax", "cuda", kind="dense", precision="float32")
    """
    if kind_of(device) != "cuda":
        return None
    rows = [row for row in SPEEDS if row.kind == kind and engine in row.milliseconds]
    row = next((row for row in rows if row.precision == precision), rows[0] if rows else None)
    if row is None or row.fastest == engine:
        return None
    low, high = row.milliseconds[engine]
    return (
        f"engine {row.fastest!r} measured faster than {engine!r} on a GPU: {row.milliseconds[row.fastest][0]:g} ms an "
        f"iteration, not {low:g} to {high:g} ({row.work}, {row.precision}; {CARD})"
    )


@dataclass(frozen=True)
class StudyWork:
    """What a study computes at once: operations of an iteration, of all trials that run side by side.

    `dense`: whether all of its networks are of dense layers in float32 or float64, which the native engine trains.
    """

    operations: float
    dense: bool = True


def gpu_is_faster(work: StudyWork, *, cores: int) -> bool:
    """Whether a GPU takes less time for an iteration than that many cores, by what was measured.

    >>> gpu_is_faster(StudyWork(28e6), cores=1), gpu_is_faster(StudyWork(2e6), cores=1)
    (True, False)
    >>> gpu_is_faster(StudyWork(90 * 28e6), cores=16), gpu_is_faster(StudyWork(2e6, dense=False), cores=16)
    (True, True)
    """
    return not work.dense or work.operations / (_CORE_RATE * cores) > _seconds_on_gpu(work)


def _seconds_on_gpu(work: StudyWork) -> float:
    return max(_LEAST_SECONDS, work.operations / _COHORT_RATE)


def slower_device(work: StudyWork, device: str, *, cores: int) -> str | None:
    """The sentence where the CPU is probably faster than the GPU that was named; None if it is not."""
    if kind_of(device) != "cuda" or gpu_is_faster(work, cores=cores):
        return None
    on_cpu = work.operations / (_CORE_RATE * cores)
    return (
        f"device 'cpu' is probably faster than {device!r}: an iteration has {work.operations / 1e6:,.3g} million "
        f"operations, about {on_cpu * 1e6:,.2g} us there, and no iteration measured less than "
        f"{_LEAST_SECONDS * 1e6:g} us on a GPU"
    )


def table(rows: Iterable[Speeds] = SPEEDS) -> str:
    """The milliseconds as a table in Markdown: a row for each training, a column for each engine."""
    lines = ["| training | precision | jax | torch |", "| --- | --- | --- | --- |"]
    for row in rows:
        cells = [_range(row.milliseconds.get(engine)) for engine in ("jax", "torch")]
        lines.append(f"| {row.work} | {row.precision} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _range(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return "-"
    return f"{pair[0]:g}" if pair[0] == pair[1] else f"{pair[0]:g} - {pair[1]:g}"
