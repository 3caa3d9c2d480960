"""The engine contract: every engine in ENGINES is held to the laws that `engines/base.py` states.

The everyday suite meets every pair of values of all axes; the marker `endurance` runs the full product, of which jax,
that compiles a program for each combination, gets a part that the tests state. Of the pairs, jax has a third every day.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assay.engines import DEVICES, load
from assay.engines.base import Checkpoint, Cohort, Splits
from assay.engines.promises import LAWS, PROMISES, promised
from assay.errors import EngineError
from assay.parts.activations import ACTIVATIONS, OUTPUTS
from assay.parts.batches import BATCHES, make_batches
from assay.parts.losses import LOSSES, REGRESSION_LOSSES
from assay.parts.optimizers import OPTIMIZERS
from assay.recipe.model import Recipe
from assay.rng import stream
from tests.engines.cases import (
    AXES,
    CLASSES,
    EXAMPLES,
    INPUTS,
    KINKED,
    LACKING,
    LATER,
    NAMES,
    RATES,
    REGRESSION_AXES,
    Run,
    data,
    engine,
    gradient_error,
    one,
    pairwise,
    raw,
    same_bits,
)

PAIRS = pairwise(AXES)
OTHERS = [name for name in NAMES if name != "numpy"]
FEW = [dict(zip(AXES, [values[i % len(values)] for values in AXES.values()], strict=True)) for i in (1, 4, 6, 7)]
ADDED = [
    FEW[i] | {"optimizer": name, "precision": precision}
    for name in LATER
    for i, precision in enumerate(("float64", "float32"))
]
REGRESSIONS = [case | {"task": "regression"} for case in pairwise(REGRESSION_AXES)]
ADDED_REGRESSIONS = [
    REGRESSIONS[i] | {"optimizer": name, "precision": precision}
    for name in LATER
    for i, precision in ((10, "float64"), (26, "float32"))
]
FEW_REGRESSIONS = [REGRESSIONS[i] for i in (3, 11, 35, 60)]
"""Of two hidden layers, of one and of none; with penalties, clipping and dropout."""
SPECIAL = [
    case
    for case in ADDED
    if OPTIMIZERS[case["optimizer"]].has_matrix_rule() or OPTIMIZERS[case["optimizer"]].averages()
]
"""Cases of optimizers that do more than step every weight by itself."""


def recipe(case: dict[str, Any], **changes: Any) -> Recipe:
    return Recipe.parse(raw(case, **changes))


def name_of(case: dict[str, Any]) -> str:
    axes = ("activation", "output", "loss", "optimizer", "batches", "precision", "task")
    return "-".join(str(case[axis]) for axis in axes if axis in case)


def test_the_pairs_are_all_there() -> None:
    for a, b in itertools.combinations(AXES, 2):
        met = {(json.dumps(case[a]), json.dumps(case[b])) for case in PAIRS}
        assert len(met) == len(AXES[a]) * len(AXES[b]), (a, b)
    assert len(PAIRS) < 120


# --- 1: parity -------------------------------------------------------------------------------------------------------


def deviation(name: str, case: dict[str, Any], iterations: int) -> float:
    """The largest difference from the numpy engine, relative where above 1: of every batch loss, of every weight and
    slot at the end. Without dropout, whose masks are each engine's own."""
    mine, reference = (Run.of(each, recipe(case | {"dropout": 0.0})) for each in (name, "numpy"))
    pairs = [(mine.go(1, iterations), reference.go(1, iterations))]
    ends = mine.export(), reference.export()
    pairs += [(ends[0].weights[key], w) for key, w in ends[1].weights.items()]
    pairs += [(ends[0].slots[key], s) for key, s in ends[1].slots.items()]
    assert all(np.isfinite(b).all() for _, b in pairs)
    return max(float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max()) for a, b in pairs)


def tolerance(name: str, case: dict[str, Any]) -> tuple[float, int]:
    """How close, over how many iterations; with a kink, rounding may put a unit on its other side."""
    limit = promised(name, 1)
    assert limit is not None
    iterations = limit.kinked if case["activation"] in KINKED else limit.iterations[case["precision"]]
    return limit.by_precision[case["precision"]], iterations


