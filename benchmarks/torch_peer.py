"""Idiomatic PyTorch on one trial: the baseline of every ratio."""

from __future__ import annotations

from assay.engines.torch_eager import TorchEager
from benchmarks.engines import Trainer
from benchmarks.problem import Problem


def torch_eager(problem: Problem, threads: int, *, compiled: bool = False) -> Trainer:
    """The plain training loop as a candidate."""
    engine = TorchEager(threads=threads, compiled=compiled)
    return Trainer("torch.compile" if compiled else "torch eager", engine, problem, threads)
