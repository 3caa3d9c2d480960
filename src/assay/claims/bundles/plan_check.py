"""Whether the rows of a bundle are those that its studies ask for: none more, none less, each with its recipe."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from assay.claims.bundles.content import Content
from assay.claims.bundles.data_sets import DataSets
from assay.claims.bundles.tables import Row
from assay.engines.program import Command
from assay.errors import AssayError, shortened
from assay.recipe.model import Recipe
from assay.results.results import DECIDED
from assay.studies.repeats import of_repeat
from assay.studies.rerun import rerun
from assay.studies.study import Candidate, Study
from assay.system.limits import TRIALS

_SHOWN = 5  # rows in one sentence
_OF_EXAMPLES = ("schedule", "stop")  # fields whose lengths in epochs depend on the number of training examples


def plan_problems(content: Content, data: DataSets, *, allow_code: bool) -> tuple[list[str], list[str]]:
    """What the rows lack of the plans of their studies or have beyond them, and what could not be compared."""
    problems: list[str] = []
    unseen: list[str] = []
    for entry in content.studies:
        name = str(entry["name"])
        definition = {key: value for key, value in entry["definition"].items() if key != DECIDED}
        if "trials" not in definition and "axes" not in definition and "baseline" not in definition:
            problems.append(f"study {name}: has no definition")
            continue
        try:
            study = Study.parse(definition, source=f"study {name}")
        except AssayError as error:
            if not allow_code and rerun(definition).needs_code:
                unseen.append(f"the plan of study {name}, which names code of its author (--allow-code)")
            else:
                reason = " ".join(str(error).split())
                problems.append(f"study {name}: its definition cannot be read: {reason[:500]}")
            continue
        if study.settings.design == "search":  # what it suggested follows from scores, which a definition has not
            unseen.append(f"the rows of study {name} with its plan: a search chose them, which a bundle does not show")
            continue
        rows = [row for row in content.members if row["study"] == name]
        trials = {row["key"]: row for row in content.trials}
        added = DECIDED in entry["definition"]
        problems += [f"study {name}: {sentence}" for sentence in _places(study, rows, added=added)]
        problems += [f"study {name}: {sentence}" for sentence in _rows(study, rows, trials, data)]
        keys = {row["trial"] for row in rows}
        sets = {(row["data"], row["data_checksum"]) for row in content.trials if row["key"] in keys}
        if missing := sorted({str(data_name) for data_name, checksum in sets if not data.find(data_name, checksum)}):
            unseen.append(f"lengths in epochs in the plan of study {name}: {data.why_not(missing[0])}")
    return problems, unseen


def _places(study: Study, members: list[Row], *, added: bool) -> Iterator[str]:
    """Configurations and repeats that are missing, or that nobody asked for."""
    repeats = study.settings.repeats
    labels = list(dict.fromkeys(candidate.label for candidate in study.candidates()))
    if (count := len(labels) * repeats) > TRIALS.most:  # before a place is made for each
        yield f"asks for {count:,} trials; expected at most {TRIALS}"
        return
    there = [(row["label"], row["repeat"]) for row in members]
    asked = {(label, repeat) for label in labels for repeat in range(repeats)}
    if added:  # seeds were added until pairs were decided, from the first one on without a gap
        most, counts = dict.fromkeys(labels, -1), Counter(label for label, _ in there)
        for label, repeat in there:
            most[label] = max(most.get(label, -1), repeat)
        asked |= {(label, n) for label in labels for n in range(min(most[label] + 1, 2 * counts[label]))}
    lacking = sorted(asked - set(there), key=str)
    if lacking and (trained := _trainings(study, asked & set(there))):  # an article lists a shared trial once
        alike = _trainings(study, set(lacking))
        lacking = [place for place in lacking if alike[place] not in trained.values()]
    if lacking:
        yield f"lacks {_count(lacking, 'row')} that its plan asks for: {_places_text(lacking)}"
    if beyond := sorted(set(there) - asked, key=str):
        yield f"has {_count(beyond, 'row')} that its plan does not ask for: {_places_text(beyond)}"
    if len(set(there)) < len(there):
        yield "has a configuration with a repeat twice"


def _trainings(study: Study, places: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """What is trained at some places, as text."""
    candidates = {candidate.label: candidate for candidate in study.candidates()}
    texts: dict[tuple[str, int], str] = {}
    for label, repeat in places:
        recipe = of_repeat(candidates[label].recipe, study.settings, repeat)
        texts[label, repeat] = json.dumps([recipe.canonical(), str(candidates[label].engine)], sort_keys=True)
    return texts


def _count(rows: list[Any], word: str) -> str:
    return f"{len(rows):,} {word}{'s' if len(rows) != 1 else ''}"


def _places_text(places: list[tuple[str, int]]) -> str:
    return shortened([f"{label}, repeat {repeat}" for label, repeat in places], _SHOWN, separator="; ")


def _rows(study: Study, members: list[Row], trials: Mapping[str, Row], data: DataSets) -> Iterator[str]:
    """Trials that are not what their configuration asks for."""
    candidates = {candidate.label: candidate for candidate in study.candidates()}
    for row in members:
        candidate = candidates.get(row["label"])
        if candidate is None:
            continue
        place = f"{row['label']}, repeat {row['repeat']}"
        trial = trials[row["trial"]]
        if json.loads(row["axis_values"]) != json.loads(json.dumps(dict(candidate.values))):
            yield f"{place}: its axes have other values than its plan"
        for sentence in _unlike(study, candidate, row["repeat"], trial, data):
            yield f"{place}: trial {row['trial'][:8]} {sentence}"


def _unlike(study: Study, candidate: Candidate, repeat: int, trial: Row, data: DataSets) -> Iterator[str]:
    """How a trial differs from the one that a configuration asks for, a sentence each."""
    asked = of_repeat(candidate.recipe, study.settings, repeat)
    stored = Recipe.stored(json.loads(trial["recipe"]))
    dataset = data.find(trial["data"], trial["data_checksum"])
    without = () if dataset else _OF_EXAMPLES
    if dataset:
        try:
            count = data.training_examples(dataset, asked.data)
        except AssayError as error:
            yield f"cannot be what its plan asks for: {error}"
            return
        asked = asked.resolved(count)
        iterations = asked.iterations(count) if asked.budget.seconds is None else None
        if trial["budget"] != iterations:
            yield f"has a budget of {trial['budget']} iterations; its plan asks for {iterations}"
    fields = [name for name in type(asked).model_fields if name not in without]
    if wrong := [name for name in fields if asked.canonical_field(name) != stored.canonical_field(name)]:
        yield f"has another {', '.join(wrong)} than its plan"
    settings = study.settings
    engine = candidate.engine
    if not isinstance(engine, Command) and engine not in ("auto", trial["engine"]):
        yield f"was trained by {trial['engine']}; its plan asks for {engine}"
    for name in ("timing", "threads", "device"):
        if trial[name] != getattr(settings, name):
            yield f"has {name} {trial[name]}; its plan asks for {getattr(settings, name)}"
