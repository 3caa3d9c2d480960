"""The article on a widened LeNet-5 in three frameworks: published rows next to measured ones, and its caveats."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

from assay.articles import lenet_tables as tables
from assay.articles.lenet_costs import small_recipe
from assay.articles.lenet_findings import findings
from assay.articles.lenet_results import LenetResults
from assay.articles.measurements import percent_cell, trial_rows
from assay.articles.page import Finding, Page, Table
from assay.articles.published import article, sources
from assay.articles.spec import ReproductionSpec, study
from assay.bench.startup import ColdStart, starts
from assay.engines import choose
from assay.errors import AssayError
from assay.recipe.model import Recipe
from assay.recipe.toml import read_toml
from assay.results.results import Results
from assay.studies.plan import Plan, plan
from assay.studies.study import Study, bundled
from assay.system.machine import cores

_TIMING = "lenet5-timing"
_HUNDRED = "lenet5-hundred"
_QUICK_EPOCHS = 2
_QUICK_BATCH = 60  # the digits are a fortieth of MNIST; batches of 600 of them would be two per epoch


@dataclass(frozen=True)
class EngineSetup:
    """An engine on a device, with a number of threads on a CPU: a row of the table."""

    engine: str
    device: str = "cpu"
    threads: int | None = None

    @property
    def study(self) -> str:
        """The name of its timing study."""
        return "-".join(str(part) for part in (_TIMING, self.engine, self.device, self.threads) if part)

    @property
    def device_text(self) -> str:
        """The device in the article's words."""
        if self.threads is None:
            return "gpu"
        return f"{self.device}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its timing study."""
        settings = {"engine": self.engine, "device": self.device, "name": self.study}
        return settings if self.threads is None else {**settings, "threads": self.threads}

    @cached_property
    def why_not(self) -> str | None:
        """Why it cannot run on this machine; None if it can."""
        if self.threads and self.threads > cores():
            return f"this machine has {cores()} core{'' if cores() == 1 else 's'} for it"
        try:
            choose(_recipe(), self.engine, device=self.device, threads=self.threads)
        except AssayError as error:
            return str(error)
        return None


SETUPS = (
    EngineSetup("torch", threads=1),
    EngineSetup("torch", threads=2),
    EngineSetup("jax", threads=1),
    EngineSetup("jax", threads=2),
    EngineSetup("torch", "cuda"),
    EngineSetup("jax", "cuda"),
)
"""Without the reference engine: single iterations show how much slower it is."""


def lenet_plans(spec: ReproductionSpec) -> list[Plan]:
    """The study over seeds, the article's hundred epochs, and one timed run of each setup that can run here."""
    spec = _on_images(spec)
    timings = [
        plan(_adjusted(study(_TIMING, replace(spec, seeds=1), setup.settings), spec, least=2))
        for setup in SETUPS
        if setup.why_not is None
    ]
    return [*(plan(_adjusted(study(name, spec), spec)) for name in ("lenet5", _HUNDRED)), *timings]


def lenet_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The page of the widened LeNet-5."""
    spec = _on_images(spec)
    facts = article("lenet5")
    timed = {setup: run for setup in SETUPS if setup.study in results and (run := _timed_run(results[setup.study]))}
    starts_by_engine = {
        name: starts(small_recipe(_batch(spec)), name) for name in dict.fromkeys(setup.engine for setup in timed)
    }
    measured = LenetResults(results["lenet5"], results[_HUNDRED], quick=spec.quick)
    setting: Mapping[str, Any] = facts["setting"]
    lead = [
        f"The article's network: {setting['network']}. {setting['training']}. Its machine: {setting['machine']}.",
        f"Data set {spec.data}. {measured.summary()}",
        f"Batches are of {_batch(spec):,}. Where a row ran fewer than {setting['epochs']} epochs, its total is "
        "extrapolated from them and marked so.",
    ]
    epochs = int(setting["epochs"])
    epoch_seconds = {f"engine {setup.engine}, {setup.device_text}": run.epochs for setup, run in timed.items()}
    parts = [
        _runs_table(timed, starts_by_engine, epochs),
        _starts_table(timed, starts_by_engine, epochs),
        tables.logs_table(),
        tables.floor_table(measured),
        tables.early_table(measured),
        tables.long_table(measured),
        tables.seeds_table(measured),
        tables.denormals_table(measured, epoch_seconds),
        tables.iterations_table(measured),
    ]
    checked = {**findings(measured), "compilation": _compilation_finding(timed, starts_by_engine, epochs)}
    sentences: Mapping[str, str] = facts["findings"]
    with_sentences = [replace(checked[key], sentence=sentence) for key, sentence in sentences.items()]
    title = "A widened LeNet-5 in MATLAB, PyTorch, Flux and Assay"
    return Page(title, lead, parts, with_sentences, sources("lenet5"), _banner(spec))


# --- the studies ------------------------------------------------------------------------------------------------------


def _on_images(spec: ReproductionSpec) -> ReproductionSpec:
    """The spec with the embedded digits in MNIST's frame, because those of 8 x 8 pixels do not fit the network."""
    return replace(spec, data="digits-28") if spec.data == "digits" else spec


