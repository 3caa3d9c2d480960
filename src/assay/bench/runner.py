"""Runs a bench: first certifies every row, then measures the epochs of all rows, interleaved.

Each row has its own process, pinned to as many cores as it has threads. All processes stay alive, but only one computes
at a time. The machine lock is held throughout.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

from safetensors.numpy import load as arrays_of

from assay.bench.calibration import MOVED, calibrate, work_of
from assay.bench.device_rates import DeviceRates
from assay.bench.parity import (
    DEVICES_WITHOUT_FLOAT64,
    REFERENCE,
    Arrays,
    arithmetic,
    checks,
    compared,
    judged,
    split_probes,
    without_dropout,
)
from assay.bench.rounding import Bounds
from assay.bench.rows import Bench, BenchRow, Contender, Epoch, StartUp, State
from assay.bench.spec import BenchSpec, impossible
from assay.bench.timetable import BenchStatus, Timetable
from assay.data.datasets import load
from assay.engines import ENGINES
from assay.engines.promises import kind_of
from assay.errors import AssayError
from assay.parts.batches import iterations_per_epoch
from assay.recipe.code import recipe_code
from assay.recipe.model import Recipe
from assay.recipe.notes import notes
from assay.system.machine import describe, usable_cores
from assay.system.machine_lock import machine_lock
from assay.training.loop import prepared
from assay.workers.environment import environment_for
from assay.workers.pool import Workers, import_path

WORKER = "assay.bench.worker"
"""The module that a row's process runs."""
_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 0.02  # after each step, because the threads of libraries spin before they sleep
_SAVE_SECONDS = 2.0

_LIVE = (State.OPEN, State.CERTIFIED, State.MEASURED)

Reply = tuple[dict[str, Any], bytes]
PendingReply = Generator[BenchStatus, None, Reply]


