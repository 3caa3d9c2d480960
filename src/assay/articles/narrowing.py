"""An article narrowed to one of its claims: the studies that the claim needs, and the parts of the page on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from assay.articles.folder import Article, StudyEntry
from assay.articles.parts import Experiment
from assay.claims.claim import Claim
from assay.claims.side import Side
from assay.errors import AssayError, unknown


def narrowed(article: Article, only: str) -> Article:
    """The article with one claim, and what that needs. Raises: AssayError for an unknown claim."""
    claims = {claim.id: claim for claim in article.claims}
    if only not in claims:
        known = claims or ["(the article has no claims)"]
        raise AssayError(f"--only: {unknown('claim', only, known)}")
    claim = claims[only]
    needed = _studies_of(article, claim)
    entries = tuple(entry for entry in article.file.studies if entry.name in needed)
    file = article.file.model_copy(
        update={"studies": entries, "counted": tuple(n for n in article.file.counted if n in needed)}
    )
    parts = tuple(
        part for part in article.parts if not isinstance(part, Experiment) and set(part.study_names()) <= needed
    )
    return replace(article, claims=(claim,), file=file, parts=parts)


def _studies_of(article: Article, claim: Claim) -> set[str]:
    """The studies that a claim needs: all of them where it needs an experiment, which may read any."""
    sides = [side for _, side in claim.condition.sides()]
    if any(side.experiment for side in sides):
        return {entry.name for entry in article.file.studies}
    needed = {entry.name for entry in article.file.studies if any(_is_of(article, entry, side) for side in sides)}
    return needed | set(_sources(article.file.studies, needed))


def _sources(entries: Iterable[StudyEntry], needed: set[str]) -> Iterable[str]:
    """The studies whose results choose trials of those that are needed."""
    return [entry.adds.source for entry in entries if entry.name in needed and entry.adds]


def _is_of(article: Article, entry: StudyEntry, side: Side) -> bool:
    """Whether a side may be read from a study."""
    if not side.is_selection:
        return False
    if side.study:
        return side.study == entry.name or (bool(entry.setups) and side.study.startswith(f"{entry.name}-"))
    patterns = [str(value) for column, values in side.where if column == "configuration" for value in values]
    if not patterns or entry.adds:
        return True
    labels = [candidate.label for candidate in article.study(entry.name).candidates()]
    return any(fnmatchcase(label, pattern) for label in labels for pattern in patterns)


__all__ = ["narrowed"]
