"""The studies of an article as plans, those that depend on results included, and its page from what is stored."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from assay.articles.claimed import findings_of
from assay.articles.context import Context
from assay.articles.folder import Article, StudyEntry, article_names, find_article
from assay.articles.measurements import trial_rows
from assay.articles.page import Page
from assay.articles.parts import drawn
from assay.articles.sampling import one_each, sample_plan
from assay.articles.scaling import changed_study
from assay.articles.selection import SELECTIONS
from assay.articles.setups import Setup, setups_of, why_not
from assay.articles.spec import ReproductionSpec, parse_spec
from assay.articles.timings import time_table
from assay.errors import AssayError, CodeError, listed
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import Plan, plan
from assay.studies.study import Study

Plans = dict[str, Plan]
"""Plans by the name that a study has in the article."""


def spec_of(
    article: Article,
    *,
    data: str | None = None,
    quick: bool = False,
    seeds: int | None = None,
    sample: float | None = None,
    epochs: int | None = None,
) -> ReproductionSpec:
    """The spec that options of the command line ask for, on an article's data and scale.

    Raises:
        AssayError: An option has a wrong value, or is none of this article's.
        DataError: The data set is not on this machine.
    """
    for option, value in (("sample", sample), ("epochs", epochs)):
        if value is not None and option not in article.file.options:
            owners = [name for name in article_names() if option in find_article(name).file.options]
            raise AssayError(f"--{option}: only for {listed(owners)}, not for {article.name}")
    file = article.file
    spec = parse_spec(
        data=data, quick=quick, seeds=seeds, sample=sample, epochs=epochs, usual=file.data, scale=file.quick
    )
    return replace(spec, data=article.file.data_instead.get(spec.data, spec.data))


def plans_of(article: Article, spec: ReproductionSpec) -> Plans:
    """The plans of the studies that depend on no results. Raises: AssayError."""
    plans: Plans = {}
    for entry in article.file.studies:
        if entry.adds is None:
            plans |= _plans_of_entry(article, entry, spec)
    return plans


def plans_after(article: Article, spec: ReproductionSpec, results: Mapping[str, Results]) -> Plans:
    """The plans of the studies that depend on results; none for a study whose results choose nothing."""
    plans: Plans = {}
    for entry in article.file.studies:
        if entry.adds and (changes := _additions(article, entry, spec, results)):
            plans[entry.name] = plan(_study(article, entry, spec, changes))
    return plans


def results_of(plans: Mapping[str, Plan], store: Store) -> dict[str, Results]:
    """The stored results of each study, by its name in the article."""
    return {name: Results(store, made.study.name) for name, made in plans.items()}


def context_of(
    article: Article, spec: ReproductionSpec, plans: Mapping[str, Plan], store: Store, *, allow_code: bool = False
) -> Context:
    """What the parts and claims of an article are made from."""
    file = article.file
    return Context(
        spec,
        results_of(plans, store),
        plans,
        points=article.points,
        facts=file.facts,
        written=article.study,
        experiments=experiments_of(article, allow_code=allow_code),
        counted=file.counted or tuple(plans),
        sampling=file.sampling,
        unsampled=lambda: _unsampled(article, spec),
        setups={entry.name: reasons_of(article, entry) for entry in file.studies if entry.setups},
    )


def page_of(article: Article, context: Context) -> Page:
    """The page of an article's stored results, with the time that its studies took."""
    file = article.file
    parts = drawn(article.parts, context)
    parts.append(time_table(context.plans.values(), list(context.results.values())))
    return Page(
        file.title,
        [context.text(line) for line in file.lead],
        parts,
        findings_of(article.claims, context),
        [(source.title, source.url) for source in file.sources],
        context.spec.banner,
    )


def experiments_of(article: Article, *, allow_code: bool) -> ModuleType | None:
    """The module of an article's `experiments.py`; None without one, or where it is a stranger's and not allowed.

    Raises: CodeError where it cannot be imported.
    """
    path = article.experiments
    if path is None or not (article.bundled or allow_code):
        return None
    return _imported(path.resolve())


