"""What is unusual in a recipe: notes to show wherever it is shown, and pairings that no training is planned for.

Every pairing of an output and a loss that is not in the loss's `outputs` is odd; `PAIRINGS` says what it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.parts.activations import OUTPUTS
from assay.parts.losses import LOSSES, REGRESSION_LOSSES
from assay.recipe.model import Recipe
from assay.recipe.settings import Stop


@dataclass(frozen=True)
class Pairing:
    """What an odd pairing of an output and a loss computes, and whether it can train a classifier at all."""

    effect: str
    trains: bool = True


_ALL_GROW = "the loss falls if every output grows, whatever the example is"
_ABOVE_ZERO = "every output is at most 0, where the loss is clamped and its gradient is 0"
_FAR = "the targets 0 and 1 are not log-probabilities"

PAIRINGS: dict[tuple[str, str], Pairing] = {
    ("log_softmax", "mse"): Pairing(_FAR),
    ("log_softmax", "quadratic"): Pairing(_FAR),
    ("identity", "cross_entropy"): Pairing(_ALL_GROW, trains=False),
    ("sigmoid", "cross_entropy"): Pairing(_ALL_GROW, trains=False),
    ("log_softmax", "cross_entropy"): Pairing(_ABOVE_ZERO, trains=False),
    ("sigmoid", "logit_cross_entropy"): Pairing(
        "softmax is applied to values between 0 and 1, so that the loss cannot come near 0"
    ),
    ("softmax", "logit_cross_entropy"): Pairing(
        "softmax is applied twice, so that the loss cannot come near 0 (for ten classes, not below 1.46)"
    ),
    ("log_softmax", "logit_cross_entropy"): Pairing(
        "log-softmax is applied twice, which changes nothing: the same function as loss 'nll'"
    ),
    ("identity", "nll"): Pairing(_ALL_GROW, trains=False),
    ("sigmoid", "nll"): Pairing(_ALL_GROW, trains=False),
    ("softmax", "nll"): Pairing("the loss is -p, not -log p, and its gradient vanishes where p is near 0"),
    ("identity", "binary_cross_entropy"): Pairing("outputs below 0 or above 1 are clamped, and their gradient is 0"),
    ("softmax", "binary_cross_entropy"): Pairing("each class is scored by itself, but softmax makes them sum to 1"),
    ("log_softmax", "binary_cross_entropy"): Pairing(_ABOVE_ZERO, trains=False),
    ("sigmoid", "binary_cross_entropy_with_logits"): Pairing(
        "sigmoid is applied twice, so that no probability is below 0.5, and all outputs are driven to 0 and stay there",
        trains=False,
    ),
    ("softmax", "binary_cross_entropy_with_logits"): Pairing(
        "sigmoid is applied to probabilities, so that none is below 0.5 or above 0.73"
    ),
    ("log_softmax", "binary_cross_entropy_with_logits"): Pairing(
        "sigmoid is applied to log-probabilities, so that no probability is above 0.5"
    ),
}
"""(output, loss) -> what comes of it, for every pairing that the loss is not meant for."""


LEAST_RHO = 0.5
"""An averaging constant below it is noted: it may be Keras's decay of the learning rate, such as 1e-6."""
_AVERAGING = ("rmsprop", "adadelta")
_NO_RULES = Stop()


