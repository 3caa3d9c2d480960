"""Every key of a recipe with its type, unit, default, range and meaning, read from the parts that define them.

A component that joins one of the tables is in the reference, and in the schema, without further code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from assay.parts.part import Choice, Component, Part, Unit, Written
from assay.parts.user_optimizers import loaded_classes
from assay.recipe.aliases import INNER, LAYER_KEYS, TOP
from assay.recipe.model import Recipe
from assay.recipe.toml import inline_text
from assay.system.limits import WHOLE_NUMBER


@dataclass(frozen=True)
class Key:
    """A key of a table, as its users write it.

    Attributes:
        path: The dotted key, such as "optimizer.learning_rate".
        component: The component that has it, such as "adam"; "" for a key of the table itself.
        type: The type of its value, in words.
        unit: The unit of its value; "" for a plain number or a text.
        default: Its default in TOML; "" where it is required or has none.
        required: Whether it must be given.
        range: What its value may be; "" for anything of its type.
        meaning: What it is, in a sentence.
        example: A value in TOML.
        aliases: Other libraries' words that are read as this key.
    """

    path: str
    component: str
    type: str
    unit: str
    default: str
    required: bool
    range: str
    meaning: str
    example: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeySection:
    """The keys of one table, or of one component that a table can be.

    `about` is the component's own sentence; `choice` is what names it, such as `optimizer = "adam"`.
    """

    path: str
    component: str
    about: str
    choice: str
    keys: tuple[Key, ...]


# --- the sections ----------------------------------------------------------------------------------------------------


def sections(*, user: bool = True) -> list[KeySection]:
    """The top of a recipe, its tables, and every component of every table, in the order of the recipe.

    `user`: with the user optimizers that are loaded.
    """
    result = [KeySection("", "", "The keys at the top of a recipe.", "", tuple(keys_of(Recipe, "")))]
    for name, field in Recipe.model_fields.items():
        if component := marker(field, Component):
            extra: Mapping[str, type[Part]] = loaded_classes() if user and name == "optimizer" else {}
            result += _components(name, component, extra)
        elif (table := table_of_field(field)) is not None:
            result.append(KeySection(name, "", summary(table), "", tuple(keys_of(table, name))))
    return result


def _components(path: str, component: Component, extra: Mapping[str, type[Part]]) -> Iterator[KeySection]:
    """A section for each entry of a table and each extra one, then those of the components that are lists in them."""
    inner: dict[str, Component] = {}
    for entry, part in {**component.table, **extra}.items():
        choice = f"{path} = {inline_text(entry)}"
        keys = keys_of(part, path, component=entry, tag=component.tag)
        yield KeySection(path, entry, summary(part), choice, tuple(keys))
        for name, field in part.model_fields.items():
            if item := _item(field):
                inner[name] = item
    for name, item in inner.items():
        for entry, part in item.table.items():
            where = f"{path}.{name}"
            keys = keys_of(part, where, component=entry, tag=item.tag)
            yield KeySection(where, entry, summary(part), f"{{ {item.tag} = {inline_text(entry)} }}", tuple(keys))


def choices(name: str, field: FieldInfo) -> dict[str, str]:
    """The values of a key that takes a name, each with its formula or the first sentence on it; {} for another key."""
    table = choice.table if (choice := marker(field, Choice)) else {}
    return {entry: _about(value) for entry, value in table.items()}


def _about(value: Any) -> str:
    formula = getattr(value, "formula", "")
    text = formula or ("" if value is None else inspect.getdoc(value) or "")
    return " ".join(text.split("\n\n")[0].split())


def _item(field: FieldInfo) -> Component | None:
    """The component that the entries of a list are, if they are components: the layers of a model."""
    return next((m for m in _markers(field.annotation, field.metadata) if isinstance(m, Component)), None)


def table_of_field(field: FieldInfo) -> type[Part] | None:
    """The table that a key holds, where it is one of its own and not a component."""
    annotation = field.annotation
    return annotation if inspect.isclass(annotation) and issubclass(annotation, Part) else None


def all_keys(*, user: bool = True) -> list[Key]:
    """Every key of every section, in order."""
    return [key for section in sections(user=user) for key in section.keys]


def together(sections: Sequence[KeySection]) -> list[KeySection]:
    """Sections in which a key of several components of a table stands once, with their names and their defaults.

    Only the sections of single keys are joined: one that has all keys of its component stays.
    """
    result: list[KeySection] = []
    for path in dict.fromkeys(section.path for section in sections):
        same = [section for section in sections if section.path == path]
        parts = [s for s in same if s.component and len({s.component for s in same}) > 1]
        keys: dict[str, list[Key]] = {}
        for key in (key for section in parts for key in section.keys):
            keys.setdefault(key.path, []).append(key)
        result += [section for section in same if section not in parts]
        if parts:
            result.append(KeySection("", "", "", "", tuple(_joined(group) for group in keys.values())))
    return result


def _joined(keys: Sequence[Key]) -> Key:
    """One key of several components: the defaults with the components that have them."""
    defaults: dict[str, list[str]] = {}
    for key in keys:
        defaults.setdefault("must be given" if key.required else key.default or "none", []).append(key.component)
    shown = next(iter(defaults)) if len(defaults) == 1 else ""
    each = ", ".join(f"{default} ({', '.join(names)})" for default, names in defaults.items())
    meanings = " / ".join(dict.fromkeys(key.meaning for key in keys if key.meaning))
    names = ", ".join(key.component for key in keys)
    return replace(keys[0], component=names, default=shown or each, meaning=meanings, required=False)


# --- one key ---------------------------------------------------------------------------------------------------------


def keys_of(part: type[Part], path: str, *, component: str = "", tag: str = "") -> list[Key]:
    """The keys of a table or a component, in order, without the one that names the component."""
    meanings = attributes(part)
    return [
        key_of(field, f"{path}.{name}" if path else name, component=component, meaning=meanings.get(name, ""))
        for name, field in part.model_fields.items()
        if name != tag
    ]


def key_of(field: FieldInfo, path: str, *, component: str = "", meaning: str = "") -> Key:
    """A key from the field that defines it."""
    words, unit, limits = value_of(field.annotation, field.metadata)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if marker(field, Choice) and default == "":  # follows from another key
        default = None
    shown = "" if default is None else _plain_default(default)
    examples = [inline_text(example) for example in field.examples or ()]
    example = examples[0] if examples else shown or _example(field)
    return Key(
        path, component, words, unit, shown, field.is_required(), limits, meaning, example, _aliases(path, component)
    )


def _plain_default(default: Any) -> str:
    """A default in TOML; a component by its name, a table by what it sets."""
    if isinstance(default, Part):
        written = default.model_dump(mode="json", exclude_none=True)
        name = written.get("name", written.get("kind"))
        return inline_text(name if isinstance(name, str) else written)
    if isinstance(default, tuple) and default and isinstance(default[0], Part):  # the layers of a named model
        items: Sequence[Part] = default  # pyright: ignore[reportUnknownVariableType]
        return inline_text([item.model_dump(mode="json", exclude_none=True) for item in items])
    return inline_text(default)


def _example(field: FieldInfo) -> str:
    choice = marker(field, Choice)
    return inline_text(next(iter(choice.table))) if choice else ""


def value_of(annotation: Any, metadata: Sequence[Any] = ()) -> tuple[str, str, str]:
    """The type of a key in words, its unit, and its range."""
    markers = list(markers_of(annotation, metadata))
    unit = next((m.name for m in markers if isinstance(m, Unit)), "")
    for m in markers:
        if isinstance(m, Written):
            return m.words, unit or m.unit, m.range
        if isinstance(m, Choice):
            return "text", unit, ", ".join(m.table)
        if isinstance(m, Component):
            return "name or table", unit, ", ".join(m.table)
    inner = bare(annotation)
    origin = get_origin(inner)
    if origin in (Union, UnionType):
        parts = [value_of(member) for member in get_args(inner) if member is not NoneType]
        limits = list(dict.fromkeys(limit for *_, limit in parts if limit))
        unit = unit or next((u for _, u, _ in parts if u), "")
        both = " or ".join(dict.fromkeys(words for words, *_ in parts))
        return both, unit, ", or ".join(limits) or _range(markers)
    if origin is Literal:
        return "text", unit, ", ".join(map(str, get_args(inner)))
    if origin is tuple:
        words, item_unit, limits = value_of(get_args(inner)[0])
        return f"list: {words}", unit or item_unit, limits
    if inspect.isclass(inner) and issubclass(inner, Part):
        return "table", unit, ""
    return _TYPES.get(inner, "table"), unit, _range(markers)


_TYPES: dict[Any, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def _range(markers: Sequence[Any]) -> str:
    """The bounds of a number: a limit that every whole number has is none."""
    low, high = "", ""
    for m in markers:
        if isinstance(m, Ge):
            low = f">= {m.ge}"
        elif isinstance(m, Gt):
            low = f"> {m.gt}"
        elif isinstance(m, Le) and m.le != WHOLE_NUMBER.most:
            high = f"<= {m.le}"
        elif isinstance(m, Lt):
            high = f"< {m.lt}"
    return ", ".join(bound for bound in (low, high) if bound)


def marker(field: FieldInfo, kind: type[Any]) -> Any | None:
    """What a field says of itself of that kind: Choice, Component, Written or Unit; None if nothing."""
    return next((m for m in markers_of(field.annotation, field.metadata) if isinstance(m, kind)), None)


def markers_of(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[Any]:
    """The annotations of a type, without those of the members of a union or of a list."""
    for entry in (*metadata, *(annotation.__metadata__ if get_origin(annotation) is Annotated else ())):
        if isinstance(entry, FieldInfo):
            yield from entry.metadata
        else:
            yield entry
    if get_origin(annotation) is Annotated:
        yield from markers_of(get_args(annotation)[0], ())


def _markers(annotation: Any, metadata: Sequence[Any]) -> Iterator[Any]:
    """The same with those of the members of a list."""
    yield from markers_of(annotation, metadata)
    inner = bare(annotation)
    if get_origin(inner) is tuple:
        yield from markers_of(get_args(inner)[0], ())


def bare(annotation: Any) -> Any:
    """A type without its annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


