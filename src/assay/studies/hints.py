"""Keys that other tools have at the top of a study, and what to write in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.recipe.toml import inline_text

_NAMES = ("study", "study_name", "experiment", "title", "project")
_AXES = ("grid", "axis", "parameters", "params", "param_grid", "hyperparameters", "search_space", "space", "sweep")
_KEYS = {
    **dict.fromkeys(("method", "strategy", "sampler", "search"), "design"),
    **dict.fromkeys(("seeds", "n_seeds", "num_seeds", "replicates", "runs"), "repeats"),
    **dict.fromkeys(("n_trials", "num_samples", "samples"), "draws"),
    **dict.fromkeys(("description", "question", "notes"), "about"),
    **dict.fromkeys(("base", "recipe", "default", "defaults"), "baseline"),
}
_EXAMPLE = "optimizer.learning_rate = [0.001, 0.01]"


def study_hint(key: str, value: Any) -> str:
    """What to write in place of a key of another tool at the top of a study; "" for any other key.

    >>> study_hint("study", "digits")
    'a study calls it name; write name = "digits"'
    >>> study_hint("grid", {"lr": [0.1, 0.2]})
    'a study calls it axes; write [axes] in place of [grid], and below it lr = [0.1, 0.2]'
    """
    if key in _NAMES:
        shown = inline_text(value) if isinstance(value, str) else '"my-study"'
        return f"a study calls it name; write name = {shown}"
    if key in _AXES:
        lines = [f"{name} = {inline_text(values)}" for name, values in _lists(value).items()]
        return f"a study calls it axes; write [axes] in place of [{key}], and below it {(lines or [_EXAMPLE])[0]}"
    if (name := _KEYS.get(key)) is None:
        return ""
    if name == "baseline":
        return f"a study calls it baseline; write [baseline] in place of [{key}]"
    design = value if value in ("grid", "random", "list", "one-at-a-time") else "grid"
    shown = f'"{design}"' if name == "design" else inline_text(value) if isinstance(value, int | str) else "3"
    also = ', with design = "random"' if name == "draws" else ""
    return f"a study calls it {name}; write {name} = {shown}{also}"


def axes_hint(value: Any) -> str:
    """What to write in place of axes that are no table; "" for a table.

    >>> axes_hint([{"name": "lr", "values": [0.1, 0.2]}])
    'got a list of tables, [[axes]]; expected one table for each axis: write [axes], and below it lr = [0.1, 0.2]'
    """
    if isinstance(value, Mapping):
        return ""
    entry: Any = value[0] if isinstance(value, list) and value else {}
    entry = entry if isinstance(entry, Mapping) else {}
    key = next((str(entry[word]) for word in ("key", "parameter", "param", "name") if entry.get(word)), "")
    values = next((entry[word] for word in ("values", "choices") if isinstance(entry.get(word), list)), [0.001, 0.01])
    line = f"{key} = {inline_text(values)}" if key else _EXAMPLE
    got = "a list of tables, [[axes]]" if entry else f"{value!r}"
    return f"got {got}; expected one table for each axis: write [axes], and below it {line}"


def _lists(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, Mapping):
        return {}
    entries: Mapping[str, Any] = value
    return {str(name): values for name, values in entries.items() if isinstance(values, list)}


__all__ = ["axes_hint", "study_hint"]