def notes(recipe: Recipe) -> list[str]:
    """What is allowed but unusual in a recipe, one sentence each.

    >>> notes(Recipe.parse({"model": {"output": "log_softmax"}, "loss": "logit_cross_entropy"}))[0].partition(": ")[0]
    "loss 'logit_cross_entropy' is meant for output identity; this model's output is 'log_softmax'"
    """
    sentences: list[str] = []
    pairing = PAIRINGS.get((recipe.model.output, recipe.loss))
    if pairing is not None:
        sentences.append(_sentence(recipe, pairing))
    sentences += assumed(recipe)
    rho = recipe.optimizer.settings().get("decay") if recipe.optimizer.entry in _AVERAGING else None
    if rho is not None and rho < LEAST_RHO:
        sentences.append(
            f"optimizer.rho {rho:g} averages squared gradients over hardly any iterations; 0.9 to 0.99 is usual; "
            "Keras's decay, which lowers the learning rate, is a schedule here"
        )
    if recipe.stop != _NO_RULES and not recipe.data.validation:
        sentences.append("the stopping rule reads the test set (no validation set): results are selected on test")
    if recipe.budget.seconds is not None:
        sentences.append(
            f"the budget is {recipe.budget.seconds:g} s of training time: how many iterations that is differs between "
            "runs and machines, and so do the results; their bits are not promised"
        )
    if recipe.clip_of == "objective":
        sentences.append(
            "clip_of 'objective': penalties are added before the gradient is clipped; PyTorch adds them after it"
            if recipe.clips_and_penalises
            else "clip_of 'objective' has no effect: it needs clip_norm, and l1 or l2"
        )
    return sentences


def assumed(recipe: Recipe) -> list[str]:
    """What a recipe was not given and follows from its other keys. A stored recipe is given everything.

    >>> assumed(Recipe.parse({"schedule": {"name": "cosine", "horizon": 100}}))
    []
    """
    settings = recipe.schedule.settings()
    if "horizon" not in settings or "horizon" in recipe.schedule.model_fields_set:
        return []
    horizon = settings["horizon"]
    length = "the rest of the budget after the warm-up" if horizon is None else f"{horizon:,} iterations"
    return [
        f"schedule.horizon is not given: {length}, so that the schedule ends with the budget; another budget gives "
        "another horizon, and thus another training"
    ]


def all_notes(recipe: Recipe, stored: Iterable[str]) -> list[str]:
    """The notes of a recipe, and those that are stored with its result; each once.

    Older versions stored the notes of recipes too, some of them shorter.
    """
    made = notes(recipe)
    return list(dict.fromkeys([*made, *(note for note in stored if not any(m.startswith(note) for m in made))]))


def refusals(recipe: Recipe) -> list[str]:
    """Why no training of a recipe is planned: its loss cannot train its output. Stored trials of it stay readable.

    >>> refusals(Recipe.parse({"model": "3LS"}))
    []
    """
    if recipe.is_regression:
        return _of_regression(recipe)
    pairing = PAIRINGS.get((recipe.model.output, recipe.loss))
    if pairing is None or pairing.trains:
        return []
    return [f"{_sentence(recipe, pairing)}; {_remedy(recipe)}"]


def _of_regression(recipe: Recipe) -> list[str]:
    """Why a recipe cannot be that of a regression."""
    problems: list[str] = []
    if recipe.loss not in REGRESSION_LOSSES:
        fitting = " or ".join(f"loss = {name!r}" for name in REGRESSION_LOSSES)
        problems.append(f"loss {recipe.loss!r} is of classes, and the recipe of a regression: set {fitting}")
    if recipe.model.output != "identity":
        problems.append(
            f"model.output {recipe.model.output!r} is of classes, and a regression has one output of any size: set "
            "model.output = 'identity', or leave it out"
        )
    if recipe.stop.accuracy is not None:
        problems.append("stop.accuracy: a regression has no accuracy; use stop.patience, or a budget")
    return problems


def _sentence(recipe: Recipe, pairing: Pairing) -> str:
    outputs, output = " or ".join(LOSSES[recipe.loss].outputs), recipe.model.output
    return f"loss {recipe.loss!r} is meant for output {outputs}; this model's output is {output!r}: {pairing.effect}"


def _remedy(recipe: Recipe) -> str:
    """What to type: the outputs of this loss, and the losses of this output, its default first."""
    output = recipe.model.output
    fitting = [name for name, loss in LOSSES.items() if output in loss.outputs]
    losses = sorted(fitting, key=lambda name: name != OUTPUTS[output].loss)
    outputs = " or ".join(f"model.output = {name!r}" for name in LOSSES[recipe.loss].outputs)
    return f"set {outputs}, or loss = {' or '.join(map(repr, losses))}"
