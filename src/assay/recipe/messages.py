"""Pydantic's errors as Assay's messages: where, what is wrong, what was got, what is expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic_core import ErrorDetails

from assay.errors import has_no
from assay.parts.batches import BATCHES
from assay.parts.models import MODELS
from assay.parts.optimizers import OPTIMIZERS
from assay.parts.schedules import SCHEDULES
from assay.parts.stack import LAYERS

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
    "too_short": "{min_length} or more entries",
}


Keys = Callable[[Sequence[int | str]], tuple[str, list[str]]]
"""From the location of a table to its name in messages and its keys."""


def sentences(errors: Sequence[ErrorDetails], keys_at: Keys) -> list[str]:
    """One message per error; what the members of a union expect at the same location is joined into one."""
    joined: dict[str, str] = {}
    for details in errors:
        sentence = _sentence(details, keys_at)
        start, expected, rest = sentence.partition("; expected ")
        key = start if expected else sentence
        joined[key] = f"{joined[key]}, or {rest}" if key in joined and expected else sentence
    return list(joined.values())


def _sentence(details: ErrorDetails, keys_at: Keys) -> str:

    kind, context = details["type"], details.get("ctx", {})
    where = _where(details["loc"])
    if kind == "extra_forbidden":
        owner, known = keys_at(details["loc"][:-1])
        return f"{where}: " + has_no(owner, "key", details["loc"][-1], known)
    if kind == "missing":
        return f"{where}: is missing, and has no default"
    if kind == "unknown_name":
        return f"{where}: {context['sentence']}"
    if kind == "value_error":
        return f"{where}: {context['error']}" if where else str(context["error"])
    expected = _EXPECTED.get(kind, details["msg"]).format(**context)
    shown = repr(details["input"]) if not isinstance(details["input"], int) else _whole(details["input"])
    got = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{where}: got {got}; expected {expected}{_cure(kind, details, context)}"


def _whole(number: int) -> str:
    """A whole number as it is written; one of very many digits, which Python does not print, in words."""
    return repr(number) if number.bit_length() < 10_000 else "a whole number of thousands of digits"


def _cure(kind: str, details: ErrorDetails, context: dict[str, object]) -> str:
    """What to write in place of a value whose meaning is plain, as the end of a sentence."""
    value, key = details["input"], (_where(details["loc"]) if details["loc"] else "").rpartition(".")[2]
    if kind in ("int_type", "int_from_float") and isinstance(value, float) and 0 < value < 1:
        return " (a count, not a fraction)"
    if kind in ("less_than", "less_than_equal") and key in _FRACTIONS and 1 < value <= 100:
        return f" (a fraction: {value / 100:g} is {value:g} %)"
    if kind == "tuple_type" and key == "hidden" and isinstance(value, int) and not isinstance(value, bool):
        return " with the units of each hidden layer, such as [64, 32]"
    if kind in ("int_type", "float_type") and isinstance(value, str) and is_number(value):
        return f" (without quotes: {value.strip()})"
    return ""


_FRACTIONS = ("dropout", "rate", "accuracy")


def is_number(text: str) -> bool:
    """Whether a text is a number as Python writes it, also without a digit before or after the point."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_UNION_MEMBERS = {"int", "str", "float", "constrained-int", "constrained-float"}
_COMPONENTS = {*MODELS, *OPTIMIZERS, *SCHEDULES, *BATCHES}


def _where(location: Sequence[int | str]) -> str:
    """A dotted path without the steps that pydantic adds for the member of a union."""
    path: list[str] = []
    for i, step in enumerate(location):
        text = str(step)
        user_optimizer = location[0] == "optimizer" and ":" in text
        component = i == 1 and (text in _COMPONENTS or user_optimizer)
        layer = text in LAYERS and isinstance(location[i - 1], int)
        if not (component or layer or "[" in text or text in _UNION_MEMBERS):
            path.append(text)
    return ".".join(path)
