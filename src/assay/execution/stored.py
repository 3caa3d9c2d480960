"""The study that a name stands for: a file, a bundled study, or one of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import FileError, StoreError, nearest
from assay.results.results import DECIDED
from assay.store.queries import studies
from assay.store.store import Store
from assay.store.urls import Place
from assay.studies.study import Study
from assay.system.files import home_expanded


def load_study(
    name: str | Path,
    *,
    store: Place | None = None,
    changes: Mapping[str, Any] | None = None,
    patches: Sequence[Mapping[str, Any]] = (),
    data: str | None = None,
) -> Study:
    """Reads a study from a TOML file, a bundled one by its name, or else the stored one of that name.

    Args:
        name: The file, or the name of a bundled or stored study.
        store: The URL of the store; None uses the default one. It is opened only if the name is no file's.
        changes: Settings in place of those of the study.
        patches: Patches of the baseline, applied in order.
        data: The data set in place of the baseline's, with the same split.

    Raises:
        FileError: There is no such study anywhere.
        RecipeError: The study is wrong; all problems are listed.
    """
    try:
        return Study.load(name, changes=changes, patches=patches, data=data)
    except FileError as error:
        if str(name).endswith(".toml") or home_expanded(name).exists():
            raise
        definition = _stored(str(name), store, error)
    definition.pop(DECIDED, None)
    return Study.parse_changed(
        definition, changes=changes or {}, patches=patches, data=data, source=f"stored study {name}"
    )


def _stored(name: str, url: Place | None, error: FileError) -> dict[str, Any]:
    """The definition of a stored study. Raises: `error`, with the names of stored studies, if there is none."""
    try:
        store = Store(url, read_only=True)
    except StoreError:  # no store yet
        raise error from None
    definition = store.definition(name)
    if definition is not None:
        return definition
    names = [row["name"] for row in studies(store.database)]
    if not names:
        raise error
    guess = nearest(name, names)
    hint = f"; did you mean {guess!r}?" if guess else ""
    raise FileError(f"{error}. Stored in {store.name}: {', '.join(names[:20])}{hint}") from None
