"""Rows of a store without the paths of data sets, so that they mean the same on another machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from assay.data.portable import is_path, portable_name
from assay.store.records import dumped

_START = '{"data":{"name":'


class PortableNames:
    """The data sets of some trials, by the names that their recipes have, with the names that mean the same elsewhere.

    >>> names = PortableNames([("/home/ada/kana", "12ab34cd56ef7890")])
    >>> names.text("trained on /home/ada/kana")
    'trained on kana@12ab34cd56ef'
    """

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        self._names: dict[str, str] = {}
        self._words = re.compile(r"(?!)")
        self._paths = self._words
        for name, checksum in pairs:
            self.add(name, checksum)

    def add(self, name: str, checksum: str | None) -> str:
        """Notes a data set; returns its portable name."""
        portable = portable_name(name, checksum)
        if portable != name and self._names.get(name) != portable:
            # a folder whose content has changed since: a text that names it cannot say which content it means
            self._names[name] = portable.partition("@")[0] if name in self._names else portable
            longest = sorted(self._names, key=len, reverse=True)
            self._words = re.compile(rf"(?<![^\s,])(?:{'|'.join(map(re.escape, longest))})(?![^\s,])")
            paths = [re.escape(word) for word in longest if is_path(word) and len(word) > 1]
            self._paths = re.compile("|".join(paths) or r"(?!)")
        return portable

    def text(self, text: str) -> str:
        """A sentence without the paths of the data sets."""
        return self._paths.sub(lambda match: self._names[match[0]], text)

    def recipe(self, text: str, checksum: str | None) -> str:
        """A recipe as JSON, with the portable name of its data set."""
        if text.startswith(_START):  # as `dumped` writes it: the rest need not be read
            name, end = json.JSONDecoder().raw_decode(text, len(_START))
            return _START + json.dumps(self.add(name, checksum)) + text[end:] if isinstance(name, str) else text
        recipe = json.loads(text)
        data = recipe.get("data")
        if isinstance(data, str):
            recipe["data"] = self.add(data, checksum)
        elif isinstance(data, dict) and isinstance(data.get("name"), str):
            data["name"] = self.add(data["name"], checksum)
        return dumped(recipe)

    def label(self, label: str) -> str:
        """The label of a configuration, whose values may be data sets."""
        return self.text(self._words.sub(lambda match: self._names[match[0]], label))

    def plain(self, value: Any, *, key: str = "") -> Any:
        """Plain data, such as the definition of a study, with the portable names of its data sets."""
        if isinstance(value, Mapping):
            inner = str(value.get("key", key)) if "values" in value else key
            return {
                self.text(str(name)): self.plain(item, key=inner if name == "values" else _key(key, str(name)))
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.plain(item, key=key) for item in value]
        if not isinstance(value, str):
            return value
        names_data = key in ("data", "data.name")
        return self._names.get(value, value) if names_data else self.text(value)

    def study(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a study; where its definition names a folder, the digest is that of the new definition."""
        definition = json.loads(row["definition"])
        portable = self.plain(definition)
        if portable == definition:
            return dict(row)
        text = json.dumps(portable, sort_keys=True, separators=(",", ":"), default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return {**row, "definition": dumped(portable), "digest": digest}

    def member(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a member of a study."""
        values: dict[str, Any] = json.loads(row["axis_values"])
        portable = {
            name: self.label(value) if isinstance(value, str) and self._is_named(value, row["label"]) else value
            for name, value in values.items()
        }
        label = self.label(row["label"]) if portable != values else self.text(row["label"])
        return {**row, "label": label, "axis_values": dumped(portable)}

    def _is_named(self, value: str, label: str) -> bool:
        return value in self._names and (is_path(value) or value in label)

    def bench(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a bench, which has its data set in its content too."""
        name = self.add(row["data"], row["data_checksum"])
        content = json.loads(row["content"])
        if isinstance(content, dict) and isinstance(content.get("data"), dict):
            content["data"]["name"] = name
        return {**row, "name": self.text(row["name"]), "data": name, "content": dumped(self.plain(content))}


def _key(outer: str, name: str) -> str:
    """The key that a value belongs to: that of `name`, or "data.name" for the name of a table of data."""
    if name == "name":
        return "data.name" if outer == "data" else "name"
    return name
