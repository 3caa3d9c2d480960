"""Plans a study: chooses engines, finds the trials that configurations share, and groups trials by trajectory."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from assay.data.cache import DataCache
from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.data.prepare import notes_of, split
from assay.data.targets import check_task
from assay.engines import choose
from assay.engines.base import Cohort, Engine, state_arrays
from assay.engines.devices import load_for_planning
from assay.engines.program import Command, Program
from assay.errors import AssayError, RecipeError
from assay.parts.batches import examples_seen
from assay.parts.groups import groups_problems
from assay.parts.models import flops_training
from assay.parts.module_networks import ModuleNetwork
from assay.recipe.model import Recipe
from assay.recipe.settings import Data
from assay.recipe.texts import Texts
from assay.studies.devices import AUTO, auto_device, device_notes
from assay.studies.keys import started_key, trajectory_keys, trial_key
from assay.studies.repeats import of_repeat
from assay.studies.settings import Settings
from assay.studies.space import Value
from assay.studies.study import Study
from assay.system.garbage import uncollected
from assay.training.checks import recipe_problems
from assay.training.snapshots import save_best_problem


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe on one engine, with its keys and its cost. The recipe's lengths are in iterations.

    Where the budget is in seconds, `iterations` is the most that a budget may have, and `flops` are 0: unknown.
    """

    recipe: Recipe
    key: str
    trajectory: str
    engine: str
    numerics: int
    device: str
    timing: str
    threads: int | None
    data_checksum: str
    iterations: int
    flops: int
    engine_choice: str = ""  # a sentence: why this engine was chosen
    program: Program | None = None  # an external program in place of an engine
    notes: tuple[str, ...] = ()  # sentences on its data and on the weights it starts from
    test_counts: tuple[int, ...] = ()  # test examples of each class
    form: str = ""  # the static form of its recipe: trials of one form can be trained as a cohort
    weights_bytes: int = 0  # of its weights and optimizer state, about, where they are kept

    @property
    def seconds(self) -> float | None:
        """The budget in seconds of training; None where it is in iterations."""
        return self.recipe.budget.seconds


@dataclass(frozen=True, slots=True)
class Member:
    """A trial's place in a study: its configuration, and the number of its seed.

    Configurations with equal recipes share their trials: such a trial has one member in each.
    """

    key: str
    label: str
    values: Mapping[str, Value]
    repeat: int


@dataclass(frozen=True, slots=True)
class Job:
    """Trials of one trajectory, which one training covers, the shortest first."""

    trajectory: str
    trials: tuple[Trial, ...]

    @property
    def iterations(self) -> int:
        """The iterations of the longest trial."""
        return self.trials[-1].iterations

    @property
    def seconds(self) -> float | None:
        """The budget of its only trial in seconds of training; None where it is in iterations."""
        return self.trials[-1].seconds

    @property
    def flops(self) -> int:
        """The operations of the longest trial; 0 where its budget is in seconds."""
        return self.trials[-1].flops


@dataclass(frozen=True)
class Plan:
    """A study's members, its distinct trials, their jobs, and what was left out.

    `repeated` counts the configurations that the study lists again, by their label; these are left out. `dropped`
    counts the keys that a component lacks, and `lost` names the configurations. `replaced` names the configurations
    that do not have a key of the baseline, because they replace its component. The plan of a single recipe has a study
    that is not stored: `registers` is False. `promotable` names the trials whose weights are kept while a search may
    train them further. `own` are the trials of a part of the study (`parts.StudyPart`).
    """

    study: Study
    members: tuple[Member, ...]
    trials: Mapping[str, Trial]
    requested: int  # trials, counted for each configuration that the study lists
    examples: Mapping[str, int]  # the number of training examples of each trial
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    registers: bool = True
    repeated: Mapping[str, int] = field(default_factory=dict[str, int])
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    device_notes: tuple[str, ...] = ()  # sentences on the device: why it was chosen, or what is faster
    promotable: frozenset[str] = frozenset()
    own: frozenset[str] | None = None  # the trials that a run of a part trains; None: all

    @property
    def folded(self) -> int:
        """How many of the requested trials are equal to another one of the study, and trained once."""
        return self.requested - len(self.trials)

    @cached_property
    def first_members(self) -> tuple[Member, ...]:
        """One member for each trial: that of the first configuration that asks for it."""
        first: dict[str, Member] = {}
        for member in self.members:
            first.setdefault(member.key, member)
        return tuple(first.values())

    @cached_property
    def shared(self) -> Mapping[tuple[str, ...], int]:
        """The configurations that have trials in common, with the number of these trials."""
        if len(self.members) == len(self.trials):  # each trial has one
            return {}
        labels: dict[str, dict[str, None]] = {}
        for member in self.members:
            labels.setdefault(member.key, {})[member.label] = None
        return Counter(tuple(names) for names in labels.values() if len(names) > 1)

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The trials grouped by trajectory, in the order of the study."""
        return jobs(self.trials.values())


def jobs(trials: Any) -> tuple[Job, ...]:
    """Groups trials by trajectory, in the order of the first trial of each group."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.trajectory, []).append(trial)
    return tuple([Job(key, tuple(_shortest_first(group))) for key, group in groups.items()])


