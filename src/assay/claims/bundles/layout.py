"""The files of a bundle, by their names."""

from __future__ import annotations

MANIFEST = "manifest.json"
README = "README.md"
CITATION = "CITATION.cff"
COMMANDS = "commands.sh"
ENVIRONMENT = "environment.json"
RESULTS = "results.json"
CLAIMS = "claims.json"
CLAIMS_SOURCE = "data/claims.json"
STUDIES = "data/studies.json"
MACHINES = "data/machines.json"
IMPORTED = "data/imported.json"
EXTRA = "article/"
"""The beginning of the names of an article's files."""


def table_file(name: str, *, parquet: bool) -> str:
    """The file of a table.

    >>> table_file("trials", parquet=False)
    'data/trials.csv'
    """
    return f"data/{name}.{'parquet' if parquet else 'csv'}"


def recipe_file(key: str) -> str:
    """The file of a trial's recipe."""
    return f"recipes/{key[:16]}.toml"


def study_file(stem: str) -> str:
    """The file of a study's definition."""
    return f"studies/{stem}.toml"


def report_file(stem: str) -> str:
    """The file of a study's report."""
    return f"report/{stem}.html"
