"""The recipe: what to train, as frozen plain data. It never says how or where.

Parsing, merging of patches, checks (every error at once), canonical form and keys, and the grouping into cohorts.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from assay.data.prepare import INPUTS
from assay.errors import CodeError, FileError, RecipeError, nearest, unknown
from assay.parts.activations import OUTPUTS
from assay.parts.batches import BATCHES, Full, Single, iterations_per_epoch
from assay.parts.losses import LOSSES
from assay.parts.models import MLP, MODELS, Model, model_of
from assay.parts.optimizers import OPTIMIZERS, Adam
from assay.parts.part import Count, NonNegative, Part, Positive, Share, WholeNumber, any_of, one_of
from assay.parts.schedules import SCHEDULES, Constant
from assay.parts.stack import LAYERS
from assay.parts.user_optimizers import code_in, loaded, named_rule, own_rule, refusing_code

PRECISIONS = ("float32", "float64", "bfloat16", "tensorfloat32")
"""bfloat16 and tensorfloat32 are in the products alone; weights, sums and the rest stay float32."""


class Data(Part):
    """The data set by name or path; `train = n` takes the first n images, `validation = m` draws m others."""

    name: str = "digits"
    train: Count | None = None
    validation: WholeNumber = 0


class Regularisation(Part):
    """L1 and L2 terms of the loss that is minimised: l1 sum |w| + l2 / 2 sum w**2, so that l2 is torch's weight_decay.

    Biases are left out unless asked for. The losses that are logged are those of the data alone.
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    biases: bool = False


class Budget(Part):
    """How long to train: in iterations or in epochs, one of the two."""

    iterations: WholeNumber | None = None
    epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Budget:
        if (self.iterations is None) == (self.epochs is None):
            got = "neither" if self.iterations is None else "both"
            raise ValueError(f"give either iterations or epochs; got {got}")
        return self


class Stop(Part):
    """Rules that end a trial before its budget; they read the validation set where there is one, else the test set.

    `accuracy`: the accuracy to reach. `seconds`: training time. `patience`: this many log points without a lower loss.
    """

    accuracy: Share | None = None
    seconds: Positive | None = None
    patience: Count | None = None


_EVERY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(iterations?|epochs?|s|seconds?)\s*")


Interval = tuple[float, Literal["iterations", "epochs", "seconds", "geometric"]]


def _interval(every: int | str) -> Interval:
    if isinstance(every, int):
        return every, "iterations"
    if every == "geometric":
        return 10, "geometric"
    match = _EVERY.fullmatch(every)
    number = float(match[1]) if match else 0.0
    if not match or number == 0:
        raise ValueError(f"got {every!r}; expected a number of iterations, 'n epochs', 'n s' or 'geometric'")
    unit = match[2][0]
    if unit == "i" and number != int(number):
        raise ValueError(f"got {every!r}; expected a whole number of iterations")
    return number, "iterations" if unit == "i" else "epochs" if unit == "e" else "seconds"


class Log(Part):
    """Where the curve has its points and on what the training loss is measured.

    `every`: n or "n iterations", "n epochs", "n s" of training time, "geometric" (ten points a decade).
    `train_loss`: "full" (all training examples), a number (the first n of them), or "batch" (of that iteration alone).
    """

    every: Count | str = "geometric"
    train_loss: Literal["full", "batch"] | Count = "full"

    @field_validator("every")
    @classmethod
    def _readable(cls, every: int | str) -> int | str:
        _interval(every)
        return every

    def interval(self) -> Interval:
        """The distance of two log points and its unit; for "geometric" the number of points in a decade."""
        return _interval(self.every)


def _short_form(key: str) -> BeforeValidator:
    def table(value: object) -> object:
        return value if isinstance(value, Mapping | Part) else {key: value}

    return BeforeValidator(table)


def _own_or_listed(value: object, listed: ValidatorFunctionWrapHandler) -> Any:
    try:
        own = own_rule(value)
    except CodeError as error:
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": str(error)}) from None
    return listed(value) if own is None else own


