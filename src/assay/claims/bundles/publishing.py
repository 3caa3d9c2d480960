"""Publishes stored studies as a bundle: one file without anything of the publisher's machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.claims.bundles import layout
from assay.claims.bundles.archive import packed
from assay.claims.bundles.card import check_about, unnamed
from assay.claims.bundles.collecting import collected
from assay.claims.bundles.content import About
from assay.claims.bundles.data_files import content_of, data_files
from assay.claims.bundles.derived import derived_files
from assay.claims.bundles.manifest import manifest
from assay.claims.bundles.paths import leaks, local_folders
from assay.errors import AssayError, FileError
from assay.store.store import Store
from assay.system.files import write_atomically
from assay.system.limits import BUNDLE_CONTENT_BYTES


@dataclass(frozen=True)
class Published:
    """A bundle that was written.

    Attributes:
        path: The file.
        sha256: Of the file.
        files: The number of files in it.
        trials: The number of its trials.
        notes: What was left out, a sentence each.
    """

    path: Path
    sha256: str
    files: int
    trials: int
    notes: tuple[str, ...]


def publish(
    store: Store,
    about: About,
    studies: Sequence[str],
    path: Path,
    *,
    claims: Mapping[str, Any] | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Published:
    """Writes a bundle.

    Args:
        store: The store of the studies.
        about: The title, and what the publisher says of it.
        studies: The names of the studies.
        path: The file, which ends in .zip.
        claims: A table of claims, as a claims file has it.
        extra: Files of an article, by name.

    Raises:
        AssayError: A study is unknown or has no result, a row is damaged, or a file would name a local folder.
        FileError: The file cannot be written.
    """
    check_about(about.authors, about.licence)
    if path.suffix.lower() != ".zip":
        raise FileError(f"{path}: a bundle is a zip file; expected a name that ends in .zip")
    if not path.parent.is_dir():
        raise FileError(f"{path}: its folder does not exist")
    content, paths = collected(store, about, studies, claims=claims, extra=extra)
    files = data_files(content)
    content, problems = content_of(files, about)  # as a reader has it: what follows is made from the published bytes
    if problems := [*problems, *content.problems()]:
        raise AssayError(f"{about.title}: cannot be published: {'; '.join(problems[:5])}; run assay store check")
    folders = local_folders([*paths, *_store_folders(store)])
    _refuse_leaks(about, files, folders)  # before pages are drawn
    files |= derived_files(content)
    _refuse_leaks(about, files, folders)
    files[layout.MANIFEST] = manifest(about, files)
    if (total := sum(map(len, files.values()))) > BUNDLE_CONTENT_BYTES.most:
        raise AssayError(f"{about.title}: its files have {total:,} bytes; expected at most {BUNDLE_CONTENT_BYTES}")
    data = packed(files)
    write_atomically(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return Published(path, digest, len(files), len(content.trials), tuple(unnamed(about)))


def _refuse_leaks(about: About, files: Mapping[str, bytes], folders: Sequence[str]) -> None:
    """Raises: AssayError where a file names a folder of this machine."""
    if found := list(leaks(files, folders)):
        raise AssayError(
            f"{about.title}: not published, because paths of this machine would be in it: {'; '.join(found[:5])}; "
            "take them out of the names and questions of the study"
        )


def _store_folders(store: Store) -> list[str]:
    where = store.database.path
    return [] if where is None else [str(where), str(where.absolute()), str(where.absolute().parent)]
