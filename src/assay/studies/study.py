"""A study: a baseline recipe, axes, a design, and how trials are run. Parsed from plain data or TOML."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay.errors import FileError, RecipeError, nearest
from assay.recipe.aliases import TOP, canonical
from assay.recipe.bounds import problems_of
from assay.recipe.messages import sentences
from assay.recipe.model import Recipe
from assay.recipe.named import model_named, of_model
from assay.recipe.patches import merged, tables, with_data
from assay.recipe.toml import read_study, read_toml
from assay.report.text import readable
from assay.studies.axis_tables import axis
from assay.studies.candidates import Candidate, Space
from assay.studies.designs import DESIGNS
from assay.studies.hints import axes_hint, study_hint
from assay.studies.repeats import draw_problems
from assay.studies.search.problems import point_problems, search_problems, unparsed_problems
from assay.studies.search.space import exclude_each_other
from assay.studies.settings import Settings, keys_at
from assay.studies.space import Axis, lacking, overriding
from assay.studies.words import canonical_study, doubled_words
from assay.system.command_line import command_line
from assay.system.files import home_expanded
from assay.system.garbage import uncollected
from assay.system.limits import CONFIGURATIONS, TRIALS

LIST_AXIS = "trial"


@dataclass(frozen=True)
class Study:
    """A baseline recipe, axes of named patches, a design, and how trials are run. Every recipe in it is valid.

    Attributes:
        settings: The design, repeats, timing, engine and limits.
        baseline: The recipe that all configurations start from, as plain data.
        axes: What varies: each axis is a set of named patches of the baseline.
        raw: The whole definition, as plain data.

    Examples:
        >>> rates = {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}
        >>> study = Study.parse({"axes": {"rate": rates}, "repeats": 3})
        >>> [candidate.label for candidate in study.candidates()]
        ['rate 0.1', 'rate 0.2']
    """

    settings: Settings
    baseline: Mapping[str, Any]
    axes: tuple[Axis, ...]
    raw: Mapping[str, Any]
    configurations: tuple[Candidate, ...] = field(default=(), repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name under which the study is stored."""
        return self.settings.name

    @property
    def digest(self) -> str:
        """A hash of the definition, 32 hexadecimal digits."""
        text = json.dumps(self.raw, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, source: str = "study") -> Study:
        """Builds a study from plain data: a parsed TOML file or a dict.

        Args:
            raw: The keys of the study; missing keys have their defaults.
            source: The origin of the data in error messages, such as a file's name.

        Raises:
            RecipeError: With all problems at once.
        """
        raw = tables(raw)
        if out_of_bounds := list(problems_of(raw)):
            raise RecipeError(out_of_bounds, source=source)
        raw = canonical_study(raw)
        problems: list[str] = []
        options = {key: value for key, value in raw.items() if key not in ("baseline", "axes", "trials", *_RECIPE_KEYS)}
        problems += [
            f"{key}: is a key of the baseline; write it under [baseline]" for key in _RECIPE_KEYS if key in raw
        ]
        problems += doubled_words(raw)
        hints = {key: study_hint(key, value) for key, value in options.items() if key not in Settings.model_fields}
        problems += [f"{key}: {hint}" for key, hint in hints.items() if hint]
        options = {key: value for key, value in options.items() if not hints.get(key)}
        settings = Settings()
        try:
            settings = Settings(**options)
        except ValidationError as error:
            problems += sentences(error.errors(), keys_at)
            problems += [one for one in unparsed_problems(options) if not any(one in other for other in problems)]
        baseline = _table(raw, "baseline", problems)
        design = raw.get("design")  # also where another setting is wrong
        design = design if isinstance(design, str) and design in DESIGNS else settings.design
        axes = _axes(raw, design, problems, baseline)
        if settings.model_fields_set or "search" not in raw:  # the settings have no error
            problems += search_problems(settings, baseline, axes)
        problems += draw_problems(settings, baseline, axes)
        study = cls(settings, baseline, axes, dict(raw))
        if not problems:
            study._count(problems)
        if not problems:
            study._check(problems)
        candidates = [] if problems else study._expanded(problems)
        if problems:
            raise RecipeError(problems, source=source)
        return replace(study, configurations=tuple(candidates))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        changes: Mapping[str, Any] | None = None,
        patches: Sequence[Mapping[str, Any]] = (),
        data: str | None = None,
    ) -> Study:
        """Reads a study from a TOML file, or a bundled one by its name.

        Args:
            path: The file, the name of a bundled study, or that of a model, whose study is this one configuration.
            changes: Settings in place of those in the file.
            patches: Patches of the baseline, applied in order.
            data: The data set in place of the baseline's, with the same split.

        Raises:
            FileError: There is no such file, and no bundled study of that name.
            RecipeError: The study is wrong; all problems are listed.
        """
        path = home_expanded(path)
        if (model := model_named(str(path))) and not path.exists() and str(path) not in bundled_names():
            raw: dict[str, Any] = {"name": model, "design": "one-at-a-time", "baseline": of_model(model)}
        elif path.suffix != ".toml" and not path.exists():
            raw = read_toml(bundled(str(path)))
        else:
            raw = {"name": readable(path.stem), **read_study(path, recipe_keys=_RECIPE_KEYS)}
        return cls.parse_changed(raw, changes=changes or {}, patches=patches, data=data, source=str(path))

    @classmethod
    def parse_changed(
        cls,
        raw: Mapping[str, Any],
        *,
        changes: Mapping[str, Any],
        patches: Sequence[Mapping[str, Any]],
        data: str | None,
        source: str,
    ) -> Study:
        """Builds a study from plain data, with the changes of `load`. Raises: RecipeError."""
        if data and any(_names_data(patch) for patch in patches):
            raise RecipeError(["data.name: is given twice, by --set and by --data; leave one out"], source="options")
        raw, baseline = dict(raw), raw.get("baseline", {})
        if isinstance(baseline, Mapping) and (patches or data):
            patched = merged(baseline, patches)  # pyright: ignore[reportUnknownArgumentType]
            raw["baseline"] = merged(patched, [with_data(patched, data)] if data else [])
        study = cls.parse(raw | dict(changes), source=source)
        engine = [{"engine": ""}] if "engine" in changes else []
        study._refuse_overridden([*patches, *([{"data": data}] if data else []), *engine])
        return study

    def _refuse_overridden(self, patches: Sequence[Mapping[str, Any]]) -> None:
        """Raises RecipeError for changes, of the baseline or the engine, that no configuration uses."""
        if not patches or self.settings.design == "one-at-a-time":  # the baseline is a configuration of its own
            return
        replaced = [set(candidate.replaced) for candidate in self.configurations] or [set[str]()]
        always = [axis for axis in self.axes if not axis.when]
        if problems := overriding(patches, always, self.baseline, set[str].intersection(*replaced)):
            raise RecipeError(problems, source="options")

    def patched(self, changes: Mapping[str, Any]) -> Study:
        """This study with other settings; keys under "baseline" are merged into the baseline.

        Raises:
            RecipeError: The result is not a valid study.
        """
        raw = dict(self.raw) | {key: value for key, value in changes.items() if key != "baseline"}
        if changes.get("baseline"):
            raw["baseline"] = merged(self.baseline, [changes["baseline"]])
        return Study.parse(raw, source=self.name)

    def candidates(self) -> tuple[Candidate, ...]:
        """Every configuration of the design, in order."""
        return self.configurations

    def _count(self, problems: list[str]) -> None:
        """Adds to `problems` that there are too many configurations or trials, before any is made."""
        settings = self.settings
        if settings.design == "search":
            return  # its budget has the limit
        if settings.design == "random":
            count, cure = settings.draws, "lower draws"
        elif settings.design == "grid":
            count, cure = math.prod(len(axis.values) for axis in self.axes), "shorten the axes or use design 'random'"
        else:
            count, cure = max(1, sum(len(axis.values) for axis in self.axes)), "shorten the axes"
        for number, limit in ((count, CONFIGURATIONS), (count * settings.repeats, TRIALS)):
            if number > limit.most:
                if count <= limit.most:
                    cure = f"{cure}, or lower repeats" if self.axes else "lower repeats"
                problems.append(f"has {number:,} {limit.unit}; expected at most {limit.most:,}: {cure}")
                return

    def _check(self, problems: list[str]) -> None:
        """Adds the errors of the baseline and of the axes to `problems`."""
        try:
            Recipe.parse(self.baseline)
        except RecipeError as error:
            problems += [f"baseline.{problem}" for problem in error.problems]
            return
        is_product = self.settings.design in ("grid", "random", "search")
        if is_product:
            problems += _conflicts(self.axes)
        problems += _undrawn(self.settings)
        problems += lacking(self.baseline, self.axes, product=is_product)
        problems += [] if problems else point_problems(self.settings, self.baseline, self.axes)
        if self.settings.repeats > 1:
            problems += _seed_axes(self.axes, self.baseline, self.settings.repeats)
        for ranged in self.axes:
            if ranged.is_range and self.settings.design not in ("random", "search"):
                problems.append(
                    f"axes.{ranged.name}: design {self.settings.design!r} needs values; "
                    "only designs 'random' and 'search' draw from a range"
                )
        if not self.axes and self.settings.design != "one-at-a-time":
            problems.append(
                f"axes: got none; design {self.settings.design!r} needs at least one: write [axes], and below it "
                "optimizer.learning_rate = [0.001, 0.01]; for one configuration, write design = 'one-at-a-time'"
            )

    @uncollected()
    def _expanded(self, problems: list[str]) -> list[Candidate]:
        """Every configuration with its recipe; adds their errors to `problems`, each one once."""
        settings, space = self.settings, Space(self.settings, self.baseline, self.axes)
        candidates: list[Candidate] = []
        reported: set[str] = set()
        for values in DESIGNS[settings.design](self.axes, settings.draws, settings.seed):
            if settings.design == "list" and not values:
                continue
            try:
                candidates.append(space.candidate(values))
            except ValidationError as error:
                problems += [f"{space.label(values)}: {sentence}" for sentence in sentences(error.errors(), keys_at)]
            except RecipeError as error:
                new = [problem for problem in error.problems if problem not in reported]
                reported |= set(new)
                problems += [f"{space.label(values)}: {problem}" for problem in new]
        return candidates


