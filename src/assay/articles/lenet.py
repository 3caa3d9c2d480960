"""The article on a widened LeNet-5 in three frameworks: its rows beside ours, and its caveats shown by measurement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

from assay.articles import lenet_findings as findings
from assay.articles.lenet_costs import small_recipe
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
_QUICK_BATCH = 60  # the digits are a fortieth of MNIST, and batches of 600 of them would be two an epoch


@dataclass(frozen=True)
class EngineSetup:
    """An engine on a device with so many threads: a row of the table."""

    engine: str
    device: str = "cpu"
    threads: int | None = None

    @property
    def study(self) -> str:
        """The name of its timing study."""
        return "-".join(str(part) for part in (_TIMING, self.engine, self.device, self.threads) if part)

    @property
    def place(self) -> str:
        """The device in the article's words."""
        if self.threads is None:
            return "gpu"
        return f"{self.device}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    @property
    def settings(self) -> dict[str, Any]:
        """Those of its timing study."""
        found = {"engine": self.engine, "device": self.device, "name": self.study}
        return found if self.threads is None else {**found, "threads": self.threads}

    @cached_property
    def why_not(self) -> str | None:
        """Why it cannot run on this machine."""
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
"""The reference engine is not among them: single iterations show how much slower it is."""


def lenet_plans(spec: ReproductionSpec) -> list[Plan]:
    """The caveats over seeds, the article's hundred epochs, and the timing of what can run here, one run each."""
    spec = _on_images(spec)
    timings = [
        plan(_shaped(study(_TIMING, replace(spec, seeds=1), one.settings), spec, least=2))
        for one in SETUPS
        if one.why_not is None
    ]
    return [*(plan(_shaped(study(name, spec), spec)) for name in ("lenet5", _HUNDRED)), *timings]


def lenet_page(spec: ReproductionSpec, results: Mapping[str, Results]) -> Page:
    """The page of the widened LeNet-5."""
    spec = _on_images(spec)
    facts = article("lenet5")
    timed = {one: found for one in SETUPS if one.study in results and (found := _timed(results[one.study]))}
    begun = {name: starts(small_recipe(_batch(spec)), name) for name in dict.fromkeys(one.engine for one in timed)}
    shown = findings.Shown(results["lenet5"], results[_HUNDRED], spec.quick)
    setting: Mapping[str, Any] = facts["setting"]
    lead = [
        f"The article's network: {setting['network']}. {setting['training']}. Its machine: {setting['machine']}.",
        f"Data set {spec.data}. {shown.about()}",
        f"Batches are of {_batch(spec):,}. Where a row ran fewer than {setting['epochs']} epochs, its total is "
        "extrapolated from them, and it says so.",
    ]
    tables = [
        _rows(timed, begun, int(setting["epochs"])),
        _beginnings(timed, begun, int(setting["epochs"])),
        findings.logs_table(),
        shown.floor_table(),
        shown.early_table(),
        shown.whole_table(),
        shown.seeds_table(),
        shown.denormals_table({f"engine {one.engine}, {one.place}": t.epochs for one, t in timed.items()}),
        shown.iterations_table(),
    ]
    checks = {**shown.checks(), "compilation": _compilation(timed, begun, int(setting["epochs"]))}
    sentences: Mapping[str, str] = facts["findings"]
    found = [
        Finding(sentence, checks[key].rule, checks[key].holds, checks[key].evidence)
        for key, sentence in sentences.items()
    ]
    title = "A widened LeNet-5 in MATLAB, PyTorch, Flux and Assay"
    return Page(title, lead, tables, found, sources("lenet5"), _banner(spec))


# --- the studies ------------------------------------------------------------------------------------------------------


def _on_images(spec: ReproductionSpec) -> ReproductionSpec:
    """The embedded digits in MNIST's frame, for those of 8 x 8 pixels do not fit the network."""
    return replace(spec, data="digits-28") if spec.data == "digits" else spec


def _batch(spec: ReproductionSpec) -> int:
    return _QUICK_BATCH if spec.quick else int(article("lenet5")["setting"]["batch_size"])


def _shaped(made: Study, spec: ReproductionSpec, *, least: int = 1) -> Study:
    """A study with the epochs that are asked for, and with smaller batches in a quick run."""
    epochs = spec.epochs or (_QUICK_EPOCHS if spec.quick else None)
    changes: dict[str, Any] = {"batches": {"size": _batch(spec)}}
    if epochs is not None:
        changes["budget"] = {"epochs": max(least, epochs)}
    return made.patched({"baseline": changes})


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
    """One timed run: seconds of training of each epoch, of the test set after one, of everything before, of all."""

    epochs: list[float]
    validation: float
    data: float
    compile: float
    wall: float
    accuracy: float

    @property
    def later(self) -> float:
        """The median epoch after the first; NaN where there is none."""
        return median(self.epochs[1:]) if len(self.epochs) > 1 else math.nan

    def total(self, epochs: int, start: ColdStart) -> float:
        """Seconds of so many epochs with start-up and compilation: measured where it ran so many, else extrapolated."""
        if len(self.epochs) >= epochs:
            return start.process + self.wall
        once = start.process + self.data + self.compile + self.epochs[0]
        return once + (epochs - 1) * self.later + epochs * self.validation


