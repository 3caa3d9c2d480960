"""`prior = true`: suggestions from near the baseline and the defaults, the idea of PriorBand (Mallik et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from assay.recipe.model import Recipe
from assay.rng import stream
from assay.studies.designs import Configuration
from assay.studies.search.points import Points
from assay.studies.search.samplers import Sampler, make_sampler
from assay.studies.search.space import at_fraction, fraction_of, rounded
from assay.studies.space import Axis, Value

_SPREAD = 0.25  # standard deviation of the prior of a range, as a fraction of it on its scale
_WEIGHT = 4.0  # of the value of the baseline among those of a list, where each other one has weight 1
_BELOW_ONE = 1 - 2**-53


def sampler_of(method: str, points: Points, *, maximize: Sequence[bool]) -> Sampler:
    """The sampler of a search: that of its method, with a prior where it has one. Raises: EngineError."""
    search = points.study.settings.search
    assert search is not None
    sampler = make_sampler(method, points.space, seed=search.seed, maximize=maximize)
    return PriorSampler(sampler, points, search.seed) if search.prior else sampler


class PriorSampler:
    """Draws from a prior with a probability, and else asks another sampler.

    The first suggestion is the centre of the prior, the baseline itself. A later one is drawn from the prior with
    probability 1/2. Values of a range have a normal distribution around that of the baseline, or around the default
    where the baseline has none, with a quarter of the range as standard deviation, cut off at the ends; of a list, the
    value of the baseline has four times the weight of every other one. An axis without such a value is uniform.

    Args:
        sampler: The sampler of the method.
        points: Makes the recipes of points.
        seed: The seed of the search.
    """

    def __init__(self, sampler: Sampler, points: Points, seed: int) -> None:
        self._sampler, self._points, self._seed = sampler, points, seed

    @property
    def differs(self) -> str:
        """A sentence, where a restored suggestion is not the stored one; else empty."""
        return self._sampler.differs

    def ask(self, n: int, attempt: int) -> Configuration:
        """The suggestion for job n."""
        if not self._is_prior(n, attempt):
            return self._sampler.ask(n, attempt)
        return self._drawn(n, attempt)

    def decided(
        self, n: int, values: Configuration, *, attempts: int, suggested: bool = True, restored: bool = False
    ) -> None:
        """Takes the decision for job n: of its own suggestions, the other sampler sees the points alone."""
        asked = sum(not self._is_prior(n, attempt) for attempt in range(attempts))
        own = attempts > 0 and self._is_prior(n, attempts - 1)
        self._sampler.decided(n, values, attempts=asked, suggested=suggested and not own, restored=restored)

    def tell(self, n: int, scores: Sequence[float], *, rung: int | None = None) -> None:
        """Tells the other sampler."""
        self._sampler.tell(n, scores, rung=rung)

    def promoted(self, values: Configuration, scores: Sequence[float], *, rung: int | None) -> None:
        """Tells the other sampler."""
        self._sampler.promoted(values, scores, rung=rung)

    def show(self, values: Configuration, scores: Sequence[float]) -> None:
        """Shows it to the other sampler."""
        self._sampler.show(values, scores)

    # --- the prior ---

    def _is_prior(self, n: int, attempt: int) -> bool:
        if n == 0 and attempt == 0:
            return True
        return float(stream(self._seed, f"search/prior/{attempt}", n).uniform(1)[0]) < 0.5

    def _drawn(self, n: int, attempt: int) -> Configuration:
        """A point near the baseline: a function of (seed, n, attempt, axis) alone."""
        values: dict[str, Value] = {}

        def value_of(axis: Axis) -> Value:
            u = float(stream(self._seed, f"search/near/{attempt}/{axis.name}", n).uniform(1)[0])
            values[axis.name] = self._value(axis, values, u=u, is_centre=n == 0 and attempt == 0)
            return values[axis.name]

        return self._points.space.point(value_of)

    def _value(self, axis: Axis, values: Configuration, *, u: float, is_centre: bool) -> Value:
        centre = self.centre(axis, values)
        if centre is None:
            return at_fraction(axis, u)
        if is_centre:
            return rounded(axis, float(centre)) if axis.is_range else centre
        if axis.is_range:
            return at_fraction(axis, _normal(fraction_of(axis, centre), u))
        weights = [_WEIGHT if value == centre else 1.0 for value in axis.patches]
        rest = u * sum(weights)
        for value, weight in zip(axis.patches, weights, strict=True):
            rest -= weight
            if rest < 0:
                return value
        return list(axis.patches)[-1]

    def centre(self, axis: Axis, values: Configuration) -> Value | None:
        """The value of an axis in the baseline, or its default, with these values of earlier axes; None without one."""
        recipe = self._points.recipe(values)
        if recipe is None:
            return None
        if not axis.is_range:
            return next((v for v in axis.patches if self._points.recipe({**values, axis.name: v}) == recipe), None)
        value = _at(recipe, axis.key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return min(max(value, axis.low), axis.high)


def _normal(mean: float, u: float) -> float:
    """The quantile u of a normal distribution that is cut off at 0 and 1; below 1.

    >>> [round(_normal(0.5, u), 3) for u in (0.0, 0.5, 1.0)]
    [0.0, 0.5, 1.0]
    """
    normal = NormalDist(mean, _SPREAD)
    low, high = normal.cdf(0.0), normal.cdf(1.0)
    probability = min(max(low + u * (high - low), 1e-12), 1 - 1e-12)
    return min(max(normal.inv_cdf(probability), 0.0), _BELOW_ONE)


def _at(recipe: Recipe, key: str) -> Any:
    table: Any = recipe.plain()
    for part in key.split("."):
        if not isinstance(table, dict) or part not in table:
            return None
        table = table[part]  # pyright: ignore[reportUnknownVariableType]
    return table  # pyright: ignore[reportUnknownVariableType]