def everyday(name: str, case: dict[str, Any], *, every: int) -> Any:
    """A case; jax compiles for seconds what the others run in milliseconds, and has one pair in `every` of them."""
    rare = name == "jax" and case in PAIRS and case not in FEW and PAIRS.index(case) % every
    return pytest.param(name, case, marks=[pytest.mark.endurance] if rare else [], id=f"{name}-{name_of(case)}")


def regressions(names: list[str]) -> list[Any]:
    """The cases of regressions. The native engine has a loss of its own for them, and meets all pairs every day; the
    others differ from a classification by the column of targets alone, and have a few."""
    made: list[Any] = []
    for name in names:
        for case in [*REGRESSIONS, *ADDED_REGRESSIONS]:
            rare = name != "native" and case not in FEW_REGRESSIONS
            made.append(
                pytest.param(name, case, marks=[pytest.mark.endurance] if rare else [], id=f"{name}-{name_of(case)}")
            )
    return made


@pytest.mark.parametrize(
    ("name", "case"),
    [*(everyday(name, case, every=3) for name in OTHERS for case in [*PAIRS, *ADDED]), *regressions(OTHERS)],
)
def test_losses_agree_with_the_reference(name: str, case: dict[str, Any]) -> None:
    limit, iterations = tolerance(name, case)
    assert deviation(name, case, iterations) < limit


@pytest.mark.endurance
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", OTHERS)
def test_losses_agree_in_the_full_product(name: str, output: str, activation: str) -> None:
    had = [optimizer for optimizer in OPTIMIZERS if name != "native" or optimizer not in LACKING]
    combinations = list(itertools.product(LOSSES, had, BATCHES))
    if name == "jax":  # compiles a program for each: every loss, and the optimizers and kinds of batches in turn
        place = list(ACTIVATIONS).index(activation) + len(ACTIVATIONS) * list(OUTPUTS).index(output)
        optimizers, kinds = list(OPTIMIZERS), list(BATCHES)
        combinations = [
            (loss, optimizers[(place + i) % len(optimizers)], kinds[(place + 2 * i) % len(kinds)])
            for i, loss in enumerate(LOSSES)
        ]
    for loss, optimizer, batches in combinations:
        case = PAIRS[0] | {
            "activation": activation,
            "output": output,
            "loss": loss,
            "optimizer": optimizer,
            "batches": batches,
            "hidden": [4],
            "precision": "float64",
        }
        assert deviation(name, case, 12) < 1e-10, (loss, optimizer, batches)


