"""The keys of a study and the JSON schema of its file, from its settings and from the recipe's."""

from __future__ import annotations

from typing import Any

from assay.engines import ENGINES
from assay.engines.program import Command
from assay.recipe.aliases import SHORT_FORMS
from assay.recipe.model import Recipe
from assay.recipe.reference import Key, KeySection, all_keys, attributes, keys_of, summary
from assay.recipe.schema import DIALECT, Schema, any_of, table_schema, value_schema
from assay.studies.axis_tables import SCALES
from assay.studies.search.seeds import SeedSettings
from assay.studies.search.settings import Halving, SearchSettings
from assay.studies.settings import Settings


def study_sections() -> list[KeySection]:
    """The keys of a study: its settings, its baseline, axes and trials, and those of an axis."""
    own = [
        Key("baseline", "", "table", "", "{}", False, "", "The recipe that every configuration starts from.", "{}"),
        Key("axes", "", "table", "", "{}", False, "", _AXES, 'rate = { key = "lr", values = [0.1, 0.2] }'),
        Key("trials", "", "table", "", "{}", False, "", _TRIALS, "small = { model = { hidden = [16] } }"),
    ]
    keys = [*keys_of(Settings, ""), *own]
    return [
        KeySection("", "", summary(Settings), "", tuple(keys)),
        KeySection("search", "", summary(SearchSettings), "", tuple(keys_of(SearchSettings, "search"))),
        KeySection("search.halving", "", summary(Halving), "", tuple(keys_of(Halving, "search.halving"))),
        KeySection("search.seeds", "", summary(SeedSettings), "", tuple(keys_of(SeedSettings, "search.seeds"))),
        KeySection("axes.NAME", "", _AXIS, "", _axis_keys()),
    ]


_AXES = "What varies: each axis is a table of named patches of the baseline, or a key with its values."
_TRIALS = "With design 'list': each trial is a named patch of the baseline."
_WHEN = "Other axes with their values, or lists of them: only there the axis varies. Only design 'search' has it."
_AXIS = (
    "An axis of one key. Without `key`, the entries of an axis are named patches of the baseline, "
    'such as `small = { model = { hidden = [16] } }`; `"optimizer.lr" = [0.1, 0.2]` is short for a key with values.'
)


def _axis_keys() -> tuple[Key, ...]:
    def key(name: str, kind: str, meaning: str, example: str, *, default: str = "", limits: str = "") -> Key:
        return Key(f"axes.NAME.{name}", "", kind, "", default, name == "key", limits, meaning, example)

    return (
        key("key", "text", "The dotted key of a recipe that varies.", '"optimizer.learning_rate"'),
        key("values", "list", "The values that the key takes.", "[0.001, 0.01]"),
        key("low", "number", "The least value of a range; only designs 'random' and 'search' draw from one.", "1e-4"),
        key("high", "number", "The greatest value of a range.", "0.1"),
        key("scale", "text", "The scale on which draws are uniform.", '"log"', default='"linear"', limits=_SCALES),
        key("whole", "true or false", "Whether only whole numbers are drawn.", "true", default="true for whole bounds"),
        key("step", "number", "The distance between the values of a range; only design 'search' has it.", "16"),
        key("when", "table", _WHEN, '{ optimizer = "momentum" }'),
    )


_SCALES = ", ".join(SCALES)


# --- the schema ------------------------------------------------------------------------------------------------------


def study_schema() -> Schema:
    """The schema of a study's file."""
    meanings = attributes(Settings)
    settings = {name: value_schema(field.annotation, field.metadata) for name, field in Settings.model_fields.items()}
    settings["engine"] = any_of([{"type": "string", "enum": [*ENGINES, "auto"]}, _command()])
    described = {name: {"description": meanings[name], **schema} for name, schema in settings.items()}
    properties: dict[str, Any] = described | {
        "baseline": {"$ref": "#/$defs/recipe"},
        "axes": {"type": "object", "additionalProperties": _axis(), "properties": _nested_axes()},
        "trials": {"type": "object", "additionalProperties": {"$ref": "#/$defs/patch"}},
    }
    patch = table_schema(complete=False)
    patch["properties"]["engine"] = settings["engine"]
    definitions = {"recipe": table_schema(complete=True), "patch": patch}
    return {
        "$schema": DIALECT,
        "title": "Assay study",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _command() -> Schema:
    return value_schema(Command)


def _axis() -> Schema:
    when = {"type": "object", "minProperties": 1, "description": _WHEN}
    keyed = _range(when=when)
    values = {"key": _dotted_key(), "values": {"type": "array", "minItems": 1}}
    keyed |= {"properties": {**values, **keyed["properties"]}, "required": ["key"]}
    patches = {
        "type": "object",
        "properties": {"when": when},
        "additionalProperties": {"$ref": "#/$defs/patch"},
        "minProperties": 1,
        "not": {"properties": {"key": {"type": "string"}}, "required": ["key"]},
    }
    return {"anyOf": [{"type": "array", "minItems": 1}, keyed, _range(when=when), patches]}


def _range(**more: Schema) -> Schema:
    """An axis such as `"optimizer.lr" = { low = 1e-4, high = 0.1 }`, whose name is the key."""
    properties = {
        "low": {"type": "number"},
        "high": {"type": "number"},
        "scale": {"enum": list(SCALES)},
        "whole": {"type": "boolean"},
        "step": {"type": "number", "exclusiveMinimum": 0},
        **more,
    }
    return {"type": "object", "properties": properties, "required": ["low", "high"], "additionalProperties": False}


def _dotted_key() -> Schema:
    """A key of a recipe, or another library's word for one; a user optimizer has keys of its own."""
    keys = all_keys(user=False)
    words = list(dict.fromkeys(word for key in keys for word in (key.path, *key.aliases)))
    tagged = [f"{name}.{tag}" for name, tag in SHORT_FORMS.items()]
    spellings = [word.replace(".", r"\s*\.\s*") for word in (*words, *tagged)]
    free = [r"optimizer\s*\.\s*\w+", "engine"]
    pattern = {"type": "string", "pattern": rf"^\s*({'|'.join([*spellings, *free])})\s*$"}
    return {"anyOf": [{"type": "string", "enum": list(dict.fromkeys(key.path for key in keys))}, pattern]}


def _nested_axes() -> Schema:
    """Axes such as `optimizer.lr = [0.1, 0.2]`, which TOML reads as a table of lists, and of ranges."""
    inner = any_of([{"type": "array"}, _range()])
    tables = {"type": "object", "additionalProperties": inner, "minProperties": 1}
    return {name: any_of([*_axis()["anyOf"], tables]) for name in Recipe.model_fields}
