"""The plain tables of a recipe: data, regularisation, budget, stopping rules, log points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from assay.data.resampling import Draw
from assay.parts.durations import Duration, duration, written
from assay.parts.part import Accuracy, Count, NonNegative, Part, Positive, Unit, WholeNumber, Written
from assay.system.limits import WHOLE_NUMBER

_ESCAPES = "\a\b\t\n\v\f\r\x1b"
"""Characters that no data set's name has, and that a path with backslashes gets where they are escapes."""


Folds = Annotated[int, Field(ge=2)]
"""A number of parts of a cross-validation."""


class Data(Part):
    """The data set of a recipe.

    Attributes:
        name: A known name, a folder, a table, an .npz file, or "openml:ID".
        train: Number of training examples, from the first on; None takes all.
        validation: Number of other training examples that are drawn as validation set.
        task: "regression" where the labels are real numbers, the targets; None for classification.
        split: Draws a test set of the same size anew from all examples, with this seed; None keeps the data's own.
        folds: Number of parts of a cross-validation into which all examples are cut; `split` seeds the cut.
        fold: The part that is the test set, from 1 to `folds`.
    """

    name: str = "digits"
    train: Annotated[Count | None, Unit("examples"), Field(examples=[1000])] = None
    validation: Annotated[WholeNumber, Unit("examples")] = 0
    task: Annotated[Literal["regression"] | None, Field(examples=["regression"])] = None
    split: Annotated[WholeNumber | None, Field(examples=[1])] = None
    folds: Annotated[Folds | None, Field(examples=[5])] = None
    fold: Annotated[Count | None, Field(examples=[1])] = None

    @model_validator(mode="before")
    @classmethod
    def _first_cut(cls, table: Any) -> Any:
        """Split 0 is the cut of folds that name none, so that it has one key."""
        if not isinstance(table, Mapping):
            return table
        given: Mapping[str, Any] = table  # pyright: ignore[reportUnknownVariableType]
        first = given.get("folds") is not None and type(given.get("split")) is int and given["split"] == 0
        return {key: value for key, value in given.items() if not (first and key == "split")}

    @model_validator(mode="after")
    def _names_a_fold(self) -> Data:
        if self.folds is None and self.fold is not None:
            raise ValueError(f"fold = {self.fold} says which part is the test set, and folds is missing; give both")
        if self.folds is not None and self.fold is None:
            raise ValueError(
                f"folds = {self.folds} is missing its fold, the part from 1 to {self.folds} that is the test set"
            )
        if self.folds is not None and self.fold is not None and self.fold > self.folds:
            raise ValueError(f"fold: got {self.fold}; expected 1 to {self.folds}, the number of folds")
        return self

    @property
    def draw(self) -> Draw | None:
        """The test set that is drawn anew; None for that of the data set."""
        if self.split is None and self.folds is None:
            return None
        return Draw(self.split or 0, self.folds, self.fold)

    @field_validator("name")
    @classmethod
    def _is_no_mangled_path(cls, name: str) -> str:
        if any(c in name for c in _ESCAPES):
            raise ValueError(
                f"got {name!r}; in double quotes a backslash is an escape, such as \\n or \\t; "
                "use single quotes: 'C:\\new\\data'"
            )
        return name


class Regularisation(Part):
    """Penalties in the loss that is minimised: l1 sum |w| + l2 / 2 sum w**2. Logged losses leave them out.

    Attributes:
        l1: Factor of the absolute values.
        l2: Factor of the squares; the same as torch's `weight_decay` with plain descent.
        biases: Whether biases are penalised too.
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    biases: bool = False


class Budget(Part):
    """How long to train. Exactly one of the three is given.

    Attributes:
        iterations: Number of updates.
        epochs: Number of passes over the training examples; may be a fraction.
        seconds: Training time by the clock of the time breakdown, in seconds. The number of iterations then depends on
            the machine, so that repeats differ.
    """

    iterations: Annotated[WholeNumber | None, Unit("iterations"), Field(examples=[500])] = None
    epochs: Annotated[Positive | None, Unit("epochs"), Field(examples=[30])] = None
    seconds: Annotated[Positive | None, Unit("s"), Field(examples=[60])] = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Budget:
        given = list(self.model_dump(exclude_none=True))
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of iterations, epochs and seconds; got {got}")
        return self


BUDGET_TEXT = r"^\s*\d+(\.\d+)?([eE]\+?\d+)?\s*(iterations?|epochs?|s|seconds?)\s*$"
"""A budget as text, as a schema has it; `duration` parses it."""


def budget_table(value: object) -> object:
    """A budget's short form as its table: "5 epochs", "500 iterations", 500 or "2 s". Raises: ValueError."""
    if isinstance(value, int | float | str):
        length = duration(value, ("iterations", "epochs", "seconds"), least=0)
        return {length.unit: int(length.number) if length.unit == "iterations" else length.number}
    return value


