"""The engine contract: terms, shapes and laws.

T trials in a cohort, N examples, B batch, D input features, C classes, k iterations. `z` before and `a` after an
activation, `d` = dL/dz, `g` the gradient of the mean batch loss, `w` weights, `h` hyperparameters, `t` the iteration
count from 1. An iteration is one update of the weights, an epoch N examples seen.

Laws, each a test that every engine in ENGINES must pass, within the limits that `assay.engines.promises` states for
each engine and kind of device:

1. Parity: with the same weights and batches, the losses agree with the numpy engine.
2. Chunks: k iterations in one call or in many give bit-identical weights.
3. Cohort: a trial alone equals the same trial in a cohort; jax, and torch on GPUs, within a limit, others bit for bit.
4. Watching changes nothing: evaluating every iteration or never gives bit-identical weights.
5. Resume: 1,000 iterations, a checkpoint, a new process and 1,000 more equal 2,000 at once, bit for bit on a CPU.
6. Gradients agree with finite differences.

One iteration, the same in every engine: compute the gradient of the mean loss of the batch; scale it down to
`clip_norm` if its norm over all arrays together is larger; add l1 sign(w) + l2 w (for biases only if the recipe says
so); with adamw, w <- w - learning_rate weight_decay w for weights, not biases; w <- w - step, by the optimizer's rule.
A few optimizers have a rule for matrices too, or decay weights in their rule; `shown` gives what is evaluated.
With `clip_of = "objective"` the penalties are added before the gradient is scaled down.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.data.targets import is_regression
from assay.engines.promises import kind_of, numerics
from assay.engines.seen import Seen
from assay.errors import EngineError
from assay.parts.batches import Batches
from assay.parts.foreign import engine_problem, is_foreign
from assay.parts.initials import initial_weights
from assay.parts.layers import Network, Weights
from assay.parts.module_networks import ModuleNetwork
from assay.parts.modules import is_module, module_problem
from assay.parts.optimizers import Optimizer
from assay.parts.schedules import Schedule
from assay.parts.user_optimizers import checked_factors
from assay.recipe.model import Recipe

State = Any
"""What an engine keeps between calls; opaque to everything else."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Splits:
    """The examples that a cohort trains on and is evaluated on: name -> (x (N, D), y (N,) int64).

    The y of a regression are float64, its standardised targets.

    Always has "train"; "test", "validation" and "subset" (the first rows of "train") if they are used. Inputs are
    C-contiguous, float64 for precision float64, else float32.
    """

    parts: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]

    @property
    def examples(self) -> int:
        """N, the number of training examples."""
        return len(self.parts["train"][1])


def wanted_outputs(y: NDArray[Any], classes: int, dtype: Any) -> NDArray[Any]:
    """What the outputs are compared with, (N, C): one-hot rows of labels, or the column of the targets.

    >>> [wanted_outputs(y, n, "float32").tolist() for y, n in ((np.array([1, 0]), 2), (np.array([0.5, 2.0]), 1))]
    [[[0.0, 1.0], [1.0, 0.0]], [[0.5], [2.0]]]
    """
    return y[:, None].astype(dtype) if is_regression(y) else np.eye(classes, dtype=dtype)[y]


@dataclass(frozen=True)
class Cohort:
    """T recipes that differ only in traced numbers, and their common network."""

    recipes: tuple[Recipe, ...]
    network: Network

    @property
    def first(self) -> Recipe:
        """The recipe to read static settings from, which are equal in all."""
        return self.recipes[0]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, (T,)."""
        return tuple(recipe.seed for recipe in self.recipes)

    @cached_property
    def clips_objective(self) -> bool:
        """Whether penalties are added before the gradient is clipped, not after; the same for all trials that have
        both."""
        orders = {recipe.clip_of for recipe in self.recipes if recipe.clips_and_penalises}
        if len(orders) > 1:
            raise EngineError("the recipes of a cohort differ in clip_of; it is no traced number")
        return orders == {"objective"}

    def initial_weights(self) -> Weights:
        """The weights before the first iteration: {"0.weight": (T, D, H), "0.bias": (T, H), ...}, float64."""
        each = [initial_arrays(self.network, r) for r in self.recipes]
        return {name: np.stack([weights[name] for weights in each]) for name in self.network.arrays}

    def constants(self) -> list[dict[str, float]]:
        """For each trial, the numbers that are the same in every iteration: settings of the optimizer, l1, l2,
        clip_norm. An optimizer of another library keeps its settings, and decays the weights itself."""
        own = [{} if is_foreign(recipe.optimizer) else recipe.optimizer.settings() for recipe in self.recipes]
        return [
            {
                **settings,
                "weight_decay": settings.get("weight_decay", 0.0),
                "l1": recipe.regularisation.l1,
                "l2": recipe.regularisation.l2,
                "clip_norm": recipe.clip_norm or float("inf"),
            }
            for recipe, settings in zip(self.recipes, own, strict=True)
        ]

    def step_values(self, first: int, count: int) -> list[dict[str, Numbers]]:
        """For each trial, the numbers that change with t: the learning rate and the optimizer's factors, (k,) each."""
        t = np.arange(first, first + count, dtype=np.float64)
        return [
            {
                "learning_rate": recipe.schedule.rates(recipe.optimizer.learning_rate, first, count),
                **checked_factors(recipe.optimizer, t),
                **_factors_of_rates(recipe, first, count),
            }
            for recipe in self.recipes
        ]


