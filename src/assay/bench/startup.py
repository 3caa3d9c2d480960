"""The start-up time of a new process before its first iteration: loading libraries and compiling.

Run as `python -P -m assay.bench.startup ENGINE RECIPE`, with the recipe as JSON, it prints its own seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from time import perf_counter

from assay.data.datasets import load
from assay.engines import load as load_engine
from assay.errors import EngineError
from assay.parts.batches import make_batches
from assay.recipe.model import Recipe
from assay.system.import_path import own_environment, own_process
from assay.training.loop import Training, prepared


@dataclass(frozen=True)
class ColdStart:
    """The start-up seconds of a new process.

    Attributes:
        process: until its libraries are loaded.
        compile: to compile or warm up an iteration with an empty cache.
        cached: the same with the cache that the first process has filled.
    """

    process: float
    compile: float
    cached: float


def starts(recipe: Recipe, engine: str) -> ColdStart:
    """Measures the start of an engine on one thread, in two processes in sequence. Raises: EngineError."""
    with tempfile.TemporaryDirectory() as cache:
        first, second = (_started(recipe, engine, cache) for _ in range(2))
    return ColdStart(min(first[0], second[0]), first[1], second[1])


def _started(recipe: Recipe, engine: str, cache: str) -> tuple[float, float]:
    """The seconds until a new process has loaded its libraries, and those of its warm-up."""
    begin = perf_counter()
    done = subprocess.run(
        own_process("assay.bench.startup", engine, json.dumps(recipe.plain())),
        env={key: value for key, value in own_environment().items() if key != "JAX_COMPILATION_CACHE_DIR"}
        | {"ASSAY_CACHE": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    total = perf_counter() - begin
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EngineError(f"engine {engine!r} does not start in a new process: {last[0]}")
    inside: dict[str, float] = json.loads(done.stdout)
    return total - inside["after"], inside["warm_up"]


def _start_here(engine: str, recipe: Recipe) -> None:
    """Loads the engine, prepares a training and warms it up; prints the seconds of the warm-up and since loading."""
    loaded = load_engine(engine, threads=1)
    begin = perf_counter()
    training = Training([recipe], loaded, prepared(recipe, load(recipe.data.name, task=recipe.data.task)))
    batches = make_batches(recipe.batches, training.cohort.seeds, 1, 1, training.n)
    middle = perf_counter()
    loaded.warm_up(training.state, batches)
    end = perf_counter()
    print(json.dumps({"warm_up": end - middle, "after": end - begin}))


if __name__ == "__main__":
    _start_here(sys.argv[1], Recipe.parse(json.loads(sys.argv[2])))

__all__ = ["ColdStart", "starts"]
