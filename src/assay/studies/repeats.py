"""What differs from one repeat of a study to the next: the seed, and with folds or re-splits the test set too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.recipe.model import Recipe
from assay.recipe.settings import Data
from assay.studies.settings import Settings
from assay.studies.space import Axis

DRAWN = ("split", "folds", "fold")
"""The keys of `data` that say which test set is drawn."""


def of_repeat(recipe: Recipe, settings: Settings, repeat: int) -> Recipe:
    """The recipe of a repeat, from 0: its seed is that many after the first one.

    With `folds` = k the test set is fold r mod k + 1 of split r // k, and with `split_seeds` alone it is split r.

    >>> recipe, settings = Recipe.parse({}), Settings(folds=5, repeats=10)
    >>> [of_repeat(recipe, settings, r).data.draw for r in (0, 9)]
    [Draw(split=0, folds=5, fold=1), Draw(split=1, folds=5, fold=5)]
    """
    changes: dict[str, Any] = {"seed": recipe.seed + repeat} if repeat else {}
    if settings.draws_anew:
        changes["data"] = _data_of(recipe.data, settings, repeat)
    return recipe.model_copy(update=changes) if changes else recipe


def _data_of(data: Data, settings: Settings, repeat: int) -> Data:
    if settings.folds is None:
        return data.model_copy(update={"split": repeat})
    split, fold = divmod(repeat, settings.folds)
    return data.model_copy(update={"split": split or None, "folds": settings.folds, "fold": fold + 1})


def repeats_text(settings: Settings) -> str:
    """What the repeats of a study are, in words; "" for seeds.

    >>> [repeats_text(Settings(folds=5, repeats=r)) for r in (5, 10, 15)]
    ['5 folds', '5 folds, twice', '5 folds, 3 times']
    >>> repeats_text(Settings(split_seeds=True, repeats=10))
    '10 re-splits'
    """
    if settings.folds is None:
        count = settings.repeats
        return f"{count:,} re-split{'' if count == 1 else 's'}" if settings.split_seeds else ""
    times = settings.repeats // settings.folds
    return f"{settings.folds:,} folds" + ("" if times == 1 else ", twice" if times == 2 else f", {times:,} times")


def draw_problems(settings: Settings, baseline: Mapping[str, Any], axes: Sequence[Axis]) -> list[str]:
    """The errors of a study that sets the test set of a repeat twice, or whose repeats must be independent seeds."""
    if not settings.draws_anew:
        return []
    key = "folds" if settings.folds is not None else "split_seeds"
    if settings.design == "search":
        return [
            f"{key}: design 'search' decides its trials by scores of one test set; leave it out, and cross-validate "
            "the configurations that it finds in a study of their own"
        ]
    given = f"{key} of the study sets it for each repeat; leave one out"
    problems: list[str] = []
    data = baseline.get("data")
    if isinstance(data, Mapping):
        problems += [f"baseline.data.{name}: is set, and {given}" for name in DRAWN if data.get(name) is not None]  # pyright: ignore[reportUnknownMemberType]
    for axis in axes:
        if settings.design != "list":
            touched = axis.touches() & {f"data.{name}" for name in DRAWN}
            problems += [f"axes.{axis.name}: sets {one}, and {given}" for one in sorted(touched)]
            continue
        for trial, patch in axis.patches.items():
            data = patch.get("data")
            named = [name for name in DRAWN if isinstance(data, Mapping) and name in data]
            problems += [f"trials.{trial}: sets data.{name}, and {given}" for name in named]
    return problems


__all__ = ["DRAWN", "draw_problems", "of_repeat", "repeats_text"]
