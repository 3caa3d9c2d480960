"""The samplers of a search: each asks for a point and is told scores. Optuna is loaded only by its own methods.

A suggestion is a function of (seed, number of the job, attempt) and of what the sampler was told before. Optuna's
samplers are therefore made anew for each suggestion, and the history that they see is rebuilt from what is stored: by
adding the jobs (random, TPE, GP), or for methods that keep a state with each suggestion (CMA-ES, NSGA-II) by asking
again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from assay.errors import EngineError, to_install
from assay.studies.designs import Configuration
from assay.studies.search.settings import SearchSettings
from assay.studies.search.space import SearchSpace, key_of, place_of, rounded
from assay.studies.space import Axis, Value

REPLAYED = ("cmaes", "nsga2")
"""The methods whose state is rebuilt by asking again."""
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "tpe": ("optuna",),
    "gp": ("optuna", "torch"),
    "cmaes": ("optuna", "cmaes"),
    "nsga2": ("optuna",),
}


def is_installed(method: str) -> bool:
    """Whether the packages of a method are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDS[method])


def package_problem(method: str) -> str:
    """What to install for a method; "" if everything is."""
    missing = [name for name in _NEEDS[method] if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    extra = "torch" if missing == ["torch"] else "search,torch" if "torch" in missing else "search"
    return f"search.method: {method!r} needs {' and '.join(missing)}: {to_install(extra)}"


class Sampler(Protocol):
    """Suggests points."""

    @property
    def differs(self) -> str:
        """A sentence, where a restored suggestion is not the stored one; else empty."""
        ...

    def ask(self, n: int, attempt: int) -> Configuration:
        """The suggestion for job n, at this attempt."""
        ...

    def decided(
        self, n: int, values: Configuration, *, attempts: int, suggested: bool = True, restored: bool = False
    ) -> None:
        """Takes the decision for job n after so many attempts: for the sampler, the job is running.

        `suggested`: whether it is the suggestion of the last attempt, and no neighbour.
        `restored`: whether it was read from the store, so that `ask` was not called for it.
        """
        ...

    def tell(self, n: int, scores: Sequence[float], *, rung: int | None = None) -> None:
        """Takes the scores of job n, at a rung where it has not the full budget."""
        ...

    def promoted(self, values: Configuration, scores: Sequence[float], *, rung: int | None) -> None:
        """Takes the scores of a point that was told before, at a later rung; None: with the full budget."""
        ...

    def show(self, values: Configuration, scores: Sequence[float]) -> None:
        """Takes a trial of the store from before the search."""
        ...


class RandomSampler:
    """Independent draws: job n depends on (seed, n, attempt, axis) alone."""

    differs = ""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    def ask(self, n: int, attempt: int) -> Configuration:
        """The draw for job n."""
        return self._space.draw(self._seed, f"search/{attempt}" if attempt else "search", n)

    def decided(
        self, n: int, values: Configuration, *, attempts: int, suggested: bool = True, restored: bool = False
    ) -> None:
        """Nothing depends on it."""

    def tell(self, n: int, scores: Sequence[float], *, rung: int | None = None) -> None:
        """Nothing depends on it."""

    def promoted(self, values: Configuration, scores: Sequence[float], *, rung: int | None) -> None:
        """Nothing depends on it."""

    def show(self, values: Configuration, scores: Sequence[float]) -> None:
        """Nothing depends on it."""


class OptunaSampler:
    """A sampler of Optuna, in memory.

    Each suggestion is made by a new sampler that is seeded by a hash of (seed, n, attempt), for an asked trial that is
    then closed as failed; what was decided, rounded and free of duplicates, is added as a trial of its own. Numbers of
    trials are those of the uninterrupted search also after a restart, because CMA-ES seeds by them.
    """

    def __init__(self, method: str, space: SearchSpace, *, seed: int, maximize: Sequence[bool]) -> None:
        if problem := package_problem(method):
            raise EngineError(problem)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna: Any = optuna
        self._method, self._space, self._seed = method, space, seed
        directions: list[Any] = ["maximize" if more else "minimize" for more in maximize]
        self._study: Any = optuna.create_study(directions=directions, sampler=self._sampler(0))
        self._numbers: dict[int, int] = {}  # of Optuna's trials, by job
        self._attributes: dict[str, Any] = {}  # of the trial that was asked last
        self._best: tuple[float, dict[str, Any]] | None = None  # of what was shown
        self._maximize = tuple(maximize)
        self.differs = ""

    def ask(self, n: int, attempt: int) -> Configuration:
        """The suggestion of a new sampler for job n."""
        state = self._optuna.trial.TrialState.FAIL
        self._study.sampler = self._sampler(_hashed(self._seed, n, attempt))
        with warnings.catch_warnings(), _one_thread(self._method):
            warnings.simplefilter("ignore")  # of experimental features, and of axes that are drawn independently
            trial = self._study.ask()
            values = self._space.point(lambda axis: self._suggested(trial, axis))
            if self._method in REPLAYED:
                frozen = self._study.get_trials(deepcopy=False)[trial.number]
                self._attributes = dict(frozen.system_attrs)
            self._study.tell(trial.number, state=state)
        return values

    def decided(
        self, n: int, values: Configuration, *, attempts: int, suggested: bool = True, restored: bool = False
    ) -> None:
        """Adds job n as a running trial."""
        if restored:
            again = self._restored(n, attempts)
            if again is not None and suggested and not self.differs and key_of(again) != key_of(values):
                self.differs = self._difference(n, again, values)
        running = self._optuna.trial.TrialState.RUNNING
        self._numbers[n] = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(self._trial(values, running, self._attributes))

    def tell(self, n: int, scores: Sequence[float], *, rung: int | None = None) -> None:
        """Takes the scores of job n. TPE prefers points with the full budget, then those of the latest rungs.

        The other methods compare the scores of all points at their first rung.
        """
        if rung is None or self._method != "tpe":
            self._study.tell(self._numbers[n], list(scores))
            return
        frozen = self._study.get_trials(deepcopy=False)[self._numbers[n]]
        self._optuna.trial.Trial(self._study, frozen._trial_id).report(scores[0], step=rung)
        self._study.tell(self._numbers[n], state=self._optuna.trial.TrialState.PRUNED)

    def promoted(self, values: Configuration, scores: Sequence[float], *, rung: int | None) -> None:
        """Adds a trial for a point at a later rung, for TPE alone."""
        if self._method != "tpe":
            return
        states = self._optuna.trial.TrialState
        if rung is None:
            self._study.add_trial(self._trial(values, states.COMPLETE, {}, scores))
            return
        made = self._trial(values, states.PRUNED, {}, scores)
        made.intermediate_values = {rung: scores[0]}
        self._study.add_trial(made)

    def show(self, values: Configuration, scores: Sequence[float]) -> None:
        """Adds a finished trial; CMA-ES starts from the best one, and NSGA-II takes them as its first generation."""
        complete = self._optuna.trial.TrialState.COMPLETE
        attributes = {_NSGA_GENERATION: 0} if self._method == "nsga2" else {}
        self._study.add_trial(self._trial(values, complete, attributes, scores))
        score = scores[0] if self._maximize[0] else -scores[0]
        if self._best is None or score > self._best[0]:
            self._best = (score, {name: value for name, value in values.items() if self._space.by_name[name].is_range})

    def _restored(self, n: int, attempts: int) -> Configuration | None:
        """Puts back what asking for job n has left; the suggestion of the last attempt where it was asked again.

        Of the last attempt alone: earlier ones left only their number.
        """
        left = attempts
        if self._method in REPLAYED and attempts:
            left -= 1
        failed = self._optuna.trial.create_trial(state=self._optuna.trial.TrialState.FAIL)
        for _ in range(left):
            self._study.add_trial(failed)
        self._attributes = {}
        return self.ask(n, attempts - 1) if left < attempts else None

    def _difference(self, n: int, again: Configuration, values: Configuration) -> str:
        return (
            f"trial {n}: {self._method} of Optuna {self._optuna.__version__} now suggests {dict(again)}, stored is "
            f"{dict(values)}; the stored decisions stand, and later ones may differ from those of an uninterrupted "
            "search"
        )

    def _trial(
        self, values: Configuration, state: Any, attributes: Mapping[str, Any], scores: Sequence[float] | None = None
    ) -> Any:
        distributions = {name: self._distribution(self._space.by_name[name]) for name in values}
        params = {name: _to_optuna(self._space.by_name[name], value) for name, value in values.items()}
        made = {"state": state, "params": params, "distributions": distributions, "system_attrs": dict(attributes)}
        return self._optuna.trial.create_trial(**made, values=None if scores is None else list(scores))

    def _suggested(self, trial: Any, axis: Axis) -> Value:
        value = trial._suggest(axis.name, self._distribution(axis))
        return list(axis.patches)[value] if not axis.is_range else rounded(axis, value)

    def _distribution(self, axis: Axis) -> Any:
        kinds = self._optuna.distributions
        if not axis.is_range:
            return kinds.CategoricalDistribution(tuple(range(len(axis.patches))))
        log = axis.scale == "log"
        if axis.whole:
            return kinds.IntDistribution(int(axis.low), int(axis.high), log=log, step=int(axis.step) or 1)
        return kinds.FloatDistribution(float(axis.low), float(axis.high), log=log, step=axis.step or None)

    def _sampler(self, seed: int) -> Any:
        samplers = self._optuna.samplers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # group and x0 are experimental
            if self._method == "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
            if self._method == "gp":
                return samplers.GPSampler(seed=seed, deterministic_objective=False)
            if self._method == "nsga2":
                return samplers.NSGAIISampler(seed=seed)
            best = getattr(self, "_best", None)
            return samplers.CmaEsSampler(seed=seed, x0=best[1] if best else None, warn_independent_sampling=False)


@contextmanager
def _one_thread(method: str) -> Generator[None]:
    """One thread for the Gaussian process: small matrices are slower on several, and sums in another order differ."""
    if method != "gp":
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


MOST_ATTEMPTS = 21
"""How often a job is asked for: once, and again for at most 20 points that are no new trials."""
_NSGA_GENERATION = "NSGAIISampler:generation"


def _to_optuna(axis: Axis, value: Value) -> Any:
    return place_of(axis, value) if not axis.is_range else int(value) if axis.whole else float(value)


def _hashed(seed: int, n: int, attempt: int) -> int:
    """The seed of one suggestion, 31 bits."""
    digest = hashlib.blake2b(f"{seed}/search/{n}/{attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def make_sampler(method: str, space: SearchSpace, *, seed: int, maximize: Sequence[bool]) -> Sampler:
    """The sampler of a method. Raises: EngineError where its packages are missing."""
    if method == "random":
        return RandomSampler(space, seed)
    return OptunaSampler(method, space, seed=seed, maximize=maximize)


# --- the choice of `auto` ---------------------------------------------------------------------------------------------

_FEW_TRIALS, _MANY_TRIALS = 100, 250


def method_of(search: SearchSettings, space: SearchSpace) -> tuple[str, str]:
    """The method of a search, and why where `auto` stands for it."""
    if search.method != "auto":
        return search.method, ""
    return chosen(space, trials=search.trials, objectives=len(search.objective), able=search.methods)


def chosen(
    space: SearchSpace, *, trials: int | None, objectives: int, able: Sequence[str] | None = None
) -> tuple[str, str]:
    """The method that `auto` stands for, and why.

    Two objectives: NSGA-II from 250 trials on, else TPE. A conditional space, or one with lists: TPE. Ranges alone: TPE
    for at most 100 trials, else CMA-ES, which needs two axes. A Gaussian process is never chosen: `benchmarks.search`
    cannot tell it from TPE, and its suggestions take a hundred times as long. Where the packages of a choice are
    missing, TPE, or a random search without Optuna. TPE as well where the choice is not among the methods that are
    `able` to do what the search asks for.
    """
    method, why = _by_rule(space, trials, objectives)
    if able is not None and method not in able:
        method, why = "tpe", f"{method} cannot do what prior, brackets or warm_start ask for"
    if is_installed(method):
        return method, why
    fallback = "tpe" if is_installed("tpe") else "random"
    return fallback, f"{why}, for which {method} would be chosen if its packages were installed"


def _by_rule(space: SearchSpace, trials: int | None, objectives: int) -> tuple[str, str]:
    count = len(space.axes)
    few = trials is not None and trials <= _FEW_TRIALS
    if objectives > 1:
        many = trials is not None and trials >= _MANY_TRIALS
        return ("nsga2", "two objectives and many trials") if many else ("tpe", "two objectives")
    if space.is_conditional:
        return "tpe", "the space is conditional"
    if any(not axis.is_range for axis in space.axes):
        return "tpe", "the space has lists of values"
    if few:
        return "tpe", f"{count} {'range' if count == 1 else 'ranges'} and {trials} trials"
    if count < 2:
        return "tpe", "one range and many trials"
    return "cmaes", f"{count} ranges and many trials"
