"""The recipe: what to train, as frozen plain data, and never how or where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BeforeValidator,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from assay.data.prepare import INPUTS, Preparation
from assay.errors import CodeError, RecipeError
from assay.parts.activations import OUTPUTS
from assay.parts.batches import BATCHES, Full, Single, iterations_per_epoch
from assay.parts.losses import LOSSES
from assay.parts.models import MLP, MODELS, Model, model_of
from assay.parts.optimizers import OPTIMIZERS, Adam
from assay.parts.part import Part, Positive, WholeNumber, any_of, one_of
from assay.parts.schedules import SCHEDULES, Constant
from assay.parts.stack import LAYERS
from assay.parts.user_optimizers import code_hash, loaded_class, refusing_code, unloaded_optimizer, user_optimizer
from assay.recipe.messages import sentences
from assay.recipe.patches import merged
from assay.recipe.settings import Budget, Data, Log, Regularisation, Stop
from assay.recipe.toml import read_toml

PRECISIONS = ("float32", "float64", "bfloat16", "tensorfloat32")
"""bfloat16 and tensorfloat32 apply to products only; weights, sums and everything else stay float32."""


def _short_form(key: str) -> BeforeValidator:
    def table(value: object) -> object:
        return value if isinstance(value, Mapping | Part) else {key: value}

    return BeforeValidator(table)


def _user_or_listed(value: object, listed: ValidatorFunctionWrapHandler) -> Any:
    try:
        optimizer = user_optimizer(value)
    except CodeError as error:
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": str(error)}) from None
    return listed(value) if optimizer is None else optimizer


if TYPE_CHECKING:
    from assay.parts.batches import BatchKind as BatchesPart
    from assay.parts.models import Model as ModelPart
    from assay.parts.optimizers import Optimizer as OptimizerPart
    from assay.parts.schedules import Schedule as SchedulePart

    LossName = InputName = PrecisionName = str
else:
    ModelPart = any_of("model", MODELS, default=model_of)
    Listed = any_of("optimizer", OPTIMIZERS, default="adam")
    OptimizerPart = Annotated[Listed, WrapValidator(_user_or_listed), SerializeAsAny()]
    SchedulePart = any_of("schedule", SCHEDULES, default="constant")
    BatchesPart = any_of("batches", BATCHES, tag="kind", default="shuffled")
    LossName = one_of("loss", LOSSES)
    InputName = one_of("input", INPUTS)
    PrecisionName = one_of("precision", dict.fromkeys(PRECISIONS))


class Recipe(Part):
    """What to train. Missing keys take their defaults; a string is the short form of a table with only a name.

    The optimizer may be a user's: an instance, or its name `module:Class` (see `allowing_code`).

    >>> Recipe.parse({"model": "3LS", "optimizer": {"name": "descent", "learning_rate": 0.2}}).loss
    'mse'
    """

    data: Annotated[Data, _short_form("name")] = Data()
    input: InputName = "unit"
    model: ModelPart = MLP()
    loss: LossName = ""
    optimizer: OptimizerPart = Adam()
    schedule: SchedulePart = Constant()
    regularisation: Regularisation = Regularisation()
    clip_norm: Positive | None = None
    batches: BatchesPart = BATCHES["shuffled"]()
    budget: Budget = Budget(epochs=30)
    stop: Stop = Stop()
    log: Annotated[Log, _short_form("every")] = Log()
    seed: WholeNumber = 1
    precision: PrecisionName = "float32"

    def __init__(self, **raw: Any) -> None:
        try:
            super().__init__(**_plain(raw))
        except ValidationError as error:
            raise RecipeError(sentences(error.errors(), _keys_at)) from None

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_output(cls, raw: Any) -> Any:
        """Without a loss, the one that belongs to the model's output: a default that a field alone cannot express."""
        if isinstance(raw, Mapping) and "loss" not in raw:
            return {**raw, "loss": _default_loss(raw.get("model", "mlp"))}  # pyright: ignore[reportUnknownArgumentType]
        return raw

    @model_validator(mode="after")
    def _dropout_rates(self) -> Recipe:
        if not isinstance(self.model, MLP):
            return self
        rates, hidden = self.model.dropout, len(self.model.hidden)
        if isinstance(rates, tuple) and len(rates) != hidden:
            raise ValueError(
                f"model.dropout has {len(rates)} rates for {hidden} hidden layers; give one rate per layer"
            )
        return self

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, source: str = "recipe") -> Recipe:
        """The recipe in plain data (a parsed TOML file, a dict).

        Raises: RecipeError, with every error at once; `source` names the file in its title.
        """
        try:
            return cls(**{str(key): value for key, value in raw.items()})
        except RecipeError as error:
            raise RecipeError(error.problems, source=source) from None

    @classmethod
    def stored(cls, raw: Mapping[str, Any], *, code: str = "") -> Recipe:
        """The recipe of a stored trial; no code is ever imported.

        A user optimizer whose class is not loaded, or whose source has another hash than `code`, is shown by its name
        and cannot train. Raises: RecipeError.
        """
        with refusing_code():
            unloaded = unloaded_optimizer(raw.get("optimizer"), code=code)
            if unloaded is None:
                return cls.parse(raw)
            try:
                recipe = cls.parse(raw)
            except RecipeError:  # not loaded, or its settings have changed; any other error is raised again below
                return cls.parse({**raw, "optimizer": unloaded})
            same = not code or code == code_hash(recipe.optimizer)
            return recipe if same else cls.parse({**raw, "optimizer": unloaded})

    @classmethod
    def load(cls, path: str | Path, patches: Iterable[Mapping[str, Any]] = ()) -> Recipe:
        """The recipe in a TOML file, after `patches`. Raises: FileError, RecipeError."""
        return cls.parse(merged(read_toml(Path(path)), patches), source=str(path))

    def patched(self, *patches: Mapping[str, Any]) -> Recipe:
        """This recipe with patches merged in and validated again."""
        return Recipe.parse(merged(self.plain(), patches))

    def with_budget(self, *, iterations: int | None = None, epochs: float | None = None) -> Recipe:
        """This recipe with another budget."""
        return self.patched({"budget": {"iterations": iterations, "epochs": epochs}})

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data that `parse` reads back, without the keys that are None."""
        return self.model_dump(mode="json", exclude_none=True)

    def canonical(self) -> dict[str, Any]:
        """The form that is hashed: names expanded, fields at their frozen neutral value left out.

        A user optimizer contributes its name, its settings and a hash of its class's source, so that a changed rule is
        another trial. Functions that the class calls elsewhere are not part of the hash.
        """
        form = self.plain() | {"model": jsonable(self.model.canonical())}
        if code := code_hash(self.optimizer):
            form["optimizer"]["code"] = code
        return {key: value for key, value in form.items() if key not in NEUTRAL or value != NEUTRAL[key]}

    def key(self, *, data_checksum: str = "") -> str:
        """A hash of the canonical form and of the data: equal for two recipes of the same training."""
        form = self.canonical() | ({"data_checksum": data_checksum} if data_checksum else {})
        text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def preparation(self) -> Preparation:
        """How the data set is split and scaled for this recipe."""
        dtype = "float64" if self.precision == "float64" else "float32"
        return Preparation(self.input, dtype, train=self.data.train, validation=self.data.validation)

    def iterations(self, examples: int) -> int:
        """The budget in iterations for N training examples."""
        if self.budget.iterations is not None:
            return self.budget.iterations
        assert self.budget.epochs is not None  # Budget holds one of the two
        return max(1, round(self.budget.epochs * iterations_per_epoch(self.batches, examples)))

    def label(self) -> str:
        """A short name for titles and tables: model, optimizer and rate, batches, data."""
        size = "" if isinstance(self.batches, Full | Single) else f" {self.batches.size}"
        rate = f"{self.optimizer.learning_rate:g}"
        return (
            f"{self.model.title}, {self.optimizer.entry} {rate}, {self.batches.kind}{size}, {Path(self.data.name).name}"
        )


NEUTRAL: dict[str, Any] = {
    "schedule": {"name": "constant", "warm_up": 0},
    "regularisation": {"l1": 0.0, "l2": 0.0, "biases": False},
    "stop": {},
}
"""Values that mean "not used": frozen, so that a recipe has the same hash before and after its field was added."""


def warnings(recipe: Recipe) -> list[str]:
    """What is allowed but unusual in a recipe, one message each."""
    output, loss = recipe.model.output, LOSSES[recipe.loss]
    messages: list[str] = []
    if output not in loss.outputs:
        outputs = " or ".join(loss.outputs)
        messages.append(f"loss {recipe.loss!r} is meant for output {outputs}; this model's output is {output!r}")
    if recipe.stop != Stop() and not recipe.data.validation:
        messages.append("the stopping rule reads the test set (no validation set): results are selected on test")
    return messages


def _default_loss(model: object) -> str:
    """The loss of a model's output; invalid raw data get any loss, because the model's validation reports them."""
    table: Mapping[str, Any] = model if isinstance(model, Mapping) else {"name": model}  # pyright: ignore
    name = model.entry if isinstance(model, Model) else table.get("name", "mlp")
    entry = MODELS.get(name) if isinstance(name, str) else None
    output = model.output if isinstance(model, Model) else table.get("output")
    if output is None and entry is not None:
        output = entry.model_fields["output"].default
    return OUTPUTS[output].loss if isinstance(output, str) and output in OUTPUTS else "nll"


def _plain(value: Any) -> Any:
    """Lists as tuples, so that frozen records hold only immutable values; keys that are None left out."""
    if isinstance(value, Mapping):
        table: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _plain(item) for key, item in table.items() if item is not None}
    if isinstance(value, list | tuple):
        items: Iterable[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return tuple(_plain(item) for item in items)
    return value


def jsonable(value: Any) -> Any:
    """Plain data as JSON represents it: tuples as lists."""
    return json.loads(json.dumps(value))


def _keys_at(location: Sequence[int | str]) -> tuple[str, list[str]]:
    """The name in messages of the table at a location, and its keys."""
    if not location:
        return "a recipe", list(Recipe.model_fields)
    field = str(location[0])
    tables: dict[str, Mapping[str, type[Part]]] = {
        "model": MODELS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "batches": BATCHES,
    }
    if field == "model" and len(location) > 4:  # model, its name, layers, a number, the layer's kind
        kind = str(location[4])
        return f"layer {kind!r}", list(LAYERS[kind].model_fields)
    if field in tables:
        name = str(location[1])
        entry = tables[field].get(name) or loaded_class(name)
        return f"{field} {name!r}", list(entry.model_fields) if entry else []
    plain: dict[str, type[Part]] = {
        "data": Data,
        "regularisation": Regularisation,
        "budget": Budget,
        "stop": Stop,
        "log": Log,
    }
    return field, list(plain[field].model_fields)
