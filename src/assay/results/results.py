"""The results of a study: what `run` returns, and where every table, chart and verdict is taken from."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.analysis.axis_columns import axis_column, axis_columns, renamed_sentence
from assay.analysis.confusion import scored
from assay.analysis.phases import PHASE, PHASES, decisive
from assay.analysis.quantities import MEASURES, REGRESSION, known_task, of_other_task, ranked_by, task_of
from assay.errors import AssayError, unknown
from assay.recipe.model import Recipe
from assay.recipe.notes import all_notes
from assay.recipe.notes import notes as recipe_notes
from assay.report.notes import Note, grouped
from assay.results.environment import environment
from assay.results.frames import budget_frame, curve_frame, own_copy, trial_frame
from assay.results.inspection import first_layer, most_confused
from assay.results.searches import search_view
from assay.store import imported
from assay.store.confusions import confusion_matrices
from assay.store.curves import has_column
from assay.store.queries import machines_of, study_rows, with_curves, with_readable
from assay.store.rows import recipe_of
from assay.store.search_rows import search_rows
from assay.store.store import Store
from assay.store.study_rows import StudyRows
from assay.studies.rerun import Rerun, rerun
from assay.studies.study import LIST_AXIS
from assay.system.memory import give_back
from assay.training.history import History, drawn_from
from assay.training.outcome import RANKED

if TYPE_CHECKING:
    import altair
    import pandas

    from assay.analysis.verdicts import Verdict
    from assay.report.charts import Chart
    from assay.results.comparisons import Comparisons
    from assay.results.searched import Searched
    from assay.results.tuning import TuningCost
    from assay.studies.search.race_results import RaceResult

_SAMPLE = 2000  # trials that a forest is fitted to for a chart: more take longer, and order the axes alike
_PORTION = 5000  # confusion matrices that are scored at once
_MANY_POINTS = 500_000  # log points, of which the arrays that are freed again take a hundred megabytes
_INLINE = 2000  # trials up to which a notebook shows charts, which take a second
_COMPARED, _BEST = 200, 12  # configurations up to which all pairs are drawn, and else how many of the best
Row = Mapping[str, Any]
DECIDED = "until_decided"
"""The entry of a stored study's definition that holds the verdicts of its interim looks."""


def _score_in(row: Row) -> float:
    """The score of a row on the test set: accuracy, or R2; below every score without one."""
    values = [row.get(name) for name in ("accuracy", "r2")]
    return next((value for value in values if value is not None), -math.inf)