def _batch(spec: ReproductionSpec) -> int:
    return _QUICK_BATCH if spec.quick else int(article("lenet5")["setting"]["batch_size"])


def _adjusted(original: Study, spec: ReproductionSpec, *, least: int = 1) -> Study:
    """A study with the epochs of the spec, at least `least`, and with smaller batches in a quick run."""
    epochs = spec.epochs or (_QUICK_EPOCHS if spec.quick else None)
    changes: dict[str, Any] = {"batches": {"size": _batch(spec)}}
    if epochs is not None:
        changes["budget"] = {"epochs": max(least, epochs)}
    return original.patched({"baseline": changes})


def _banner(spec: ReproductionSpec) -> str:
    if not spec.quick:
        return ""
    epochs = spec.epochs or _QUICK_EPOCHS
    return (
        f"Scaled down: batches of {_QUICK_BATCH}, {epochs} epoch{'s' * (epochs > 1)}, data set {spec.data}. It "
        "shows that everything works; its figures and verdicts say nothing about the article."
    )


def _recipe() -> Recipe:
    table: dict[str, Any] = read_toml(bundled(_TIMING))["baseline"]
    return Recipe.parse(table)


# --- the rows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimedRun:
    """The seconds of one run.

    Attributes:
        epochs: Training of each epoch.
        validation: One evaluation of the test set.
        data: Loading and scaling the data.
        compile: Compiling and warming up.
        wall: Everything.
        accuracy: The test accuracy at the end.
    """

    epochs: list[float]
    validation: float
    data: float
    compile: float
    wall: float
    accuracy: float

    @property
    def later(self) -> float:
        """The median of the epochs after the first; NaN if there is only one."""
        return median(self.epochs[1:]) if len(self.epochs) > 1 else math.nan

    def total(self, epochs: int, start: ColdStart) -> float:
        """Seconds of `epochs` epochs with start-up and compilation: measured if it ran that many, else extrapolated."""
        if len(self.epochs) >= epochs:
            return start.process + self.wall
        once = start.process + self.data + self.compile + self.epochs[0]
        return once + (epochs - 1) * self.later + epochs * self.validation


def _timed_run(results: Results) -> TimedRun | None:
    """The timed run of a study; None if there is none."""
    completed = [row for row in trial_rows(results) if row["outcome"] == "completed"]
    if not completed:
        return None
    row, curves = completed[0], results.curves()
    seconds: list[float] = curves[curves["trial"] == row["trial"]]["seconds"].tolist()
    evaluations = len(seconds) + 1  # one per log point, and one for the confusion matrix
    return TimedRun(
        epochs=[b - a for a, b in itertools.pairwise(seconds)],
        validation=float(row["ledger_evaluate"]) / evaluations,
        data=float(row["ledger_data"]),
        compile=float(row["ledger_compile"]),
        wall=float(row["ledger_wall"]),
        accuracy=float(row["accuracy"]),
    )


def _runs_table(timed: Mapping[EngineSetup, TimedRun], starts_by_engine: Mapping[str, ColdStart], epochs: int) -> Table:
    rows = [_published_row(run, epochs) for run in article("lenet5")["runs"]]
    for setup in SETUPS:
        if setup in timed:
            rows.append(_measured_row(setup, timed[setup], starts_by_engine[setup.engine], epochs))
        else:
            rows.append([f"Assay, {setup.engine}", setup.device_text, *["-"] * 6, setup.why_not or "not measured yet"])
    head = (
        "program",
        "device",
        "first epoch [s]",
        "later epochs [s]",
        "validation, an epoch [s]",
        f"{epochs} epochs, start-up and compilation in [s]",
        f"{epochs} epochs, steady [s]",
        "accuracy [%]",
        "",
    )
    note = (
        "Seconds of training and of validation are separate, except in MATLAB's log, which has both in whole seconds. "
        "The first epoch includes compilation. 'Steady' is the training of the later epochs alone; where epochs slow "
        "down, of the last ones. Total and steady are two views of one run. Seconds of different machines are not "
        "comparable."
    )
    return Table(head, rows, "The article's rows and ours", note)