@pytest.mark.parametrize("name", OTHERS)
def test_evaluations_and_outputs_agree_with_the_reference(name: str) -> None:
    for case in [*FEW, *FEW_REGRESSIONS]:
        mine, reference = (
            Run.of(name, recipe(case, precision="float64")),
            Run.of("numpy", recipe(case, precision="float64")),
        )
        for split in ("train", "test"):
            a, b = mine.engine.evaluate(mine.state, split), reference.engine.evaluate(reference.state, split)
            np.testing.assert_allclose(a.loss, b.loss, rtol=1e-12)
            np.testing.assert_array_equal(a.accuracy, b.accuracy)
        x = data("float64").parts["test"][0]
        a, b = mine.engine.outputs(mine.state, x), reference.engine.outputs(reference.state, x)
        assert a.shape == (1, 41, 1 if "task" in case else CLASSES)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_model_where_the_loss_is_computed_from_others(
    name: str, output: str, loss: str
) -> None:
    mine = Recipe.parse({"model": {"hidden": [6], "output": output}, "loss": loss, "precision": "float64"})
    run = Run.of(name, mine)
    x, w = data("float64").parts["test"][0], {key: a[0] for key, a in run.export().weights.items()}
    z = np.maximum(x @ w["0.weight"] + w["0.bias"], 0) @ w["1.weight"] + w["1.bias"]
    expected = np.exp(z) / np.exp(z).sum(-1, keepdims=True) if output == "softmax" else 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(run.engine.outputs(run.state, x)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_in_blocks_is_evaluation_at_once(name: str) -> None:
    """More examples than any engine's block: the mean is that of all, the outputs are those of each; read-only too."""
    examples = 20_011
    x = stream(4, "many-inputs").uniform(examples * INPUTS).reshape(examples, INPUTS)
    y = stream(4, "many-labels").integers(CLASSES, examples)
    for array in (x, y):
        array.setflags(write=False)
    run = Run.of(name, recipe(FEW[0], precision="float64"))
    state = run.engine.start(run.cohort, run.export(), Splits({"train": (x, y)}))
    a = run.engine.outputs(state, x)[0]
    pieces = np.concatenate([run.engine.outputs(state, x[i : i + 4001])[0] for i in range(0, examples, 4001)])
    np.testing.assert_allclose(a, pieces, rtol=1e-12, atol=1e-14)
    found = run.engine.evaluate(state, "train")
    assert found.accuracy[0] == np.mean(a.argmax(-1) == y)
    loss = LOSSES[run.cohort.first.loss].value(np, a, np.eye(CLASSES)[y], float(np.finfo(np.float64).eps))
    np.testing.assert_allclose(found.loss[0], loss.mean(), rtol=1e-12)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_evaluation_of_a_regression_in_blocks_is_that_of_all_targets(name: str, loss: str) -> None:
    examples = 20_011
    x = stream(4, "many-inputs").uniform(examples * INPUTS).reshape(examples, INPUTS)
    y = stream(4, "many-targets").normal(examples)
    y.setflags(write=False)
    run = Run.of(name, recipe(FEW_REGRESSIONS[0], precision="float64", loss=loss))
    state = run.engine.start(run.cohort, run.export(), Splits({"train": (x, y)}))
    a = run.engine.outputs(state, x)[0, :, 0]
    expected = np.mean((a - y) ** 2) * {"mse": 1.0, "quadratic": 0.5}[loss]
    np.testing.assert_allclose(run.engine.evaluate(state, "train").loss[0], expected, rtol=1e-12)


# --- 2 to 5: the same bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "case"),
    [*(everyday(name, case, every=9) for name in NAMES for case in [*FEW, *PAIRS, *ADDED]), *regressions(NAMES)],
)
def test_chunks_give_the_same_bits(name: str, case: dict[str, Any]) -> None:
    whole, parts = (Run.of(name, recipe(case)) for _ in range(2))
    losses = whole.go(1, 30)
    pieces = [parts.go(first, count) for first, count in ((1, 1), (2, 12), (14, 13), (27, 4))]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), losses)
    same_bits(whole.export(), parts.export())


def test_every_engine_has_its_promises_and_only_on_devices_that_there_are() -> None:
    for name in NAMES:
        assert [law for law in LAWS if promised(name, law) is None] == [], name
    assert {engine for engine, _ in PROMISES} == set(NAMES)
    assert {device for _, device in PROMISES} <= set(DEVICES)
    for name in NAMES:
        for law in (2, 4, 5):
            limit = promised(name, law)
            assert limit is not None
            assert limit.same_bits, (name, law)  # what `same_bits` below holds every engine to


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("seeds", [(0, 1, 2), (5, 5, 5)], ids=["own batches", "shared batches"])
@pytest.mark.parametrize("case", [*FEW, *SPECIAL[::2], *FEW_REGRESSIONS[1:3]], ids=name_of)
@pytest.mark.parametrize("name", NAMES)
def test_a_trial_alone_equals_the_trial_in_its_cohort(
    name: str, case: dict[str, Any], seeds: tuple[int, ...], precision: str
) -> None:
    optimizer, case, promise = case["optimizer"], case | {"precision": precision}, promised(name, 3)
    assert promise is not None
    recipes = [
        recipe(
            case,
            seed=seed,
            optimizer={"name": optimizer, "learning_rate": RATES[optimizer] * (number + 1)},
            schedule={"name": "exponential", "every": 5 * number} if number else "constant",
            regularisation=case["regularisation"] | {"l1": 1e-3 * number, "l2": 2e-3 * number},
        )
        for number, seed in enumerate(seeds)
    ]
    together = Run.of(name, *recipes)
    losses = together.go(1, 25)
    for number, mine in enumerate(recipes):
        alone = Run.of(name, mine)
        own = alone.go(1, 25)
        if promise.same_bits:
            np.testing.assert_array_equal(own[0], losses[number])
            same_bits(alone.export(), one(together.export(), number))
            continue
        assert promise.iterations[precision] == own.shape[1]
        limit, (mine, theirs) = promise.by_precision[precision], (alone.export(), one(together.export(), number))
        for a, b in [(own[0], losses[number]), *((w, theirs.weights[key]) for key, w in mine.weights.items())]:
            assert (np.abs(a - b) / np.maximum(1.0, np.abs(b))).max() <= limit


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_watching_changes_nothing(name: str, dropout: float) -> None:
    for case in [*FEW, *FEW_REGRESSIONS, *(SPECIAL if dropout and name != "native" else [])]:
        watched, unwatched = (Run.of(name, recipe(case | {"dropout": dropout})) for _ in range(2))
        for first in range(1, 13):
            watched.go(first, 1)
            watched.engine.evaluate(watched.state, "train")
            watched.engine.evaluate(watched.state, "test")
            watched.engine.outputs(watched.state, data("float64").parts["test"][0])
            watched.export()
        unwatched.go(1, 12)
        same_bits(watched.export(), unwatched.export())