def _shortest_first(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.iterations) if len(trials) > 1 else trials


Loader = Callable[..., Dataset]
_log = logging.getLogger("assay.studies")
_HEADER_BYTES = 6_000  # of a file of weights: recipe, curve, ledger


class _Cost(NamedTuple):
    """The iterations, operations and bytes of weights of a trial, which are the same for all trials of a form."""

    iterations: int
    flops: int
    weights_bytes: int


class _DataFacts(NamedTuple):
    """A data set, with what all trials on the same split of it have in common."""

    dataset: Dataset
    examples: int  # for training
    notes: tuple[str, ...]  # sentences on the split
    test_counts: tuple[int, ...]  # test examples of each class


class Planner:
    """Makes trials from recipes. It loads each data set and chooses each engine once."""

    def __init__(self, settings: Settings, *, load_data: Loader = load) -> None:
        self.settings, self._data = settings, DataCache(load=load_data)
        self.device_choice = ""
        self._engines: dict[tuple[str, str | Command], Engine | Program] = {}
        self._loaded: dict[str | Command, Callable[..., Engine]] = {}
        self._splits: dict[Data, _DataFacts] = {}
        self._texts = Texts()
        self._costs: dict[tuple[str, int], _Cost] = {}

    def choose_device(self, recipes: Sequence[tuple[Recipe, str | Command | None, int]]) -> None:
        """Replaces the device "auto" of the settings, before any trial is made, by one for all configurations.

        `recipes`: of each configuration, its recipe, the engine that it requests, and the number of its seeds.
        """
        if self.settings.device == AUTO:
            uses = [(recipe, engine or self.settings.engine, seeds) for recipe, engine, seeds in recipes]
            device, self.device_choice = auto_device(uses, timing=self.settings.timing, data=self.data)
            self.settings = self.settings.model_copy(update={"device": device})

    def device_notes(self, trials: Iterable[Trial]) -> tuple[str, ...]:
        """Why the device was chosen, or what is known to be faster than the one that was named."""
        if self.device_choice or self.settings.device == "cpu":
            return tuple(filter(None, [self.device_choice]))
        uses = [(trial.recipe, trial.engine, 1) for trial in trials]
        return tuple(device_notes(uses, self.settings.device, timing=self.settings.timing, data=self.data))

    def data(self, name: str, task: str | None = None) -> Dataset:
        """The data set of that name, read for a task: None for classification."""
        return self._data.dataset(name, task)

    def engine(self, recipe: Recipe, requested: str | Command | None = None) -> Engine | Program:
        """The engine of a recipe: `requested`, or that of the settings. Raises: EngineError, CodeError."""
        name = self.settings.engine if requested is None else requested
        return self._chosen(recipe, self._texts.static_form(recipe), name)

    def _chosen(self, recipe: Recipe, form: str, name: str | Command) -> Engine | Program:
        if (form, name) not in self._engines:
            settings, loaded = self.settings, self._loaded.setdefault(name, cache(load_for_planning))
            engine = choose(recipe, name, device=settings.device, threads=settings.threads, load=loaded)
            _log.info("engine of %s: %s on %s (%s)", recipe.label(), engine.name, settings.device, engine.choice)
            self._engines[form, name] = engine
        return self._engines[form, name]

    def examples(self, recipe: Recipe) -> int:
        """The number of training examples in the recipe's split."""
        return self._facts(recipe).examples

    def _facts(self, recipe: Recipe) -> _DataFacts:
        return self._texts.made("facts", (recipe.data,), lambda: self._split(recipe.data))

    def _split(self, data: Data) -> _DataFacts:
        """What trials take from a split, computed once for each; equal ones have equal notes."""
        if data not in self._splits:
            dataset = self.data(data.name, data.task)
            check_task(dataset, data.task)
            sets = dataset.drawn(data.draw)
            rows, drawn = split(sets, train=data.train, validation=data.validation)
            counts = [0] if data.task else np.bincount(sets.y_test, minlength=len(sets.classes)).tolist()
            notes = notes_of(sets, rows, drawn)
            self._splits[data] = _DataFacts(dataset, len(rows), notes, tuple(map(int, counts)))
        return self._splits[data]

    def trial(self, recipe: Recipe, engine: str | Command | None = None) -> Trial:
        """The trial of a recipe. Raises: RecipeError, DataError, EngineError, CodeError."""
        return self.trials(recipe, 1, engine)[0]

    def repeats(self, recipe: Recipe, count: int, engine: str | Command | None = None) -> list[Trial]:
        """The trials of so many repeats of a recipe, each on its test set if these are drawn. Raises: as `trial`."""
        if not self.settings.draws_anew:
            return self.trials(recipe, count, engine)
        return [self.trial(of_repeat(recipe, self.settings, repeat), engine) for repeat in range(count)]

    def trials(self, recipe: Recipe, seeds: int, engine: str | Command | None = None) -> list[Trial]:
        """The trials of a recipe with its seed and the next ones, so many. Raises: as `trial`."""
        dataset, n, notes, test_counts = self._facts(recipe)
        settings = self.settings
        form, texts = self._texts.static_form(recipe), self._texts
        trainer = self._chosen(recipe, form, settings.engine if engine is None else engine)
        recipe = self._resolved(recipe, n)
        cost = self._cost(recipe, form, dataset, trainer)
        columns: Any = {"data_checksum": dataset.checksum, "timing": settings.timing, "threads": settings.threads}
        recipes = [recipe, *[recipe.model_copy(update={"seed": recipe.seed + i}) for i in range(1, seeds)]]
        numbers = [one.seed for one in recipes]
        trajectories = trajectory_keys(recipe, numbers, engine=trainer, **columns, texts=texts)
        shared: Any = columns | {
            "engine": trainer.name,
            "numerics": trainer.numerics,
            "device": settings.device,
            "iterations": cost.iterations,
            "flops": cost.flops,
            "engine_choice": "; ".join(filter(None, (trainer.choice, self.device_choice))),
            "program": trainer if isinstance(trainer, Program) else None,
            "notes": notes,
            "test_counts": test_counts,
            "form": form,
            "weights_bytes": cost.weights_bytes,
        }
        return [
            Trial(recipe=one, key=trial_key(trajectory, one, n, texts=texts), trajectory=trajectory, **shared)
            for one, trajectory in zip(recipes, trajectories, strict=True)
        ]

    def _resolved(self, recipe: Recipe, n: int) -> Recipe:
        """The recipe with every length in iterations; its resolved components are shared as those of recipes are."""
        parts = (recipe.schedule, recipe.stop, recipe.batches, recipe.budget)
        resolved = self._texts.made(f"resolved {n}", parts, lambda: recipe.resolved(n))
        schedule, stop = resolved.schedule, resolved.stop
        if schedule is recipe.schedule and stop is recipe.stop:
            return recipe
        return recipe.model_copy(update={"schedule": schedule, "stop": stop})

    def _cost(self, recipe: Recipe, form: str, dataset: Dataset, trainer: Engine | Program) -> _Cost:
        """What trials of a form cost, computed once for each form and trainer. Raises: RecipeError."""
        cost = self._costs.get((form, id(trainer)))
        if cost is None:
            n = self.examples(recipe)
            network = recipe.model.network(dataset.shape, len(dataset.classes))
            problems = recipe_problems(Cohort((recipe,), network), n, trainer)
            own_module = isinstance(network, ModuleNetwork)
            problems += groups_problems(recipe.optimizer, network.shapes, of_module=own_module)
            if self.settings.save_best:
                problem = save_best_problem(recipe, external=isinstance(trainer, Program))
                problems += [problem] if problem else []
            timed = recipe.budget.seconds is not None
            if timed and self.settings.timing == "packed":
                problems.append("budget.seconds: trials side by side take each other's time; set timing = 'isolated'")
            if problems:
                raise RecipeError(problems)
            iterations = recipe.iterations(n)
            seen = examples_seen(recipe.batches, iterations, n)
            rule = recipe.loss, recipe.optimizer
            flops = 0 if timed else flops_training(network, *rule, iterations=iterations, examples=seen)
            element = 8 if recipe.precision == "float64" or trainer.name == "numpy" else 4
            arrays = 1 if isinstance(trainer, Program) else 1 + state_arrays(recipe)
            size = _HEADER_BYTES + element * arrays * network.parameters
            cost = self._costs[form, id(trainer)] = _Cost(iterations, flops, size)
        return cost


