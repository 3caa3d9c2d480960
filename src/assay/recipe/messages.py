"""Errors of pydantic as our sentences: where, what is wrong, what was got, what is expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic_core import ErrorDetails

from assay.errors import unknown
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
}


Keys = Callable[[Sequence[int | str]], tuple[str, list[str]]]
"""From the place of a table to its name and the keys that it may have."""


def sentences(errors: Sequence[ErrorDetails], keys_at: Keys) -> list[str]:
    """A sentence for each error; what the members of a union expect at one place is joined into one."""
    joined: dict[str, str] = {}
    for details in errors:
        sentence = _sentence(details, keys_at)
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
