"""The base of every component: its name, its validated settings, and tables and unions of components."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from assay.errors import AssayError, unknown
from assay.parts.fractions import fraction
from assay.system.limits import WHOLE_NUMBER


@dataclass(frozen=True)
class Unit:
    """The unit of a key's value, for the reference of all keys."""

    name: str


@dataclass(frozen=True, eq=False)
class Written:
    """How a value that a validator parses is written: in words, in a range, and as a JSON schema for editors."""

    words: str
    schema: Mapping[str, Any]
    unit: str = ""
    range: str = ""


@dataclass(frozen=True, eq=False)
class Choice:
    """The table whose entries are the values of a key; read when it is needed, so that later entries count too."""

    table: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Component:
    """The table of the components that a key takes, the key that names one, and which one settings without it are."""

    kind: str
    table: Mapping[str, type[Part]]
    tag: str
    default: Default


Default = str | Callable[[Mapping[str, Any]], str]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A number in [0, 1): a decay, a momentum, a dropout rate."""
Ratio = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]: an accuracy, a factor."""


def _whole(value: object) -> object:
    """A float without a fraction as the whole number that it is: 6.4e4 is 64000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=WHOLE_NUMBER.most)]
WholeNumber = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=WHOLE_NUMBER.most)]


def _fraction(value: object) -> object:
    """An accuracy with a percent sign as a fraction; a number above 1 is refused."""
    try:
        return fraction(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else value
    except AssayError as error:
        raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": str(error)}) from None


_PERCENT = r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*%?\s*$"
_WRITTEN = Written(
    "number, or text such as '97 %'",
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": _PERCENT}]},
    range="0 to 1",
)
Accuracy = Annotated[float, BeforeValidator(_fraction), _WRITTEN]
"""An accuracy: a number in [0, 1], or a text such as "97 %"."""


class Part(BaseModel):
    """A component's settings: frozen, hashable, without unknown keys, every value of its exact type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @property
    def entry(self) -> str:
        """The component's name in its table."""
        return str(self.__dict__.get("name", self.__dict__.get("kind")))

    def settings(self) -> dict[str, Any]:
        """Every setting except the component's name."""
        return {key: value for key, value in self.__dict__.items() if key not in ("name", "kind")}

    def written(self) -> dict[str, Any]:
        """The component as plain data, without what follows from the rest of a recipe unless it was given."""
        return self.model_dump(mode="json", exclude_none=True)


def one_of(kind: str, table: Mapping[str, Any]) -> Any:
    """The type of a name that must be in `table`; the error suggests the nearest entry."""

    def known(value: object) -> object:
        if isinstance(value, str) and value not in table:
            raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": unknown(kind, value, table)})
        return value

    return Annotated[str, BeforeValidator(known), Choice(table)]


def any_of(kind: str, table: Mapping[str, type[Part]], *, tag: str = "name", default: Default) -> Any:
    """The type of a component: settings whose `tag` names the entry, or the bare name for the entry with its defaults.

    Args:
        kind: what the entries are called in messages.
        default: the entry of settings without the tag, or a function of the settings; "" if the tag is required.
    """

    def expand(value: object) -> object:
        if isinstance(value, str):
            value = {tag: value}
        if isinstance(value, Mapping):
            named: dict[str, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
            named.setdefault(tag, default if isinstance(default, str) else default(named))
            if not isinstance(named[tag], str) or named[tag] not in table:
                sentence = unknown(kind, named[tag], table)
                raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": sentence})
            return named
        return value

    union = functools.reduce(operator.or_, table.values())
    tagged = Annotated[union, Field(discriminator=tag)] if len(table) > 1 else union
    return Annotated[tagged, BeforeValidator(expand), Component(kind, table, tag, default)]


def tag_of(part: type[Part], tag: str = "name") -> str:
    """A component's name in its table: the default of its tag field."""
    annotation = part.model_fields[tag].annotation
    return get_args(annotation)[0] if get_args(annotation) else str(annotation)


def table_of(*parts: type[Part], tag: str = "name") -> dict[str, Any]:
    """A table of components by name, in the given order."""
    return {tag_of(part, tag): part for part in parts}