if TYPE_CHECKING:
    from assay.parts.batches import BatchKind as BatchesPart
    from assay.parts.models import Model as ModelPart
    from assay.parts.optimizers import Optimizer as OptimizerPart
    from assay.parts.schedules import Schedule as SchedulePart

    LossName = InputName = PrecisionName = str
else:
    ModelPart = any_of("model", MODELS, default=model_of)
    Listed = any_of("optimizer", OPTIMIZERS, default="adam")
    OptimizerPart = Annotated[Listed, WrapValidator(_own_or_listed), SerializeAsAny()]
    SchedulePart = any_of("schedule", SCHEDULES, default="constant")
    BatchesPart = any_of("batches", BATCHES, tag="kind", default="shuffled")
    LossName = one_of("loss", LOSSES)
    InputName = one_of("input", INPUTS)
    PrecisionName = one_of("precision", dict.fromkeys(PRECISIONS))


class Recipe(Part):
    """What to train. A key left out has its default; a string is the short form of a table with only a name.

    The optimizer may be a user's own: an instance, or its name `module:Class` (see `allowing_code`).

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
            raise RecipeError(sentences(error.errors())) from None

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_output(cls, raw: Any) -> Any:
        """Without a loss, the one that belongs to the model's output; its default is of the recipe, not of a table."""
        if isinstance(raw, Mapping) and "loss" not in raw:
            return {**raw, "loss": _default_loss(raw.get("model", "mlp"))}  # pyright: ignore[reportUnknownArgumentType]
        return raw

    @model_validator(mode="after")
    def _dropout_rates(self) -> Recipe:
        if not isinstance(self.model, MLP):
            return self
        rates, hidden = self.model.dropout, len(self.model.hidden)
        if isinstance(rates, tuple) and len(rates) != hidden:
            raise ValueError(f"model.dropout has {len(rates)} rates for {hidden} hidden layers; give one for each")
        return self

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, source: str = "recipe") -> Recipe:
        """The recipe that plain data (a parsed TOML file, a dict) say.

        Raises: RecipeError, with every error at once.
        """
        try:
            return cls(**{str(key): value for key, value in raw.items()})
        except RecipeError as error:
            raise RecipeError(error.problems, source=source) from None

    @classmethod
    def stored(cls, raw: Mapping[str, Any], *, code: str = "") -> Recipe:
        """The recipe of a stored trial, of which nothing is ever imported: a user's own optimizer that is not loaded,
        or whose source is not that of the hash `code`, is only named and cannot train. Raises: RecipeError."""
        with refusing_code():
            named = named_rule(raw.get("optimizer"), code=code)
            if named is None:
                return cls.parse(raw)
            try:
                recipe = cls.parse(raw)
            except RecipeError:  # not loaded, or its settings have changed; any other mistake comes again
                return cls.parse({**raw, "optimizer": named})
            same = not code or code == code_in(recipe.optimizer)
            return recipe if same else cls.parse({**raw, "optimizer": named})

    @classmethod
    def load(cls, path: str | Path, patches: Iterable[Mapping[str, Any]] = ()) -> Recipe:
        """The recipe in a TOML file, after `patches`. Raises: FileError, RecipeError."""
        return cls.parse(merged(read_toml(Path(path)), patches), source=str(path))

    def patched(self, *patches: Mapping[str, Any]) -> Recipe:
        """This recipe with patches merged in, checked anew."""
        return Recipe.parse(merged(self.plain(), patches))

    def with_budget(self, *, iterations: int | None = None, epochs: float | None = None) -> Recipe:
        """This recipe with another budget."""
        return self.patched({"budget": {"iterations": iterations, "epochs": epochs}})

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data that `parse` reads back: every key, None left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def canonical(self) -> dict[str, Any]:
        """The form that is hashed: names expanded, fields at their frozen neutral value left out.

        A user's own optimizer is in it with its name, its settings and a hash of its class's source, so that a changed
        rule is another trial; what that class calls in other places is not seen.
        """
        form = self.plain() | {"model": _jsonable(self.model.canonical())}
        if code := code_in(self.optimizer):
            form["optimizer"]["code"] = code
        return {key: value for key, value in form.items() if key not in NEUTRAL or value != NEUTRAL[key]}

    def key(self, *, data_checksum: str = "") -> str:
        """A hash of the canonical form and of the data: equal for two recipes that are the same training."""
        form = self.canonical() | ({"data_checksum": data_checksum} if data_checksum else {})
        text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

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
"""Values that mean "not used": frozen, so that a recipe hashes the same before and after its field was invented."""


