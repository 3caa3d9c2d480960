"""The JSON schema of a recipe, for editors, made from the parts as the reference of keys is.

It accepts what `Recipe.parse` accepts, other libraries' words and short forms included, and refuses unknown keys. What
depends on several keys at once, such as a loss that does not fit an output, is left to the reader.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from assay.parts.part import Choice, Component, Part, Written
from assay.recipe.aliases import INNER, LAYER_KEYS, LAYER_NAMES, NAMES, SHORT_FORMS, TOP
from assay.recipe.model import Recipe
from assay.recipe.reference import attributes, bare, marker, markers_of, table_of_field
from assay.recipe.settings import BUDGET_TEXT

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
USER_NAME = {"type": "string", "pattern": r"^[^:\s]+:[^:\s]+$"}
"""A user optimizer: `module:Class`."""
OFF: Schema = {"enum": [False, 0]}
"""The value of another library's switch that a recipe without it means."""


def recipe_schema() -> Schema:
    """The schema of a recipe's file."""
    return {"$schema": DIALECT, "title": "Assay recipe", **table_schema(complete=True)}


def table_schema(*, complete: bool) -> Schema:
    """The schema of a recipe's table; a patch of one, if it is not `complete`, may set any key of any component."""
    meanings = attributes(Recipe)
    fields = {name: _field(name, field, complete=complete) for name, field in Recipe.model_fields.items()}
    fields = {name: {"description": meanings[name], **schema} for name, schema in fields.items()}
    return _object(fields | {alias: _target(path, fields) for alias, path in TOP.items()})


def _target(path: str, fields: Mapping[str, Schema]) -> Schema:
    """What an alias at the top takes: the values of its key, whichever component has it."""
    field, _, key = path.partition(".")
    if not key:
        return fields[field]
    options = [entry for entry in _options(fields[field]) if key in entry.get("properties", {})]
    return any_of([entry["properties"][key] for entry in options])


def _options(schema: Schema) -> list[Schema]:
    return schema.get("anyOf", [schema])


def _field(name: str, field: FieldInfo, *, complete: bool) -> Schema:
    """One key at the top of a recipe: a component, a table with its short form, or a value."""
    if component := marker(field, Component):
        return component_schema(name, component, complete=complete)
    table = table_of_field(field)
    if table is None:
        return _named(value_schema(field.annotation, field.metadata), name)
    inner = _keys(table, name)
    result = _object(_described(table, inner | _aliased(inner, INNER.get(name, {}))))
    if name == "budget":
        return any_of([{"type": "integer", "minimum": 0}, {"type": "string", "pattern": BUDGET_TEXT}, result])
    return any_of([inner[SHORT_FORMS[name]], result]) if name in SHORT_FORMS else result


# --- components ------------------------------------------------------------------------------------------------------


def component_schema(path: str, component: Component, *, complete: bool) -> Schema:
    """A component: its name alone, or a table that names it, of the keys that it has."""
    tag, table = component.tag, component.table
    others = NAMES.get(f"{path}.{tag}", ((), {}))[1] if path != "layers" else LAYER_NAMES["kind"][1]
    entries = {entry: _entry(path, entry, part) for entry, part in table.items()}
    needed = {entry for entry, part in table.items() if any(f.is_required() for f in part.model_fields.values())}
    bare_names = [entry for entry in table if not complete or entry not in needed]
    options = [_name(bare_names, others)]
    if complete:
        options += [_component_table(component, entry, keys, others) for entry, keys in entries.items()]
    else:
        every = {key: any_of([e[key] for e in entries.values() if key in e]) for e in entries.values() for key in e}
        options.append(_object({tag: _name(list(table), others), **every}))
    if path == "optimizer":
        options += _of_torch_and_users(entries, complete=complete)
    return any_of(options)


def _component_table(component: Component, entry: str, keys: Mapping[str, Schema], others: Mapping[str, str]) -> Schema:
    part, tag = component.table[entry], component.tag
    words = {word: name for word, name in others.items() if name == entry}
    result = _object({tag: _name([entry], words), **keys})
    required = [[name, *_other_words(part, name, keys)] for name, f in part.model_fields.items() if f.is_required()]
    named = callable(component.default) or component.default != entry
    if callable(component.default):  # the model of a table without a name: that with the keys it has
        named = entry not in (component.default({}), component.default({"layers": ()}))
    clauses = [{"anyOf": [{"required": [word]} for word in words]} for words in required]
    return result | ({"required": [tag]} if named else {}) | ({"allOf": clauses} if clauses else {})


def _other_words(part: type[Part], name: str, keys: Mapping[str, Schema]) -> list[str]:
    kind = str(part.model_fields["kind"].default) if "kind" in part.model_fields else ""
    return [alias for alias, key in LAYER_KEYS.get(kind, {}).items() if key == name and alias in keys]


def _entry(path: str, entry: str, part: type[Part]) -> Schema:
    """The keys of a component without the one that names it, with other libraries' words for them."""
    keys = {name: schema for name, schema in _keys(part, path).items() if name not in ("name", "kind")}
    if path == "layers":
        aliases: Mapping[str, str] = LAYER_KEYS.get(entry, {})
    else:
        aliases = INNER.get(path, {})
    result = _described(part, keys) | _aliased(keys, aliases)
    if path == "optimizer":
        result |= dict.fromkeys(("amsgrad", "centered", "dampening"), OFF)
        result |= {} if "weight_decay" in result else {"weight_decay": {"const": 0}}
        result |= {"betas": _pair(keys["beta1"])} if "beta1" in keys else {}
    if path == "batches":
        result["drop_last"] = OFF
    return result