_RECIPE_KEYS = tuple(key for key in (*Recipe.model_fields, *TOP) if key not in Settings.model_fields)
"""What a recipe can have at its top and a study cannot."""


def bundled_names() -> list[str]:
    """The studies that ship with the package."""
    return sorted(_bundled_files())


@cache
def _bundled_files() -> dict[str, Path]:
    """The files of the studies that ship with the package, by name: those of articles are in the articles' folders."""
    package = Path(str(resources.files("assay")))
    files = [*package.glob("studies/bundled/*.toml"), *package.glob("articles/*/studies/*.toml")]
    return {file.stem: file for file in files}


def bundled(name: str) -> Path:
    """The file of a bundled study. Raises: FileError, with the nearest name."""
    names = bundled_names()
    if name not in names and Path(f"{name}.toml").is_file():
        line = command_line("assay run", f"{name}.toml")
        raise FileError(f"{name}: neither a file nor a bundled study; did you mean the file {name}.toml? {line}")
    if name not in names:
        guess = nearest(name, names)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise FileError(f"{name}: neither a file nor a bundled study{hint} Bundled: {', '.join(names)}")
    return _bundled_files()[name]


def _names_data(patch: Mapping[str, Any]) -> bool:
    data = canonical(patch).get("data")
    return isinstance(data, str) or (isinstance(data, Mapping) and "name" in data)


