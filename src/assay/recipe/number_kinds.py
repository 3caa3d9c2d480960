"""Which keys of a recipe take whole numbers only, read from the types of their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from assay.parts.batches import BATCHES
from assay.parts.models import MODELS
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.part import Part
from assay.parts.schedules import SCHEDULES
from assay.recipe.model import Recipe
from assay.recipe.settings import Budget, Data, Log, Regularisation, Stop

_SECTIONS: Mapping[str, tuple[type[Part], ...]] = {
    "data": (Data,),
    "model": tuple(MODELS.values()),
    "optimizer": tuple(OPTIMIZERS.values()),
    "schedule": tuple(SCHEDULES.values()),
    "regularisation": (Regularisation,),
    "batches": tuple(BATCHES.values()),
    "budget": (Budget,),
    "stop": (Stop,),
    "log": (Log,),
}
_FRACTIONS = (0.5, 1.5)  # one of them is in the range of every key that takes real numbers


def takes_only_whole_numbers(key: str, *, component: type[Part] | None = None) -> bool:
    """Whether a dotted key of a recipe takes whole numbers and no others; False for a key that is not known.

    Args:
        key: The dotted key.
        component: The component whose key it is, where it is none of the table: a user optimizer.

    >>> [takes_only_whole_numbers(key) for key in ("batches.size", "optimizer.learning_rate", "budget.epochs", "seed")]
    [True, False, False, True]
    """
    fields = list(_fields(key, component))
    return bool(fields) and not any(_takes(field, number) for field in fields for number in _FRACTIONS)


def _fields(key: str, component: type[Part] | None) -> Iterator[FieldInfo]:
    """The fields of that key in every component that may have it."""
    section, _, inner = key.partition(".")
    owners = (Recipe,) if not inner else (*_SECTIONS.get(section, ()), *([component] if component else []))
    for owner in owners:
        if (name := inner or section) in owner.model_fields:
            yield owner.model_fields[name]


def _takes(field: FieldInfo, number: float) -> bool:
    annotation: Any = field.annotation
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(number)
    except (ValidationError, PydanticUserError):  # the latter for a component, which takes no number
        return False
    return True