_PATIENCE_UNITS = ("points", "epochs", "iterations")


class Stop(Part):
    """Rules that end a trial before its budget. They read the validation set, or the test set if there is none.

    Attributes:
        accuracy: Stop when this accuracy is reached: a fraction, or a text such as "97 %".
        seconds: Stop after this much training time.
        patience: Stop after this much training without a lower loss: n or "n points" (log points), "n epochs" or
            "n iterations". The first epoch does not count, but its losses do: the loss must fall below all earlier
            ones.
        patience_from_start: Count the first epoch as well, as Assay 0.2 did.
    """

    accuracy: Annotated[Accuracy | None, Field(examples=["97 %"])] = None
    seconds: Annotated[Positive | None, Unit("s"), Field(examples=[60])] = None
    patience: Annotated[str | None, written(_PATIENCE_UNITS), Field(examples=["5 epochs"])] = None
    patience_from_start: Annotated[bool | None, Field(examples=[True])] = None

    @field_validator("patience", mode="before")
    @classmethod
    def _with_unit(cls, patience: object) -> str | None:
        return None if patience is None else str(duration(patience, _PATIENCE_UNITS))

    @field_validator("patience_from_start")
    @classmethod
    def _true_or_none(cls, value: bool | None) -> bool | None:
        return value or None

    @model_validator(mode="after")
    def _counts_something(self) -> Stop:
        if self.patience_from_start and self.patience is None:
            raise ValueError("patience_from_start says how patience counts; give patience, or leave it out")
        return self

    def waits(self) -> Duration | None:
        """How long the loss may stay as it is; None without `patience`."""
        return None if self.patience is None else duration(self.patience, _PATIENCE_UNITS)

    def canonical(self) -> dict[str, Any]:
        """The form that is hashed: a count of log points from the start is a number, as it always was."""
        form = self.model_dump(mode="json", exclude_none=True)
        length = self.waits()
        if length is not None and length.unit == "points" and form.pop("patience_from_start", False):
            form["patience"] = int(length.number)
        return form

    def resolved(self, per_epoch: float) -> Stop:
        """These rules with a patience of epochs in iterations, for the number of iterations `per_epoch`."""
        length = self.waits()
        if length is None or length.unit != "epochs":
            return self
        return self.model_copy(
            update={"patience": str(Duration(max(1, round(length.number * per_epoch)), "iterations"))}
        )


_EVERY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(iterations?|epochs?|s|seconds?)\s*")


Interval = tuple[float, Literal["iterations", "epochs", "seconds", "geometric"]]


_INTERVAL_TEXT = r"^(geometric|\s*\d+(\.\d+)?\s*(iterations?|epochs?|s|seconds?)\s*)$"
_WRITTEN_INTERVAL = Written(
    "whole number, text such as '1 epoch' or '10 s', or 'geometric'",
    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _INTERVAL_TEXT}]},
    unit="iterations",
    range=">= 1",
)


def _interval(every: int | str) -> Interval:
    if isinstance(every, int):
        return every, "iterations"
    if every == "geometric":
        return 10, "geometric"
    match = _EVERY.fullmatch(every)
    number = float(match[1]) if match else 0.0
    if not match or not 0 < number <= WHOLE_NUMBER.most:
        shown = every if len(every) <= 60 else every[:57] + "..."
        raise ValueError(f"got {shown!r}; expected a number of iterations, 'n epochs', 'n s' or 'geometric'")
    unit = match[2][0]
    if unit == "i" and number != int(number):
        raise ValueError(f"got {every!r}; expected a whole number of iterations")
    return number, "iterations" if unit == "i" else "epochs" if unit == "e" else "seconds"


class Log(Part):
    """Where the learning curve has its points, and on what the training loss is measured.

    Attributes:
        every: n or "n iterations", "n epochs", "n s" of training time, or "geometric" (ten points per decade).
        train_loss: "full" (all training examples), n (the first n of them), or "batch" (the batch of that iteration).
    """

    every: Annotated[Count | str, _WRITTEN_INTERVAL] = "geometric"
    train_loss: Annotated[Literal["full", "batch"] | Count, Unit("examples")] = "full"

    @field_validator("every")
    @classmethod
    def _valid_interval(cls, every: int | str) -> int | str:
        _interval(every)
        return every

    def interval(self) -> Interval:
        """The distance between two log points and its unit; for "geometric" the number of points per decade."""
        return _interval(self.every)
