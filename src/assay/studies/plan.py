"""From a study to its trials: engines chosen, equal trials folded into one, trials of one trajectory together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.data.cache import DataCache
from assay.data.dataset import Dataset
from assay.data.datasets import load
from assay.data.prepare import split
from assay.engines import choose
from assay.engines.base import Cohort, Engine
from assay.engines.program import Command, Program
from assay.errors import AssayError, RecipeError
from assay.parts.batches import examples_seen
from assay.parts.models import flops_training
from assay.recipe.cohorts import static_form
from assay.recipe.model import Recipe
from assay.recipe.settings import Data
from assay.studies.keys import trajectory_key, trial_key
from assay.studies.space import Value
from assay.studies.study import Settings, Study
from assay.training.checks import recipe_problems


@dataclass(frozen=True)
class Trial:
    """One recipe on one engine, with its keys and what it will cost."""

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
    engine_choice: str = ""  # why this engine, in words
    program: Program | None = None  # of the user's, in place of an engine


@dataclass(frozen=True)
class Member:
    """A trial's place in a study: the configuration that asked for it, and which of the paired seeds it is."""

    key: str
    label: str
    values: Mapping[str, Value]
    repeat: int


@dataclass(frozen=True)
class Job:
    """Trials that one training answers, the shortest first."""

    trajectory: str
    trials: tuple[Trial, ...]

    @property
    def iterations(self) -> int:
        """Those of the longest."""
        return self.trials[-1].iterations

    @property
    def flops(self) -> int:
        """Those of the longest."""
        return self.trials[-1].flops


@dataclass(frozen=True)
class Plan:
    """What a study comes to: its members, the distinct trials, the jobs, and what was folded and dropped.

    The plan of a single recipe has a study that is not stored: `registers` is False.
    """

    study: Study
    members: tuple[Member, ...]
    trials: Mapping[str, Trial]
    asked: int  # members before folding
    examples: Mapping[str, int]  # N, the training examples of each trial
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    registers: bool = True

    @property
    def folded(self) -> int:
        """Trials that were equal to another one of the study."""
        return self.asked - len(self.members)

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The trials by trajectory, in the order in which the study names them."""
        return jobs(self.trials.values())


def jobs(trials: Any) -> tuple[Job, ...]:
    """Trials grouped by trajectory, in the order of their first one."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.trajectory, []).append(trial)
    return tuple(Job(key, tuple(sorted(group, key=lambda trial: trial.iterations))) for key, group in groups.items())


Loader = Callable[[str], Dataset]


class Planner:
    """Makes trials of recipes: loads each data set and chooses each engine once."""

    def __init__(self, settings: Settings, *, load_data: Loader = load) -> None:
        self.settings, self._data = settings, DataCache(load=load_data)
        self._engines: dict[tuple[str, str | Command], Engine | Program] = {}
        self._sizes: dict[Data, int] = {}

    def data(self, name: str) -> Dataset:
        """The data set of a name, loaded once."""
        return self._data.dataset(name)

    def engine(self, recipe: Recipe, asked: str | Command | None = None) -> Engine | Program:
        """What trains a recipe, by `asked` in place of the settings' own. Raises: EngineError, CodeError."""
        settings = self.settings
        name = settings.engine if asked is None else asked
        form = (static_form(recipe), name)
        if form not in self._engines:
            self._engines[form] = choose(recipe, name, device=settings.device, threads=settings.threads)
        return self._engines[form]

    def examples(self, recipe: Recipe) -> int:
        """N, the training examples that the recipe's split leaves."""
        if recipe.data not in self._sizes:
            rows, _ = split(self.data(recipe.data.name), train=recipe.data.train, validation=recipe.data.validation)
            self._sizes[recipe.data] = len(rows)
        return self._sizes[recipe.data]

    def trial(self, recipe: Recipe, engine_asked: str | Command | None = None) -> Trial:
        """The trial of a recipe. Raises: DataError, EngineError, CodeError."""
        dataset, engine, settings = self.data(recipe.data.name), self.engine(recipe, engine_asked), self.settings
        n = self.examples(recipe)
        network = recipe.model.network(dataset.shape, len(dataset.classes))
        problems = recipe_problems(Cohort((recipe,), network), n, engine)
        if problems:
            raise RecipeError(problems)
        trajectory = trajectory_key(
            recipe, data_checksum=dataset.checksum, engine=engine, timing=settings.timing, threads=settings.threads
        )
        iterations = recipe.iterations(n)
        seen = examples_seen(recipe.batches, iterations, n)
        return Trial(
            recipe=recipe,
            key=trial_key(trajectory, recipe, n),
            trajectory=trajectory,
            engine=engine.name,
            numerics=engine.numerics,
            device=settings.device,
            timing=settings.timing,
            threads=settings.threads,
            data_checksum=dataset.checksum,
            iterations=iterations,
            flops=flops_training(network, recipe.loss, recipe.optimizer, iterations=iterations, examples=seen),
            engine_choice=engine.choice,
            program=engine if isinstance(engine, Program) else None,
        )


def plan(study: Study, *, repeats: Mapping[str, int] | None = None, load_data: Loader = load) -> Plan:
    """The plan of a study; `repeats`: seeds of a configuration by its label, in place of the study's.

    Raises: RecipeError with every recipe that no engine can train or no data set fits."""
    planner = Planner(study.settings, load_data=load_data)
    members: list[Member] = []
    trials: dict[str, Trial] = {}
    dropped: Counter[str] = Counter()
    problems: dict[str, str] = {}
    taken: set[str] = set()
    asked = 0
    for candidate in study.candidates():
        dropped.update(candidate.dropped)
        first = candidate.recipe
        for repeat in range((repeats or {}).get(candidate.label, study.settings.repeats)):
            asked += 1
            recipe = first.model_copy(update={"seed": first.seed + repeat}) if repeat else first
            try:
                trial = planner.trial(recipe, candidate.engine)
            except AssayError as error:
                problems.setdefault(str(error), candidate.label)
                break
            if trial.key not in taken:  # the first configuration that asks for a trial gives it its name
                taken.add(trial.key)
                trials[trial.key] = trial
                members.append(Member(trial.key, candidate.label, candidate.values, repeat))
    if problems:
        raise RecipeError([f"{label}: {problem}" for problem, label in problems.items()], source=study.name)
    examples = {key: planner.examples(trial.recipe) for key, trial in trials.items()}
    return Plan(study, tuple(members), trials, asked, examples, dropped)


def plan_of_one(recipe: Recipe, settings: Settings, *, load_data: Loader = load) -> Plan:
    """The plan of a single recipe, which is stored without a study. Raises: RecipeError, DataError, EngineError."""
    planner = Planner(settings, load_data=load_data)
    trial = planner.trial(recipe)
    member = Member(trial.key, recipe.label(), {}, 0)
    examples = {trial.key: planner.examples(recipe)}
    study = Study(settings, recipe.plain(), (), {})
    return Plan(study, (member,), {trial.key: trial}, asked=1, examples=examples, registers=False)
