"""What the store has of the search of a study, as rows: its decisions, and what each was told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.store.columns import readable_rows
from assay.store.database import Database
from assay.store.schema import search, search_job, study

_FIRST = "0007"  # the first schema with the tables


@dataclass(frozen=True)
class SearchRows:
    """The search of a study.

    Attributes:
        method: The method; what "auto" stands for.
        choice: Why "auto" stands for it; "" where the method was given.
        shown: How many trials of the store the sampler was shown before its first suggestion.
        jobs: The rows of its jobs, in order.
    """

    method: str
    choice: str
    shown: int
    jobs: tuple[Mapping[str, Any], ...]


def search_rows(database: Database, name: str) -> SearchRows | None:
    """The search of a stored study; None where the study is no search."""
    if database.version < _FIRST:
        return None
    query = sa.select(search).join(study, study.c.id == search.c.study).where(study.c.name == name)
    with database.read() as connection:
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        of_study = sa.select(search_job).where(search_job.c.study == row["study"]).order_by(search_job.c.n)
        rows = [dict(job) for job in connection.execute(of_study).mappings()]
    jobs = readable_rows("search_job", "trial", rows)
    return SearchRows(row["method"], row["choice"], len(json.loads(row["shown"])), tuple(jobs))


__all__ = ["SearchRows", "search_rows"]
