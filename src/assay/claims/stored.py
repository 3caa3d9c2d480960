"""Claims about the studies of a store: the studies that they name are read, and each claim is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.claims.claim import Claim, parse_claims, read_claims
from assay.claims.judge import Judgement, judge
from assay.errors import FileError
from assay.results.results import Results
from assay.store import queries
from assay.store.store import Store

DEFAULT = "claims.toml"
"""The file of claims that is read where none is named."""


def check(study: str, store: Store, path: Path | None = None) -> list[Judgement]:
    """The verdicts on the claims of a file about a stored study, and about the other studies that it names.

    Args:
        study: The stored study of sides that name none.
        store: The store of the studies.
        path: The file of claims; `claims.toml` in the current folder by default.

    Raises:
        AssayError: There is no such study or file, or something in the file is wrong: all of it at once.
    """
    main = Results(store, study)
    return _judged(read_claims(claims_file(study, path)), store, main)


def check_tables(study: str, store: Store, raw: Mapping[str, Any]) -> list[Judgement]:
    """`check` for claims that are plain data, such as `{"claims": [...]}`. Raises: AssayError as it does."""
    return _judged(parse_claims(raw, source="claims"), store, Results(store, study))


def _judged(claims: Sequence[Claim], store: Store, main: Results) -> list[Judgement]:
    names = [str(row["name"]) for row in queries.studies(store.database)]
    return judge(claims, _results(claims, store, names, main), main=main.name, stored=names)


def claims_file(study: str, path: Path | None) -> Path:
    """The file of claims. Raises: FileError where none is named and there is no `claims.toml`."""
    if path is not None:
        return path
    default = Path(DEFAULT)
    if not default.exists():
        raise FileError(f"no claims: got no file, and there is no {DEFAULT} here; write: assay check {study} FILE.toml")
    return default


def _results(claims: Sequence[Claim], store: Store, names: Sequence[str], main: Results) -> Mapping[str, Results]:
    """The studies that claims name and that are stored."""
    asked = dict.fromkeys(name for claim in claims for name in claim.studies())
    return {main.name: main} | {n: Results(store, n) for n in asked if n in names and n != main.name}


__all__ = ["DEFAULT", "check", "check_tables", "claims_file"]