# --- meanings and other words ----------------------------------------------------------------------------------------

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {5,}\S.*)*)", re.MULTILINE)


def attributes(part: type[Part]) -> dict[str, str]:
    """The sentences of "Attributes:" in the docstrings of a class and its bases; a class' own words come first."""
    meanings: dict[str, str] = {}
    for owner in part.__mro__:
        text = inspect.cleandoc(owner.__doc__ or "") if owner.__module__ != "pydantic.main" else ""
        _, _, listed = text.partition("Attributes:\n")
        block = re.split(r"^\S", listed, maxsplit=1, flags=re.MULTILINE)[0]
        for match in _ATTRIBUTE.finditer(block):
            meanings.setdefault(match[1], " ".join(match[2].split()))
    return meanings


def summary(part: type[Part]) -> str:
    """The first paragraph of a class' docstring, in one line."""
    text = inspect.cleandoc(part.__doc__ or "")
    return " ".join(text.split("\n\n")[0].split())


def _aliases(path: str, component: str) -> tuple[str, ...]:
    section, _, key = path.rpartition(".")
    words = [alias for alias, target in TOP.items() if target == path]
    inner: Mapping[str, str] = LAYER_KEYS.get(component, {}) if "." in section else INNER.get(section, {})
    return (*words, *(f"{section}.{alias}" for alias, target in inner.items() if target == key))


# --- finding a key ---------------------------------------------------------------------------------------------------


def paths_named(word: str) -> list[str]:
    """The dotted keys that a word names: as it is, as another library's word, or as the last part of a key.

    >>> paths_named("learning-rate"), paths_named("batch_size"), paths_named("momentum")
    (['optimizer.learning_rate'], ['batches.size'], ['optimizer.momentum'])
    """
    name = word.strip().lstrip("-").replace("-", "_")
    if name in TOP:
        return [TOP[name]]
    keys = [key for key in all_keys() if not key.path.startswith("model.layers.")]
    leaves = {key: [alias.rpartition(".")[2] for alias in key.aliases] for key in keys}
    groups = (
        [key for key in keys if name == key.path],
        [key for key in keys if name in key.aliases],
        [key for key in keys if name in (key.path.rpartition(".")[2], key.path.replace(".", "_"))],
        [key for key in keys if name in leaves[key]],
    )
    return next((list(dict.fromkeys(key.path for key in group)) for group in groups if group), [])