def initial_arrays(network: Network, recipe: Recipe) -> Weights:
    """The weights of one trial before the first iteration. Raises: CodeError where a user's module cannot be made."""
    if isinstance(network, ModuleNetwork):
        return network.initial(recipe.seed)
    return initial_weights(network, recipe.model.initial, recipe.seed)


def _factors_of_rates(recipe: Recipe, first: int, count: int) -> dict[str, Numbers]:
    """The factors that depend on all learning rates up to an iteration, (count,) each."""
    optimizer = recipe.optimizer
    if type(optimizer).factors_of_rates is Optimizer.factors_of_rates:
        return {}
    last = first + count - 1
    settings: Any = (optimizer, recipe.schedule)  # frozen, and so hashable
    table = _table_of_rates(*settings, 1 << max(0, last - 1).bit_length())
    return {name: values[first - 1 : last] for name, values in table.items()}


@lru_cache(maxsize=64)
def _table_of_rates(optimizer: Optimizer, schedule: Schedule, count: int) -> dict[str, Numbers]:
    """Those of iterations 1 ... count; kept, because they are asked for in every chunk of a training."""
    return optimizer.factors_of_rates(schedule.rates(optimizer.learning_rate, 1, count))


def hyperparameters(constants: Mapping[str, float], step_values: Mapping[str, Numbers], i: int) -> SimpleNamespace:
    """`h` of one trial at the i-th of its step values, as Python numbers."""
    return SimpleNamespace(**{**constants, **{name: float(values[i]) for name, values in step_values.items()}})


@dataclass(frozen=True, eq=False)
class Progress:
    """What one call of `advance` did.

    `losses` (T, k): the loss of each iteration's batch before its update, NaN where a trial was not advanced.
    `broken` (T,): the first iteration (its count t) whose batch loss was not finite, 0 if there was none.
    `cancelled`: the call was cancelled and has changed nothing; k is 0.
    """

    losses: Numbers
    broken: NDArray[np.int64]
    cancelled: bool = False


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Mean loss and accuracy over a split, (T,) each. The accuracy of a regression means nothing."""

    loss: Numbers
    accuracy: Numbers


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that a training needs to resume, readable by every engine: t iterations done, the weights
    {name: (T, ...)} and the optimizer's slots {name: (slots, T, ...)}, in the engine's precision.

    An optimizer of another library has its own names in place of those of the weights, each array as (1, T, ...).
    `weights` are those that are evaluated. Where an optimizer trains with others, such as a schedule-free one, those
    are in `slots` too: as the last slot of one of Assay's.
    """

    t: int
    weights: dict[str, NDArray[Any]]
    slots: dict[str, NDArray[Any]]

    def trained(self, optimizer: Optimizer) -> dict[str, NDArray[Any]]:
        """The weights that an optimizer of Assay trains, {name: (T, ...)}, and the running means."""
        if not self.slots or not type(optimizer).averages():
            return self.weights
        return self.weights | {name: slots[-1] for name, slots in self.slots.items()}