@pytest.mark.parametrize("name", NAMES)
def test_warming_up_changes_nothing(name: str) -> None:
    case = FEW[0]
    warm, cold = Run.of(name, recipe(case)), Run.of(name, recipe(case))
    warm.engine.warm_up(warm.state, make_batches(warm.cohort.first.batches, warm.cohort.seeds, 1, 5, EXAMPLES))
    warm.go(1, 10)
    cold.go(1, 10)
    same_bits(warm.export(), cold.export())


@pytest.mark.parametrize("case", [*FEW, *SPECIAL, *FEW_REGRESSIONS], ids=name_of)
@pytest.mark.parametrize("name", NAMES)
def test_resuming_from_a_checkpoint_gives_the_same_bits(name: str, case: dict[str, Any]) -> None:
    run = Run.of(name, recipe(case))
    run.go(1, 11)
    half = run.export()
    again = Run.of(name, recipe(case), checkpoint=half)
    same_bits(again.export(), half)
    np.testing.assert_array_equal(run.go(12, 9), again.go(12, 9))
    same_bits(run.export(), again.export())


RESUME = """
import json, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import load_file, save_file
from assay.engines.base import Checkpoint
from assay.recipe.model import Recipe
from tests.engines.cases import Run
folder, name = Path(sys.argv[1]), sys.argv[2]
recipe = Recipe.parse(json.loads((folder / "recipe.json").read_text()))
parts = load_file(folder / "half.safetensors")
checkpoint = Checkpoint(
    1000,
    {k[2:]: v for k, v in parts.items() if k.startswith("w/")},
    {k[2:]: v for k, v in parts.items() if k.startswith("s/")},
)
run = Run.of(name, recipe, checkpoint=checkpoint)
run.go(1001, 1000)
done = run.export()
save_file({**{"w/" + k: v for k, v in done.weights.items()}, **{"s/" + k: v for k, v in done.slots.items()}},
          folder / "whole.safetensors")
"""


@pytest.mark.parametrize("name", NAMES)
def test_resuming_in_a_new_process_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    mine = recipe(
        FEW[1] | {"dropout": 0.3, "optimizer": "adam", "batches": "shuffled", "hidden": [6], "schedule": "cosine"}
    )
    run = Run.of(name, mine)
    run.go(1, 1000)
    half = run.export()
    save_file(
        {**{f"w/{k}": v for k, v in half.weights.items()}, **{f"s/{k}": v for k, v in half.slots.items()}},
        tmp_path / "half.safetensors",
    )
    (tmp_path / "recipe.json").write_text(json.dumps(mine.plain()))
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", RESUME, str(tmp_path), name], check=True, cwd=root, timeout=300)
    run.go(1001, 1000)
    whole, other = run.export(), load_file(tmp_path / "whole.safetensors")
    for prefix, arrays in (("w", whole.weights), ("s", whole.slots)):
        for key, value in arrays.items():
            np.testing.assert_array_equal(value, other[f"{prefix}/{key}"])


