"""The recipe: what to train, as frozen plain data, and never how or where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from assay.data.prepare import INPUTS, Preparation
from assay.data.targets import REGRESSION
from assay.errors import CodeError, RecipeError
from assay.parts.batches import BATCHES, Full, Single, iterations_per_epoch
from assay.parts.foreign_schedules import foreign_schedule
from assay.parts.losses import LOSSES
from assay.parts.models import MLP, MODELS, model_of
from assay.parts.modules import module_of
from assay.parts.optimizers import OPTIMIZERS, Adam
from assay.parts.part import Part, Positive, WholeNumber, any_of, one_of
from assay.parts.schedules import SCHEDULES, Constant
from assay.parts.stack import LAYERS
from assay.parts.user_optimizers import code_hash, loaded_class, refusing_code, unloaded_optimizer, user_optimizer
from assay.recipe.aliases import documented_keys, resolved
from assay.recipe.bounds import problems_of
from assay.recipe.messages import sentences
from assay.recipe.pairing import names_output, with_defaults
from assay.recipe.patches import merged
from assay.recipe.settings import Budget, Data, Log, Regularisation, Stop, budget_table
from assay.recipe.toml import read_recipe
from assay.recipe.upgrades import upgraded
from assay.system.files import home_expanded
from assay.system.limits import ITERATIONS

PRECISIONS = ("float32", "float64", "bfloat16", "tensorfloat32")
"""bfloat16 and tensorfloat32 apply to products only; weights, sums and everything else stay float32."""


_STORED: ContextVar[bool] = ContextVar("stored", default=False)
"""Whether plain data come from a recipe: they are in its own words, and no name in them is another library's."""


@contextmanager
def _as_stored() -> Generator[None]:
    token = _STORED.set(True)
    try:
        yield
    finally:
        _STORED.reset(token)


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


def _module_or_listed(value: object, listed: ValidatorFunctionWrapHandler) -> Any:
    try:
        model = module_of(value, stored=_STORED.get())
    except CodeError as error:
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": str(error)}) from None
    return listed(value) if model is None else model


def _foreign_or_listed(value: object, listed: ValidatorFunctionWrapHandler) -> Any:
    try:
        schedule = foreign_schedule(value, stored=_STORED.get()) if isinstance(value, str | Mapping | Part) else None
    except CodeError as error:
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": str(error)}) from None
    return listed(value) if schedule is None else schedule


if TYPE_CHECKING:
    from assay.parts.batches import BatchKind as BatchesPart
    from assay.parts.models import Model as ModelPart
    from assay.parts.optimizers import Optimizer as OptimizerPart
    from assay.parts.schedules import Schedule as SchedulePart

    LossName = InputName = PrecisionName = ClipName = str
else:
    ListedModel = any_of("model", MODELS, default=model_of)
    ModelPart = Annotated[ListedModel, WrapValidator(_module_or_listed), SerializeAsAny()]
    Listed = any_of("optimizer", OPTIMIZERS, default="adam")
    OptimizerPart = Annotated[Listed, WrapValidator(_user_or_listed), SerializeAsAny()]
    ListedSchedule = any_of("schedule", SCHEDULES, default="constant")
    SchedulePart = Annotated[ListedSchedule, WrapValidator(_foreign_or_listed), SerializeAsAny()]
    BatchesPart = any_of("batches", BATCHES, tag="kind", default="shuffled")
    LossName = one_of("loss", LOSSES)
    ClipName = one_of("clip_of", dict.fromkeys(("loss", "objective")))
    InputName = one_of("input", INPUTS)
    PrecisionName = one_of("precision", dict.fromkeys(PRECISIONS))


COUPLED = ("data", "model", "loss")
"""The fields of a recipe that are validated together; each of the others is validated by itself."""


