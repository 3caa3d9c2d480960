"""A stand-in for a CUDA graph on a CPU: it records the operations of a step, and runs them again on the same memory.

Like a graph it freezes whatever Python decided while it recorded, and every number that was not in a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result


class Tape:
    """Records a step by running it once; `replay` repeats its operations. `made`: all tapes of a test."""

    made: list[Tape] = []

    def __init__(self, step: Callable[[], None], generators: list[torch.Generator]) -> None:
        recorder = _Recorder()
        with recorder:
            step()
        self.calls, self.replays = recorder.calls, 0
        Tape.made.append(self)

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for function, args, kwargs, result in self.calls:
                again = function(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr() and old.numel():
                        old.detach().copy_(new.detach())


class Stale(Tape):
    """A recorder that forgets one of the buffers: the hyperparameters stay those of the first iteration."""

    def __init__(self, step: Callable[[], None], generators: list[torch.Generator]) -> None:
        super().__init__(step, generators)
        first = next(i for i, call in enumerate(self.calls) if call[3].dtype == torch.float64)
        del self.calls[first]
