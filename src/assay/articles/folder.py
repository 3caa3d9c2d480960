"""An article as a folder: `article.toml` with what was published and claimed, `studies/*.toml`, `experiments.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from assay.articles.claimed import read_claims
from assay.articles.context import problems_of_text
from assay.articles.entries import ArticleTable, PublishedPoint, Quick, Sampling
from assay.articles.kinds import PagePart
from assay.articles.parts import problems_of_parts, read_part
from assay.articles.selection import SELECTIONS
from assay.articles.setups import problems_of_setups
from assay.claims.claim import Claim
from assay.errors import AssayError, FileError, RecipeError, unknown
from assay.recipe.messages import sentences
from assay.recipe.toml import read_toml
from assay.studies.study import Study, bundled, bundled_names

FILE = "article.toml"
EXPERIMENTS = "experiments.py"
OPTIONS = ("sample", "epochs")
"""Options of `assay reproduce` that an article has if it declares them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ArticleSource(ArticleTable):
    """Title and address of what is reproduced; the address is empty where none is known."""

    title: str
    url: str = ""


class Additions(ArticleTable):
    """The trials that a study gets from the results of another: those that a selection chooses.

    Attributes:
        source: The study whose results choose.
        choose: A selection.
        count: How many configurations are chosen at most; 0 for all that the selection names.
        by: The axis of which the selection takes the best of each value.
        copies: The recipe keys that are copied from a chosen configuration.
        fresh_seeds: Whether the study begins after the seeds of the other one.
    """

    source: str
    choose: str
    count: int = Field(default=0, ge=0)
    by: str = ""
    copies: tuple[str, ...]
    fresh_seeds: bool = False


class StudyEntry(ArticleTable):
    """A study of an article, and how it is run.

    Attributes:
        name: The name of its file, without the suffix, in the folder's `studies` or among the bundled studies.
        setups: Settings that the study is run with, each under a name of its own; "engines" for each installed one.
        seeds: The number of seeds whatever the command says; 0 for the study's own or the command's.
        least_epochs: The fewest epochs that `--epochs` may ask for.
        quick: A patch of the baseline in a scaled-down run.
        adds: Trials that depend on the results of another study.
    """

    name: str
    setups: tuple[Mapping[str, str | int], ...] | str = ()
    seeds: int = Field(default=0, ge=0)
    least_epochs: int = Field(default=1, ge=1)
    quick: dict[str, Any] = Field(default_factory=dict)
    adds: Additions | None = None


class ArticleFile(ArticleTable):
    """The keys of `article.toml`, but for its tables of parts, points and claims."""

    about: str
    title: str
    lead: tuple[str, ...] = ()
    data: str = ""
    data_instead: dict[str, str] = Field(default_factory=dict)
    counted: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    sources: tuple[ArticleSource, ...] = ()
    studies: tuple[StudyEntry, ...] = ()
    quick: Quick = Quick()
    sampling: Sampling | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Article:
    """What an article asks, published and claims, and the studies that test it.

    Attributes:
        name: The name of its folder.
        folder: The folder.
        file: The keys of `article.toml`.
        points: The published figures of single trainings.
        claims: What it claims, each with a rule that was fixed before anything ran.
        parts: The tables and pictures of its page, in order.
        bundled: Whether it ships with the package.
    """

    name: str
    folder: Path
    file: ArticleFile
    points: tuple[PublishedPoint, ...]
    claims: tuple[Claim, ...]
    parts: tuple[PagePart, ...]
    bundled: bool

    @property
    def experiments(self) -> Path | None:
        """The file of its experiments; None without one."""
        path = self.folder / EXPERIMENTS
        return path if path.is_file() else None

    def study_file(self, name: str) -> Path:
        """The file of a study, in its own folder or bundled."""
        own = self.folder / "studies" / f"{name}.toml"
        return own if own.is_file() else bundled(name)

    def study(self, name: str) -> Study:
        """A study as it is written. Raises: RecipeError, FileError."""
        return Study.parse(self.table(name), source=str(self.study_file(name)))

    def table(self, name: str) -> dict[str, Any]:
        """The table of a study's file. Raises: FileError."""
        return {"name": name, **read_toml(self.study_file(name))}

    def entry(self, name: str) -> StudyEntry:
        """The entry of a study. Raises: AssayError."""
        entries = {entry.name: entry for entry in self.file.studies}
        if name not in entries:
            raise AssayError(unknown("study", name, entries))
        return entries[name]