@uncollected()
def plan(study: Study, *, repeats: Mapping[str, int] | None = None, load_data: Loader = load) -> Plan:
    """The plan of a study.

    Args:
        study: The study.
        repeats: The number of seeds of a configuration, by its label, in place of the study's `repeats`.
        load_data: Loads a data set by its name.

    Raises:
        RecipeError: A recipe does not fit its data set, or no engine can train it; all problems are listed.
    """
    if study.settings.search is not None:
        raise RecipeError(
            ["design: a search has no plan: its trials are decided while it runs; use assay run or assay.run"],
            source=study.name,
        )
    planner = Planner(study.settings, load_data=load_data)
    seeds = {c.label: (repeats or {}).get(c.label, study.settings.repeats) for c in study.candidates()}
    planner.choose_device([(c.recipe, c.engine, seeds[c.label]) for c in study.candidates()])
    study = study if study.settings == planner.settings else replace(study, settings=planner.settings)
    members: list[Member] = []
    trials: dict[str, Trial] = {}
    dropped: Counter[str] = Counter()
    problems: dict[str, str] = {}
    requested, repeated = 0, Counter[str]()
    listed: dict[str, tuple[str, ...]] = {}  # label -> keys of its trials
    for candidate in study.candidates():
        dropped.update(candidate.dropped)
        label, count = candidate.label, seeds[candidate.label]
        try:
            made = planner.repeats(candidate.recipe, count, candidate.engine)
        except AssayError as error:
            sentences = error.problems if isinstance(error, RecipeError) else (str(error),)
            for sentence in sentences:
                problems.setdefault(sentence, label)
            continue
        requested += count
        keys = tuple([trial.key for trial in made])
        if label in listed:  # again
            if listed[label] != keys:
                problems.setdefault("two different configurations have this label; rename a value", label)
            repeated[label] += 1
            continue
        listed[label] = keys
        for repeat, trial in enumerate(made):
            trials.setdefault(trial.key, trial)
            members.append(Member(trial.key, label, candidate.values, repeat))
    if problems:
        raise RecipeError([f"{label}: {problem}" for problem, label in problems.items()], source=study.name)
    if len({trial.recipe.is_regression for trial in trials.values()}) > 1:
        raise RecipeError(
            [
                "data.task: some configurations are of a regression and others of a classification, whose scores do "
                "not compare; make a study of each"
            ],
            source=study.name,
        )
    examples = {key: planner.examples(trial.recipe) for key, trial in trials.items()}
    return Plan(
        study,
        tuple(members),
        trials,
        requested,
        examples,
        dropped,
        repeated=repeated,
        lost=_labels((candidate.label, candidate.dropped) for candidate in study.candidates()),
        replaced=_labels((candidate.label, candidate.replaced) for candidate in study.candidates()),
        device_notes=planner.device_notes(trials.values()),
    )