class _EndError(Exception):
    """A row ended before it was measured."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


class _StoppedError(Exception):
    """The user requested a stop."""


class BenchRunner:
    """Runs a bench: iterate over it; `bench` holds the measurements so far.

    `save` is called with the plain data every few seconds and at the end, so that no measurement is lost.
    """

    def __init__(
        self,
        spec: BenchSpec,
        *,
        save: Callable[[dict[str, Any]], None] = lambda plain: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            spec: What to measure.
            save: Stores the plain data of the bench.
            on_wait: Called if another measurement on this machine must end first.

        Raises:
            AssayError: The recipe does not fit its data set.
        """
        self.spec, self._save_plain, self._on_wait = spec, save, on_wait
        recipe, n = spec.recipe, self._measure_data()
        self.bench = Bench(
            key=secrets.token_hex(16),
            name=spec.name,
            recipe=recipe.plain(),
            data=self._data,
            epochs=spec.epochs,
            repeats=spec.repeats,
            wanted_baseline=spec.baseline,
            work=self._work,
            machine=describe(),
            rows=[BenchRow(contender) for contender in spec.contenders],
            notes=[*notes(recipe), *_notes(spec, n)],
        )
        rows = self.bench.rows
        pinned = [_cores(row.contender) for row in rows] + [usable_cores()]  # the last one is for the reference
        environments = [*(_environment(row.contender) for row in rows), environment_for("cpu")]
        self._workers = Workers(len(rows) + 1, cores=pinned, module=WORKER, environments=environments)
        self._references: dict[tuple[str, Any], tuple[Arrays, dict[str, Any]] | _EndError] = {}
        self._timetable = Timetable(len(rows), repeats=spec.repeats, epochs=spec.epochs)
        self._step = "starts"
        self._stopped = False
        self._started, self._saved = perf_counter(), -_SAVE_SECONDS
        self._folder = Path()
        self._processes = 0  # started so far; each has its own cache folder
        for i, row in enumerate(rows):
            if reason := impossible(row.contender):
                self._end(i, State.IMPOSSIBLE, reason)

    def _measure_data(self) -> int:
        """Loads the data once and describes them. Returns the number of training examples."""
        recipe = self.spec.recipe
        data = prepared(recipe, load(recipe.data.name, task=recipe.data.task))
        n, network = len(data.y_train), recipe.model.network(data.shape, data.classes)
        size = recipe.batches.settings().get("size", 1)
        if size > n:
            raise AssayError(f"batches.size: got {size:,}; expected at most {n:,}, the number of training examples")
        iterations = max(1, round(iterations_per_epoch(recipe.batches, n)))
        self._network = network
        self._network_without_dropout = without_dropout(recipe).model.network(data.shape, data.classes)
        self._work = work_of(recipe, network, data.x_train, iterations=iterations, examples=n)
        self._data = {
            "name": recipe.data.name,
            "examples": n,
            "test_examples": len(data.y_test),
            "inputs": data.inputs,
            "classes": data.classes,
            "checksum": data.checksum,
            "iterations_per_epoch": iterations,
            "parameters": network.parameters,
        }
        return n

    def stop(self) -> None:
        """Requests a stop that keeps the measurements. Signal handlers may call it."""
        self._stopped = True

    # --- the run ---

    def __iter__(self) -> Iterator[BenchStatus]:
        """Runs to the end; yields several times a second."""
        work = f"bench {self.spec.name!r}"
        lock = machine_lock("isolated", work=work, cancelled=lambda: self._stopped, on_wait=self._on_wait)
        try:
            with self._recorded_outcome(), lock as waited, TemporaryDirectory(prefix="assay-bench-") as folder:
                self._started, self._folder = perf_counter(), Path(folder)
                if waited > 1.0:
                    self.bench.notes.append(f"waited {waited:.0f} s for another measurement on this machine")
                yield from self._run()
        finally:
            self._workers.kill_all()
            self._save(now=True)

    @contextmanager
    def _recorded_outcome(self) -> Generator[None]:
        """Records in the bench whether it was completed or interrupted."""
        try:
            yield
            self.bench.outcome = "completed"
        except (_StoppedError, KeyboardInterrupt) as error:
            self.bench.outcome = "interrupted"
            done = sum(len(row.epochs) for row in self.bench.rows)
            self.bench.notes.append(f"interrupted after {done:,} epochs of all rows together")
            if isinstance(error, KeyboardInterrupt):
                raise

    def _run(self) -> Iterator[BenchStatus]:
        bench = self.bench
        threads = {1, *(row.contender.threads for row in bench.rows if row.contender.threads)}
        if self._stopped:
            raise _StoppedError
        yield self._do("calibrates")
        bench.before = calibrate(threads)
        for i in self._alive():
            yield from self._guarded(i, self._certify(i))
            self._workers.kill(i)
        yield from self._measure_devices()
        self._workers.kill(len(bench.rows))
        for repeat in range(1, self.spec.repeats + 1):
            yield from self._repeat(repeat)
        yield self._do("calibrates")
        bench.after = calibrate(threads)
        moved = bench.before.moved(bench.after)
        if moved > MOVED:
            bench.notes.append(
                f"the machine changed during the run: sgemm moved by {100 * moved:.0f} %; "
                "ratios are more reliable than seconds"
            )

    def _measure_devices(self) -> Iterator[BenchStatus]:
        """Measures the rates of the devices of certified rows, in a process that ends before the rows are timed."""
        contenders = [self.bench.rows[i].contender for i in self._alive()]
        for device, precision in dict.fromkeys((c.device, c.precision) for c in contenders if c.device != "cpu"):
            yield self._do(f"measures {device}, {precision}")
            try:
                asked = {"device": device, "precision": precision}
                _, head = yield from self._of_reference((f"rates {device}", precision), "rates", **asked)
            except _EndError as end:
                self.bench.notes.append(f"no limit for {device}, {precision}: {end.reason}")
            else:
                self.bench.device_rates[device, precision] = DeviceRates(**head["rates"])

    def _repeat(self, repeat: int) -> Iterator[BenchStatus]:
        """Starts a process for each row, then measures one epoch of each row per round."""
        for i in self._alive():
            yield from self._guarded(i, self._begin(i, repeat))
        for number in range(1, self.spec.epochs + 1):
            for i in self._alive():
                yield from self._guarded(i, self._epoch(i, repeat, number))
                self._save()
        for i in range(len(self.bench.rows)):
            self._workers.kill(i)

    def _alive(self) -> list[int]:
        return [i for i, row in enumerate(self.bench.rows) if row.state in _LIVE]

    def _guarded(self, i: int, steps: Iterator[BenchStatus]) -> Iterator[BenchStatus]:
        """The steps of a row. If one of them ends the row, its reason is recorded and its process is killed."""
        if self._stopped:
            raise _StoppedError
        if self.bench.rows[i].state not in _LIVE:  # its process has died while another row computed
            return
        try:
            yield from steps
        except _EndError as end:
            self._end(i, end.state, end.reason)

    def _end(self, i: int, state: State, reason: str) -> None:
        self.bench.rows[i].end(state, reason)
        self._workers.kill(i)
        self._timetable.drop(i)

    # --- steps of one row ---

    def _certify(self, i: int) -> Iterator[BenchStatus]:
        row = self.bench.rows[i]
        yield self._do(f"certifies {row.label}")
        recipe = self._recipe(row.contender)
        iterations = compared(recipe, self._network, int(self.bench.data["examples"]), quick=self.spec.quick)
        exact = kind_of(row.contender.device) not in DEVICES_WITHOUT_FLOAT64
        name, _ = arithmetic(row.contender)
        with self._timed(i, "certify"):
            yield from self._load(i, row.contender, without_dropout(recipe))
            reference = (yield from self._reference(iterations)) if exact else None
            limits, about = yield from self._bounds(recipe, name)
            head, content = yield from self._ask(i, "certify", iterations=iterations if exact else 0, probes=True)
        arrays, probes = split_probes(arrays_of(content))
        algorithm = judged(recipe, arrays if exact else None, reference, iterations=iterations)
        trained = without_dropout(recipe).resolved(int(self.bench.data["examples"]))
        checked = checks(trained, self._network_without_dropout, probes, head["numbers"], limits)
        row.certificate = replace(algorithm, arithmetic=name, checks=checked, notes=(*algorithm.notes, *about))
        if not row.certificate.holds:
            raise _EndError(State.DEVIATES, row.certificate.sentence())
        row.state = State.CERTIFIED

    def _reference(self, iterations: int) -> Generator[BenchStatus, None, Arrays]:
        """The losses and weights of the reference in float64, computed once."""
        content, _ = yield from self._of_reference(
            ("float64", iterations), "certify", iterations=iterations, probes=False
        )
        return content

    def _bounds(self, recipe: Recipe, name: str) -> Generator[BenchStatus, None, tuple[Bounds, list[str]]]:
        """The bounds of a gradient, computed once for each arithmetic, and a note where they are of fewer examples."""
        message = self._recipe_message(without_dropout(recipe))
        content, head = yield from self._of_reference((recipe.precision, name), "bound", arithmetic=name, **message)
        notes = [] if head["whole"] else [f"gradients are those of the first {head['size']:,} examples of a batch"]
        return Bounds.of(content), notes

    def _of_reference(
        self, key: tuple[str, Any], kind: str, **values: Any
    ) -> Generator[BenchStatus, None, tuple[Arrays, dict[str, Any]]]:
        """What the process of the reference replies to a message; asked once for each key."""
        if key not in self._references:
            number, contender = len(self.bench.rows), Contender(REFERENCE, "cpu", None, "float64")
            try:
                self._workers.kill(number)
                yield from self._load(number, contender, without_dropout(self._recipe(contender)))
                head, content = yield from self._ask(number, kind, **values)
                self._references[key] = (arrays_of(content) if content else {}), head
            except _EndError as end:
                reason = f"the reference cannot be computed: {end.reason}"
                self._references[key] = _EndError(State.IMPOSSIBLE, reason)
        reference = self._references[key]
        if isinstance(reference, _EndError):
            raise reference
        return reference

    def _begin(self, i: int, repeat: int) -> Iterator[BenchStatus]:
        row = self.bench.rows[i]
        yield self._do(f"starts {row.label}, repeat {repeat} of {self.spec.repeats}")
        with self._timed(i, "begin", repeat=repeat):
            started = yield from self._load(i, row.contender, self._recipe(row.contender))
            head, _ = yield from self._ask(i, "begin")
        row.starts.append(StartUp(repeat, started, head["data"], head["compile"]))

    def _epoch(self, i: int, repeat: int, number: int) -> Iterator[BenchStatus]:
        row, spec = self.bench.rows[i], self.spec
        yield self._do(f"repeat {repeat} of {spec.repeats}, epoch {number} of {spec.epochs}: {row.label}")
        with self._timed(i, "epoch", repeat=repeat, epoch=number) as event:
            head, _ = yield from self._ask(i, "epoch")
        if number == 1:
            row.starts[-1] = replace(row.starts[-1], compile=row.starts[-1].compile + head["compile"])
        epoch = Epoch(
            repeat=repeat,
            number=number,
            begin=event["begin"],
            batches=head["batches"],
            train=head["train"],
            validate=head["validate"],
            examples=head["examples"],
            loss=head["loss"],
            accuracy=head["accuracy"],
            r2=head["r2"],
            rmse=head["rmse"],
        )
        row.epochs.append(epoch)
        row.state = State.MEASURED
        if head["foreign_so_far"] is not None:
            row.loads[repeat] = head["foreign_so_far"], head["train_so_far"]
        row.peak_memory_bytes = max(row.peak_memory_bytes or 0, head["peak_memory_bytes"])
        if head["peak_device_memory_bytes"] is not None:
            row.peak_device_memory_bytes = max(row.peak_device_memory_bytes or 0, head["peak_device_memory_bytes"])

    def _load(self, i: int, contender: Contender, recipe: Recipe) -> Generator[BenchStatus, None, float]:
        """Starts a row's process, which loads its engine. Returns the seconds since the process was started."""
        begin = perf_counter()
        self._processes += 1
        yield from self._ask(
            i,
            "load",
            engine=contender.engine,
            device=contender.device,
            threads=contender.threads,
            cache=str(self._folder / str(self._processes)),
            **self._recipe_message(recipe),
        )
        return perf_counter() - begin

    @staticmethod
    def _recipe_message(recipe: Recipe) -> dict[str, Any]:
        return {
            "jobs": [[{"recipe": recipe.plain()}]],
            "code": recipe_code(recipe),
            "path": import_path(),
        }

    def _recipe(self, contender: Contender) -> Recipe:
        """The recipe of a row: in its precision, with a log point after each epoch and without stopping rules."""
        return self.spec.recipe.patched(
            {
                "precision": contender.precision,
                "budget": {"epochs": float(self.spec.epochs)},
                "log": {"every": "1 epoch", "train_loss": "batch"},
            }
        ).model_copy(update={"stop": type(self.spec.recipe.stop)()})

    # --- messages ---

    def _ask(self, i: int, kind: str, **values: Any) -> PendingReply:
        """Sends a message to a row's process and waits for the reply. Raises: _EndError, _StoppedError."""
        self._workers.start(i).send(kind, **values)
        while True:
            for number, head, content in self._workers.messages(_POLL_SECONDS):
                if head is None:
                    self._lost(number, current=i)
                elif number == i and head["kind"] == "status":
                    yield self._do(self._step, within=f"{head['iteration']:,}/{head['iterations']:,} iterations")
                elif number == i and head["kind"] != "ready":
                    _raise_end(head)
                    return head, content
            if self._stopped:
                raise _StoppedError
            yield self._do(self._step)

    def _lost(self, number: int, *, current: int) -> None:
        """Ends the row of a process that died: the current row, or another one, which was waiting."""
        reason = self._workers.drop(number)
        if number == current:
            raise _EndError(State.FAILED, reason)
        if number < len(self.bench.rows):
            self._end(number, State.FAILED, reason)

    @contextmanager
    def _timed(self, i: int, kind: str, **about: int) -> Generator[dict[str, Any]]:
        """Records in the timeline when a row computed; then waits for its threads to sleep."""
        event: dict[str, Any] = {"what": kind, "row": self.bench.rows[i].label, **about}
        begin = perf_counter()
        event["begin"] = begin - self._started
        try:
            yield event
        finally:
            seconds = perf_counter() - begin
            event["end"] = event["begin"] + seconds
            self.bench.events.append(event)
        self._timetable.done(kind, i, seconds)
        sleep(_SETTLE_SECONDS)

    # --- progress ---

    def _do(self, step: str, *, within: str = "") -> BenchStatus:
        self._step = step
        return self._timetable.status(step + (f", {within}" if within else ""))

    def _save(self, *, now: bool = False) -> None:
        measured = any(row.epochs for row in self.bench.rows)
        if measured and (now or perf_counter() - self._saved > _SAVE_SECONDS):
            self._saved = perf_counter()
            self._save_plain(self.bench.plain())


