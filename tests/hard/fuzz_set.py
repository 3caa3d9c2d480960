"""Fuzzer of `--set`: assignments with values that nobody expects, on the recipe that they change."""

from __future__ import annotations

import random
from pathlib import Path

from . import fuzzing

_KEYS = (
    "data", "data.name", "data.train", "data.validation", "input", "model", "model.hidden", "model.dropout",
    "model.activation", "model.output", "model.layers", "loss", "optimizer", "optimizer.name",
    "optimizer.learning_rate", "lr", "optimizer.beta1", "momentum", "schedule", "schedule.name", "schedule.warm_up",
    "schedule.length", "regularisation.l1", "regularisation.l2", "weight_decay", "clip_norm", "batches",
    "batches.size", "batch_size", "batches.kind", "budget", "budget.epochs", "budget.iterations", "epochs",
    "stop.accuracy", "stop.seconds", "stop.patience", "patience", "log", "log.every", "log.train_loss", "seed",
    "precision", "clip_of", "hidden", "dropout", "optimizer." + "a." * 400 + "b", "x", "", ".", "a..b", "model.layers.0",
)  # fmt: skip
_VALUES = (
    "1", "0", "-1", "0.1", "1e300", "-1e300", "1e400", "1e-400", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", "9" * 400, "9" * 5000, "0x" + "f" * 400, "0x" + "f" * 5000, "0b" + "1" * 9000, "nan", "inf",
    "-inf", "true", "adam", "descent", "sgd", "3LS", "lenet5", "5 epochs", "500 iterations", "1e400 epochs",
    "9" * 400 + " epochs", "9" * 400 + " s", "9" * 5000 + " points", "1e18 iterations", "0.5 iterations", "geometric",
    "10 s", "97 %", "1e400 %", "[]", "[1, 2]", "[64, 32]", "[1e9]", "[9223372036854775808]", "[" * 300 + "]" * 300,
    "[" * 5000 + "]" * 5000, "{a = 1}", "{name = 'adam', learning_rate = 0.1}", "{a." + "a." * 300 + "b = 1}", "''",
    '""', '"\\u2028"', "'''x'''", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "constructor", "__proto__", "\u2028",
    "\x1b[31m", "x" * 5000, "=", "==", "#", "'", '"', "{", "}", "[", "]", "1_000", "1__0", "0o7", "+1", ".5", "5.",
    "1e", "None", "True", "{ kind = 'dense', units = 64 }", "[{ kind = 'dense', units = 64 }]",
    "[{ kind = 'convolution', channels = 1000000000, kernel = 1000000000 }]", "[{ kind = 'x' }]", "[[1], [2]]",
    "1000000000000", "[1000000000000, 1000000000000]", "module:Class", "os:system", "../../etc/passwd", "digits",
    "all", "full", "batch", "single", "window", "linear", "cosine", "step", "one-cycle",
)  # fmt: skip


def _assigned(draw: random.Random) -> str:
    words = draw.choice(_VALUES)
    if draw.random() < 0.3:
        words = fuzzing.changed(draw, words.encode(), most=3).decode(
            "utf-8", draw.choice(("replace", "surrogateescape"))
        )
    key = draw.choice(_KEYS)
    if draw.random() < 0.1:
        key = fuzzing.changed(draw, key.encode(), most=2).decode("utf-8", "replace")
    return f"{key}{draw.choice(('=', '=', '=', ' = ', '', '=='))}{words}"


def case(draw: random.Random, place: Path) -> str:
    """Some assignments on the default recipe, which is then labelled, hashed and resolved."""
    from assay.recipe.model import Recipe
    from assay.recipe.patches import assignment, merged
    from assay.recipe.toml import toml_text
    from assay.studies.plan import plan_of_one
    from assay.studies.settings import Settings

    words = [_assigned(draw) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    recipe = Recipe.parse(merged({}, [assignment(text) for text in words]))
    recipe.label()
    recipe.key()
    toml_text(recipe.plain())
    if recipe.data.name == "digits":
        plan_of_one(recipe, Settings(engine=draw.choice(("auto", "numpy", "native"))))
    return "taken"


def warm() -> None:
    """Imports what the cases need."""
    from assay.recipe.model import Recipe
    from assay.studies.plan import plan_of_one
    from assay.studies.settings import Settings

    plan_of_one(Recipe(), Settings())


def run(seed: int, cases: int) -> dict[str, int]:
    """Makes so many cases."""
    return fuzzing.run("set", case, seed, cases, warm=warm)
