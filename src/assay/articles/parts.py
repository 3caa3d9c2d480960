"""The parts of a page, as `[[show]]` names them: a table or a picture of a kind, or what an experiment returns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from assay.articles.context import Context
from assay.articles.kinds import PagePart
from assay.articles.page import Figure, Table
from assay.articles.pictures import PICTURES
from assay.articles.tables import TABLES
from assay.errors import AssayError, unknown
from assay.recipe.messages import sentences

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
KINDS: Mapping[str, Mapping[str, type[PagePart]]] = {"table": TABLES, "picture": PICTURES}


class Experiment(PagePart):
    """The table, the picture, or the list of them that a function of `experiments.py` returns."""

    experiment: str

    def draw(self, context: Context) -> list[Table | Figure]:
        """Calls it."""
        returned = context.experiment(self.experiment)
        made: list[Any] = returned if isinstance(returned, list) else [returned]
        for part in made:
            if not isinstance(part, Table | Figure):
                kind = type(part).__name__
                raise AssayError(f"experiments.py: {self.experiment}: returns {kind}; expected a Table or a Figure")
        return made


def read_part(where: str, raw: Mapping[str, Any], *, problems: list[str]) -> PagePart | None:
    """The part that a table of `[[show]]` describes; None if it is wrong, with its problems added to `problems`."""
    keys = [key for key in (*KINDS, "experiment") if key in raw]
    if len(keys) != 1:
        got = " and ".join(keys) or "none of them"
        problems.append(f"{where}: got {got}; expected one of the keys table, picture, experiment")
        return None
    (key,) = keys
    options = dict(raw)
    kind: type[PagePart] = Experiment
    if key in KINDS:
        name = str(options.pop(key))
        if name not in KINDS[key]:
            problems.append(f"{where}: {unknown(key, name, KINDS[key])}")
            return None
        kind = KINDS[key][name]
    try:
        return kind(**options)
    except ValidationError as error:
        problems += [f"{where}: {line}" for line in sentences(error.errors(), kind.keys_at)]
    except AssayError as error:
        problems.append(f"{where}: {error}")
    return None


def problems_of_parts(parts: Mapping[str, PagePart], studies: Sequence[str], *, has_experiments: bool) -> Iterator[str]:
    """What does not fit to the folder, by its place: unknown studies, experiments without a file, names of pictures."""
    names: dict[str, str] = {}
    for where, part in parts.items():
        if name := getattr(part, "name", ""):
            if not _NAME.fullmatch(name):
                yield f"{where}: name: got {name!r}, which ends the name of a file; expected letters, digits, - _ and ."
            elif name in names:
                yield f"{where}: name: {name!r} is that of {names[name]}; expected another one"
            names.setdefault(name, where)
        yield from (f"{where}: {unknown('study', n, studies)}" for n in part.study_names() if n not in studies)
        if isinstance(part, Experiment) and not has_experiments:
            yield f"{where}: experiment {part.experiment!r}: the folder has no experiments.py"


def drawn(parts: Sequence[PagePart], context: Context) -> list[Table | Figure]:
    """The tables and pictures of the parts; one that cannot be made is a table that says why."""
    made: list[Table | Figure] = []
    for part in parts:
        try:
            made += part.draw(context)
        except AssayError as error:
            made.append(Table((), [], part.title, f"Not available: {error}."))
    return made


__all__ = ["KINDS", "Experiment", "drawn", "problems_of_parts", "read_part"]
