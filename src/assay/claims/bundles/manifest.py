"""The manifest of a bundle: what it is, by which packages it was made, and the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.claims.bundles import layout
from assay.claims.bundles.card import check_about
from assay.claims.bundles.content import FORMAT, KINDS, About
from assay.claims.bundles.data_files import json_bytes
from assay.errors import AssayError, shortened
from assay.system.limits import BUNDLE_TEXT_BYTES
from assay.system.machine import versions

_WRITERS = ("pandas", "altair", "vl-convert-python", "sqlalchemy")
_SHOWN = 20  # files in one sentence
_strict = ConfigDict(strict=True, extra="forbid")


def writers() -> dict[str, str]:
    """The versions of the packages that the files of a bundle are made with."""
    installed = {name: version for name, version in versions().items() if name in ("assay", "numpy", "scipy")}
    for name in _WRITERS:
        installed[name] = importlib.metadata.version(name)
    return installed


def manifest(about: About, files: Mapping[str, bytes]) -> bytes:
    """The manifest of files."""
    return json_bytes(
        {
            "bundle": FORMAT,
            "title": about.title,
            "kind": about.kind,
            "authors": list(about.authors),
            "licence": about.licence,
            "tables": "parquet" if about.parquet else "csv",
            "made_with": writers(),
            "files": {name: {"bytes": len(files[name]), "sha256": _hash(files[name])} for name in sorted(files)},
        }
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _File(BaseModel):
    model_config = _strict
    bytes: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The manifest of a bundle, as it was read."""

    model_config = _strict
    bundle: Literal[1]
    title: Annotated[str, Field(min_length=1, max_length=500)]
    kind: str
    authors: list[str]
    licence: str
    tables: Literal["csv", "parquet"]
    made_with: dict[str, str]
    files: dict[str, _File]

    @property
    def about(self) -> About:
        """What the bundle says of itself."""
        return About(self.title, self.kind, tuple(self.authors), self.licence, self.tables == "parquet")


def read_manifest(content: bytes) -> Manifest:
    """Reads a manifest. Raises: ValueError."""
    if len(content) > BUNDLE_TEXT_BYTES.most:
        raise ValueError(f"has more than {BUNDLE_TEXT_BYTES}")
    try:
        plain: Any = json.loads(content.decode("utf-8"))
        read = Manifest.model_validate(plain)
        check_about(read.authors, read.licence)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg']}") from None
    except (RecursionError, AssayError) as error:
        raise ValueError(str(error) or "nested too deeply") from None
    if read.kind not in KINDS or not read.title.isprintable():
        raise ValueError(f"kind or title: got {read.kind[:40]!r}, {read.title[:40]!r}")
    return read


def unlike(read: Manifest, files: Mapping[str, bytes]) -> Iterator[str]:
    """A sentence for each kind of difference between files and the manifest."""
    others = [name for name in files if name != layout.MANIFEST]
    wrong = [name for name in others if name in read.files and _hash(files[name]) != read.files[name].sha256]
    for names, reason in (
        (wrong, "not the SHA-256 that the manifest has"),
        (sorted(set(read.files) - set(others)), "in the manifest, but missing"),
        (sorted(set(others) - set(read.files)), "not in the manifest"),
    ):
        if names:
            yield f"{_names(names)}: {reason}"


def _names(names: Sequence[str]) -> str:
    return shortened([name[:80] for name in names], _SHOWN)
