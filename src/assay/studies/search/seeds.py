"""How many seeds the configurations of a search get, and which phase of it a seed belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from assay.parts.part import Count, Part, Unit

FRESH_FROM = 100_000
"""The `repeat` of the first fresh seed."""
PHASES = ("fresh", "race", "screening")
"""The phases of a search by their seeds, the one whose figures count most first."""
_FEWEST, _MOST, _FRACTION = 3, 10, 10  # racers, unless the study says how many
_Racers = Annotated[int, Field(ge=2, le=100)]


class SeedSettings(Part):
    """The keys of `seeds` of a search: how many seeds its configurations get.

    Attributes:
        screen: Number of seeds that every suggestion is trained on; the sampler sees their mean score.
        race: Maximum number of paired seeds, other ones, of the race; also the number of fresh seeds of the winner.
        racers: Number of configurations in the race; without it, a tenth of those with a score, at least 3, at most 10.
    """

    screen: Annotated[Count, Unit("seeds"), Field(le=100)] = 1
    race: Annotated[Count, Unit("seeds"), Field(ge=2, le=1_000)] = 8
    racers: Annotated[_Racers | None, Unit("configurations"), Field(examples=[5])] = None

    def count(self, candidates: int) -> int:
        """How many of the configurations with a score race.

        >>> [SeedSettings().count(n) for n in (1, 2, 20, 50, 500)], SeedSettings(racers=7).count(500)
        ([1, 2, 3, 5, 10], 7)
        """
        wanted = self.racers or min(_MOST, max(_FEWEST, math.ceil(candidates / _FRACTION)))
        return min(wanted, candidates)


def phase_of(repeat: int, screen: int) -> str:
    """The phase of a seed: "screening", "race" or "fresh".

    >>> [phase_of(repeat, 1) for repeat in (0, 1, 8, 100_000)]
    ['screening', 'race', 'race', 'fresh']
    """
    if repeat >= FRESH_FROM:
        return "fresh"
    return "screening" if repeat < screen else "race"


def seeds_of(definition: Mapping[str, Any]) -> SeedSettings | None:
    """The numbers of seeds of a stored definition; None of a study that has none."""
    search = definition.get("search")
    seeds: Any = search.get("seeds") if isinstance(search, Mapping) else None  # pyright: ignore[reportUnknownVariableType]
    return SeedSettings.model_validate(seeds) if isinstance(seeds, Mapping) else None


def selection_bias(configurations: int, seeds: SeedSettings | None) -> str:
    """Why the score of the best configuration of a search is too good; "" for a single configuration.

    >>> selection_bias(1, None)
    ''
    """
    if configurations < 2:
        return ""
    sentence = (
        f"the best score selected its configuration out of {configurations:,}, so that it is biased: a worse one is "
        "expected on other seeds"
    )
    if seeds is None:
        return f"{sentence}; seeds = {{ screen = 1, race = 8 }} (--race 8) measures a winner on fresh ones"
    return f"{sentence}; the race on other seeds has not begun"