def _of_torch_and_users(entries: Mapping[str, Schema], *, complete: bool) -> list[Schema]:
    """torch's "sgd", which its settings make one of three optimizers, and user optimizers, whose keys are their own."""
    keys = entries["momentum"] | {"momentum": any_of([entries["momentum"]["momentum"], {"const": 0}])}
    sgd = _object({"name": _name(["sgd"], {}), **keys, "nesterov": {"type": "boolean"}}) | {"required": ["name"]}
    user = {"type": "object", "properties": {"name": USER_NAME}, "required": ["name"]}
    loose = [] if complete else [_object(keys | {"nesterov": {"type": "boolean"}})]
    return [_name(["sgd"], {}), USER_NAME, sgd, *loose, user]


# --- values ----------------------------------------------------------------------------------------------------------


def _keys(part: type[Part], path: str) -> Schema:
    return {name: _named(_value(path, field), f"{path}.{name}") for name, field in part.model_fields.items()}


def _value(path: str, field: FieldInfo) -> Schema:
    inner = bare(field.annotation)
    if get_origin(inner) is tuple:
        item = next((m for m in markers_of(get_args(inner)[0]) if isinstance(m, Component)), None)
        if item is not None:
            layers = component_schema("layers", item, complete=True)
            return {"type": "array", "items": layers, **_lengths(markers_of(field.annotation, field.metadata))}
    schema = value_schema(field.annotation, field.metadata)
    return {**schema, "examples": list(field.examples)} if field.examples else schema


def value_schema(annotation: Any, metadata: Sequence[Any] = ()) -> Schema:
    """The schema of a value by its type: what validates it decides, and what is written next to it says how."""
    markers = list(markers_of(annotation, metadata))
    for m in markers:
        if isinstance(m, Written):
            return dict(m.schema)
        if isinstance(m, Choice):
            return {"type": "string", "enum": list(m.table)}
    inner = bare(annotation)
    origin = get_origin(inner)
    if origin in (Union, UnionType):
        return any_of([value_schema(member) for member in get_args(inner) if member is not NoneType])
    if origin is Literal:
        return {"enum": list(get_args(inner))}
    if origin is tuple:
        return {"type": "array", "items": value_schema(get_args(inner)[0]), **_lengths(markers)}
    if inspect.isclass(inner) and issubclass(inner, Part):
        return _object(_described(inner, _keys(inner, ""))) | _required(inner)
    return {"type": _TYPES[inner], **_bounds(markers)} if inner in _TYPES else {}


_TYPES: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean"}


def _required(part: type[Part]) -> Schema:
    names = [name for name, field in part.model_fields.items() if field.is_required()]
    return {"required": names} if names else {}


def _bounds(markers: Sequence[Any]) -> Schema:
    result: Schema = {}
    for m in markers:
        result |= {"minimum": m.ge} if isinstance(m, Ge) else {}
        result |= {"exclusiveMinimum": m.gt} if isinstance(m, Gt) else {}
        result |= {"maximum": m.le} if isinstance(m, Le) else {}
        result |= {"exclusiveMaximum": m.lt} if isinstance(m, Lt) else {}
        result |= {"minLength": m.min_length} if isinstance(m, MinLen) else {}
        result |= {"maxLength": m.max_length} if isinstance(m, MaxLen) else {}
    return result


def _lengths(markers: Any) -> Schema:
    most = [m.max_length for m in markers if isinstance(m, MaxLen)]
    least = [m.min_length for m in markers if isinstance(m, MinLen)]
    return ({"maxItems": min(most)} if most else {}) | ({"minItems": max(least)} if least else {})


def _pair(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2}


# --- names and words -------------------------------------------------------------------------------------------------


def _named(schema: Schema, path: str) -> Schema:
    """The schema of a key whose names are read in any case and with any hyphens; any other schema as it is."""
    names = NAMES.get(path)
    if path.startswith("layers."):
        names = LAYER_NAMES.get(path.partition(".")[2])
    return _name(schema["enum"], names[1]) if names and "enum" in schema else schema


def _name(names: Sequence[str], others: Mapping[str, str]) -> Schema:
    """A name: as its table writes it, which editors complete, or in another spelling, or another word for it."""
    words = [*names, *(word for word, name in others.items() if name in names)]
    spellings = "|".join(_spelling(word) for word in words)
    return any_of([{"type": "string", "enum": list(names)}, {"type": "string", "pattern": f"^({spellings})$"}])


def _spelling(name: str) -> str:
    letters = [f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in name if c.isalnum()]
    return r"[\W_]*" + r"[\W_]*".join(letters) + r"[\W_]*"


def _aliased(keys: Mapping[str, Schema], aliases: Mapping[str, str]) -> Schema:
    return {alias: keys[key] for alias, key in aliases.items() if key in keys and alias not in keys}


def _described(part: type[Part], keys: Mapping[str, Schema]) -> Schema:
    meanings = attributes(part)
    return {name: {"description": meanings[name], **s} if name in meanings else s for name, s in keys.items()}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def any_of(options: Sequence[Schema]) -> Schema:
    """One of several schemas, each once; nested alternatives as one list."""
    flat: list[Schema] = []
    for option in options:
        for entry in option["anyOf"] if set(option) == {"anyOf"} else [option]:
            if entry not in flat:
                flat.append(entry)
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


__all__ = ["DIALECT", "any_of", "recipe_schema", "table_schema", "value_schema"]