# --- 6: gradients ----------------------------------------------------------------------------------------------------


def dense_gradient_error(name: str, activation: str, output: str, loss: str, dropout: float, **changes: Any) -> float:
    """The error of the gradient of a dense network with two hidden layers."""
    rate = 1e-3
    mine = Recipe.parse(
        {
            "model": {"hidden": [5, 4], "activation": activation, "output": output, "dropout": dropout},
            "loss": loss,
            "optimizer": {"name": "descent", "learning_rate": rate},
            "batches": "full",
            "precision": "float64",
            "budget": {"iterations": 1},
            **changes,
        }
    )
    start = Run.of(name, mine).export().weights
    if loss == "cross_entropy" and output in ("identity", "log_softmax"):
        start["2.bias"] = start["2.bias"] + 5.0  # outputs well above the clamp: there the loss is smooth
        start["2.weight"] = start["2.weight"] * 0.1
    if loss == "binary_cross_entropy" and output == "identity":
        start["2.bias"] = start["2.bias"] * 0.1 + 0.5  # outputs well within 0 ... 1
        start["2.weight"] = start["2.weight"] * 0.01
    return gradient_error(
        lambda checkpoint: Run.of(name, mine, checkpoint=checkpoint), start, rate=rate, step=1e-5, least=1e-3
    )


def alone(name: str, *values: Any) -> Any:
    """jax has one loss and one kind of dropout for each activation in the everyday tests, the product in the long."""
    return pytest.param(name, *values, marks=[pytest.mark.endurance] if name == "jax" else [])


@pytest.mark.parametrize(
    ("name", "activation", "output"),
    [alone(name, activation, output) for name in NAMES for activation in ACTIVATIONS for output in OUTPUTS],
)
def test_gradients_agree_with_finite_differences(name: str, activation: str, output: str) -> None:
    limit = promised(name, 6)
    assert limit is not None
    for loss in LOSSES:
        for dropout in (0.3,) if name == "jax" else (0.0, 0.3):
            assert dense_gradient_error(name, activation, output, loss, dropout) < limit.by_precision["float64"], (
                loss,
                dropout,
            )


@pytest.mark.parametrize(
    ("name", "activation"), [alone(name, activation) for name in NAMES for activation in ("relu", "tanh", "identity")]
)
def test_gradients_of_regressions_agree_with_finite_differences(name: str, activation: str) -> None:
    limit = promised(name, 6)
    assert limit is not None
    for loss, dropout in itertools.product(REGRESSION_LOSSES, (0.0, 0.3)):
        error = dense_gradient_error(name, activation, "identity", loss, dropout, data={"task": "regression"})
        assert error < limit.by_precision["float64"], (loss, dropout)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_compiled_programs(activation: str) -> None:
    place = list(ACTIVATIONS).index(activation)
    output, loss = list(OUTPUTS)[place % len(OUTPUTS)], list(LOSSES)[place % len(LOSSES)]
    assert dense_gradient_error("jax", activation, output, loss, 0.3 * (place % 2)) < 1e-6


