"""Pruning: the weights of a study's trials that nothing keeps are removed; their results stay."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from assay.store.database import chunks
from assay.store.schema import member, result, study, trajectory, trial
from assay.store.store import Store


def prune(store: Store, name: str, winners: Collection[str]) -> int:
    """Removes the weights of the trials of a study that are no winners; returns of how many trials.

    One transaction drops the references, then the artifacts go. Trials of another study that keeps weights are left
    alone, and so is a trajectory with a trial that is not pruned. A trajectory that another process trains keeps the
    checkpoint that it resumes from.
    """
    with store.database.write() as connection:
        keys = _prunable(connection, name, winners)
        artifacts: set[str] = set()
        count = 0
        for chunk in chunks(sorted(keys)):
            rows = sa.select(result.c.artifact).where(result.c.trial.in_(chunk), result.c.artifact.is_not(None))
            stored = connection.execute(rows).scalars().all()
            artifacts.update(stored)
            count += len(stored)
            connection.execute(sa.update(result).where(result.c.trial.in_(chunk)).values(artifact=None))
            free = _free_trajectories(connection, chunk, keys)
            checkpoints = sa.select(trajectory.c.checkpoint).where(
                trajectory.c.key.in_(free), trajectory.c.checkpoint.is_not(None)
            )
            artifacts.update(connection.execute(checkpoints).scalars())
            dropped = sa.update(trajectory).where(trajectory.c.key.in_(free))
            connection.execute(dropped.values(checkpoint=None, iteration=0))
        unused = artifacts - _referenced(connection, artifacts)
    for artifact in sorted(unused):  # when the commit that drops the references is on the disk
        store.artifacts.remove(artifact)
    return count


def _prunable(connection: sa.Connection, name: str, winners: Collection[str]) -> set[str]:
    """The trials of a study that are no winners, and that no other study keeps the weights of."""
    definitions = connection.execute(sa.select(study.c.id, study.c.name, study.c.definition)).all()
    members: dict[int, set[str]] = {}
    own = next((row.id for row in definitions if row.name == name), None)
    if own is None:  # another process has removed it
        return set()
    others = [row.id for row in definitions if row.id != own and _keeps(row.definition)]
    for number in (own, *others):
        rows = connection.execute(sa.select(member.c.trial).where(member.c.study == number)).scalars()
        members[number] = set(rows)
    kept = set(winners).union(*(members[number] for number in others))
    return members[own] - kept


def kept_by_others(store: Store, names: Collection[str]) -> tuple[set[str], set[str]]:
    """The trials with weights that other studies keep, and those of studies with `save_best`.

    Args:
        store: The store.
        names: The studies that do not count.
    """
    weights, best = set[str](), set[str]()
    with store.database.read() as connection:
        for row in connection.execute(sa.select(study.c.id, study.c.name, study.c.definition)).all():
            if row.name in names or not _keeps(row.definition):
                continue
            query = sa.select(result.c.trial).join(member, member.c.trial == result.c.trial)
            of_study = query.where(member.c.study == row.id, result.c.artifact.is_not(None))
            keys = set(connection.execute(of_study).scalars())
            weights |= keys
            best |= keys if _saves_best(row.definition) else set()
    return weights, best


def _saves_best(definition: str) -> bool:
    """Whether a stored study keeps the weights of the best point too."""
    try:
        plain: Any = json.loads(definition)
    except ValueError:
        return False
    return isinstance(plain, dict) and bool(plain.get("save_best"))


def _keeps(definition: str) -> bool:
    """Whether a stored study keeps weights: all but those that keep nothing; one that cannot be read does."""
    try:
        plain: Any = json.loads(definition)
    except ValueError:
        return True
    return not isinstance(plain, dict) or plain.get("keep") != "nothing"


def _free_trajectories(connection: sa.Connection, keys: Collection[str], pruned: Collection[str]) -> list[str]:
    """The trajectories of pruned trials, without those that are leased or have a trial that is not pruned."""
    of_keys = sa.select(trial.c.trajectory).where(trial.c.key.in_(list(keys)))
    query = sa.select(trial.c.trajectory, trial.c.key).where(trial.c.trajectory.in_(of_keys))
    every = connection.execute(query).all()
    used = {row.trajectory for row in every if row.key not in pruned}
    free = list({row.trajectory for row in every} - used)
    held = sa.select(trajectory.c.key).where(trajectory.c.key.in_(free), trajectory.c.token.is_not(None))
    return sorted(set(free) - set(connection.execute(held).scalars()))


def _referenced(connection: sa.Connection, artifacts: Collection[str]) -> set[str]:
    """Those of the artifacts that a result or a trajectory still refers to."""
    referenced: set[str] = set()
    for chunk in chunks(sorted(artifacts)):
        for column in (result.c.artifact, trajectory.c.checkpoint):
            referenced.update(connection.execute(sa.select(column).where(column.in_(chunk))).scalars())
    return referenced