def warnings(recipe: Recipe) -> list[str]:
    """What is allowed but odd in a recipe, a sentence each."""
    output, loss = recipe.model.output, LOSSES[recipe.loss]
    found: list[str] = []
    if output not in loss.outputs:
        means = " or ".join(loss.outputs)
        found.append(f"loss {recipe.loss!r} is meant for output {means}; this model's output is {output!r}")
    if recipe.stop != Stop() and not recipe.data.validation:
        found.append("the stopping rule reads the test set (no validation set): results are selected on test")
    return found


def cohorts(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Groups of recipes that differ only in traced numbers: those can be trained together by one program.

    Traced are the seed, every number of the optimizer and of the regularisation, the clipping norm, the schedule.
    """
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(static_form(recipe), []).append(recipe)
    return list(groups.values())


def static_form(recipe: Recipe) -> str:
    """What recipes of one cohort have in common, as text."""
    form = recipe.plain() | {"model": _jsonable(recipe.model.canonical())}
    form |= {"seed": 0, "schedule": None, "optimizer": recipe.optimizer.entry + code_in(recipe.optimizer)}
    form["clip_norm"] = recipe.clip_norm is not None
    form["regularisation"] = recipe.regularisation.biases
    return json.dumps(form, sort_keys=True)


# --- plain data: TOML, dotted assignments, merging -------------------------------------------------------------------


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises: FileError where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.toml")]) if path.parent.is_dir() else None
        raise FileError(f"{path}: no such file" + (f"; did you mean {near!r}?" if near else "")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as text: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FileError(f"{path}: not valid TOML: {error}") from None


def assignment(text: str) -> dict[str, Any]:
    """The patch that `key.key=value` says; the value is TOML, or a plain word.

    >>> assignment("optimizer.learning_rate=0.1"), assignment("model=3LS")
    ({'optimizer': {'learning_rate': 0.1}}, {'model': '3LS'})
    """
    path, equals, word = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise RecipeError([f"got {text!r}; expected KEY=VALUE, such as optimizer.learning_rate=0.1"], source="--set")
    try:
        patch: Any = tomllib.loads(f"value = {word.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        patch = word.strip()
    for key in reversed(keys):
        patch = {key: patch}
    return patch


_SHORT_FORMS = {
    "data": "name",
    "model": "name",
    "optimizer": "name",
    "schedule": "name",
    "batches": "kind",
    "log": "every",
}


def merged(table: Mapping[str, Any], patches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A recipe's plain data with patches applied in order.

    A table that names a component replaces it, siblings at their defaults (Adam never inherits Descent's rate); a
    table without a name is merged key by key. A patch that replaces the model but names no loss takes the new model's.
    """
    result = dict(table)
    for patch in patches:
        if "model" in patch and "loss" not in patch and _names(patch["model"]):
            result.pop("loss", None)
        for key, value in patch.items():
            result[key] = _merged_value(key, result.get(key), value)
    return result


def with_data(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The patch that puts the data of another name in the place of a recipe's own, split as those are."""
    own: Any = table.get("data")
    return {"data": {**own, "name": name} if isinstance(own, Mapping) else name}


def _merged_value(key: str, old: object, new: object) -> object:
    if not isinstance(new, Mapping) or _names(new):  # pyright: ignore[reportUnknownArgumentType]
        return new
    if key in _SHORT_FORMS and isinstance(old, str):
        old = {_SHORT_FORMS[key]: old}
    if key == "budget":  # one of two keys: the new one takes the old one's place
        old = None
    old = tables(old)
    base: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    return {**base, **new}


def tables(value: Any) -> Any:
    """Plain data in which components made in Python may stand, with the tables that they stand for."""
    if isinstance(value, Part):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {key: tables(item) for key, item in value.items()}  # pyright: ignore[reportUnknownArgumentType]
    return value


def _names(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and ("name" in value or "kind" in value))


def _default_loss(model: object) -> str:
    """The loss of a model's output as far as the raw data are sound; unsound ones are reported by the model itself."""
    table: Mapping[str, Any] = model if isinstance(model, Mapping) else {"name": model}  # pyright: ignore
    name = model.entry if isinstance(model, Model) else table.get("name", "mlp")
    entry = MODELS.get(name) if isinstance(name, str) else None
    output = model.output if isinstance(model, Model) else table.get("output")
    if output is None and entry is not None:
        output = entry.model_fields["output"].default
    return OUTPUTS[output].loss if isinstance(output, str) and output in OUTPUTS else "nll"


def _plain(value: Any) -> Any:
    """Lists become tuples, so that what is frozen holds only frozen things; None in a table is a key left out."""
    if isinstance(value, Mapping):
        table: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _plain(item) for key, item in table.items() if item is not None}
    if isinstance(value, list | tuple):
        items: Iterable[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return tuple(_plain(item) for item in items)
    return value


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value))


