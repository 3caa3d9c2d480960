"""Made-up frames of studies, in the shape in which the rest of the program gives them."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEDGER = {"data": 0.05, "compile": 0.1, "train": 1.0, "evaluate": 0.2, "checkpoint": 0.03, "wait": 0.01, "other": 0.01}
OPTIMIZERS = ("adam", "descent", "momentum")
LONG = "model = mlp 128 relu log_softmax, optimizer = adam with an extremely long explanation of nothing at all, batch "
HTML = '<b onmouseover="alert(1)">bold</b></script><script>alert("name")</script>'


def study(
    configurations: int = 12, seeds: int = 3, points: int = 40, *, outcome: str = "completed", seed: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trials and curves of a grid of optimizers, learning rates and batch sizes, with noise from a fixed seed."""
    rng = np.random.default_rng(seed)
    rates, sizes = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001), (32, 128, 512, 2048)
    trials, curves = [], []
    steps = np.unique(np.linspace(0, 6000, points).round().astype(int))
    for c in range(configurations):
        optimizer, rate = OPTIMIZERS[c % 3], rates[c // 3 % 6]
        batch = sizes[c // 18 % 4]
        goal = 0.985 - 0.004 * abs(np.log10(rate) + 2) ** 2 - 0.002 * (batch / 2048) - 0.006 * (c % 3)
        pace = 8e-4 * (1 + c % 5) * (batch / 128) ** 0.5
        for s in range(seeds):
            key = f"t{c}-{s}"
            final = goal + rng.normal(0, 0.001)
            accuracy = final - (final - 0.1) * np.exp(-steps / (150 + 120 * (c % 3))) + rng.normal(0, 0.002, len(steps))
            loss = 0.05 + 2.25 * np.exp(-steps / (200 + 150 * (c % 3))) * np.exp(rng.normal(0, 0.03, len(steps)))
            seconds = steps * pace * rng.uniform(0.95, 1.05)
            bad = outcome != "completed"
            curve = pd.DataFrame({"trial": key, "iteration": steps, "examples": steps * batch, "seconds": seconds})
            curve["flops"] = steps * batch * 1.2e6
            for split, worse in (("train", 0.0), ("validation", 0.003), ("test", 0.004)):
                curve[f"{split}_loss"] = np.nan if bad else loss * (1 + 20 * worse)
                curve[f"{split}_accuracy"] = np.nan if bad else accuracy - worse
            curves.append(curve)
            last = curve.iloc[-1]
            row = {"trial": key, "study": "which-optimizer", "configuration": f"{optimizer} {rate:g}, batch {batch}"}
            row |= {"batch": batch, "seed": s, "repeat": s, "outcome": outcome, "accuracy": last.test_accuracy}
            row |= {"test_loss": last.test_loss, "train_loss": last.train_loss, "train_accuracy": last.train_accuracy}
            row |= {"validation_accuracy": last.validation_accuracy, "seconds": last.seconds, "flops": last.flops}
            row |= {"iterations": 6000, "examples": 6000 * batch, "parameters": 101770, "timing": "isolated"}
            row |= {"effort": last.seconds / last.test_accuracy, "threads": 2, "machine": "a", "engine": "native"}
            row |= {"data": "mnist", "model": "2LR", "optimizer": optimizer, "learning_rate": rate}
            row |= {f"ledger_{name}": share * last.seconds for name, share in LEDGER.items()}
            trials.append(row | {"ledger_wall": last.seconds * sum(LEDGER.values())})
    frame = pd.DataFrame(trials)
    if configurations > 72:
        frame["configuration"] = frame["configuration"] + [f", {i // seeds}" for i in range(len(frame))]
    return frame, pd.concat(curves, ignore_index=True)


def diverging(trials: pd.DataFrame, curves: pd.DataFrame, which: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study with some of its trials diverged after a third of their points."""
    trials, curves = trials.copy(), curves.copy()
    trials.loc[trials.trial.isin(which), "outcome"] = "diverged"
    numbers = ["accuracy", "test_loss", "train_loss", "train_accuracy", "validation_accuracy", "effort"]
    trials.loc[trials.trial.isin(which), numbers] = np.nan
    late = curves.trial.isin(which) & (curves.iteration > 2000)
    losses = [c for c in curves.columns if c.endswith("_loss")]
    near = curves.trial.isin(which) & (curves.iteration > 1500) & ~late
    curves.loc[near, losses] = curves.loc[near, losses] * 1e6
    curves.loc[late, [*losses, *(c for c in curves.columns if c.endswith("_accuracy"))]] = np.nan
    return trials, curves


def effects_frame() -> pd.DataFrame:
    rows = [
        ("optimizer", "descent", -0.021, -0.024, -0.018),
        ("optimizer", "momentum", -0.002, -0.004, 0.001),
        ("learning_rate", 0.1, -0.11, -0.16, -0.07),
        ("learning_rate", 0.001, 0.004, 0.001, 0.007),
        ("batch", 32, 0.006, 0.002, 0.009),
        ("batch", 512, -0.004, -0.009, 0.002),
        ("activation", "sigmoid", -0.031, -0.036, -0.026),
    ]
    return pd.DataFrame(rows, columns=["axis", "value", "effect", "low", "high"])


def verdicts_frame() -> pd.DataFrame:
    rows = [
        ("adam 0.001", "descent 0.2", 0.021, 0.017, 0.025, True),
        ("adam 0.001", "momentum 0.05", 0.002, -0.001, 0.005, False),
        ("momentum 0.05", "descent 0.2", 0.019, 0.014, 0.023, True),
        ("nadam 0.001", "adam 0.001", -0.001, -0.004, 0.002, False),
        ("adadelta", "adam 0.001", -0.012, -0.015, -0.009, True),
    ]
    return pd.DataFrame(rows, columns=["a", "b", "difference", "low", "high", "decided"])


def importance_frame() -> pd.DataFrame:
    names = ["learning_rate", "optimizer", "batch", "activation", "initialisation"]
    return pd.DataFrame({"axis": names, "share": [0.52, 0.23, 0.11, 0.09, 0.004]})
