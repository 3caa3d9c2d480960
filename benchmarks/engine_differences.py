"""Measures what one seed differs between engines and instruction levels, for the table that `assay verify` uses.

`python -m benchmarks.engine_differences --out FILE` trains each configuration once with every engine and level of this
machine, each in a process of its own, and compares the curves in pairs. It measures dense networks, and with `--layers
convolutional` LeNet-5; rows of the other kind stay in the file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BINS = (100, 500, 2000)
"""Iterations up to which differences are pooled."""
SEEDS = (1, 2)
_MODELS = ({"hidden": [128]}, {"hidden": [64, 64], "activation": "tanh"})
_OPTIMIZERS = (
    {"name": "adam", "learning_rate": 0.001},
    {"name": "adam", "learning_rate": 0.01},
    {"name": "momentum", "learning_rate": 0.05},
)
_VARIANTS = (
    ("native", "ASSAY_NATIVE_LEVEL", "avx512"),
    ("native", "ASSAY_NATIVE_LEVEL", "avx2"),
    ("native", "ASSAY_NATIVE_LEVEL", "baseline"),
    ("numpy", "OPENBLAS_CORETYPE", "SkylakeX"),
    ("torch", "ATEN_CPU_CAPABILITY", "avx512"),
    ("jax", "XLA_FLAGS", "--xla_cpu_max_isa=AVX512"),
    ("numpy", "OPENBLAS_CORETYPE", "Haswell"),
    ("torch", "ATEN_CPU_CAPABILITY", "avx2"),
    ("jax", "XLA_FLAGS", "--xla_cpu_max_isa=AVX2"),
    ("torch", "ATEN_CPU_CAPABILITY", "default"),
)
"""The engines, each with the variable that sets its instruction level, and the level."""
_CONVOLUTIONAL = ("torch", "jax")  # the native engine trains none, and numpy takes a minute for each recipe
_PARTS = 2  # processes, one after the other, in which the recipes of a variant are trained
_QUANTITIES = ("test_loss", "test_accuracy", "train_loss")


def recipes(mnist: str, layers: str) -> Iterator[dict[str, Any]]:
    """The recipes: networks on the digits, and where the folder of MNIST is given on a part of it."""
    if layers == "convolutional":
        for optimizer, seed in itertools.product(_OPTIMIZERS, SEEDS):
            yield {"data": "digits-28", "model": "lenet5", "optimizer": optimizer, "seed": seed, "budget": BINS[0]}
        return
    for model, optimizer, seed in itertools.product(_MODELS, _OPTIMIZERS, SEEDS):
        yield {"model": model, "optimizer": optimizer, "seed": seed, "budget": BINS[-1]}
    for seed in SEEDS if mnist else ():
        data = {"name": mnist, "train": 5000}
        yield {"data": data, "model": _MODELS[0], "optimizer": _OPTIMIZERS[1], "seed": seed, "budget": 500}


def train_part(engine: str, mnist: str, *, layers: str, part: int) -> list[list[dict[str, Any]]]:
    """The curves of some of the recipes with one engine in this process."""
    from assay.errors import EngineError
    from assay.execution.fit import fit

    curves: list[list[dict[str, Any]]] = []
    for recipe in list(recipes(mnist, layers))[part::_PARTS]:
        try:
            points = fit(recipe, engine=engine, threads=1).points
        except EngineError:  # it cannot train this model
            points = ()
        curves.append([{name: getattr(point, name) for name in ("iteration", *_QUANTITIES)} for point in points])
    return curves


def measured(mnist: str, layers: str) -> Iterator[dict[str, list[list[dict[str, Any]]]]]:
    """The curves by engine and level, again after each of them; those that this machine lacks are left out."""
    curves: dict[str, Any] = {}
    for engine, variable, level in _VARIANTS:
        if layers == "convolutional" and engine not in _CONVOLUTIONAL:
            continue
        name, trained = f"{engine} {level.rpartition('=')[2]}", list[Any]()
        for part in range(_PARTS):
            words = [sys.executable, "-m", "benchmarks.engine_differences", "--train", engine]
            words += ["--part", str(part), "--mnist", mnist, "--layers", layers]
            environment = os.environ | {variable: level}
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
                break
            trained += json.loads(done.stdout)
        else:
            curves[name] = trained
            print(f"{name}: trained", file=sys.stderr, flush=True)
            yield curves


def differences(curves: dict[str, list[list[dict[str, Any]]]], layers: str) -> list[dict[str, Any]]:
    """The largest differences, by whether the engine or its level alone differs, and by iterations."""
    rows: list[dict[str, Any]] = []
    for kind, end in itertools.product(("level", "engine"), BINS):
        start = max((other for other in BINS if other < end), default=-1)
        accuracy, loss, n, same = [0.0], [0.0], 0, 0
        for a, b in itertools.combinations(curves, 2):
            if (a.partition(" ")[0] == b.partition(" ")[0]) != (kind == "level"):
                continue
            for one, other in zip(curves[a], curves[b], strict=True):
                pairs = [(p, q) for p, q in zip(one, other, strict=False) if start < p["iteration"] <= end]
                if not pairs:
                    continue
                n += 1
                same += all(p == q for p, q in pairs)
                accuracy.append(max(abs(p["test_accuracy"] - q["test_accuracy"]) for p, q in pairs))
                loss.append(max(relative(p["test_loss"], q["test_loss"]) for p, q in pairs))
        if not n:
            continue  # nothing was trained for so long
        rows.append(
            {"layers": layers, "kind": kind, "iterations": end, "n": n, "same_bits": same}
            | {"accuracy": max(accuracy), "accuracy_median": sorted(accuracy)[len(accuracy) // 2], "loss": max(loss)}
        )
    return rows


def relative(a: float, b: float) -> float:
    """The difference of two losses as a fraction of the larger one; of losses under 0.01, as a fraction of that."""
    return abs(a - b) / max(abs(a), abs(b), 0.01)


def main() -> None:
    """Trains with one engine, or measures all and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", default="", help="train with this engine and print the curves")
    parser.add_argument("--part", type=int, default=0, help="which of the parts of the recipes")
    parser.add_argument("--mnist", default="", help="folder of MNIST")
    parser.add_argument("--layers", choices=("dense", "convolutional"), default="dense", help="of the networks")
    parser.add_argument("--out", type=Path, help="file of the table")
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train_part(options.train, options.mnist, layers=options.layers, part=options.part)))
        return
    from assay.system.machine import describe

    machine = {name: describe()[name] for name in ("cpu", "cores", "versions")}
    old: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {"measured": {}, "rows": []}
    for curves in measured(options.mnist, options.layers):
        trained = {"recipes": len(next(iter(curves.values()))), "engines": list(curves), "machine": machine}
        rows = [row for row in old["rows"] if row["layers"] != options.layers] + differences(curves, options.layers)
        table = {"measured": {**old["measured"], options.layers: trained}, "rows": rows}
        options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
