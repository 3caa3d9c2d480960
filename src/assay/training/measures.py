"""Measures of a user's own: functions of the outputs and the labels, computed at every log point, off the clock."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.analysis.quantities import MEASURES, METRICS, QUANTITIES, SPLITS, name_of
from assay.errors import AssayError, RecipeError

if TYPE_CHECKING:
    from assay.training.history import History

DIRECTIONS = {"max": True, "min": False}
"""Whether higher values are better, by the word that a measure is given with."""


class MeasureError(AssayError):
    """A measure of a user failed at a log point.

    Attributes:
        history: The history so far, with that point; None where no point was finished. Give it to `fit` as `start`.
    """

    history: History | None = None


@dataclass(frozen=True)
class Measures:
    """A user's functions by name, and whether higher values of each are better."""

    functions: Mapping[str, Callable[[NDArray[Any], NDArray[Any]], Any]]
    higher: Mapping[str, bool]

    @classmethod
    def of(cls, given: Any) -> Measures:
        """The measures of `fit`'s argument: functions, or ("min", function), by name.

        Raises: RecipeError, with all that is wrong.
        """
        if not isinstance(given, Mapping):
            raise RecipeError([f"measures: got {_kind(given)}; expected functions by name: {_EXAMPLE}"], source="fit")
        functions, higher, problems = dict[str, Any](), dict[str, bool](), list[str]()
        for name, value in given.items():  # pyright: ignore[reportUnknownVariableType]
            if problem := _problem_of_name(name):
                problems.append(problem)
            direction, function = value if isinstance(value, tuple | list) and len(value) == 2 else ("max", value)  # pyright: ignore
            if not isinstance(direction, str) or direction not in DIRECTIONS:
                problems.append(f"measures.{name}: got {direction!r} before the function; expected 'max' or 'min'")
            elif not callable(function):  # pyright: ignore[reportUnknownArgumentType]
                problems.append(f"measures.{name}: got {_kind(function)}; expected a function, such as {_EXAMPLE}")
            else:
                functions[str(name)], higher[str(name)] = function, DIRECTIONS[direction]  # pyright: ignore
        if problems:
            raise RecipeError(problems, source="fit")
        return cls(functions, higher)

    def at(self, t: int, split: str, outputs: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
        """The values on a part of the data after t iterations, by name, such as "test_f1". Raises: MeasureError.

        The functions are given arrays that cannot be written to.
        """
        outputs, labels = _read_only(outputs), _read_only(labels)
        values: dict[str, float] = {}
        for name, function in self.functions.items():
            where = f"measure {name!r} at iteration {t:,} on the {SPLITS[split]} set"
            try:
                value = function(outputs, labels)
            except MemoryError:
                raise
            except Exception as error:
                message = (str(error).splitlines() or [""])[0]
                hint = "; its arrays are read-only: copy what it changes" if "read-only" in message else ""
                raise MeasureError(f"{where} raised {type(error).__name__}: {message}{hint}") from error
            values[name_of(split, name)] = _number(value, where)
        return values


_EXAMPLE = "{'errors': ('min', lambda outputs, labels: (outputs.argmax(1) != labels).sum())}"


def _problem_of_name(name: object) -> str:
    """What is wrong with the name of a measure, a sentence; "" if nothing is."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        return f"measures: got the name {name!r}; expected a name of letters, digits and _, such as 'top_3'"
    if name in {*MEASURES, *METRICS, *QUANTITIES, "iteration", "outcome", "seed", "repeat", "configuration", "classes"}:
        return f"measures.{name}: is a name of Assay's own; choose another, such as 'my_{name}'"
    return ""


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array = np.array(array)
    array.flags.writeable = False
    return array


def _number(value: Any, where: str) -> float:
    """Raises: MeasureError if a value is no finite number."""
    array = value if isinstance(value, int | float | np.number | np.ndarray) else None
    is_number = array is not None and not isinstance(value, bool) and np.ndim(array) == 0 and np.isrealobj(array)
    if not is_number:
        raise MeasureError(f"{where} returned {_kind(value)}; expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise MeasureError(
            f"{where} returned {number}; expected a finite number, also where it is undefined, such as 0.0"
        )
    return number


def _kind(value: Any) -> str:
    if value is None:
        return "nothing (None)"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    return f"{value!r}" if isinstance(value, bool | str | int | float) else f"a {type(value).__name__}"
