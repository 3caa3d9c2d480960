"""A search as words of a command line: axes (`KEY=LOW..HIGH:log`, `KEY=A,B,C`, `when AXIS=VALUE`) and halving."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from assay.errors import RecipeError
from assay.recipe.aliases import canonical_key

_EXPECTED = "expected KEY=LOW..HIGH, such as optimizer.lr=1e-4..1:log, or KEY=A,B,C"
_OPTIONS = ("log", "int", "step=NUMBER")
_WHEN = re.compile(r"\s+when\s+(?=\S)")


def axes_of(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The axes of a search from the words of `--space`, as a study file has them.

    >>> axes_of(["optimizer.lr=1e-4..1:log", "model.hidden=[32],[64]"])["optimizer.learning_rate"]
    {'key': 'optimizer.learning_rate', 'low': 0.0001, 'high': 1, 'scale': 'log'}
    >>> axes_of(["clip_norm=1..9 when optimizer=adam,momentum"])
    {'clip_norm': {'key': 'clip_norm', 'low': 1, 'high': 9, 'when': {'optimizer': ['adam', 'momentum']}}}

    Raises: RecipeError, with every wrong one.
    """
    axes: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for text in texts:
        key, _, rest = text.partition("=")
        name = key.strip()
        if not name or not rest.strip() or not all(part.strip() for part in name.split(".")):
            problems.append(f"{text!r}: {_EXPECTED}")
            continue
        name = canonical_key(name)
        rest, *conditions = _WHEN.split(rest)
        table = {"key": name, **_values(text, rest.strip(), problems)}
        if conditions:
            table["when"] = _conditions(text, conditions, problems)
        if name in axes:
            problems.append(f"{text!r}: {name} is given twice; leave one of them out")
        axes[name] = table
    if problems:
        raise RecipeError(problems, source="--space")
    return axes


def halving_of(text: str) -> dict[str, Any]:
    """The table `halving` from the words of `--halving`; what its keys may be is checked with the study.

    >>> halving_of("factor=3, first=1 epoch")
    {'factor': 3, 'first': '1 epoch'}

    Raises: RecipeError.
    """
    table: dict[str, Any] = {}
    problems: list[str] = []
    for item in _items(text):
        name, equals, value = item.partition("=")
        if not equals or not name.strip() or not value.strip():
            problems.append(f"{item!r}: expected KEY=VALUE, as in 'factor=3,first=1 epoch'")
        elif name.strip() in table:
            problems.append(f"{item!r}: {name.strip()} is given twice; leave one of them out")
        else:
            table[name.strip()] = _value(value)
    if problems:
        raise RecipeError(problems, source="--halving")
    return table


def _values(text: str, rest: str, problems: list[str]) -> dict[str, Any]:
    """The range or the list of an axis."""
    ends = rest.partition("..")
    if not ends[1]:
        return {"values": [_value(item) for item in _items(rest)]}
    last, *options = ends[2].split(":")
    table: dict[str, Any] = {"low": _number(ends[0]), "high": _number(last)}
    if table["low"] is None or table["high"] is None:
        problems.append(f"{text!r}: expected two numbers around '..', such as 1e-4..1")
    for option in options:
        word, _, number = option.strip().partition("=")
        if word == "log" and not number:
            table["scale"] = "log"
        elif word == "int" and not number:
            table["whole"] = True
        elif word == "step" and _number(number) is not None:
            table["step"] = _number(number)
        else:
            problems.append(f"{text!r}: unknown option {option.strip()!r}. Known: {', '.join(_OPTIONS)}")
    return table


def _conditions(text: str, conditions: Iterable[str], problems: list[str]) -> dict[str, Any]:
    when: dict[str, Any] = {}
    for condition in conditions:
        name, equals, values = condition.partition("=")
        if not equals or not name.strip() or not values.strip():
            problems.append(f"{text!r}: expected AXIS=VALUE after 'when', or AXIS=VALUE,VALUE")
            continue
        items = [_value(item) for item in _items(values)]
        when[canonical_key(name.strip())] = items[0] if len(items) == 1 else items
    return when


def _number(text: str) -> int | float | None:
    value = _value(text)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _value(text: str) -> Any:
    """A value as TOML, or a text without quotes."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _items(text: str) -> list[str]:
    """The parts between the commas that are in no brackets and no quotes.

    >>> _items("[32], [64, 8], {a = 1, b = 2}, 'x,y'")
    ['[32]', '[64, 8]', '{a = 1, b = 2}', "'x,y'"]
    """
    items, depth, quote, item = list[str](), 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        if character == "," and not depth and not quote:
            items.append(item.strip())
            item = ""
        else:
            item += character
    return [*items, item.strip()]
