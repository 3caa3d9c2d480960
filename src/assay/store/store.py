"""The store: studies, trials and their results. Each result is stored in one transaction."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from assay.errors import AssayError, FileError, StoreError
from assay.recipe.model import Recipe
from assay.store import leases, tags
from assay.store.artifacts import artifacts_of
from assay.store.curves import count_of
from assay.store.database import Database, LostServerError, chunks, whole
from assay.store.endings import Ending, ends_stored, put
from assay.store.leases import RETRIES, Lease, Leases
from assay.store.queries import one_trial, unknown_study
from assay.store.records import Finished, dumped, history_of, places, trial_row
from assay.store.removals import refuse_running, stored_trials
from assay.store.revisions import Change, change_of, keep_revision, stored_definition
from assay.store.schema import imported, member, result, search, search_job, study, trajectory, trial
from assay.store.urls import DEFAULT, Place
from assay.studies.keys import is_same_training
from assay.studies.plan import Plan, Trial
from assay.training.checkpoints import from_bytes
from assay.training.history import History
from assay.training.outcome import RETRIED, Outcome
from assay.training.snapshots import weights_at

_log = logging.getLogger("assay.store")


def default_url() -> str:
    """$ASSAY_STORE, else assay.db in the current folder."""
    return os.environ.get("ASSAY_STORE") or DEFAULT


class PastCost(NamedTuple):
    """The cost of a stored trial: its seconds per iteration, per log point, for the rest, and its iterations."""

    recipe: Recipe
    engine: str
    device: str
    timing: str
    iteration: float
    point: float
    iterations: int
    training: float = 0.0


class Store:
    """A store, by its URL: sqlite:///FILE (or a path), or postgresql+psycopg://... Raises: StoreError.

    `patience`: the seconds after which a wait for a lock or a lost server is an error; None: a minute, or ten.
    """

    def __init__(self, url: Place | None = None, *, read_only: bool = False, patience: float | None = None) -> None:
        self.database = Database(os.fspath(url) if url else default_url(), read_only=read_only, patience=patience)
        self.artifacts = artifacts_of(self.database)
        self.leases = Leases(self.database)
        _log.info("%s: opened%s", self.name, " read-only" if read_only else "")

    @property
    def name(self) -> str:
        """The name of the store in messages."""
        return self.database.name

    def close(self) -> None:
        """Closes every connection."""
        self.database.close()

    # --- studies and trials ---

    @whole
    def register(self, plan: Plan) -> None:
        """Stores the trials of a plan and, for the plan of a study, the study's definition and members.

        They replace those of a stored study of the same name. A member that is not in the plan stays in the earlier
        study, which is kept under another name (`revisions.revision_name`).
        """
        with self.database.write() as connection:
            now = self.database.now(connection)
            add_trials(connection, list(plan.trials.values()), now)
            if not plan.registers:
                return
            keep_revision(connection, plan)
            definition = {"definition": dumped(dict(plan.study.raw)), "digest": plan.study.digest, "updated": now}
            study_id = connection.execute(sa.select(study.c.id).where(study.c.name == plan.study.name)).scalar()
            if study_id is None:
                values = definition | {"name": plan.study.name, "created": now}
                inserted = connection.execute(sa.insert(study).values(**values))
                study_id = inserted.inserted_primary_key[0]  # pyright: ignore[reportOptionalSubscript]
            else:
                connection.execute(sa.update(study).where(study.c.id == study_id).values(**definition))
                connection.execute(sa.delete(member).where(member.c.study == study_id))
            rows = [
                {
                    "study": study_id,
                    "position": position,
                    "trial": m.key,
                    "label": m.label,
                    "axis_values": dumped(dict(m.values)),
                    "repeat": m.repeat,
                }
                for position, m in enumerate(plan.members)
            ]
            if rows:
                connection.execute(sa.insert(member), rows)

    def change(self, plan: Plan) -> Change | None:
        """What storing the plan would change in a stored study of its name; None where that is nothing."""
        if not plan.registers:
            return None
        with self.database.read() as connection:
            return change_of(connection, plan)

    def definition(self, name: str) -> dict[str, Any] | None:
        """The definition of a stored study, under the name that it is stored by; None if there is none."""
        with self.database.read() as connection:
            return stored_definition(connection, name)

    def annotate(self, name: str, entry: str, content: object) -> None:
        """Stores an entry with the definition of a study, until the study is registered again."""
        with self.database.write() as connection:
            query = sa.select(study.c.id, study.c.definition).where(study.c.name == name)
            row = connection.execute(query).one_or_none()
            if row is None:
                raise StoreError(unknown_study(name, connection.execute(sa.select(study.c.name)).scalars().all()))
            definition = dumped({**json.loads(row.definition), entry: content})
            connection.execute(sa.update(study).where(study.c.id == row.id).values(definition=definition))

    @whole
    def outcomes(self, keys: Collection[str]) -> dict[str, Outcome]:
        """The outcomes of those trials that have a result which is not stale."""
        outcomes: dict[str, Outcome] = {}
        with self.database.read() as connection:
            for chunk in chunks(list(keys)):
                query = sa.select(result.c.trial, result.c.outcome).where(result.c.trial.in_(chunk), ~result.c.stale)
                outcomes |= {key: Outcome(outcome) for key, outcome in connection.execute(query)}
        return outcomes

    @whole
    def mark_stale(self, keys: Collection[str], *, failed_only: bool, keep_checkpoints: bool = False) -> int:
        """Marks results as stale, so that their trials are retrained; each stays until the new one replaces it.

        Args:
            keys: The trials.
            failed_only: Mark only results that failed. Otherwise, checkpoints are dropped as well.
            keep_checkpoints: Do not drop checkpoints.

        Returns:
            The number of results that were marked.
        """
        count = 0
        with self.database.write() as connection:
            for chunk in chunks(list(keys)):
                update = sa.update(result).where(result.c.trial.in_(chunk), ~result.c.stale)
                if failed_only:
                    update = update.where(result.c.outcome.in_([str(outcome) for outcome in RETRIED]))
                count += connection.execute(update.values(stale=True)).rowcount
                if not failed_only and not keep_checkpoints:
                    trajectories = sa.select(trial.c.trajectory).where(trial.c.key.in_(chunk))
                    fresh = {"iteration": 0, "checkpoint": None, "losses": 0}
                    connection.execute(sa.update(trajectory).where(trajectory.c.key.in_(trajectories)).values(**fresh))
        return count

    # --- results ---

    @whole
    def lost(self, lease: Lease, trials: Sequence[Trial], reason: str, *, error: str | None = None) -> bool:
        """Records that the worker of a lease was lost. Returns True if its trials are retried, else they are lost.

        `error`: what the worker wrote to standard error, which is kept with trials that are lost.
        """
        with self.database.write(shared=True) as connection:
            if not leases.give_up(connection, lease):
                return True
            present = stored_trials(connection, [planned.key for planned in trials])
            for planned in (planned for planned in trials if planned.key in present):
                sentence = f"{reason}; tried {RETRIES + 1} times"
                put(self.database, connection, [(planned.key, Finished(Outcome.LOST, sentence, error=error), None)])
            return False

    def finish(self, lease: Lease, planned: Trial, finished: Finished) -> bool:
        """Stores the artifact of a trial, then its result. Returns False if another process has the lease now."""
        return self.finish_all([Ending(lease, planned, finished)]) == [True]

    def finish_all(self, endings: Sequence[Ending], *, release: Sequence[Lease] = ()) -> list[bool]:
        """Stores the artifacts of trials, then their results, each as if alone, in one transaction.

        What cannot be stored leaves the others as they are: its error is raised after they are committed. Where the
        disk is full, as many are committed as there is room for.

        Args:
            endings: The ends of trials.
            release: Leases that end with the transaction.

        Returns:
            For each of the trials, False if another process has its lease now.
        """
        try:
            stored = self.database.whole(
                lambda again: ends_stored(self.database, self.artifacts, endings, release, again=again)
            )
        except LostServerError:
            raise
        except (StoreError, FileError) as error:  # of the database, or of a file of weights
            if len(endings) < 2 or "locked" in str(error):
                raise
            middle = len(endings) // 2
            first = self.finish_all(endings[:middle])
            return first + self.finish_all(endings[middle:], release=release)
        for error in stored.errors:
            raise error
        return stored.accepted

    def checkpoint(self, lease: Lease, iteration: int, content: bytes) -> None:
        """Stores a checkpoint from which a running trajectory can resume."""
        self.checkpoint_all([(lease, iteration, content)])

    def checkpoint_all(self, checkpoints: Sequence[tuple[Lease, int, bytes]]) -> None:
        """Stores checkpoints, each with its lease and iteration, from which running trajectories can resume.

        Where they cannot be stored, the earlier ones stay, and no file is left to fill the disk. Raises: StoreError,
        FileError.
        """
        names: list[str] = []
        try:
            for _, _, content in checkpoints:
                names.append(self.artifacts.prepare(content))
            self._note_checkpoints(checkpoints, names)
        except (StoreError, FileError):
            with suppress(AssayError, OSError):
                self._remove_unused(names)
            raise

    def _remove_unused(self, names: Sequence[str]) -> None:
        """Removes those of the artifacts that no row refers to."""
        unused = set(names)
        with self.database.read() as connection:
            for chunk in chunks(names):
                for column in (result.c.artifact, trajectory.c.checkpoint):
                    unused -= set(connection.execute(sa.select(column).where(column.in_(chunk))).scalars())
        for name in unused:
            self.artifacts.remove(name)

    def _note_checkpoints(self, checkpoints: Sequence[tuple[Lease, int, bytes]], names: Sequence[str]) -> None:
        """Refers to checkpoints whose files are there, and removes those that they replace."""
        dropped = self.database.whole(lambda _: self._refer_to_checkpoints(checkpoints, names))
        for name in dropped:
            self.artifacts.remove(name)

    def _refer_to_checkpoints(self, checkpoints: Sequence[tuple[Lease, int, bytes]], names: Sequence[str]) -> set[str]:
        """The transaction of `_note_checkpoints`; returns the artifacts that nothing refers to any longer."""
        keys = [lease.trajectory for lease, _, _ in checkpoints]
        with self.database.write(shared=True) as connection:
            held = leases.held(connection, [lease for lease, _, _ in checkpoints])
            for _, _, content in checkpoints:
                self.artifacts.add(connection, content)
            old: dict[str, str | None] = {}
            for chunk in chunks(keys):
                query = sa.select(trajectory.c.key, trajectory.c.checkpoint).where(trajectory.c.key.in_(chunk))
                old |= {row.key: row.checkpoint for row in connection.execute(query)}
            new = [
                (lease, iteration, name)
                for (lease, iteration, _), name in zip(checkpoints, names, strict=True)
                if lease.trajectory in held
            ]
            leases.note_checkpoints(connection, new)
            replaced = {old.get(lease.trajectory): name for lease, _, name in new}
            dropped = {name for name, by in replaced.items() if name is not None and name != by}
            for chunk in chunks(sorted(dropped)):
                used = sa.select(result.c.artifact).where(result.c.artifact.in_(chunk))
                dropped -= set(connection.execute(used).scalars())
        return dropped

    @whole
    def start_of(self, key: str, recipe: Recipe | None = None) -> History | None:
        """The latest checkpoint of a trajectory; None if it has none, or one of another training than the recipe's."""
        with self.database.read() as connection:
            name = connection.execute(sa.select(trajectory.c.checkpoint).where(trajectory.c.key == key)).scalar()
        if name is None:
            return None
        try:
            start = from_bytes(self.artifacts.get(name), source=f"{self.name}, artifact {name[:16]}")
        except AssayError:
            return None  # damaged or missing: retraining only costs time; `store check` reports it
        return start if recipe is None or is_same_training(start.recipe, recipe) else None

    def checkpoints(self, key: str) -> Iterator[History]:
        """The histories of a trajectory whose weights are kept: its checkpoint, and the ends of its trials."""
        ends = sa.select(result.c.artifact).join(trial, trial.c.key == result.c.trial).where(trial.c.trajectory == key)
        with self.database.read() as connection:
            names = (
                connection.execute(sa.select(trajectory.c.checkpoint).where(trajectory.c.key == key)).scalars().all()
            )
            names = [*names, *connection.execute(ends).scalars()]
        for name in dict.fromkeys(name for name in names if name is not None):
            with suppress(AssayError):  # damaged or missing: `store check` reports it
                yield from_bytes(self.artifacts.get(name), source=f"{self.name}, artifact {name[:16]}")

    def history(self, key: str) -> History | None:
        """The history of a stored trial with its weights, or None if its artifact was not kept."""
        with self.database.read() as connection:
            name = connection.execute(sa.select(result.c.artifact).where(result.c.trial == key)).scalar()
        return from_bytes(self.artifacts.get(name), source=f"{self.name}, trial {key[:8]}") if name else None

    def has_best(self, key: str) -> bool:
        """Whether the weights of a trial's best validation point are stored."""
        history = self.history(key)
        best = history.best if history is not None else None
        return history is not None and best is not None and weights_at(history, best.iteration) is not None

    def result(self, key: str) -> History | None:
        """The history of a stored trial, with its weights if they were kept; None if it has no result."""
        row = one_trial(self.database, key)
        if row["outcome"] is None:
            return None
        history, kept = history_of(row), self.history(key)
        if kept is None:
            return history
        return replace(
            kept,
            machine=history.machine,
            warnings=history.warnings,
            cohort=history.cohort,
            peak_device_memory_bytes=history.peak_device_memory_bytes,
            confusion=history.confusion,
        )

    def remove(self, *, studies: Sequence[str] = (), trials: Sequence[str] = ()) -> int:
        """Removes trials, and studies with their imported curves and the trials that are in no other study.

        One transaction: all of it, or nothing. `vacuum` removes the artifacts.

        Returns:
            The number of trials removed.

        Raises:
            StoreError: There is no study of one of the names, or a living process trains one of the trials.
        """
        with self.database.write() as connection:
            keys = list(trials)
            for name in studies:
                keys += _remove_study(connection, name)
            keys = list(dict.fromkeys(keys))
            refuse_running(connection, keys, now=self.database.now(connection))
            return _remove_trials(connection, keys)

    def recent_costs(self, gpus: Sequence[Mapping[str, str]] = ()) -> Iterator[PastCost]:
        """The costs of the latest trials on this machine, the latest first.

        `gpus`: the facts of its GPUs, as a machine's description has them, for trials on them.
        """
        columns = (trial.c.recipe, trial.c.engine, trial.c.device, trial.c.timing)
        recent = (
            sa.select(*columns, result.c.ledger, result.c.iterations, result.c.curve)
            .join(result, result.c.trial == trial.c.key)
            .where(result.c.machine.in_(places(gpus)), result.c.iterations > 0)
            .order_by(result.c.finished.desc())
            .limit(500)
        )
        with self.database.read() as connection:
            rows = connection.execute(recent).all()
        for row in rows:
            try:
                ledger, points = json.loads(row.ledger), max(count_of(row.curve), 1)
                iteration, point = ledger.get("train", 0.0) / row.iterations, ledger.get("evaluate", 0.0) / points
                recipe = Recipe.stored(json.loads(row.recipe))
                rest = sum(ledger.get(entry, 0.0) for entry in ("data", "compile", "checkpoint", "other"))
            except (AssayError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                continue  # a damaged row; `store check` reports it
            yield PastCost(recipe, row.engine, row.device, row.timing, iteration, point, row.iterations, rest)


def add_trials(connection: sa.Connection, planned: Sequence[Trial], now: float) -> None:
    """Adds those trials, and their trajectories, that the store lacks."""
    trajectories = list(dict.fromkeys(added.trajectory for added in planned))
    for table, column, rows in (
        (trajectory, trajectory.c.key, {key: {"key": key, "iteration": 0, "losses": 0} for key in trajectories}),
        (trial, trial.c.key, {added.key: trial_row(added, now) for added in planned}),
    ):
        stored: set[str] = set()
        for chunk in chunks(list(rows)):
            stored |= set(connection.execute(sa.select(column).where(column.in_(chunk))).scalars())
        new: list[dict[str, Any]] = [dict(row) for key, row in rows.items() if key not in stored]
        if new:
            connection.execute(sa.insert(table), new)


def _remove_study(connection: sa.Connection, name: str) -> list[str]:
    """Removes a study with its imported curves; returns the keys of its trials that are in no other study."""
    study_id = _study_id(connection, name)
    keys = set(connection.execute(sa.select(member.c.trial).where(member.c.study == study_id)).scalars())
    connection.execute(sa.delete(member).where(member.c.study == study_id))
    for table in (imported, search_job, search):
        connection.execute(sa.delete(table).where(table.c.study == study_id))
    tags.forget(connection, study_id)
    connection.execute(sa.delete(study).where(study.c.id == study_id))
    others = set(connection.execute(sa.select(member.c.trial)).scalars())
    return sorted(keys - others)


def _remove_trials(connection: sa.Connection, keys: Sequence[str]) -> int:
    """Removes trials from the store and from studies, and the trajectories that nothing uses any more."""
    count = 0
    for chunk in chunks(keys):
        trajectories = connection.execute(sa.select(trial.c.trajectory).where(trial.c.key.in_(chunk))).scalars().all()
        connection.execute(sa.delete(member).where(member.c.trial.in_(chunk)))
        connection.execute(sa.delete(result).where(result.c.trial.in_(chunk)))
        count += connection.execute(sa.delete(trial).where(trial.c.key.in_(chunk))).rowcount
        used = sa.select(trial.c.trajectory)
        empty = sa.delete(trajectory).where(trajectory.c.key.in_(trajectories), trajectory.c.key.not_in(used))
        connection.execute(empty)
    return count


def _study_id(connection: sa.Connection, name: str) -> int:
    study_id = connection.execute(sa.select(study.c.id).where(study.c.name == name)).scalar()
    if study_id is None:
        names = connection.execute(sa.select(study.c.name)).scalars().all()
        raise StoreError(unknown_study(name, names))
    return int(study_id)
