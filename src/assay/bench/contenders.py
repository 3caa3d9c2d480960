"""The contenders of a bench: the engines, and the peers that they are compared with."""

from __future__ import annotations

import importlib
import importlib.util

from assay import engines
from assay.engines import ENGINES
from assay.engines.base import Engine
from assay.errors import EngineError, to_install

PEERS: dict[str, tuple[str, str, str]] = {  # as ENGINES; a peer only trains one trial from its start
    "torch-eager": ("assay.engines.torch_eager", "TorchEager", "torch"),  # PyTorch's defaults
    "torch-eager-float32": ("assay.engines.torch_peers", "TorchEagerFloat32", "torch"),
    "torch-graph": ("assay.engines.torch_peers", "TorchGraph", "torch"),
}


def names() -> list[str]:
    """The names of all engines and peers."""
    return [*ENGINES, *PEERS]


def load(name: str, *, device: str, threads: int | None) -> Engine:
    """Loads the engine or peer of a name. Raises: EngineError where it is not installed."""
    if name not in PEERS:
        return engines.load(name, device=device, threads=threads)
    module, class_name, needs = PEERS[name]
    if importlib.util.find_spec(needs) is None:
        raise EngineError(f"{name!r} needs {needs}: {to_install(needs)}")
    peer: type[Engine] = getattr(importlib.import_module(module), class_name)
    return peer(device=device, threads=threads)