class Results:
    """The results of one study: tidy pandas frames, verdicts, charts and the report.

    It reads the stored trials of the study and the training logs that were imported into it, once, when it is made.
    `run` returns it.

    Args:
        store: An open store.
        study: The name of a stored study.

    Attributes:
        store: The store that it reads from.
        name: The name of the study.
        about: The question of the study.

    Raises:
        AssayError: The store has no study of that name.

    Examples:
        >>> import assay, tempfile
        >>> example = tempfile.mkdtemp() + "/example.db"
        >>> study = {"axes": {"rate": {"key": "optimizer.learning_rate", "values": [0.001, 0.01]}}}
        >>> results = assay.run(study | {"baseline": {"budget": {"epochs": 1}}}, store=example)
        >>> sorted(results.frame()["rate"])
        [0.001, 0.01]
    """

    def __init__(self, store: Store, study: str) -> None:
        self.store, self.name = store, study
        self.about, rows = study_rows(store.database, study)
        every = rows.with_others(imported.rows_of_study(store.database, study))
        self._search = search_view(store, study, self.about, every)
        self._every_row = self._rows = every
        if self._search is not None and self._search.seeds is not None:
            self._rows = every.chosen(self._search.shown(rows), {})
        self._decided: dict[str, Any] = self.about.pop(DECIDED, {})
        self._targets: dict[tuple[float, str], pandas.DataFrame] = {}

    @property
    def axes(self) -> list[str]:
        """The columns of the study's axes. Empty for the design "list", whose only axis is the configuration."""
        return list(self._axis_columns.values())

    @cached_property
    def _axis_columns(self) -> dict[str, str]:
        """The column of each axis, by the axis' name."""
        values = dict.fromkeys(self._rows.cells("axis_values"))  # those of a configuration are one text
        names = dict.fromkeys(axis for text in values for axis in json.loads(text))
        is_list = self.about.get("design") == "list"
        return axis_columns(name for name in names if not (is_list and name == LIST_AXIS))

    @property
    def renamed_axes(self) -> str:
        """A sentence on axes that have the name of another column, so that theirs is `axis.NAME`; empty if none has."""
        return renamed_sentence(self._axis_columns)

    def frame(self, *, every_seed: bool = False) -> pandas.DataFrame:
        """One row per trial of the study, finished or not, in the study's order. Imported curves come last.

        A trial that several configurations share has a row in each. A search with seeds has a column `phase` too, and
        only the trials whose figures are those of their configuration: of the winner the fresh seeds, of the other
        racers those of the race.

        Args:
            every_seed: Whether a search with seeds has all of its trials, also those that selected a configuration.

        Returns:
            A frame with, among others, the columns `trial` (its key), `configuration` (its label), one column per axis
            (`axis.NAME` if NAME is another column of the frame), `seed`, `repeat` (equal repeats are paired seeds),
            `outcome` ("planned" if not finished), `accuracy` (of the test set, a fraction), `test_loss`, `seconds` (of
            training), `effort`, `iterations`, `flops`, `processor_seconds` (of training), `busy` (True if foreign load
            took more than 5 % of training, missing if unknown or too short to judge), `level` (the engine's instruction
            level), `parameters`, `peak_memory_bytes`, `classes` (their number), `majority` (the
            fraction of the largest class of the test set), `engine`, `timing`, `threads`,
            `machine`, `cohort` (how many trials were trained together and shared the seconds), `device` (such as "cpu"
            or "cuda"), `budget_seconds` (of training, where the budget is in seconds), `clock` ("assay", or "program"
            for an external program's own), `origin` ("measured" or "imported"), `steps` (what the curve counts) and
            `ledger_...` (the time breakdown in seconds). The confusion matrix on the test set gives
            `balanced_accuracy`, `macro_precision`, `macro_recall` and `macro_f1`, and for up to 100 classes
            `precision:CLASS`, `recall:CLASS` and `f1:CLASS`. A study of regressions has `r2` and
            `rmse` (on the test set, in the target's units) in place of `accuracy` and of these. What a trial did not
            measure is missing. Where test sets are drawn anew, `draw_split`, `draw_folds`, `draw_fold` and
            `draw_overlap` (test examples / training examples) say which.
        """
        return self._framed(self._every_row) if every_seed else own_copy(self._frame)

    @cached_property
    def _frame(self) -> pandas.DataFrame:
        """`frame`, made once; whoever gets it gets a copy."""
        return self._framed(self._rows)

    def _framed(self, rows: StudyRows) -> pandas.DataFrame:
        """Rows as a frame, those of a search with seeds with their phases."""
        frame = trial_frame(rows, study=self.name, axes=self._axis_columns, scores=self._confusion_scores)
        if self.has_seeds and self._search is not None:
            frame[PHASE] = self._search.phases(rows)
        return frame

    def _paired(self, *names: str) -> pandas.DataFrame:
        """The trials of which seeds are paired: all, or after a race those of its racers on the race's seeds.

        Raises: AssayError for the name of a configuration that did not race.
        """
        if not self._is_raced or self._search is None:
            return self.frame()
        trials = self._framed(self._every_row.chosen(self._search.raced(self._every_row), {}).with_others(()))
        racers = set(trials["configuration"].tolist())
        if missing := [name for name in names if name not in racers]:
            raise AssayError(
                f"{missing[0]!r} did not race: it has the seeds of the screening alone, which selected the racers; the "
                f"racers are {', '.join(sorted(racers))}"
            )
        return trials

    @property
    def _is_raced(self) -> bool:
        """Whether the configurations that compare are those of a race."""
        return self.race is not None and len(self.race.racers) > 1

    def _raced_with(self, baseline: str, measure: str, alpha: float) -> list[Verdict]:
        """The verdicts on the racers with one of them. Raises: AssayError where it did not race."""
        self._paired(baseline)
        verdicts = [v for v in self._of_looks(measure, alpha) if baseline in v.names]
        return [v if v.names[1] == baseline else v.reversed() for v in verdicts]

    @property
    def race(self) -> RaceResult | None:
        """The last race of a search with seeds: its racers, and the winner on fresh seeds; None without one."""
        return None if self._search is None else self._search.race

    @property
    def has_seeds(self) -> bool:
        """Whether the study is a search that races its best configurations on other seeds."""
        return self._search is not None and self._search.seeds is not None

    def screening(self) -> pandas.DataFrame:
        """The trials on the seeds that every configuration of a search has; all trials of other studies.

        They show what the axes do. The scores of those that race or win are biased in them: `frame` has other ones.
        """
        if not self.has_seeds:
            return self.frame()
        every: Any = self.frame(every_seed=True)
        return every[every[PHASE] == "screening"].reset_index(drop=True)

    def race_table(self) -> tuple[pandas.DataFrame | None, list[str]]:
        """The racers of the last race of a search as a table, the winner first, and what its columns mean.

        Returns:
            A frame with the columns `configuration`, `result`, `seeds`, `mean`, `behind` and `p`, or None without a
            race; and sentences.
        """
        from assay.results.searches import RACE_NOTES, race_frame

        if self.race is None or len(self.race.racers) < 2:
            return None, []
        return race_frame(self.race), [sentence.format(seeds=self.race.seeds) for sentence in RACE_NOTES]

    @property
    def selection(self) -> str:
        """What the figures of a search are: how they are biased, or of which seeds they are; "" for other studies."""
        return "" if self._search is None else self._search.about

    @cached_property
    def _confusion_scores(self) -> list[tuple[list[str], dict[str, Any]]]:
        """The columns that come from the confusion matrices; a trial without one has none."""
        columns = [self._every_row.columns[name] for name in ("trial", "confusion", "classes")]
        cells: Iterator[tuple[str, Any, Any]] = zip(*columns, strict=True)
        made: list[tuple[list[str], dict[str, Any]]] = []
        done: set[str] = set()  # a trial that several configurations share has one matrix
        while portion := list(itertools.islice(cells, _PORTION)):
            matrices = confusion_matrices(cell for cell in portion if cell[0] not in done)
            done |= matrices.keys()
            made += scored(matrices)
        return made

    def curves(self) -> pandas.DataFrame:
        """One row per log point of each trial.

        Returns:
            A frame with the columns `trial`, `iteration`, `examples`, `seconds` (of training), `train_loss`,
            `train_accuracy`, `validation_loss`, `validation_accuracy`, `test_loss`, `test_accuracy` and `flops` (in
            proportion to the examples seen). `iteration` is missing for an imported log that counts only epochs, unless
            every curve of the study does.
        """
        return own_copy(self._curves)

    @cached_property
    def _curves(self) -> pandas.DataFrame:
        """`curves`, made once; whoever gets it gets a copy."""
        rows, curves = with_curves(self._curve_rows)
        self._curve_rows = rows  # what is damaged is said once
        frame = curve_frame(rows, curves)
        del curves
        self._rows.keep_curve_headers()
        if len(frame) > _MANY_POINTS:
            give_back()
        return frame

    @cached_property
    def _curve_rows(self) -> list[Row]:
        """The rows with a curve, one for each trial: configurations may share one."""
        return list({row["trial"]: row for row in reversed(self._rows) if row["curve"]}.values())[::-1]

    def budgets(self) -> pandas.DataFrame:
        """One row per trial: how long its recipe trains, and when it finished.

        Returns:
            A frame with the columns `trial`, `budget` (iterations, missing for a budget in seconds), `epochs` (missing
            where the recipe counts no epochs) and `finished` (seconds since 1970, missing if it has not).
        """
        return budget_frame(self._rows)

    def confusions(self) -> dict[str, list[list[int]]]:
        """The confusion matrix of each finished trial, by trial key.

        Returns:
            Counts of test examples, (C, C): rows are the true classes, columns the predicted ones.
        """
        rows = with_readable((row for row in self._rows if row["confusion"]), "confusion")
        return {row["trial"]: json.loads(row["confusion"]) for row in rows}

    @cached_property
    def split_note(self) -> str:
        """That verdicts over seeds hold on one split, with the error of its test set where it has few examples.

        "" where the test set has 2,000 examples or more, where its size is not stored, or without an accuracy. And
        where the repeats of a configuration have test sets of their own, over which its verdicts show the spread.
        """
        from assay.analysis.draws import overlaps_of
        from assay.analysis.split_error import split_sentence

        if overlaps_of(self._frame, [str(name) for name in self._frame["configuration"]]):
            return ""
        counts = [sum(map(sum, matrix)) for matrix in self.confusions().values()]
        means = self._summary["accuracy"].tolist() if counts else []  # the best of single trials would state too little
        accuracies = [mean for mean in means if mean == mean]
        return split_sentence(max(accuracies), min(counts)) if accuracies else ""

    def summary(self) -> pandas.DataFrame:
        """One row per configuration, averaged over its seeds.

        Trials that diverged or timed out count as they ended; those that failed, were lost or ran out of memory are
        no result, and are left out and counted.

        Returns:
            A frame with the columns `configuration`, `trials`, `finished`, `diverged`, `accuracy` (mean), `low` and
            `high` (its range), `seconds`, `processor_seconds`, `effort` and `flops` (medians, missing where half of the
            trials or more did not finish), `origin`, `timed_out`, `no_result`, `busy_trials` (how many trials had
            foreign load), `busy` ("busy machine" where their seconds are ranked), `sd` and `n` (of the accuracy) and
            `validation_accuracy`, `validation_sd` and `validation_n`. A regression has `r2`, `rmse`, `validation_r2`
            and `validation_rmse` in place of accuracies.

        Raises:
            AssayError: The study has no trials.
        """
        if self._frame.empty:
            raise AssayError(f"study {self.name!r} has no trials")
        return own_copy(self._summary)

    @cached_property
    def _summary(self) -> pandas.DataFrame:
        from assay.analysis.summaries import summarised

        return summarised(self._frame)

    def best_points(self) -> pandas.DataFrame:
        """The point with the lowest loss of each trial: on the validation set, or on the test set if there is none.

        Returns:
            A frame with the columns `trial`, `best_iteration`, `best_set` ("validation" or "test"), `best_loss` and
            `best_accuracy`. `accuracy` of `frame` is that of the end.
        """
        from assay.analysis.best import best_points

        return best_points(self.curves())

    def notes(self) -> list[Note]:
        """What is unusual in the study, with its configurations: first in recipes, then in results and data."""
        made: dict[str, Recipe] = {}  # one recipe for each configuration: its seeds have the same notes
        pairs: dict[tuple[str, str], None] = {}
        seen: set[tuple[str, str]] = set()
        for row in self._rows:
            label, warnings = row["label"], row["warnings"] or "[]"
            if (label, warnings) in seen:
                continue
            stored: list[str] = json.loads(warnings)
            if row.get("origin") == "imported":
                pairs |= {(label, sentence): None for sentence in stored}
                continue
            if label not in made:
                made[label] = Recipe.stored(recipe_of(row))
            seen.add((label, warnings))
            pairs |= {(label, sentence): None for sentence in all_notes(made[label], stored)}
        of_recipes = [(label, sentence) for label, recipe in made.items() for sentence in recipe_notes(recipe)]
        of_search = [Note(self.selection, ())] if self.selection else []
        return [*of_search, *grouped([*of_recipes, *pairs])]

    # --- what it means ---

    def effort(self, *, cost: str = "seconds") -> pandas.DataFrame:
        """The configurations ranked by their median effort, lowest first.

        Args:
            cost: "seconds" for training seconds / accuracy, or "flops" for floating-point operations / accuracy.

        Raises:
            AssayError: The seconds come from several machines, timings or numbers of threads; filter the frame with
                `assay.analysis.effort.comparable` first.
        """
        from assay.analysis.effort import effort

        return effort(self.frame(), cost=cost)

    def comparable(self) -> tuple[Results, str]:
        """The same results without the times and efforts that do not compare with those of most trials.

        Returns:
            The results, and a sentence on what is left out and how to time all alike; it is empty where all compare.
        """
        from assay.analysis.effort import comparable_costs

        frame, left_out = comparable_costs(self._frame)
        if not left_out:
            return self, ""
        results = copy(self)
        results.__dict__.pop("_summary", None)
        results.__dict__.pop("_answers", None)
        results.__dict__["_frame"] = frame  # in the place of the property that makes it once
        results._targets = {}  # those of this frame may differ
        return results, left_out

    def measure(self, name: str | None = None) -> str:
        """The measure of that name; without one, what the configurations are ranked by on the test set.

        Returns:
            "accuracy", or of a regression "r2".
        """
        return ranked_by(self._frame).column if name is None else name

    def configuration(self, name: str) -> str:
        """The label of a configuration, also from its values alone, without the names of the axes.

        Raises:
            AssayError: There is none, or several.
        """
        names = dict.fromkeys(map(str, self._rows.cells("label")))
        if name in names:
            return name
        bare: dict[str, dict[str, None]] = {}
        for row in self._rows:
            values = ", ".join(map(str, json.loads(row["axis_values"]).values()))
            bare.setdefault(values, {})[str(row["label"])] = None
        if len(bare.get(name, ())) == 1:
            return next(iter(bare[name]))
        raise AssayError(unknown("configuration", name, names))

    def verdict(self, a: str, b: str, *, measure: str | None = None) -> Verdict:
        """Compares two configurations over their paired seeds, as one of all pairs of the study.

        Args:
            a: The label of a configuration.
            b: The label of another one.
            measure: A column of `frame`; None for the test accuracy, or of a regression R2.

        Returns:
            The mean difference a - b with its simultaneous 95 % interval; `.sentence()` puts it in words.

        Raises:
            AssayError: There is no such configuration, or the seconds do not compare.
        """
        from assay.analysis.verdicts import between

        a, b = self.configuration(a), self.configuration(b)
        measure = self.measure(measure)
        for verdict in self._of_looks(measure, 0.05):
            if set(verdict.names) == {a, b}:
                return verdict if verdict.names == (a, b) else verdict.reversed()
        return between(self._paired(a, b), a, b, measure=measure)

    def verdicts(
        self, *, measure: str | None = None, alpha: float = 0.05, baseline: str | None = None
    ) -> pandas.DataFrame:
        """Compares configurations over their paired seeds, with Holm's correction for all comparisons.

        A study has two families of comparisons: all pairs of its configurations, and every one with a baseline. After
        `assay run --until-decided`, the verdicts on all pairs are those of its looks, with their intervals.

        Args:
            measure: A column of `frame`.
            alpha: The level of significance, after correction.
            baseline: The label of a configuration that every other one is compared with; None compares all pairs.

        Returns:
            One row per comparison, with `a`, `b`, `difference`, `low`, `high` (simultaneous intervals), `n` (pairs),
            `p_holm`, `decided` (significant after correction), `more_seeds` (about how many more are needed) and
            `sentence`.

        Raises:
            AssayError: There is only one configuration, or the seconds do not compare.
        """
        from assay.analysis.verdicts import against, pairwise, table_of

        measure = self.measure(measure)
        if baseline is not None and self._is_raced:
            return table_of(self._raced_with(baseline, measure, alpha))
        if baseline is not None:
            return against(self.frame(), baseline, measure=measure, alpha=alpha)
        of_looks = self._of_looks(measure, alpha)
        return table_of(of_looks) if of_looks else pairwise(self._paired(), measure=measure, alpha=alpha)

    def comparisons(
        self,
        *names: str,
        measure: str | None = None,
        alpha: float = 0.05,
        baseline: str | None = None,
        most: int | None = 20,
    ) -> Comparisons:
        """The comparisons that a table of the study shows, the first ones the most telling.

        Args:
            names: Labels of configurations, compared with one another in this order. Without any, every configuration
                is compared with that named "baseline", or all pairs, or where these are many the best with the others.
            measure: A column of `frame`.
            alpha: The level of significance, after correction.
            baseline: The label of a configuration that every other one is compared with.
            most: How many comparisons there are at most; None: all.

        Raises:
            AssayError: There is only one configuration, or the seconds do not compare.
        """
        from assay.results.comparisons import Comparisons, shown

        measure = self.measure(measure)
        trials = self._paired(*names, *([baseline] if baseline else []))
        if self._is_raced and baseline is not None:
            verdicts = [v for v in self._raced_with(baseline, measure, alpha) if not names or v.names[0] in names]
            return Comparisons(tuple(verdicts[:most]), len(verdicts), (), f"each racer with {baseline}")
        looks = [] if baseline else self._of_looks(measure, alpha)
        if self._is_raced and not names:  # no mean of theirs is to be shown as the best
            names = tuple(dict.fromkeys(trials["configuration"].tolist()))
        return shown(trials, looks, measure=measure, alpha=alpha, names=names, baseline=baseline, most=most)

    def matrix(self) -> tuple[list[str], list[list[str]]]:
        """The best configurations, at most 40, and the sign of each against each other; none with a baseline."""
        from assay.analysis.seed_values import SeedValues
        from assay.report.answers import baseline_of, selected_by
        from assay.results.comparisons import matrix

        trials = self._paired()
        measure = selected_by(trials)
        looks = self._of_looks(measure, 0.05)
        if baseline_of(trials, {measure: looks} if looks else None) is not None:
            return [], []
        return matrix(SeedValues.of(trials, measure), looks)

    def _of_looks(self, measure: str, alpha: float) -> list[Verdict]:
        """The stored verdicts of the looks that added seeds until a measure was decided; none for another measure."""
        from assay.analysis.verdicts import Verdict
        from assay.results.searches import look_verdicts

        if self._is_raced and self.race is not None:
            return look_verdicts(self._paired(), self.race, measure=measure, alpha=alpha)
        decided = self._decided
        if not decided or (decided["measure"], decided["alpha"]) != (measure, alpha):
            return []
        return [Verdict.of_plain(plain) for plain in decided["verdicts"]]

    def look_verdicts(self, measure: str | None = None) -> list[Verdict]:
        """The verdicts on all pairs after the last look of `assay run --until-decided`; empty without, at 5 %."""
        return self._of_looks(self.measure(measure), 0.05)

    @property
    def seeds_added(self) -> str:
        """A sentence on seeds that were added until a measure was decided; empty for a fixed number of seeds."""
        if not self._decided:
            return ""
        measure, looks = str(self._decided["measure"]).replace("_", " "), self._decided["looks"]
        return (
            f"Seeds were added until the pairs were decided by {measure}, at up to {looks} looks: verdicts on "
            f"{measure} between pairs are corrected for the looks, others are not"
        )

    def targets(
        self, *, accuracy: float | None = None, by: str = "iteration", loss: float | None = None
    ) -> pandas.DataFrame:
        """Time to a target accuracy or loss, by configuration, read from the stored curves.

        Both are on the test set. Misses are censored, not dropped.

        Args:
            accuracy: The target, a fraction. None takes one near the best configuration: 99 % of the way from chance to
                it, rounded down.
            by: "iteration", "examples", "seconds" or "flops".
            loss: The target, a loss in place of an accuracy, as of a regression.

        Returns:
            One row per configuration, with `reached`, `trials`, `success` (a fraction, with its 95 % interval),
            `median` and `restricted_mean`, the fastest first.
        """
        from assay.analysis import targets

        if loss is not None:
            return targets.summary(targets.times_to(self._curves, self._frame, accuracy=accuracy, loss=loss, by=by))
        accuracy = targets.default_target(decisive(self._frame)) if accuracy is None else accuracy
        if (accuracy, by) not in self._targets:
            times = targets.times_to(self._curves, self._frame, accuracy=accuracy, by=by)
            self._targets[accuracy, by] = targets.summary(times)
        return own_copy(self._targets[accuracy, by])

    def answers(self) -> list[str]:
        """The answers of the study, as sentences."""
        return list(self._answers)

    @cached_property
    def _answers(self) -> list[str]:
        from assay.report.answers import answers

        decided = {self._decided["measure"]: self._of_looks(self._decided["measure"], 0.05)} if self._decided else {}
        decided = {measure: verdicts for measure, verdicts in decided.items() if verdicts}
        lead = [] if self.race is None else self.race.sentences()
        lead += [self.selection] if self.selection else []
        of_search = [*lead, *(self.searched.sentences() if self.searched else [])]
        lines = [f"{line[0].upper()}{line[1:]}." for line in of_search]
        seeds = [self.seeds_added + "."] if self._decided else []
        return lines[: len(lead)] + answers(self.frame(), self.curves(), decided) + lines[len(lead) :] + seeds

    @cached_property
    def searched(self) -> Searched | None:
        """The search of the study, with its jobs and its cost; None where the design is another one."""
        from assay.results.searched import searched

        return searched(search_rows(self.store.database, self.name), self.about)

    def tuning_cost(self, *, by: str | None = None, measure: str | None = None) -> TuningCost:
        """The expected best score of random draws by budget, in trials and in seconds, for each value of an axis.

        Args:
            by: An axis with values; None takes that of the optimizers, or else all draws together.
            measure: A column of `frame`; None takes validation accuracy, or else test accuracy.

        Returns:
            The curves with their 95 % bands, what the defaults alone reach, and sentences.

        Raises:
            AssayError: The trials of the study were not drawn at random, or are too few.
        """
        from assay.results.tuning import tuning_cost

        self._check_measure(measure)
        return tuning_cost(self, by=by, measure=measure)

    def picture(
        self,
        name: str,
        *,
        trial: str | None = None,
        configurations: Collection[str] | None = None,
        **options: Any,
    ) -> altair.TopLevelMixin:
        """Draws one chart of the study. A notebook shows it.

        Args:
            name: The name of a chart, as `assay plot STUDY list` shows them: "curves", "pareto", "verdicts", ...
            trial: The beginning of a trial's key, for charts of one trial. None takes the most accurate one.
            configurations: The labels of those that the chart `curves` draws, each with all of its seeds; None: all.
                Other charts are of the whole study: what they rank or correct for would change.
            **options: Options of that chart, such as `log="x"`.

        Returns:
            An Altair chart.

        Raises:
            AssayError: There is no such chart, option or trial, or it cannot be drawn of some configurations.
        """
        from assay.report.charts import CHARTS

        if name not in CHARTS:
            raise AssayError(unknown("chart", name, CHARTS))
        chart = CHARTS[name]
        defaults: dict[str, Callable[[], Any]] = {"axes": lambda: self.axes or None, "split": self._split}
        if task_of(self._frame) is REGRESSION:
            defaults["measure"] = self.measure
        options = {key: value() for key, value in defaults.items() if key in chart.option_names} | options
        for key in ("by", "facet", "rows", "columns"):  # these name an axis
            if key in options:
                options[key] = axis_column(options[key], self._axis_columns, self.frame().columns)
        chart.check(options)
        self._check_measure(options.get("measure"))
        drawn_from = self._drawn_from(chart.needs, trial, options.get("measure"))
        if configurations is not None and chart.needs != "trials and curves":
            raise AssayError(f"chart {name!r}: is of the whole study; only curves are drawn of some configurations")
        if configurations is not None:
            trials = drawn_from[0]
            drawn_from = (trials[trials["configuration"].isin(set(configurations))], drawn_from[1])
        if chart.needs == "trials and curves" and options.get("x") == "epochs":
            from assay.results.epochs import with_epochs

            drawn_from = (drawn_from[0], with_epochs(drawn_from[1], self._curve_rows))
        if options.get("title") is None and (title := self._title(chart, trial)):
            options["title"] = title
        return chart(*drawn_from, **options)

    def _check_measure(self, measure: str | None) -> None:
        """Raises: AssayError for a measure that trials of the study's task do not have."""
        if measure is not None and (reason := of_other_task(measure, known_task(self._frame))):
            raise AssayError(reason)

    def _title(self, chart: Chart, trial: str | None) -> str:
        """The title of a chart whose data do not name the study; empty for others."""
        if chart.of_trial:
            row = self._chosen(trial)
            kind = chart.title.removesuffix(" (most accurate trial)").lower()
            return f"{self.name}: {kind} of {row['label']}, seed {row['seed']}"
        if chart.needs in ("effects", "importance", "verdicts", "search", "tuning cost"):
            return f"{self.name}: {chart.title.lower()}"
        return ""

    def report(self, path: str | Path) -> Path:
        """Writes the study as one HTML page that needs no network, and returns its path."""
        from assay.report.page import write_page

        return write_page(self, Path(path))

    @property
    def rerun(self) -> Rerun:
        """How the study is run again: its definition as TOML, or why that cannot be run."""
        return self._rerun

    @cached_property
    def _rerun(self) -> Rerun:
        return rerun({**self.about, "name": self.name})

    def environment(self) -> list[tuple[str, str]]:
        """The machines, engines and library versions of the trials, as (name, text) pairs."""
        machines = machines_of(self.store.database, self._rows.cells("trial"))
        return environment(self._rows, machines)

    def _drawn_from(self, needs: str, trial: str | None, measure: str | None = None) -> tuple[Any, ...]:
        """What a chart is drawn from."""
        from assay.analysis import sensitivity
        from assay.analysis.frames import own

        if needs == "epochs":
            raise AssayError("that chart is of a bench, not of a study; `assay bench` draws it")
        trials = self.frame()
        if needs == "trials and curves":
            return trials, self.curves()
        if needs == "search":
            return (self._jobs_of_search(),)
        if needs not in ("trials", "verdicts"):
            trials, _ = own(trials)
        if needs in ("effects", "importance") and self.has_seeds:
            trials, _ = own(self.screening())
        if needs == "effects":
            effects = sensitivity.effects(trials, self.axes, "baseline", measure=measure)
            return (effects.rename(columns={"difference": "effect"}),)
        if needs == "importance":
            return (self._importance(trials),)
        simple: dict[str, Callable[[], tuple[Any, ...]]] = {
            "trials": lambda: (trials,),
            "own trials": lambda: (trials,),
            "verdicts": lambda: (self._drawn_verdicts(trials, measure),),
            "nothing": lambda: (),
            "history": lambda: self._curve_of(trial),
            "confusion": lambda: self._confusion(trial),
            "tuning cost": lambda: (self.tuning_cost(),),
            "weights": lambda: first_layer(self._history(trial)),
            "confused": lambda: most_confused(self._history(trial)),
        }
        return simple[needs]()

    def _jobs_of_search(self) -> Searched:
        """The search. Raises: AssayError where the study has another design."""
        if self.searched is None:
            design = self.about.get("design", "grid")
            raise AssayError(f"that chart is of a search; study {self.name!r} has the design {design!r}")
        return self.searched

    def _importance(self, trials: pandas.DataFrame) -> pandas.DataFrame:
        """The importance of the axes; of thousands of trials by a sample of them, which the chart says."""
        from assay.analysis import importance

        sampled = trials.sample(_SAMPLE, random_state=0).sort_index() if len(trials) > _SAMPLE else trials
        table = importance.importance(sampled, self.axes).rename(columns={"term": "axis"})
        if self.searched is not None:
            from assay.results.ped_anova import ped_anova

            table.attrs["ped_anova"] = {self._axis_columns.get(a, a): f for a, f in ped_anova(self.searched).items()}
        if len(sampled) < len(trials):
            table.attrs["sample"] = (len(sampled), len(trials))
        return table

    def _drawn_verdicts(self, trials: pandas.DataFrame, measure: str | None) -> pandas.DataFrame:
        """The family that the answers lead with: every configuration with the baseline, or else all pairs.

        In a measure, or else in what ranks.

        Of hundreds of configurations without a baseline, the pairs of the best alone.
        """
        from assay.analysis.families import SeedValues, pairs_among
        from assay.analysis.verdicts import table_of
        from assay.report.answers import baseline_of

        trials = self._paired() if self.race is not None else trials
        score = self.measure() if measure is None else measure
        looks = self._of_looks(score, 0.05)
        baseline = baseline_of(trials, {score: looks} if looks else None)
        count: int = len(set(trials["configuration"]))
        if looks or baseline or count <= _COMPARED:
            return self.verdicts(measure=score, baseline=baseline)
        means: Any = trials.groupby("configuration", sort=False)[score].mean()
        best = [
            str(name)
            for name in means.sort_values(ascending=not MEASURES[score].higher_is_better, kind="stable").index[:_BEST]
        ]
        table = table_of(pairs_among(SeedValues.of(trials, score), best).verdicts())
        table.attrs["best"] = (len(best), count)
        return table

    def _curve_of(self, trial: str | None) -> tuple[Any, ...]:
        """The curve of one trial, under the name of the study."""
        points, text = drawn_from(self._drawable(trial))
        return points, replace(text, title=f"{self.name}: {text.title}")

    def _split(self) -> str:
        """The set on which the curves are shown: test, or validation where nothing else was measured."""
        tested = any(
            has_column(row["curve"], name) for row in self._curve_rows for name in ("test_accuracy", "test_r2")
        )
        validated = any(has_column(row["curve"], "validation_accuracy") for row in self._curve_rows)
        return "validation" if validated and not tested else "test"

    def _drawable(self, trial: str | None) -> History:
        """The history of a trial, or of an imported curve where it is matching for or there is nothing else."""
        foreign = [row for row in self._rows if row.get("origin") == "imported"]
        matching = [row for row in foreign if trial is not None and row["trial"].startswith(trial)]
        if matching or (foreign and trial is None and len(foreign) == len(self._rows)):
            curve = imported.find(self.store.database, (matching or foreign)[0]["trial"])
            assert curve is not None
            return imported.history_of(curve)
        history = self.store.result(self._chosen(trial)["trial"])  # its curve needs no weights
        assert history is not None  # it is finished
        return history

    def _chosen(self, trial: str | None) -> Row:
        """The row of a trial by the beginning of its key, else of the most accurate one; imported curves are none."""
        finished = [row for row in self._rows if row["outcome"] and row.get("origin") != "imported"]
        if trial is None and self._search is not None and self._search.race is not None:
            phases = self._search.phases(finished)
            first = next((phase for phase in PHASES if phase in phases), "")
            finished = [row for row, phase in zip(finished, phases, strict=True) if phase == first]
        if trial is not None:
            finished = [row for row in self._every_row if row["outcome"] and row.get("origin") != "imported"]
            finished = [row for row in finished if row["trial"].startswith(trial)]
        if not finished:
            which = f" whose key begins with {trial!r}" if trial else ""
            raise AssayError(f"study {self.name!r} has no finished trial{which}")
        return max(
            finished,
            key=lambda row: (row["outcome"] in RANKED, _score_in(row)),
        )

    def _history(self, trial: str | None) -> History:
        row = self._chosen(trial)
        history = self.store.history(row["trial"])
        if history is None:
            raise AssayError(f"the weights of trial {row['trial'][:8]} were not kept; --again retrains it")
        return history

    def _confusion(self, trial: str | None) -> tuple[Any, ...]:
        row = self._chosen(trial)
        if task_of(self._frame) is REGRESSION:
            raise AssayError("a regression has no classes, and so no confusion matrix")
        if not row["confusion"]:
            raise AssayError(f"trial {row['trial'][:8]} has no confusion counts: it did not finish")
        return json.loads(row["confusion"]), json.loads(row["classes"])

    def __repr__(self) -> str:
        """The study in one line."""
        outcomes = [str(row["outcome"] or "planned") for row in self._rows if row.get("origin") != "imported"]
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in Counter(outcomes).most_common())
        labels = len({row["label"] for row in self._rows})
        return (
            f"<Results of {self.name!r}: {len(self._rows):,} trials of {labels:,} configurations: {counts or 'none'}>"
        )

    def _repr_html_(self) -> str:
        """The summary as a table of a notebook, the most accurate configurations first, and the charts of the study."""
        from assay.report.notebook import inline_chart, summary_table

        table = summary_table(self.frame(), repr(self))
        if len(self._rows) > _INLINE or not any(self._rows.cells("outcome")):
            return table
        charts: list[str] = []
        for name in ("curves", "pareto"):
            with suppress(AssayError):  # such as a study without seconds
                charts.append(inline_chart(self.picture(name)))
        return table + "".join(charts)
