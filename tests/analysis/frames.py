"""Frames of trials and curves as the rest of the program makes them, for the tests of the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


def trials(accuracies: Mapping[str, Sequence[float]], **columns: Any) -> pd.DataFrame:
    """A trial for each accuracy of each configuration, the repeats counted from 0; other columns are constants."""
    rows = [
        {
            "trial": f"{label}/{repeat}",
            "study": "s",
            "configuration": label,
            "seed": repeat + 1,
            "repeat": repeat,
            "outcome": "completed",
            "accuracy": accuracy,
            "test_loss": np.nan,
            "train_loss": np.nan,
            "train_accuracy": np.nan,
            "validation_accuracy": np.nan,
            "seconds": 2.0,
            "flops": 1e9,
            "iterations": 100,
            "examples": 1000,
            "parameters": 10,
            "timing": "isolated",
            "threads": 2,
            "machine": "3f2a",
            "optimizer": "adam",
            "learning_rate": 0.001,
            "classes": 10,
        }
        | columns
        for label, values in accuracies.items()
        for repeat, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows)


def curves(values: Mapping[str, Sequence[float]], column: str = "test_accuracy", *, every: int = 10) -> pd.DataFrame:
    """A curve for each trial, a point each `every` iterations from 0; a second is 100 iterations."""
    others = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")
    return pd.DataFrame(
        [
            {"trial": trial, "iteration": i * every, "examples": i * every * 5, "seconds": i * every / 100.0}
            | {"flops": i * every * 1e6}
            | dict.fromkeys(others, np.nan)
            | {column: value}
            for trial, points in values.items()
            for i, value in enumerate(points)
        ]
    )
