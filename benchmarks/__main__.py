"""Times the engines and their peers: python -m benchmarks [--data FOLDER] [--only WORKLOAD] [--quick] [--json FILE].

Without --data the images are synthetic, with as many zeros as MNIST has; --quick measures less of everything.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.bench import calibration as bench
from assay.data.dataset import Dataset, from_arrays
from assay.data.datasets import load
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.rng import stream
from assay.system.files import write_atomically
from assay.system.machine import cores
from assay.training.loop import prepared
from benchmarks.chart import chart
from benchmarks.engines import assay_engine
from benchmarks.numpy_peer import NumpyMatrix, NumpySamples
from benchmarks.problem import CHECKED, Problem
from benchmarks.sklearn_peer import Sklearn
from benchmarks.torch_peer import torch_eager

DESCENT = {"name": "descent", "learning_rate": 0.2}
STUDY = {"model": {"hidden": [128]}, "batches": {"kind": "shuffled", "size": 64}, "optimizer": {"name": "adadelta"}}
WORKLOADS: dict[str, dict[str, Any]] = {}  # name -> recipe, and iterations or epochs per call
for _model in ("4LS", "3LS", "2LR"):
    _loss = "cross_entropy" if _model == "2LR" else "mse"
    _base = {"model": _model, "loss": _loss, "optimizer": DESCENT}
    _window = {"kind": "window", "size": 100}
    WORKLOADS[f"stochastic {_model}"] = {
        "recipe": _base | {"batches": "single", "optimizer": DESCENT | {"learning_rate": 0.02}},
        "iterations": 2000,
    }
    WORKLOADS[f"mini-batch {_model}"] = {"recipe": _base | {"batches": _window}, "iterations": 600}
    WORKLOADS[f"mini-batch-adam {_model}"] = {
        "recipe": _base | {"batches": _window, "optimizer": "adam"},
        "iterations": 600,
    }
    WORKLOADS[f"full-batch {_model}"] = {"recipe": _base | {"batches": "full"}, "iterations": 4, "threads": (1, 2)}
for _input in ("unit", "standardise"):
    WORKLOADS[f"parameter-study {_input}"] = {"recipe": STUDY | {"input": _input}, "epochs": 1}
WORKLOADS["cohort"] = {"recipe": STUDY, "epochs": 1, "trials": 27}
WORKLOADS["from-scratch"] = {
    "recipe": {
        "model": {"hidden": [30], "activation": "sigmoid", "output": "sigmoid", "initial": "standard_normal"},
        "loss": "quadratic",
        "batches": {"kind": "shuffled", "size": 10},
        "optimizer": {"name": "descent", "learning_rate": 3.0},
        "precision": "float64",
    },
    "epochs": 1,
}


def images(examples: int) -> Dataset:
    """Synthetic images with the fraction of zeros of MNIST: each class lights up its own part of the image."""
    y = stream(1, "labels").integers(10, examples)
    x = (stream(1, "pixels").uniform(examples * 784).reshape(examples, 784) * 255).astype(np.uint8)
    x *= (
        stream(1, "lit").uniform(examples * 784).reshape(examples, 784)
        < 0.05 + 0.28 * ((np.arange(784) * 20 // 784) % 10 == y[:, None]) + 0.12
    )
    cut = examples * 6 // 7
    return from_arrays(x[:cut], y[:cut], x[cut:], y[cut:], name="made-up")


def work_of(problem: Problem) -> bench.Work:
    """The minimum work of a unit."""
    n = len(problem.y)
    iterations = problem.iterations if problem.evaluates else 1
    seen = n if problem.evaluates else problem.recipe.batches.width(n)
    network = problem.cohort.network
    work = bench.work_of(problem.recipe, network, problem.x, iterations=iterations, examples=seen)
    if not problem.evaluates:
        return work
    return replace(work, flops=work.flops + bench.work_of_evaluation(network, problem.x, len(problem.data.y_test)))


def candidates_of(name: str, problem: Problem, single: Problem, settings: dict[str, Any]) -> list[Any]:
    """The candidates of a workload; `single` is the problem of the first trial alone, which a cohort's peers train."""
    kind, two = name.split()[0], min(2, cores())
    eager = [torch_eager(single, threads) for threads in sorted({1, two})]
    if kind == "cohort":
        return [assay_engine("native", problem, two), *eager]
    # a stochastic iteration takes microseconds, so a call does enough of them to make its overhead negligible
    compiled = replace(problem, iterations=problem.iterations * 20) if kind == "stochastic" else problem
    candidates: list[Any] = [assay_engine("native", compiled, threads) for threads in settings.get("threads", (1,))]
    if kind in ("mini-batch", "full-batch", "from-scratch"):
        candidates.append(assay_engine("numpy", problem, two))
    candidates += [assay_engine("jax", compiled, 1), *eager]
    if kind in ("mini-batch", "parameter-study") and not settings["quick"]:
        candidates.append(torch_eager(problem, 1, compiled=True))
    if name == "mini-batch-adam 2LR":
        candidates.append(Sklearn(problem, two))
    if kind == "from-scratch":
        candidates += [NumpyMatrix(problem, 1), NumpySamples(problem, 1)]
    return candidates