def _published_row(run: Mapping[str, Any], epochs: int) -> list[str]:
    later, validation = run.get("later_epoch_s"), run.get("validation_s")
    return [
        run["framework"],
        run["device"],
        _seconds(run.get("first_epoch_s")),
        _seconds(later),
        _seconds(None if validation is None else validation / epochs),
        _seconds(run["total_s"]),
        _seconds(None if later is None else later * epochs),
        percent_cell(run["accuracy"]),
        f"published; {run['note']}" if "note" in run else "published",
    ]


def _measured_row(setup: EngineSetup, timed: TimedRun, start: ColdStart, epochs: int) -> list[str]:
    count = len(timed.epochs)
    remark = "measured" if count >= epochs else f"totals extrapolated from {count} epochs; accuracy after {count}"
    return [
        f"Assay, {setup.engine}",
        setup.device_text,
        _seconds(timed.compile + timed.epochs[0]),
        _seconds(timed.later),
        _seconds(timed.validation),
        _seconds(timed.total(epochs, start)),
        _seconds(timed.later * epochs),
        percent_cell(timed.accuracy),
        remark,
    ]


def _seconds(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- start and compilation --------------------------------------------------------------------------------------------


def _starts_table(
    timed: Mapping[EngineSetup, TimedRun], starts_by_engine: Mapping[str, ColdStart], epochs: int
) -> Table:
    rows: list[list[str]] = []
    for setup, run in timed.items():
        start = starts_by_engine[setup.engine]
        total = run.total(epochs, start)
        fractions = [f"{100 * value / total:.2g}" for value in (start.process, start.compile)]
        cells = [_seconds(value) for value in (start.process, start.compile, start.cached, run.compile)]
        rows.append([f"{setup.engine}, {setup.device_text}", *cells, *fractions])
    head = (
        "engine",
        "process and libraries [s]",
        "compile and warm up, from nothing [s]",
        "again, from its cache [s]",
        "in the run [s]",
        f"start, share of {epochs} epochs [%]",
        f"compilation, share of {epochs} epochs [%]",
    )
    note = (
        "Start and compilation are measured separately, each engine in two new processes on one thread, the second "
        "with the cache of the first; each runs one iteration to check that nothing is left to compile. 'In the run' "
        "is what the timed run recorded, which also warms up the evaluation of every split."
    )
    return Table(head, rows, "Before the first iteration", note)


def _compilation_finding(
    timed: Mapping[EngineSetup, TimedRun], starts_by_engine: Mapping[str, ColdStart], epochs: int
) -> Finding:
    rule = f"start and compilation are at least a tenth of the total of {epochs} epochs, of every engine that compiles"
    fractions: dict[str, float] = {}
    for setup, run in timed.items():
        start = starts_by_engine[setup.engine]
        if setup.engine == "jax":  # the only engine that compiles programs
            fractions[setup.device_text] = (start.process + start.compile) / run.total(epochs, start)
    fractions = {device: value for device, value in fractions.items() if not math.isnan(value)}
    measured = "; ".join(
        f"jax, {device}: {100 * value:.2g} % of {epochs} epochs" for device, value in fractions.items()
    )
    measured = measured or "no engine that compiles is measured yet"
    evidence = f"{measured}; published, first epoch minus a later one: {_published_compilation()}"
    holds = all(value >= 0.1 for value in fractions.values()) if fractions else None
    return Finding("", rule, holds, evidence)


def _published_compilation() -> str:
    """The first epoch minus a later one of each published run of Flux, in percent of its total."""
    runs = [run for run in article("lenet5")["runs"] if run["framework"].startswith("Flux")]
    fractions = [(run["first_epoch_s"] - run["later_epoch_s"]) / run["total_s"] for run in runs]
    return "; ".join(f"{run['device']}: {100 * value:.1f} %" for run, value in zip(runs, fractions, strict=True))


__all__ = ["SETUPS", "EngineSetup", "TimedRun", "lenet_page", "lenet_plans"]