# --- errors ----------------------------------------------------------------------------------------------------------

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "model_type": "a table or a name",
    "model_attributes_type": "a table or a name",
    "dict_type": "a table",
    "too_long": "at most {max_length} entries",
}


Keys = Callable[[Sequence[int | str]], tuple[str, list[str]]]
"""From the place of a table to its name and the keys that it may have."""


def sentences(errors: Sequence[ErrorDetails], keys_at: Keys | None = None) -> list[str]:
    """A sentence for each error; what the members of a union expect at one place is joined into one.

    `keys_at` tells the tables of something other than a recipe.
    """
    joined: dict[str, str] = {}
    for details in errors:
        sentence = _sentence(details, keys_at or _keys_at)
        start, expected, rest = sentence.partition("; expected ")
        key = start if expected else sentence
        joined[key] = f"{joined[key]}, or {rest}" if key in joined and expected else sentence
    return list(joined.values())


def _sentence(details: ErrorDetails, keys_at: Keys) -> str:
    """One error of pydantic as: where, what is wrong, what was got, what is expected."""
    kind, context = details["type"], details.get("ctx", {})
    where = _where(details["loc"])
    if kind == "extra_forbidden":
        owner, known = keys_at(details["loc"][:-1])
        return f"{where}: " + unknown(f"key of {owner}", details["loc"][-1], known)
    if kind == "missing":
        return f"{where}: is missing, and has no default"
    if kind == "unknown_name":
        return f"{where}: {context['sentence']}"
    if kind == "value_error":
        return f"{where}: {context['error']}" if where else str(context["error"])
    expected = _EXPECTED.get(kind, details["msg"]).format(**context)
    shown = repr(details["input"])
    got = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{where}: got {got}; expected {expected}"


_MEMBERS = {"int", "str", "float", "constrained-int", "constrained-float"}
_TAGS = {*MODELS, *OPTIMIZERS, *SCHEDULES, *BATCHES}


def _where(location: Sequence[int | str]) -> str:
    """A dotted path without the marks that pydantic adds for the member of a union."""
    kept: list[str] = []
    for i, step in enumerate(location):
        text = str(step)
        own = location[0] == "optimizer" and ":" in text
        tag = (i == 1 and (text in _TAGS or own)) or (text in LAYERS and isinstance(location[i - 1], int))
        if tag or "[" in text or text in _MEMBERS:
            continue
        kept.append(text)
    return ".".join(kept)


def _keys_at(location: Sequence[int | str]) -> tuple[str, list[str]]:
    """The name of the table at a location, and the keys that it may have."""
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
        entry = tables[field].get(name) or loaded(name)
        return f"{field} {name!r}", list(entry.model_fields) if entry else []
    plain: dict[str, type[Part]] = {
        "data": Data,
        "regularisation": Regularisation,
        "budget": Budget,
        "stop": Stop,
        "log": Log,
    }
    return field, list(plain[field].model_fields)


__all__ = [
    "Recipe",
    "assignment",
    "cohorts",
    "merged",
    "read_toml",
    "sentences",
    "static_form",
    "tables",
    "warnings",
    "with_data",
]