class Recipe(Part):
    """What to train: frozen, hashable, plain data. It never says on which engine or how many threads.

    Every key has a default. A string is the short form of a table with only a name: `optimizer = "adam"`. Two recipes
    with the same `key` are the same training.

    Attributes:
        data: The data set, by name or path, with optional `train` and `validation` sizes, and a test set that is drawn
            anew: `split`, or `folds` and `fold`.
        input: How inputs are scaled: "unit", "standardise" (all values together), "standardise-each" (each example) or
            "standardise-features" (each feature, for tables whose columns have different units).
        model: A named model, or `hidden` units of a multilayer perceptron, or a list of `layers`, or a user's module of
            torch by its place `module:Net`, inside `allowing_code`.
        loss: The loss function. Left out, it is the one that fits the model's output; an output that is left out
            follows the loss.
        optimizer: A name with its settings, or a user's optimizer: an instance, or its place `module:Class` inside
            `allowing_code`.
        schedule: The learning-rate schedule with its warm-up. Its lengths are iterations, or texts such as "5 epochs".
            A horizon that is left out ends with the budget.
        regularisation: L1 and L2 terms of the loss that is minimised.
        clip_norm: The largest norm of the gradient, over all weights together; None does not clip.
        clip_of: What is clipped where there are penalties too: the gradient of the "loss", to which they are added
            after it as in PyTorch, or that of the "objective", the loss with its penalties.
        batches: How batches are drawn: "full", "single", "window", "shuffled", "sequential" or "replacement", with
            their `size`.
        budget: How long to train, in `iterations`, in `epochs` or in `seconds` of training time; "5 epochs" and "2 s"
            are short forms.
        stop: Rules that end a trial before its budget.
        log: Where the learning curve has its points.
        seed: The seed of splits, initial weights, batches and dropout.
        precision: "float32", "float64", "bfloat16" or "tensorfloat32".

    Raises:
        RecipeError: On construction, with all problems at once.

    Examples:
        >>> recipe = Recipe.parse({"model": "3LS", "optimizer": {"name": "descent", "learning_rate": 0.2}})
        >>> recipe.loss
        'mse'
        >>> recipe.patched({"optimizer": "adam"}).label()
        '3LS, adam 0.001, shuffled 32, digits'
    """

    data: Annotated[Data, _short_form("name")] = Data()
    input: InputName = "unit"
    model: ModelPart = MLP()
    loss: LossName = ""
    optimizer: OptimizerPart = Adam()
    schedule: SchedulePart = Constant()
    regularisation: Regularisation = Regularisation()
    clip_norm: Annotated[Positive | None, Field(examples=[1.0])] = None
    batches: BatchesPart = BATCHES["shuffled"]()
    budget: Annotated[Budget, BeforeValidator(budget_table)] = Budget(epochs=30)
    stop: Stop = Stop()
    log: Annotated[Log, _short_form("every")] = Log()
    seed: WholeNumber = 1
    precision: PrecisionName = "float32"
    clip_of: ClipName = "loss"

    def __init__(self, **raw: Any) -> None:
        if out_of_bounds := list(problems_of(raw)):
            raise RecipeError(out_of_bounds)
        table, problems = (raw, list[str]()) if _STORED.get() else resolved(raw)
        table = _plain(table)
        try:
            super().__init__(**with_defaults(table))
        except ValidationError as error:
            raise RecipeError([*problems, *sentences(error.errors(), _keys_at)]) from None
        if problems:
            raise RecipeError(problems)
        # What only followed from another key counts as not set, so that it follows again where that key is patched.
        if "loss" not in table:
            self.model_fields_set.discard("loss")
        if not names_output(table.get("model", {})):
            self.model.model_fields_set.discard("output")

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
        """Builds a recipe from plain data: a parsed TOML file or a dict.

        Args:
            raw: The keys of the recipe; those left out have their defaults.
            source: What the error names as the origin, such as a file's name.

        Raises:
            RecipeError: With all problems at once.
        """
        try:
            return cls(**{str(key): value for key, value in raw.items()})
        except RecipeError as error:
            raise RecipeError(error.problems, source=source) from None

    @classmethod
    def stored(cls, raw: Mapping[str, Any], *, code: str = "") -> Recipe:
        """The recipe of a stored trial. Nothing is imported for it.

        A user optimizer that is not loaded, or whose source has changed, is only named and cannot train.

        Args:
            raw: The stored keys, of this version or an older one.
            code: The stored hash of the optimizer's source.

        Raises:
            RecipeError: The stored data are not a recipe.
        """
        raw = upgraded(raw)
        with refusing_code(), _as_stored():
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
        """Reads a recipe from a TOML file and merges patches into it.

        Args:
            path: The TOML file.
            patches: Plain data that are merged in, in order.

        Raises:
            FileError: The file cannot be read, is not TOML, or is a study.
            RecipeError: With all problems at once.
        """
        return cls.parse(merged(read_recipe(home_expanded(path)), patches), source=str(path))

    def patched(self, *patches: Mapping[str, Any]) -> Recipe:
        """This recipe with patches merged in. A patch that names a component replaces it with its defaults.

        A loss or an output that was left out follows the other one again.

        Raises:
            RecipeError: The result is not a valid recipe.
        """
        return Recipe.parse(merged(self.written(), patches))

    def with_budget(
        self, *, iterations: int | None = None, epochs: float | None = None, seconds: float | None = None
    ) -> Recipe:
        """This recipe with another budget, in iterations, in epochs or in seconds of training time."""
        return self.patched({"budget": {"iterations": iterations, "epochs": epochs, "seconds": seconds}})

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data that `parse` reads back, without the keys that are None.

        `clip_of` is in it where it has an effect.
        """
        table = self.model_dump(mode="json", exclude_none=True)
        if not self.clips_and_penalises and self.clip_of == "loss":
            del table["clip_of"]
        return table

    def written(self) -> dict[str, Any]:
        """The same without a loss or an output that only followed from the other one."""
        table = self.plain() | {"model": self.model.written()}
        if "loss" not in self.model_fields_set:
            del table["loss"]
        return table

    @property
    def clips_and_penalises(self) -> bool:
        """Whether the gradient is clipped and has penalties, so that their order counts."""
        return self.clip_norm is not None and (self.regularisation.l1 > 0 or self.regularisation.l2 > 0)

    def canonical(self) -> dict[str, Any]:
        """The form that is hashed: model names expanded, fields at their neutral value left out.

        A user optimizer is part of it with its name, its settings and a hash of its source, so that a changed rule is
        another trial. Code that the class calls elsewhere is not covered. A user's model is part of it in the same
        way, with the hash of its file and of those that it uses.
        """
        form = {field: self.canonical_field(field) for field in type(self).model_fields}
        return {field: value for field, value in form.items() if value is not None}

    def canonical_field(self, field: str) -> Any:
        """What the canonical form has of a field; None where it leaves the field out.

        It depends on that field alone, except for `clip_of`, so that recipes can share what is made of it.
        """
        part = getattr(self, field)
        if field == "clip_of":  # what older versions did, "objective", has no key
            return "loss" if self.clips_and_penalises and part == "loss" else None
        if field == "model":
            value = jsonable(part.canonical())
        elif field == "stop":
            value = part.canonical()
        else:
            value = part.model_dump(mode="json", exclude_none=True) if isinstance(part, Part) else part
        if field == "optimizer" and (code := code_hash(self.optimizer)):
            value["code"] = code
        return None if field in NEUTRAL and value == NEUTRAL[field] else value

    def key(self, *, data_checksum: str = "") -> str:
        """A hash of the canonical form and of the data. Recipes with equal keys are the same training.

        Args:
            data_checksum: The checksum of the data set; without it, data sets are compared by name.

        Returns:
            32 hexadecimal digits.
        """
        form = self.canonical() | ({"data_checksum": data_checksum} if data_checksum else {})
        text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def is_regression(self) -> bool:
        """Whether its labels are targets, and its scores R2 and RMSE in place of an accuracy."""
        return self.data.task == REGRESSION

    @property
    def preparation(self) -> Preparation:
        """How the data set is split and scaled for this recipe."""
        dtype = "float64" if self.precision == "float64" else "float32"
        data = self.data
        return Preparation(
            self.input, dtype, train=data.train, validation=data.validation, task=data.task, draw=data.draw
        )

    def resolved(self, examples: int) -> Recipe:
        """This recipe with every length of its schedule, and its patience, in iterations, for N training `examples`.

        A horizon that is not given is written down: the rest of the budget after the warm-up.
        Keys of trials are those of the resolved recipe, so that "5 epochs" and the equal number of iterations are the
        same training.
        """
        per_epoch = iterations_per_epoch(self.batches, examples)
        schedule = self.schedule.resolved(per_epoch).with_horizon(self.iterations(examples))
        stop = self.stop.resolved(per_epoch)
        if schedule is self.schedule and stop is self.stop:
            return self
        return self.model_copy(update={"schedule": schedule, "stop": stop})

    def iterations(self, examples: int) -> int:
        """The budget in iterations, for N training `examples`; the most that there can be where it is in seconds."""
        if self.budget.iterations is not None:
            return self.budget.iterations
        if self.budget.seconds is not None:
            return ITERATIONS.most
        assert self.budget.epochs is not None  # Budget holds one of the three
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
        return f"{field} {name!r}", documented_keys(field, entry.model_fields) if entry else []
    plain: dict[str, type[Part]] = {
        "data": Data,
        "regularisation": Regularisation,
        "budget": Budget,
        "stop": Stop,
        "log": Log,
    }
    return field, list(plain[field].model_fields)