def run(report: bench.Report, name: str, dataset: Dataset, *, quick: bool) -> None:
    """Measures one workload."""
    settings = WORKLOADS[name] | {"quick": quick}
    recipe = Recipe.parse(settings["recipe"] | {"data": dataset.name, "budget": {"iterations": 1}})
    data = prepared(recipe, dataset)
    n, trials = len(data.y_train), settings.get("trials", 1)
    evaluates = "epochs" in settings
    if evaluates:
        iterations = -(-n // recipe.batches.width(n))
    else:
        iterations = settings["iterations"] // (4 if quick and settings["iterations"] > 100 else 1)
    rates = [recipe.optimizer.learning_rate * (1.0 - i / 50) for i in range(trials)]
    recipes = tuple(recipe.patched({"optimizer": {"learning_rate": rate}}) for rate in rates)
    problem = Problem(name, recipes, data, iterations, evaluates=evaluates)
    single = Problem(name, recipes[:1], data, iterations, evaluates=evaluates)
    reference = assay_engine("numpy", Problem(name, recipes[:1], data, CHECKED), 1).check()
    unit, scale = ("s/epoch", 1.0) if evaluates else (("ms/it", 1e3) if "full" in name else ("us/it", 1e6))
    if trials > 1:
        unit = "core s/epoch/trial"  # one process of a peer for each core would be as fast for each trial
    repetitions = 3 if quick else 5
    work, per_core = work_of(single), trials > 1
    workload = bench.Workload(name, reference, work, unit=unit, scale=scale, repetitions=repetitions, per_core=per_core)
    bench.measure(report, workload, candidates_of(name, problem, single, settings))


def main() -> None:
    """Parses the options, measures, and writes the results."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder with MNIST's four files")
    parser.add_argument("--only", help="only the workloads whose name has this prefix", default="")
    parser.add_argument("--quick", action="store_true", help="measure less of everything, in under a minute")
    parser.add_argument("--json", type=Path, help="write the rows as JSON")
    parser.add_argument("--markdown", type=Path, help="write the table")
    parser.add_argument("--plot", type=Path, help="write a picture (PNG or SVG)")
    options = parser.parse_args()
    names = [name for name in WORKLOADS if name.startswith(options.only)]
    if not names:
        parser.error(f"--only: no workload begins with {options.only!r}; expected one of {', '.join(WORKLOADS)}")
    if options.quick and not options.only:
        names = ["stochastic 4LS", "mini-batch 2LR", "full-batch 4LS", "parameter-study unit", "from-scratch"]
    try:
        dataset = load(str(options.data.resolve())) if options.data else images(7_000 if options.quick else 70_000)
        report = bench.start()
        for name in names:
            run(report, name, dataset, quick=options.quick)
        report.finish()
    except AssayError as error:  # a folder without data, or a candidate that disagrees with the reference
        parser.exit(2, f"error: {error}\n")
    print(report.markdown())
    if options.json:
        write_atomically(options.json, json.dumps(report.plain(), indent=1).encode())
    if options.markdown:
        write_atomically(options.markdown, report.markdown().encode())
    if options.plot:
        chart(report, options.plot)


if __name__ == "__main__":
    main()