class Engine(ABC):
    """Advances a cohort by k iterations. A deterministic function: all randomness is passed in as arrays, except
    dropout masks, which each engine draws from (seed, iteration, layer)."""

    name: ClassVar[str]

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        self.device = device
        self.threads = threads
        self.choice = "asked for"
        """Why this engine trains: requested by name, or chosen by a rule."""
        self.seen: Seen | None = None
        """The devices that its library sees, asked in another process; None to ask here, which then holds them."""

    @property
    def numerics(self) -> int:
        """A version of the results on this kind of device, in `assay.engines.promises`."""
        return numerics(self.name, self.device)

    @abstractmethod
    def why_not(self, recipe: Recipe) -> str | None:
        """None if this engine, on its device, can train the recipe; else a sentence: the reason and an alternative."""

    def wake(self) -> None:  # noqa: B027
        """Starts its library before anything else in the process does, where the first use decides on its threads."""

    @abstractmethod
    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> State:
        """The state at a checkpoint; a new training starts from a checkpoint at t = 0 without slots."""

    @abstractmethod
    def advance(self, state: State, batches: Batches, alive: NDArray[np.bool_]) -> tuple[State, Progress]:
        """Runs k iterations of the trials that are alive (T,); returns when the device has finished."""

    @abstractmethod
    def evaluate(self, state: State, split: str) -> Evaluation:
        """Mean data loss and accuracy over a split; never changes the state."""

    @abstractmethod
    def outputs(self, state: State, x: NDArray[Any]) -> NDArray[Any]:
        """The model's outputs (T, N, C) for inputs (N, D)."""

    @abstractmethod
    def export(self, state: State) -> Checkpoint:
        """The checkpoint of a state, as NumPy arrays."""

    def memory(self, cohort: Cohort, examples: int) -> int:
        """An estimate of the bytes that a cohort takes in addition to its data of N `examples`."""
        # initial weights, weights, gradient and step, in addition to the slots; float64 at most
        vectors = 4 + state_arrays(cohort.first)
        weights = 8 * len(cohort.recipes) * cohort.network.parameters * vectors
        return weights + self.activations(cohort, min(cohort.first.batches.width(examples), examples))

    def activations(self, cohort: Cohort, batch: int) -> int:
        """An estimate of the bytes that the values between the layers and their gradients take for a batch."""
        values = sum(layer.values for layer in cohort.network.layers)
        return 2 * 8 * batch * values

    def warm_up(self, state: State, batches: Batches) -> None:  # noqa: B027 (an engine may have nothing to do)
        """Compiles what `advance` will need for batches of this shape, on temporary state; nothing by default."""

    def cancel(self) -> None:  # noqa: B027 (calls that end within a chunk's time need no cancelling)
        """Asks a running `advance` to return soon with nothing changed; called by a signal handler."""

    def warnings(self, state: State) -> tuple[str, ...]:
        """Sentences on how the state was trained, which are stored with its trials."""
        return ()

    def skipped(self, state: State) -> float | None:
        """The fraction of the first layer's operations that it skips, because inputs are zero; None if unknown."""
        return None

    def preparation(self, state: State, seconds: float) -> float:
        """The seconds that preparing the data takes this engine when it is new.

        `seconds`: what `start` took for this state, less if it reused what an earlier training prepared.
        """
        return seconds

    def instruction_level(self) -> str | None:
        """The instructions that it uses on the processor, such as "avx2"; None if unknown, or on another device."""
        return None

    def peak_device_memory(self) -> int | None:
        """The peak memory of the device in bytes, or None if the device is the host."""
        return None

    def free_device_memory(self) -> int | None:
        """The bytes of the device that this process can still take, or None if unknown or the device is the host."""
        return None

    def device_facts(self) -> dict[str, str]:
        """Model, driver and CUDA version of the device, which are part of the machine; empty if it is the host."""
        return {}

    def device_number(self) -> int | None:
        """The number of the CUDA device among those that this process sees; None on any other device."""
        kind, _, number = self.device.partition(":")
        return int(number or 0) if kind_of(kind) == "cuda" and (number or "0").isdigit() else None


_FOREIGN_SLOTS = 4
"""Arrays of state per array of weights that an optimizer of another library is assumed to have, for estimates."""


def state_arrays(recipe: Recipe) -> int:
    """How many arrays of state an optimizer keeps per array of weights, for estimates of memory and storage."""
    return _FOREIGN_SLOTS if is_foreign(recipe.optimizer) else type(recipe.optimizer).stored_slots()


def not_this_optimizer(recipe: Recipe, engine: str) -> str | None:
    """The reason of an engine that does not train a recipe's model or optimizer, which is another library's; else
    None."""
    return module_problem(recipe.model, engine) or engine_problem(recipe.optimizer, engine)


def uncounted(recipe: Recipe) -> tuple[str, ...]:
    """The sentence that is stored with a training some of whose operations are unknown."""
    if is_module(recipe.model):
        return ()  # all are unknown, which stands where their number would
    if not is_foreign(recipe.optimizer):
        return ()
    return (f"its operations (FLOPs) leave out those of optimizer {recipe.optimizer.entry!r}, which are unknown",)


def fresh(cohort: Cohort) -> Checkpoint:
    """The checkpoint before the first iteration."""
    return Checkpoint(0, cohort.initial_weights(), {})


def no_mixed_precision(recipe: Recipe, engine: str) -> str | None:
    """The reason of an engine without mixed precision, or None if the recipe does not need it."""
    if recipe.precision not in ("float32", "float64"):
        return f"engine {engine!r} has no {recipe.precision}; use engine 'torch' or 'jax', or precision 'float32'"
    return None


def no_tensorfloat32(recipe: Recipe, device: str) -> str | None:
    """The reason of a device that is not an NVIDIA GPU, or None if the recipe does not need TensorFloat-32."""
    if recipe.precision == "tensorfloat32" and device.partition(":")[0] not in ("cuda", "gpu"):
        return f"precision 'tensorfloat32' needs an NVIDIA GPU; device {device!r} has 'float32' and 'bfloat16'"
    return None


def not_the_cpu(device: str, engine: str) -> str | None:
    """The reason of an engine that runs only on a CPU, or None if the device is the CPU."""
    if device != "cpu":
        return f"engine {engine!r} runs only on device 'cpu', not on {device!r}; use engine 'torch' or 'jax' there"
    return None