def _labels(keys: Iterable[tuple[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    """The labels of the configurations by key, from the keys of each, in order and each once."""
    labels: dict[str, dict[str, None]] = {}
    for label, of_label in keys:
        for key in of_label:
            labels.setdefault(key, {})[label] = None
    return {key: tuple(named) for key, named in labels.items()}


def plan_of_one(recipe: Recipe, settings: Settings, *, load_data: Loader = load) -> Plan:
    """The plan of a single recipe, stored without a study. Raises: RecipeError, DataError, EngineError."""
    planner = Planner(settings, load_data=load_data)
    planner.choose_device([(recipe, None, 1)])
    settings, trial = planner.settings, planner.trial(recipe)
    member = Member(trial.key, recipe.label(), {}, 0)
    examples = {trial.key: planner.examples(recipe)}
    study = Study(settings, recipe.plain(), (), {})
    notes = planner.device_notes([trial])
    return Plan(
        study, (member,), {trial.key: trial}, requested=1, examples=examples, registers=False, device_notes=notes
    )


def started_from(plan: Plan, *, digest: str, note: str) -> Plan:
    """A plan of one recipe that starts from a file of weights: its keys contain the file's digest."""
    (old,) = plan.trials.values()
    trajectory, n = started_key(old.trajectory, digest), plan.examples[old.key]
    trial = replace(
        old, key=trial_key(trajectory, old.recipe, n), trajectory=trajectory, notes=(*old.notes, note), form=""
    )
    member = replace(plan.members[0], key=trial.key)
    return replace(plan, members=(member,), trials={trial.key: trial}, examples={trial.key: n})