@cache
def _imported(path: Path) -> ModuleType:
    """The module in a file, imported once."""
    name = f"assay_article_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None  # of a file that is there and ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # a dataclass looks for its module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise CodeError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


def reasons_of(article: Article, entry: StudyEntry) -> dict[Setup, str | None]:
    """The setups of a study, each with why it cannot run on this machine; None if it can."""
    baseline = article.table(entry.name)["baseline"]
    return {setup: why_not(baseline, setup) for setup in setups_of(entry.name, entry.setups)}


# --- the studies -----------------------------------------------------------------------------------------------------


def _plans_of_entry(article: Article, entry: StudyEntry, spec: ReproductionSpec) -> Plans:
    if entry.setups:
        runnable = [setup for setup, reason in reasons_of(article, entry).items() if reason is None]
        studies = {setup: _study(article, entry, spec, setup.settings) for setup in runnable}
        return {setup.study: plan(study.patched({"baseline": setup.baseline})) for setup, study in studies.items()}
    sampling = article.file.sampling
    if sampling is None or sampling.study != entry.name:
        return {entry.name: plan(_study(article, entry, spec))}
    whole = _unsampled(article, spec)
    return {entry.name: whole if spec.sample is None else sample_plan(whole, spec.sample, sampling.strata)}


def _unsampled(article: Article, spec: ReproductionSpec) -> Plan:
    """All of the study that is sampled, each trial once. Raises: AssayError."""
    sampling = article.file.sampling
    assert sampling is not None  # callers look
    return one_each(plan(_study(article, article.entry(sampling.study), spec)))


def _study(
    article: Article, entry: StudyEntry, spec: ReproductionSpec, changes: Mapping[str, Any] | None = None
) -> Study:
    """A study of the article, changed to the spec and by its entry."""
    if entry.seeds:
        spec = replace(spec, seeds=entry.seeds)
    file = article.study_file(entry.name)
    study = changed_study(article.table(entry.name), spec, changes=changes, source=str(file))
    patches: list[dict[str, Any]] = [article.file.quick.baseline, entry.quick] if spec.quick else []
    if "epochs" in article.file.options and (epochs := spec.training_epochs):
        patches.append({"budget": {"epochs": max(entry.least_epochs, epochs)}})
    for patch in patches:
        study = study.patched({"baseline": patch}) if patch else study
    return study


def _additions(
    article: Article, entry: StudyEntry, spec: ReproductionSpec, results: Mapping[str, Results]
) -> dict[str, Any]:
    """The changes of a study that the results of another choose; none if they choose nothing."""
    adds = entry.adds
    if adds is None or adds.source not in results or _is_sampled(article, adds.source, spec):
        return {}
    labels = SELECTIONS[adds.choose](trial_rows(results[adds.source]), adds.by)
    labels = labels[: adds.count or None]
    if not labels:
        return {}
    source = article.study(adds.source)
    scaled = _study(article, article.entry(adds.source), spec)
    written = source.candidates()  # `changed_study` scales a quick run down, and may do so once
    tables = {", ".join(map(str, c.values.values())): c.table for c in written}  # as older stores have them
    tables |= {c.label: full.table for c, full in zip(scaled.candidates(), written, strict=True)}
    tables |= {candidate.label: candidate.table for candidate in written if candidate.label not in tables}
    raw = article.table(entry.name)
    chosen = {label: {key: tables[label][key] for key in adds.copies if key in tables[label]} for label in labels}
    first = {"seed": 1 + scaled.settings.repeats} if adds.fresh_seeds else {}
    return {"trials": {**raw["trials"], **chosen}, "baseline": {**raw["baseline"], **first}}


def _is_sampled(article: Article, study: str, spec: ReproductionSpec) -> bool:
    sampling = article.file.sampling
    return sampling is not None and sampling.study == study and spec.sample is not None