# --- the order of clipping and penalties ----------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [{"l2": 0.3}, {"l1": 0.05}, {"l1": 0.05, "l2": 0.3, "biases": True}])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_the_loss_is_clipped_before_penalties_are_added(name: str, penalty: dict[str, Any]) -> None:
    """One step by hand from the gradient g of a step without either: g clipped, plus penalties; or both clipped."""
    rate, norm = 0.1, 0.05
    base = {"model": {"hidden": [5]}, "optimizer": {"name": "descent", "learning_rate": rate}, "precision": "float64"}
    base |= {"batches": "full"}
    plain = Run.of(name, Recipe.parse(base))
    w = plain.export().weights
    plain.go(1, 1)
    g = {key: (w[key] - after) / rate for key, after in plain.export().weights.items()}

    def penalties(key: str) -> Any:
        if key.endswith("bias") and not penalty.get("biases"):
            return 0.0
        return penalty.get("l1", 0.0) * np.sign(w[key]) + penalty.get("l2", 0.0) * w[key]

    def clipped(arrays: dict[str, Any]) -> dict[str, Any]:
        length = np.sqrt(sum(float((a**2).sum()) for a in arrays.values()))
        assert length > norm
        return {key: a * norm / (length + 1e-6) for key, a in arrays.items()}

    steps = {
        "loss": {key: a + penalties(key) for key, a in clipped(g).items()},
        "objective": clipped({key: a + penalties(key) for key, a in g.items()}),
    }
    for order, step in steps.items():
        run = Run.of(name, Recipe.parse(base | {"clip_norm": norm, "regularisation": penalty, "clip_of": order}))
        run.go(1, 1)
        for key, after in run.export().weights.items():
            np.testing.assert_allclose(after, w[key] - rate * step[key], rtol=1e-9, atol=1e-12, err_msg=order)


@pytest.mark.parametrize("optimizer", ["descent", "momentum", "adam"])
@pytest.mark.parametrize("name", NAMES)
def test_clipping_and_l2_are_those_of_torchs_loop(name: str, optimizer: str) -> None:
    """torch's own loop: clip_grad_norm_ between backward and step, weight_decay in the optimizer."""
    pytest.importorskip("torch")
    from assay.engines.torch_eager import TorchEager

    mine = Recipe.parse(
        {
            "model": {"hidden": [5], "activation": "tanh"},
            "optimizer": {"name": optimizer, "learning_rate": 0.01},
            "clip_norm": 0.2,
            "regularisation": {"l2": 0.5},
            "precision": "float64",
            "batches": {"size": 16},
        }
    )
    ours = Run.of(name, mine)
    eager = TorchEager(threads=1)
    assert eager.why_not(mine) is None
    assert "penalties" in str(eager.why_not(mine.patched({"clip_of": "objective"})))
    theirs = Run(eager, ours.cohort, eager.start(ours.cohort, ours.export(), data("float64")))
    np.testing.assert_allclose(ours.go(1, 60), theirs.go(1, 60), rtol=1e-9)
    for key, w in theirs.export().weights.items():
        np.testing.assert_allclose(ours.export().weights[key], w, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_regressions_are_those_of_torchs_loop(name: str, loss: str) -> None:
    pytest.importorskip("torch")
    from assay.engines.torch_eager import TorchEager

    mine = Recipe.parse(
        {
            "data": {"task": "regression"},
            "model": {"hidden": [5], "activation": "tanh"},
            "loss": loss,
            "regularisation": {"l2": 0.01},
            "precision": "float64",
            "batches": {"size": 16},
        }
    )
    ours = Run.of(name, mine)
    eager, splits = TorchEager(threads=1), data("float64", "regression")
    theirs = Run(eager, ours.cohort, eager.start(ours.cohort, ours.export(), splits))
    np.testing.assert_allclose(ours.go(1, 60), theirs.go(1, 60), rtol=1e-9)
    for key, w in theirs.export().weights.items():
        np.testing.assert_allclose(ours.export().weights[key], w, rtol=1e-8, atol=1e-10)
    a, b = (each.engine.evaluate(each.state, "test") for each in (ours, theirs))
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-9)
    np.testing.assert_array_equal(a.accuracy, b.accuracy)
    x = splits.parts["test"][0]
    np.testing.assert_allclose(ours.engine.outputs(ours.state, x), eager.outputs(theirs.state, x), rtol=1e-8, atol=1e-9)


def test_a_cohort_does_not_mix_the_orders() -> None:
    both = {"clip_norm": 1.0, "regularisation": {"l2": 0.1}}
    recipes = tuple(Recipe.parse(both | {"clip_of": order}) for order in ("loss", "objective"))
    with pytest.raises(EngineError, match="differ in clip_of"):
        _ = Cohort(recipes, recipes[0].model.network(INPUTS, CLASSES)).clips_objective