def _table(raw: Mapping[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    value = raw.get(key, {})
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType]
    problems.append(f"{key}: got {value!r}; expected a table")
    return {}


def _axes(raw: Mapping[str, Any], design: str, problems: list[str], baseline: Mapping[str, Any]) -> tuple[Axis, ...]:
    if design == "list":
        if "axes" in raw:
            problems.append(
                "axes: design 'list' has no axes; expected trials, with a patch in each table [trials.NAME]"
            )
        return (axis(LIST_AXIS, _table(raw, "trials", problems), problems, baseline=baseline),)
    if "axes" in raw and (hint := axes_hint(raw["axes"])):
        problems.append(f"axes: {hint}")
        return ()
    if "trials" in raw:
        problems.append(f"trials: only design 'list' has trials; design {design!r} has axes")
    return tuple(
        axis(name, table, problems, baseline=baseline, in_search=design == "search")
        for name, table in _table(raw, "axes", problems).items()
    )


def _undrawn(settings: Settings) -> list[str]:
    """The errors of settings of the draws of a design that draws nothing."""
    if settings.design == "random":
        return []
    only = f"only design 'random' draws, and this design is {settings.design!r}"
    of_search = settings.design == "search"
    hints = {
        "seed": "; the seed of the trainings is written under [baseline]"
        + (", that of the suggestions under [search]" if of_search else ""),
        "draws": "; write trials under [search]" if of_search else "",
    }
    return [f"{key}: {only}{hint}" for key, hint in hints.items() if key in settings.model_fields_set]


def _seed_axes(axes: tuple[Axis, ...], baseline: Mapping[str, Any], repeats: int) -> list[str]:
    """The errors of axes that set the seed where `repeats` counts seeds: one training would be in several rows.

    The trials of a list may have seeds of their own, if those that `repeats` counts from them do not overlap.
    """
    problems: list[str] = []
    for varied in axes:
        if "seed" not in varied.touches():
            continue
        default = baseline.get("seed", Recipe.model_fields["seed"].default)
        starts = sorted(
            {patch.get("seed", default) for patch in varied.patches.values()} if not varied.is_range else []
        )
        apart = all(isinstance(n, int) for n in starts) and all(b - a >= repeats for a, b in itertools.pairwise(starts))
        if varied.name == LIST_AXIS and apart:
            continue
        where = "trials" if varied.name == LIST_AXIS else f"axes.{varied.name}"
        problems.append(
            f"{where}: sets the seed, and repeats = {repeats} counts seeds from it, so that rows would share "
            "trainings; expected one of them: repeats = 1, or no seed"
        )
    return problems


def _conflicts(axes: tuple[Axis, ...]) -> list[str]:
    """The errors of axes that set the same key, so that one would silently override the other."""
    first_of: dict[str, Axis] = {}
    conflicts: list[str] = []
    for later in axes:
        shared: dict[str, list[str]] = {}  # by the first axis that sets them: linear in the number of axes
        for key in sorted(later.touches()):
            first = first_of.setdefault(key, later)
            if first is not later and not exclude_each_other(first, later):
                shared.setdefault(first.name, []).append(key)
        conflicts += [
            f"axes.{name} and axes.{later.name}: both set {', '.join(keys)}; one overrides the other"
            for name, keys in shared.items()
        ]
    return conflicts


__all__ = ["Candidate", "Settings", "Study", "bundled", "bundled_names"]
