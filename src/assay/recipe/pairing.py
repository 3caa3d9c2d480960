"""The output and the loss of a recipe that leaves one of them, or both, to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.data.targets import REGRESSION
from assay.parts.activations import OUTPUTS
from assay.parts.losses import LOSSES, REGRESSION_LOSSES
from assay.parts.models import MODELS, Model, model_of


def with_defaults(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's plain data with the loss that fits the output, or the output that fits the loss, where one is missing.

    Without both, the model's own output decides; of a regression, the loss is mse and the output identity.
    Invalid values are left to the recipe's validation.

    >>> with_defaults({"loss": "cross_entropy"})
    {'loss': 'cross_entropy', 'model': {'output': 'softmax'}}
    """
    model = table.get("model", {})
    if _is_regression(table.get("data")):
        table = {"loss": "mse", **table}
        fits = isinstance(table["loss"], str) and table["loss"] in REGRESSION_LOSSES
        return {**table, "model": _with_output(model, "identity")} if fits and not names_output(model) else table
    if "loss" not in table:
        return {**table, "loss": _loss_of(model)}
    loss = LOSSES.get(table["loss"]) if isinstance(table["loss"], str) else None
    if loss is None or not loss.output or names_output(model):
        return dict(table)
    return {**table, "model": _with_output(model, loss.output)}


def _is_regression(data: object) -> bool:
    """Whether the data of a recipe, as plain data or made in Python, are of a regression."""
    if isinstance(data, Mapping):
        return data.get("task") == REGRESSION  # pyright: ignore[reportUnknownMemberType]
    return getattr(data, "task", None) == REGRESSION


def names_output(model: object) -> bool:
    """Whether a model, as plain data or made in Python, names its output."""
    if isinstance(model, Model):
        return "output" in model.model_fields_set
    return isinstance(model, Mapping) and "output" in model


def _with_output(model: object, output: str) -> object:
    if isinstance(model, Model):
        return model if model.output == output else model.model_copy(update={"output": output})
    if isinstance(model, str):
        return {"name": model, "output": output}
    return {**model, "output": output} if isinstance(model, Mapping) else model


def _loss_of(model: object) -> str:
    """The loss of a model's output; any loss for invalid data, whose problems the model's validation reports."""
    output: object = model.output if isinstance(model, Model) else None
    table: Mapping[str, Any] = model if isinstance(model, Mapping) else {"name": model}  # pyright: ignore
    if output is None:
        output = table.get("output")
    if output is None:
        name = table.get("name", model_of(table))
        entry = MODELS.get(name) if isinstance(name, str) else None
        output = entry.model_fields["output"].default if entry is not None else None
    return OUTPUTS[output].loss if isinstance(output, str) and output in OUTPUTS else "nll"
