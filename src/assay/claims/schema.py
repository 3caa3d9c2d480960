"""The JSON schema of a file of claims, for editors, made from the table of rules that `parse_claims` reads.

It accepts what `parse_claims` accepts. What depends on several keys at once, such as a rule without a bound, or on the
studies, such as a configuration that does not exist, is left to the reader.
"""

from __future__ import annotations

from typing import Any

from assay.claims.quantity import known_quantities
from assay.claims.rules import RULES, Key, Rule
from assay.claims.side import BEST, END, INHERITED, PICKS, PLACES
from assay.recipe.schema import DIALECT

Schema = dict[str, Any]

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
_FILLED: Schema = {"type": "string", "pattern": r"\{[A-Za-z_][A-Za-z0-9_]*\}"}
"""A text with a name in braces, which `each` replaces."""
_NUMBER: Schema = {"type": "number"}
_WORD: Schema = {"type": ["string", "number", "boolean"]}


def claims_schema() -> Schema:
    """The schema of a file with `[[claims]]`.

    >>> claims_schema()["required"]
    ['claims']
    """
    shared = _inherited()
    properties: Schema = {"claims": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/claim"}}, **shared}
    return {
        "$schema": DIALECT,
        "title": "Assay claims",
        **_object(properties, "claims"),
        "$defs": {
            "claim": {"anyOf": [_claim(option) for option in _conditions()]},
            "condition": {"anyOf": _conditions()},
            "side": _side(),
            "at": _at(),
            "each": _each(),
        },
    }


def _claim(condition: Schema) -> Schema:
    own: Schema = {
        "id": {"type": "string", "pattern": _ID, "description": "A name for the claim."},
        "text": {"type": "string", "pattern": r"\S", "description": "The sentence."},
    }
    return condition | {
        "properties": own | condition["properties"],
        "required": ["id", "text", *condition["required"]],
    }


def _conditions() -> list[Schema]:
    """A rule of the table with its keys, or several conditions of which all or any must hold."""
    parts = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/condition"}}
    combined = [_object({key: parts, **_around()}, key) for key in ("all", "any")]
    return [*(_ruled(name, rule) for name, rule in RULES.items()), *combined]


def _ruled(name: str, rule: Rule) -> Schema:
    side: Schema = {"$ref": "#/$defs/side"}
    several: Schema = {"anyOf": [side, {"type": "array", "minItems": 1, "items": side}]}
    sides = {key: several if key in rule.several else side for key in rule.sides}
    keys = {key: {"description": kind.about} | _value(kind) for key, kind in rule.keys.items()}
    required = [key for key in rule.sides if key not in rule.optional]
    required += [key for key, kind in rule.keys.items() if kind.required]
    named = {"rule": {"const": name, "description": rule.about}}
    return _object({**named, **sides, **keys, **_around()}, "rule", *required)


def _value(key: Key) -> Schema:
    """The values of a key of a rule; a text in braces stands for a value of `each`."""
    kinds: dict[str, list[Schema]] = {
        "amount": [_NUMBER, {"type": "string"}],
        "difference": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
        "number": [_NUMBER],
        "positive": [{"type": "number", "exclusiveMinimum": 0}],
        "count": [{"type": "integer", "minimum": 1}],
        "flag": [{"type": "boolean"}],
        "word": [{"enum": list(key.choices)}],
    }
    options = kinds[key.kind]
    is_text = any(option.get("type") == "string" for option in options)
    default = {} if key.default is None else {"default": key.default}
    return {"anyOf": [*options, *([] if is_text else [_FILLED])]} | default


def _around() -> Schema:
    """The keys next to a rule or a combination of rules."""
    excepted = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    return {**_inherited(), "each": {"$ref": "#/$defs/each"}, "except": excepted}


def _inherited() -> Schema:
    own = {
        "study": {"type": "string", "description": "The stored study."},
        "quantity": {"type": "string", "examples": known_quantities(), "description": "What is read."},
        "at": {"$ref": "#/$defs/at"},
    }
    return {key: own[key] for key in INHERITED}


def _side() -> Schema:
    """A number, or a table: which trials, where on their curves, which quantity; or values in place of trials."""
    chosen: Schema = {"anyOf": [_WORD, {"type": "array", "minItems": 1, "items": _WORD}]}
    selected: Schema = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "configuration": chosen | {"description": "The label of a configuration; * stands for any characters."},
            "where": {"type": "object", "additionalProperties": chosen},
            "pick": {"anyOf": [{"enum": ["", *PICKS]}, _FILLED]},
            **_inherited(),
        },
        "additionalProperties": chosen,
        "not": {"anyOf": [{"required": ["values"]}, {"required": ["experiment"]}]},
    }
    amounts: Schema = {"type": "array", "minItems": 1, "items": {"type": ["number", "string"]}}
    quantity = {"quantity": _inherited()["quantity"]}
    stated = _object({"values": amounts, **quantity}, "values")
    experiment = _object({"experiment": {"type": "string"}, **quantity}, "experiment")
    return {"anyOf": [selected, stated, experiment, _NUMBER, {"type": "string"}]}


def _at() -> Schema:
    """Where on a curve: the end, the best point, an iteration, or one place."""
    place = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"anyOf": [{"type": "number", "minimum": 0}, _FILLED]} for name in PLACES},
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": [END, BEST]}, {"type": "integer", "minimum": 0}, place, _FILLED]}


def _each() -> Schema:
    lists = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}}
    return {"anyOf": [lists, {"type": "array", "minItems": 1, "items": {"type": "object"}}]}


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


__all__ = ["claims_schema"]