def _environment(contender: Contender) -> dict[str, str]:
    """What the process of a row starts with: that of a worker, for peers what their users have."""
    return environment_for(contender.device) if contender.engine in ENGINES else {}


def _cores(contender: Contender) -> list[int]:
    """The cores that a row's process is pinned to: as many as it has threads."""
    return usable_cores()[: contender.threads] if contender.threads else []


def _raise_end(head: dict[str, Any]) -> None:
    """Raises: _EndError if a row's process reports that it cannot continue."""
    kind = head["kind"]
    if kind == "cannot":
        raise _EndError(State.IMPOSSIBLE, head["reason"])
    if kind == "diverged":
        raise _EndError(State.DIVERGED, head["reason"])
    if kind == "failed":
        raise _EndError(State.OUT_OF_MEMORY if head["out_of_memory"] else State.FAILED, head["reason"])


def _notes(spec: BenchSpec, n: int) -> list[str]:
    """What readers of the rows must know."""
    notes: list[str] = []
    if spec.quick:
        notes.append(f"scaled down by --quick: {n:,} training examples, few epochs; not representative of a full run")
    if any(c.engine == REFERENCE and c.precision != "float64" for c in spec.contenders):
        notes.append(f"engine {REFERENCE!r} computes in float64 in every precision")
    return notes