@cache
def article_names() -> tuple[str, ...]:
    """The articles that ship with the package, in the order of the table of contents."""
    contents = read_toml(_root() / "contents.toml")["articles"]
    return tuple(str(name) for name in contents)


def find_article(name: str) -> Article:
    """The bundled article of a name, or that in a folder.

    Raises:
        AssayError: There is neither such an article nor such a folder, or its files are wrong; all problems are listed.
    """
    if name in article_names():
        return read_article(_root() / name, bundled=True)
    folder = Path(name).expanduser()
    if folder.name == FILE:
        folder = folder.parent
    if folder.is_dir():
        if not (folder / FILE).is_file():
            raise FileError(f"{folder}: has no {FILE}; a new one: assay new article FOLDER")
        return read_article(folder)
    raise AssayError(unknown("reproduction", name, article_names()))


def read_article(folder: Path, *, bundled: bool = False) -> Article:
    """The article in a folder. Raises: RecipeError with all problems of `article.toml` and of its studies."""
    table = read_toml(folder / FILE)
    problems: list[str] = []
    raw_parts: Any = table.pop("show", [])
    raw_points: Any = table.pop("points", [])
    raw_claims: Any = table.pop("claims", [])
    try:
        file = ArticleFile(**table)
    except ValidationError as error:
        problems += sentences(error.errors(), ArticleFile.keys_at)
        file = None
    points = list(_points(raw_points, problems))
    parts = {raw[0]: p for raw in _tables("show", raw_parts, problems) if (p := read_part(*raw, problems=problems))}
    claims: tuple[Claim, ...] = ()
    try:
        claims = read_claims(raw_claims, source=str(folder / FILE))
    except RecipeError as error:
        problems += error.problems
    name = folder.resolve().name
    if file is None:
        raise RecipeError(problems, source=str(folder / FILE))
    article = Article(name, folder, file, tuple(points), claims, tuple(parts.values()), bundled)
    problems += _problems(article, parts)
    if problems:
        raise RecipeError(problems, source=str(folder / FILE))
    return article


def _root() -> Path:
    return Path(str(resources.files("assay.articles")))