# --- dropout, ends, and what an engine must refuse -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_dropout_keeps_the_mean_and_zeroes_its_share(name: str) -> None:
    """With inputs of one and a linear net, the first loss shows the mask: its mean and its variance are known."""
    rate, units = 0.3, 400
    mine = Recipe.parse(
        {
            "model": {"hidden": [units], "activation": "identity", "output": "identity", "dropout": rate},
            "loss": "nll",
            "optimizer": {"name": "descent", "learning_rate": 1e-12},
            "batches": "full",
            "precision": "float64",
            "budget": {"iterations": 200},
        }
    )
    cohort = Cohort((mine,), mine.model.network(1, 2))
    weights = {
        "0.weight": np.ones((1, 1, units)),
        "0.bias": np.zeros((1, units)),
        "1.weight": np.full((1, units, 2), -1.0 / units),
        "1.bias": np.zeros((1, 2)),
    }
    found = engine(name)
    state = found.start(cohort, Checkpoint(0, weights, {}), Splits({"train": (np.ones((1, 1)), np.array([0]))}))
    state, progress = found.advance(state, make_batches(mine.batches, (1,), 1, 200, 1), np.array([True]))
    means = progress.losses[0]  # of units masks, each 0 or 1 / (1 - rate)
    deviation = np.sqrt(rate / (1 - rate) / units)
    assert abs(means.mean() - 1.0) < 4 * deviation / np.sqrt(200)
    assert 0.8 * deviation < means.std() < 1.2 * deviation
    shares = means * (1 - rate) * units
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_trial_stops_before_its_update_and_the_others_go_on(name: str, precision: str) -> None:
    base = {
        "model": {"hidden": [], "output": "identity"},
        "loss": "mse",
        "batches": "full",
        "precision": precision,
        "budget": {"iterations": 400},
    }
    wild = [Recipe.parse(base | {"optimizer": {"name": "descent", "learning_rate": rate}}) for rate in (1e-3, 1e3)]
    run = Run.of(name, *wild)
    batches = make_batches(run.cohort.first.batches, run.cohort.seeds, 1, 400, EXAMPLES)
    state, progress = run.engine.advance(run.state, batches, np.array([True, True]))
    broken = int(progress.broken[1])
    assert progress.broken[0] == 0
    assert 1 < broken < 400
    assert np.isfinite(progress.losses[1, : broken - 1]).all()
    assert not np.isfinite(progress.losses[1, broken - 1 :]).any()
    frozen = run.engine.export(state)
    again = Run.of(name, wild[1])
    again.go(1, broken - 1)
    for key, weights in again.export().weights.items():
        if name == "jax":
            np.testing.assert_allclose(frozen.weights[key][1], weights[0], rtol=1e-6)
        else:
            np.testing.assert_array_equal(frozen.weights[key][1], weights[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_is_not_alive_stays_as_it_is(name: str) -> None:
    recipes = [recipe(FEW[0], seed=seed) for seed in range(2)]
    run = Run.of(name, *recipes)
    before = run.export()
    batches = make_batches(run.cohort.first.batches, run.cohort.seeds, 1, 10, EXAMPLES)
    state, progress = run.engine.advance(run.state, batches, np.array([True, False]))
    after = run.engine.export(state)
    assert np.isnan(progress.losses[1]).all()
    for key in before.weights:
        np.testing.assert_array_equal(after.weights[key][1], before.weights[key][1])
        assert (after.weights[key][0] != before.weights[key][0]).any()


@pytest.mark.parametrize("name", NAMES)
def test_what_an_engine_cannot_do_it_says_in_one_sentence(name: str) -> None:
    found = engine(name)
    reason = found.why_not(Recipe.parse({"precision": "bfloat16"}))
    assert reason is None or "torch" in reason
    elsewhere = load(name, device="cuda:77").why_not(Recipe())
    assert elsewhere is not None
    assert "cuda:77" in elsewhere
    assert "\n" not in elsewhere


def test_the_input_width_follows_the_data() -> None:
    assert recipe(FEW[0]).model.network(INPUTS, CLASSES).inputs == INPUTS
