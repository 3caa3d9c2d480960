"""The store: studies and trials, claimed by one process at a time, finished in one transaction each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from assay.errors import AssayError, StoreError, unknown
from assay.recipe.model import Recipe
from assay.store import leases
from assay.store.artifacts import artifacts_of
from assay.store.database import DEFAULT, Database, chunks
from assay.store.leases import RETRIES, Lease, Leases
from assay.store.queries import one_trial
from assay.store.records import Finished, dumped, history_of, machine_row, places, result_row, trial_row
from assay.store.schema import imported, machine, member, result, study, trajectory, trial
from assay.studies.plan import Plan, Trial
from assay.system.machine import cores, describe
from assay.training.checkpoints import from_bytes
from assay.training.history import RETRIED, History, Outcome


def default_url() -> str:
    """$ASSAY_STORE, else assay.db in the current folder."""
    return os.environ.get("ASSAY_STORE") or DEFAULT


class PastCost(NamedTuple):
    """The seconds of an iteration and of a log point of a stored trial, and its iterations."""

    recipe: Recipe
    engine: str
    device: str
    timing: str
    iteration: float
    point: float
    iterations: int


class Store:
    """A store by URL: sqlite:///FILE (or a path), postgresql+psycopg://... Raises: StoreError."""

    def __init__(self, url: str | None = None, *, read_only: bool = False) -> None:
        self.database = Database(url or default_url(), read_only=read_only)
        self.artifacts = artifacts_of(self.database)
        self.leases = Leases(self.database)

    @property
    def name(self) -> str:
        """The store as messages name it."""
        return self.database.name

    def close(self) -> None:
        """Closes every connection."""
        self.database.close()

    # --- studies and trials ---

    def register(self, plan: Plan) -> None:
        """Stores a plan's trials and, where it is a study's, the definition and the members.

        A study of that name is defined anew.
        """
        with self.database.write() as connection:
            now = self.database.now(connection)
            _add_trials(connection, list(plan.trials.values()), now)
            if not plan.registers:
                return
            definition = {"definition": dumped(dict(plan.study.raw)), "digest": plan.study.digest, "updated": now}
            found = connection.execute(sa.select(study.c.id).where(study.c.name == plan.study.name)).scalar()
            if found is None:
                values = definition | {"name": plan.study.name, "created": now}
                made = connection.execute(sa.insert(study).values(**values))
                found = made.inserted_primary_key[0]  # pyright: ignore[reportOptionalSubscript]
            else:
                connection.execute(sa.update(study).where(study.c.id == found).values(**definition))
                connection.execute(sa.delete(member).where(member.c.study == found))
            rows = [
                {
                    "study": found,
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

    def outcomes(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of those trials that have a result which still counts."""
        found: dict[str, Outcome] = {}
        with self.database.read() as connection:
            for some in chunks(list(keys)):
                query = sa.select(result.c.trial, result.c.outcome).where(result.c.trial.in_(some), ~result.c.stale)
                found |= {key: Outcome(outcome) for key, outcome in connection.execute(query)}
        return found

    def mark_stale(self, keys: Iterable[str], *, failed_only: bool, keep_checkpoints: bool = False) -> int:
        """Marks results as asked for again; each stands until the new one takes its place. Returns how many.

        Without `failed_only` the trajectories begin anew, unless `keep_checkpoints`.
        """
        count = 0
        with self.database.write() as connection:
            for some in chunks(list(keys)):
                update = sa.update(result).where(result.c.trial.in_(some), ~result.c.stale)
                if failed_only:
                    update = update.where(result.c.outcome.in_([str(outcome) for outcome in RETRIED]))
                count += connection.execute(update.values(stale=True)).rowcount
                if not failed_only and not keep_checkpoints:
                    those = sa.select(trial.c.trajectory).where(trial.c.key.in_(some))
                    fresh = {"iteration": 0, "checkpoint": None, "losses": 0}
                    connection.execute(sa.update(trajectory).where(trajectory.c.key.in_(those)).values(**fresh))
        return count

    # --- results ---

    def lost(self, lease: Lease, trials: Sequence[Trial], reason: str) -> bool:
        """Notes that the worker of a lease vanished. True where its trials will be tried again, else they are lost."""
        with self.database.write() as connection:
            if not leases.give_up(connection, lease):
                return True
            for planned in trials:
                sentence = f"{reason}; tried {RETRIES + 1} times"
                self._put(connection, planned.key, Finished(Outcome.LOST, sentence), None)
            return False

    def finish(self, lease: Lease, planned: Trial, finished: Finished) -> bool:
        """Stores a trial's end in one transaction, its artifact before. False where somebody else has the lease now."""
        name = self.artifacts.put(finished.content) if finished.content is not None else None
        with self.database.write() as connection:
            held = leases.holds(connection, lease)
            if held is None:
                return False
            self._put(connection, planned.key, finished, name)
            history = finished.history
            if name and history and finished.outcome is not Outcome.DIVERGED and history.iterations >= held:
                leases.note_checkpoint(connection, lease, history.iterations, name)
        return True

    def checkpoint(self, lease: Lease, iteration: int, content: bytes) -> None:
        """Stores from where a trajectory that is being trained can go on."""
        name = self.artifacts.put(content)
        with self.database.write() as connection:
            old = connection.execute(
                sa.select(trajectory.c.checkpoint).where(trajectory.c.key == lease.trajectory)
            ).scalar()
            kept = leases.note_checkpoint(connection, lease, iteration, name)
            used = (
                old is not None
                and connection.execute(sa.select(result.c.trial).where(result.c.artifact == old).limit(1)).first()
            )
        if kept and old and old != name and not used:
            self.artifacts.remove(old)

    def start_of(self, key: str) -> History | None:
        """The furthest that a trajectory was trained, or None where it must begin anew."""
        with self.database.read() as connection:
            name = connection.execute(sa.select(trajectory.c.checkpoint).where(trajectory.c.key == key)).scalar()
        if name is None:
            return None
        try:
            return from_bytes(self.artifacts.get(name), source=f"{self.name}, artifact {name[:16]}")
        except AssayError:
            return None  # damaged or gone: trained anew, which costs time alone; `store check` names it

    def history(self, key: str) -> History | None:
        """A stored trial's history with its weights, where its artifact was kept."""
        with self.database.read() as connection:
            name = connection.execute(sa.select(result.c.artifact).where(result.c.trial == key)).scalar()
        return from_bytes(self.artifacts.get(name), source=f"{self.name}, trial {key[:8]}") if name else None

    def result(self, key: str) -> History | None:
        """A stored trial's history, with its weights where they were kept; None where it has no result."""
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
            peak_device_memory_bytes=history.peak_device_memory_bytes,
        )

    def remove_trials(self, keys: Sequence[str]) -> int:
        """Removes trials, their results and their places in studies; artifacts go with `vacuum`. Returns how many."""
        with self.database.write() as connection:
            count = 0
            for some in chunks(list(keys)):
                those = connection.execute(sa.select(trial.c.trajectory).where(trial.c.key.in_(some))).scalars().all()
                connection.execute(sa.delete(member).where(member.c.trial.in_(some)))
                connection.execute(sa.delete(result).where(result.c.trial.in_(some)))
                count += connection.execute(sa.delete(trial).where(trial.c.key.in_(some))).rowcount
                used = sa.select(trial.c.trajectory)
                empty = sa.delete(trajectory).where(trajectory.c.key.in_(those), trajectory.c.key.not_in(used))
                connection.execute(empty)
            return count

    def remove_study(self, name: str) -> list[str]:
        """Removes a study with its imported curves; returns the keys of those of its trials that no other one names."""
        with self.database.write() as connection:
            number = _study_id(connection, name)
            mine = set(connection.execute(sa.select(member.c.trial).where(member.c.study == number)).scalars())
            connection.execute(sa.delete(member).where(member.c.study == number))
            connection.execute(sa.delete(imported).where(imported.c.study == number))
            connection.execute(sa.delete(study).where(study.c.id == number))
            shared = set(connection.execute(sa.select(member.c.trial)).scalars())
            return sorted(mine - shared)

    def recent_costs(self) -> Iterator[PastCost]:
        """What an iteration and a log point have cost on this machine in each of its last trials, the latest first."""
        columns = (trial.c.recipe, trial.c.engine, trial.c.device, trial.c.timing)
        recent = (
            sa.select(*columns, result.c.ledger, result.c.iterations, result.c.curve)
            .join(result, result.c.trial == trial.c.key)
            .where(result.c.machine.in_(places()), result.c.iterations > 0)
            .order_by(result.c.finished.desc())
            .limit(500)
        )
        with self.database.read() as connection:
            rows = connection.execute(recent).all()
        for row in rows:
            ledger, points = json.loads(row.ledger), max(len(json.loads(row.curve).get("iteration", [])), 1)
            iteration, point = ledger.get("train", 0.0) / row.iterations, ledger.get("evaluate", 0.0) / points
            recipe = Recipe.stored(json.loads(row.recipe))
            yield PastCost(recipe, row.engine, row.device, row.timing, iteration, point, row.iterations)

    # --- rows ---

    def _put(self, connection: sa.Connection, key: str, finished: Finished, artifact: str | None) -> None:
        row = result_row(key, finished, artifact=artifact, cores=cores(), now=self.database.now(connection))
        about = finished.history.machine if finished.history and finished.history.machine else describe()
        place = machine_row(about)
        if connection.execute(sa.select(machine.c.hash).where(machine.c.hash == place["hash"])).first() is None:
            connection.execute(sa.insert(machine).values(**place))
        connection.execute(sa.delete(result).where(result.c.trial == key))
        connection.execute(sa.insert(result).values(**row, machine=place["hash"]))


def _add_trials(connection: sa.Connection, planned: Sequence[Trial], now: float) -> None:
    trajectories = list(dict.fromkeys(one.trajectory for one in planned))
    for table, column, rows in (
        (trajectory, trajectory.c.key, {key: {"key": key, "iteration": 0, "losses": 0} for key in trajectories}),
        (trial, trial.c.key, {one.key: trial_row(one, now) for one in planned}),
    ):
        there: set[str] = set()
        for some in chunks(list(rows)):
            there |= set(connection.execute(sa.select(column).where(column.in_(some))).scalars())
        new: list[dict[str, Any]] = [dict(row) for key, row in rows.items() if key not in there]
        if new:
            connection.execute(sa.insert(table), new)


def _study_id(connection: sa.Connection, name: str) -> int:
    found = connection.execute(sa.select(study.c.id).where(study.c.name == name)).scalar()
    if found is None:
        names = connection.execute(sa.select(study.c.name)).scalars().all()
        raise StoreError(unknown("study", name, names) if names else f"unknown study {name!r}; the store has none yet")
    return int(found)