def _tables(key: str, raw: Any, problems: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries of an array of tables, each with its place."""
    if not isinstance(raw, list):
        problems.append(f"{key}: expected an array of tables: [[{key}]]")
        return
    for number, entry in enumerate(raw, 1):
        if isinstance(entry, Mapping):
            yield f"{key} {number}", entry
        else:
            problems.append(f"{key} {number}: got {entry!r}; expected a table")


def _points(raw: Any, problems: list[str]) -> Iterator[PublishedPoint]:
    for where, entry in _tables("points", raw, problems):
        try:
            yield PublishedPoint(**entry)
        except ValidationError as error:
            problems += [f"{where}: {line}" for line in sentences(error.errors(), PublishedPoint.keys_at)]


def _problems(article: Article, parts: Mapping[str, PagePart]) -> Iterator[str]:
    """What does not fit together: names of studies, selections, options, and the options of the parts."""
    file = article.file
    known = [entry.name for entry in file.studies]
    folder = article.folder / "studies"
    available = sorted({*bundled_names(), *(path.stem for path in folder.glob("*.toml"))})
    for name in known:
        if not _NAME.fullmatch(name):
            yield f"studies: got {name!r}; expected the name of a file in studies/, without its suffix"
        elif name not in available:
            yield f"studies: {unknown('study', name, available)}"
        elif not article.bundled:
            yield from _study_problems(article, name)
    yield from (
        f"studies: {name!r} is listed {known.count(name)} times"
        for name in dict.fromkeys(known)
        if known.count(name) > 1
    )
    for entry in file.studies:
        yield from (f"studies: {entry.name}: {problem}" for problem in problems_of_setups(entry.setups))
        if entry.adds:
            yield from (f"studies: {entry.name}: adds.{problem}" for problem in _adds_problems(article, entry.adds))
    yield from _claim_problems(article)
    for option in file.options:
        if option not in OPTIONS:
            yield f"options: {unknown('option', option, OPTIONS)}"
    if "sample" in file.options and file.sampling is None:
        yield "options: sample needs a table [sampling] with the study and its strata"
    if file.sampling:
        yield from (f"sampling.{problem}" for problem in _sampling_problems(article, file.sampling))
    yield from (f"counted: {unknown('study', name, known)}" for name in file.counted if name not in known)
    texts = [("title", file.title), *(("lead", line) for line in file.lead)]
    texts += [(f"{where}: title", part.title) for where, part in parts.items() if part.fills_title]
    for where, text in texts:
        yield from problems_of_text(where, text)
    yield from problems_of_parts(parts, known, has_experiments=article.experiments is not None)


def _adds_problems(article: Article, adds: Additions) -> Iterator[str]:
    """What is wrong with the results that choose trials of another study."""
    first = [entry.name for entry in article.file.studies if not entry.adds]
    if adds.source not in first:
        yield f"source: {unknown('study without adds', adds.source, first)}"
    if adds.choose not in SELECTIONS:
        yield f"choose: {unknown('selection', adds.choose, SELECTIONS)}"
    axes = _axes(article, adds.source)
    if adds.choose == "best-of-each" and axes is not None and adds.by not in axes:
        yield f"by: {unknown('axis', adds.by, axes)}"


def _sampling_problems(article: Article, sampling: Sampling) -> Iterator[str]:
    """What is wrong with how a study is sampled."""
    known = [entry.name for entry in article.file.studies]
    if sampling.study not in known:
        yield f"study: {unknown('study', sampling.study, known)}"
    axes = _axes(article, sampling.study)
    if axes is None:
        return
    yield from (f"strata: {unknown('axis', name, axes)}" for name in sampling.strata if name not in axes)
    if sampling.within not in axes:
        yield f"within: {unknown('axis', sampling.within, axes)}"
    if sampling.folded and sampling.folded.axis not in axes:
        yield f"folded.axis: {unknown('axis', sampling.folded.axis, axes)}"


def _axes(article: Article, study: str) -> list[str] | None:
    """The axes of a study; None where it cannot be read, which is a problem of its own."""
    try:
        return [axis.name for axis in article.study(study).axes]
    except AssayError:
        return None


def _claim_problems(article: Article) -> Iterator[str]:
    """Studies that the claims name and the article does not have, and experiments without a file."""
    entries = article.file.studies
    known = [entry.name for entry in entries]
    for claim in article.claims:
        for name in claim.studies():
            if name not in known and not any(entry.setups and name.startswith(f"{entry.name}-") for entry in entries):
                yield f"claims: {claim.id}: {unknown('study', name, known)}"
        for name in dict.fromkeys(side.experiment for _, side in claim.condition.sides() if side.experiment):
            if article.experiments is None:
                yield f"claims: {claim.id}: experiment {name!r}: the folder has no {EXPERIMENTS}"


def _study_problems(article: Article, name: str) -> Iterator[str]:
    try:
        article.study(name)
    except RecipeError as error:
        yield from (f"studies/{name}.toml: {problem}" for problem in error.problems)
    except FileError as error:
        yield str(error)


__all__ = ["Additions", "Article", "ArticleFile", "StudyEntry", "article_names", "find_article", "read_article"]
