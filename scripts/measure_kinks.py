"""How soon correct engines part at the kinks of relu: an engine in float32 against numpy in float64, by seed.

python scripts/measure_kinks.py [ENGINE]
"""

from __future__ import annotations

import sys

import numpy as np

from assay.data.datasets import load
from assay.engines import load as load_engine
from assay.recipe.model import Recipe
from assay.training.loop import Training, prepared

SEEDS, ITERATIONS, TOLERANCE = 20, (20, 200), 1e-4


def weights(engine: str, activation: str, precision: str, *, seed: int, iterations: int) -> dict[str, np.ndarray]:
    """The weights after a training on the embedded digits, mini-batches of 64, Adam at 0.001."""
    model = {"name": "mlp", "hidden": [64, 64], "activation": activation}
    recipe = Recipe.parse(
        {
            "data": "digits",
            "model": model,
            "optimizer": "adam",
            "batches": {"size": 64},
            "precision": precision,
            "seed": seed,
            "budget": {"iterations": iterations},
            "log": f"{iterations} iterations",
        }
    )
    training = Training([recipe], load_engine(engine, threads=1), prepared(recipe, load("digits")))
    for _ in training:
        pass
    return training.histories()[0].checkpoint.weights


def main() -> None:
    """Prints, for relu and sigmoid, how many seeds have a weight beyond the tolerance, and the largest difference."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "native"
    for activation in ("relu", "sigmoid"):
        for iterations in ITERATIONS:
            differences: list[float] = []
            for seed in range(1, SEEDS + 1):
                one = weights(engine, activation, "float32", seed=seed, iterations=iterations)
                other = weights("numpy", activation, "float64", seed=seed, iterations=iterations)
                differences.append(max(float(np.abs(one[name] - other[name]).max()) for name in other))
            beyond = sum(difference >= TOLERANCE for difference in differences)
            print(
                f"{engine}, {activation}, {iterations} iterations: {beyond} of {SEEDS} seeds beyond {TOLERANCE:.0e}; "
                f"median {np.median(differences):.1e}, largest {max(differences):.1e}"
            )


if __name__ == "__main__":
    main()
