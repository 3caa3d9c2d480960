"""Measures the three models of the articles on full MNIST with every engine, and how closely the engines agree.

    python scripts/measure_engines.py FOLDER_OF_MNIST [--seeds N]

writes docs/measured.md. Every training runs in a process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.datasets import load
from assay.engines import ENGINES, installed
from assay.engines import load as load_engine
from assay.recipe.model import Recipe
from assay.system.machine import describe
from assay.training.loop import prepared, train

ITERATIONS = 64_000
RECIPE = {"optimizer": {"name": "descent", "learning_rate": 0.2}, "batches": {"kind": "window", "size": 100}}
PUBLISHED = {"2LR": 0.9698}
MODELS = ("4LS", "3LS", "2LR")


def run(folder: Path, model: str, engine: str, seed: int) -> dict[str, Any]:
    """One training from the command line; its result."""
    sets = {
        "data": json.dumps(str(folder)),
        "model": model,
        "optimizer.name": "descent",
        "optimizer.learning_rate": "0.2",
        "batches": "window",
        "budget.iterations": str(ITERATIONS),
        "log": str(ITERATIONS),
        "seed": str(seed),
    }
    words = [f"--set={key}={value}" for key, value in sets.items()]
    command = [sys.executable, "-m", "assay.cli", "train", "--json", "--engine", engine, *words]
    print(model, engine, "seed", seed, flush=True)
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def deviation(folder: Path, model: str, engine: str, precision: str, iterations: int) -> float:
    """The largest difference of a batch's loss from the numpy engine's."""
    log = {"every": 1, "train_loss": "batch"}
    recipe = Recipe.parse(
        RECIPE | {"data": str(folder), "model": model, "precision": precision, "log": log, "batches": "window"}
    ).with_budget(iterations=iterations)
    data = prepared(recipe, load(recipe.data.name))
    curves = [
        np.array([p.train_loss for p in train([recipe], load_engine(name), data)[0].points[1:]], float)
        for name in ("numpy", engine)
    ]
    return float(np.abs(curves[0] - curves[1]).max())


def spread(values: list[float], form: str) -> str:
    """The median, and the smallest and largest where there is more than one."""
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    engines = [name for name in ENGINES if installed(name)]

    rows: list[str] = []
    for model in MODELS:
        for engine in engines:
            results = [run(folder, model, engine, seed) for seed in range(1, asked.seeds + 1)]
            accuracies = [100 * r["accuracy"] for r in results]
            seconds = [r["seconds"]["train"] for r in results]
            each = [1e6 * s / ITERATIONS for s in seconds]
            compile_s = spread([r["seconds"]["compile"] for r in results], ".2f")
            rows.append(
                f"| {model} | {engine} | {spread(accuracies, '.2f')} | {spread(seconds, '.1f')} "
                f"| {spread(each, '.0f')} | {compile_s} |"
            )
    agreement = [
        f"| {model} | {engine} | {deviation(folder, model, engine, 'float64', 60):.1e} "
        f"| {deviation(folder, model, engine, 'float32', 200):.1e} |"
        for model in MODELS
        for engine in engines
        if engine != "numpy"
    ]
    machine = describe()
    libraries = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    seeds = "one seed" if asked.seeds == 1 else f"{asked.seeds} seeds, median with smallest and largest"
    text = f"""# Measured

Written by `scripts/measure_engines.py`.

Machine: {machine["cpu"]}, {machine["cores"]} cores, {machine["memory_bytes"] / 2**30:.0f} GiB, {machine["system"]};
{libraries}.

## The three models of the Flux.jl articles

Full MNIST, mini-batch gradient descent over contiguous windows of 100, Descent at 0.2, {ITERATIONS:,} iterations,
float32 (the numpy engine computes in float64), {seeds}, threads as each engine chooses. Accuracy is that of the 10,000
test images; training seconds leave out data, compilation and evaluation. Published for 2LR: 96.98 %.

| model | engine | test accuracy [%] | training [s] | an iteration [us] | compilation [s] |
|---|---|---:|---:|---:|---:|
{chr(10).join(rows)}

## How closely the engines agree

The largest difference of a batch's loss from the numpy engine, same weights and batches.

| model | engine | float64, 60 iterations | float32, 200 iterations |
|---|---|---:|---:|
{chr(10).join(agreement)}
"""
    (Path(__file__).resolve().parents[1] / "docs" / "measured.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