def _timed(results: Results) -> TimedRun | None:
    """The timed run of a study; None where there is none."""
    done = [row for row in trial_rows(results) if row["outcome"] == "completed"]
    if not done:
        return None
    row, curves = done[0], results.curves()
    seconds: list[float] = curves[curves["trial"] == row["trial"]]["seconds"].tolist()
    evaluations = len(seconds) + 1  # one at each point, and one for the confusion counts
    return TimedRun(
        epochs=[b - a for a, b in itertools.pairwise(seconds)],
        validation=float(row["ledger_evaluate"]) / evaluations,
        data=float(row["ledger_data"]),
        compile=float(row["ledger_compile"]),
        wall=float(row["ledger_wall"]),
        accuracy=float(row["accuracy"]),
    )


def _rows(timed: Mapping[EngineSetup, TimedRun], begun: Mapping[str, ColdStart], epochs: int) -> Table:
    rows = [_published_row(run, epochs) for run in article("lenet5")["runs"]]
    for one in SETUPS:
        if one in timed:
            rows.append(_measured_row(one, timed[one], begun[one.engine], epochs))
        else:
            rows.append([f"Assay, {one.engine}", one.place, *["-"] * 6, one.why_not or "not measured yet"])
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
        "Seconds of training and of validation are apart, except in MATLAB's log, which has both in whole seconds. The "
        "first epoch has compilation in it. 'Steady' is the later epochs' training alone; where epochs slow down, the "
        "last ones'. Total and steady are two views of one run. Seconds of different machines do not compare."
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


def _measured_row(one: EngineSetup, timed: TimedRun, start: ColdStart, epochs: int) -> list[str]:
    done = len(timed.epochs)
    said = "measured" if done >= epochs else f"totals extrapolated from {done} epochs; accuracy after {done}"
    return [
        f"Assay, {one.engine}",
        one.place,
        _seconds(timed.compile + timed.epochs[0]),
        _seconds(timed.later),
        _seconds(timed.validation),
        _seconds(timed.total(epochs, start)),
        _seconds(timed.later * epochs),
        percent_cell(timed.accuracy),
        said,
    ]


def _seconds(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- what comes before the first iteration ----------------------------------------------------------------------------


def _beginnings(timed: Mapping[EngineSetup, TimedRun], begun: Mapping[str, ColdStart], epochs: int) -> Table:
    rows: list[list[str]] = []
    for one, found in timed.items():
        start = begun[one.engine]
        total = found.total(epochs, start)
        shares = [f"{100 * value / total:.2g}" for value in (start.process, start.compile)]
        cells = [_seconds(value) for value in (start.process, start.compile, start.cached, found.compile)]
        rows.append([f"{one.engine}, {one.place}", *cells, *shares])
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
        "Start and compilation are measured apart, each engine in two new processes on one thread, the second with the "
        "cache of the first; each runs one iteration to see that nothing is left to compile. 'In the run' is what the "
        "timed run booked, which warms up the evaluation of every split too."
    )
    return Table(head, rows, "Before the first iteration", note)


def _compilation(timed: Mapping[EngineSetup, TimedRun], begun: Mapping[str, ColdStart], epochs: int) -> Finding:
    rule = f"start and compilation are at least a tenth of the total of {epochs} epochs, of every engine that compiles"
    shares: dict[str, float] = {}
    for one, found in timed.items():
        start = begun[one.engine]
        if one.engine == "jax":  # the one engine that compiles programs
            shares[one.place] = (start.process + start.compile) / found.total(epochs, start)
    shares = {place: share for place, share in shares.items() if share == share}
    told = "; ".join(f"jax, {place}: {100 * share:.2g} % of {epochs} epochs" for place, share in shares.items())
    told = f"{told or 'no engine that compiles is measured yet'}; published, first epoch less a later one: {_flux()}"
    holds = all(share >= 0.1 for share in shares.values()) if shares else None
    return Finding("", rule, holds, told)


def _flux() -> str:
    """What share of each published total of Flux its first epoch is beyond a later one."""
    runs = [run for run in article("lenet5")["runs"] if run["framework"].startswith("Flux")]
    shares = [(run["first_epoch_s"] - run["later_epoch_s"]) / run["total_s"] for run in runs]
    return "; ".join(f"{run['device']}: {100 * share:.1f} %" for run, share in zip(runs, shares, strict=True))


__all__ = ["SETUPS", "EngineSetup", "TimedRun", "lenet_page", "lenet_plans"]
