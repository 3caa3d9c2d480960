"""What of an article goes into a bundle: its stored studies, its claims and its own files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from assay.articles.folder import EXPERIMENTS, FILE, Article, article_names, find_article
from assay.articles.setups import setups_of
from assay.errors import AssayError, listed
from assay.system.files import home_expanded, read_limited
from assay.system.limits import TOML_BYTES


@dataclass(frozen=True)
class Bundling:
    """What an article gives to a bundle.

    Attributes:
        title: Its name.
        studies: The names of its studies that are stored.
        missing: The names of those that are not.
        claims: Its claims, as a claims file has them; empty without any.
        files: Its own files by name; none is executed by a reader.
    """

    title: str
    studies: tuple[str, ...]
    missing: tuple[str, ...]
    claims: dict[str, Any]
    files: dict[str, bytes]


def is_article(word: str) -> bool:
    """Whether a word names a bundled article, or the folder of one."""
    return word in article_names() or (home_expanded(word) / FILE).is_file()


def bundling(word: str, stored: Collection[str]) -> Bundling:
    """What the article of a name or a folder gives to a bundle.

    Raises:
        AssayError: There is no such article, its files are wrong, or none of its studies is stored.
    """
    article = find_article(word)
    names = list(dict.fromkeys(name for entry in article.file.studies for name in _names(article, entry.name)))
    studies = [name for name in names if name in stored]
    if not studies:
        raise AssayError(
            f"article {article.name}: none of its studies is stored: {listed(names)}; run assay reproduce {word}"
        )
    paths = [article.folder / FILE, article.folder / EXPERIMENTS]
    files = {path.name: read_limited(path, TOML_BYTES) for path in paths if path.is_file()}
    claims = {"claims": [dict(claim.table) for claim in article.claims]} if article.claims else {}
    missing = tuple(name for name in names if name not in stored)
    return Bundling(article.name, tuple(studies), missing, claims, files)


def _names(article: Article, study: str) -> list[str]:
    """The names that a study of an article is stored under."""
    entry = article.entry(study)
    return [setup.study for setup in setups_of(study, entry.setups)] if entry.setups else [study]
