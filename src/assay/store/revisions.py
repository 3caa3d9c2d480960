"""Earlier definitions of a study: kept as studies of their own when a run drops members of a stored study.

A revision is the row and the members that the study had, under the name NAME@1, NAME@2, ... Every command takes it.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from assay.store.schema import member, search, study
from assay.studies.plan import Plan
from assay.system.command_line import command_line

Member = tuple[str, str, int]
"""A member: its trial, its label and the number of its seed."""


@dataclass(frozen=True)
class Change:
    """What a plan changes in the stored study of its name.

    Attributes:
        name: The name of the study.
        stored: The number of its trials.
        kept: How many of them are in the plan.
        added: How many trials of the plan are not in the stored study.
        relabelled: How many of the kept trials have another label.
        revision: The name under which the earlier study is kept; "" where the plan has all of its members.
    """

    name: str
    stored: int
    kept: int
    added: int
    relabelled: int
    revision: str

    @property
    def dropped(self) -> int:
        """How many of the stored trials are not in the plan."""
        return self.stored - self.kept

    def sentence(self) -> str:
        """What changes, in words.

        >>> Change("s", stored=4, kept=2, added=1, relabelled=0, revision="").sentence()
        "study 's' is stored with 4 trials: 2 stay, 2 are dropped and 1 is added"
        """
        stay = "all stay" if not self.dropped else f"{self.kept:,} stay{'s' if self.kept == 1 else ''}"
        parts = [stay + (f" ({self.relabelled:,} under another label)" if self.relabelled else "")]
        parts += [f"{n:,} {'is' if n == 1 else 'are'} {verb}" for n, verb in self._counts() if n]
        count = f"{self.stored:,} trial{'' if self.stored == 1 else 's'}"
        sentence = f"study {self.name!r} is stored with {count}: {', '.join(parts[:-1])}"
        sentence += f"{' and ' if parts[:-1] else ''}{parts[-1]}"
        if self.revision:
            line = command_line("assay report", self.revision)
            sentence += f"; the earlier definition stays as {self.revision!r}: {line}"
        return sentence

    def _counts(self) -> list[tuple[int, str]]:
        return [(self.dropped, "dropped"), (self.added, "added")]


def change_of(connection: sa.Connection, plan: Plan) -> Change | None:
    """What a plan changes; None where no study of its name is stored, or where it has the same members."""
    row = _stored(connection, plan.study.name)
    if row is None:
        return None
    old, new = _members(connection, row.id), _planned(plan)
    if not old or old == new:
        return None
    old_trials, new_trials = {key for key, *_ in old}, {key for key, *_ in new}
    kept = old_trials & new_trials
    lost = old - new
    return Change(
        plan.study.name,
        stored=len(old_trials),
        kept=len(kept),
        added=len(new_trials - old_trials),
        relabelled=len({key for key, *_ in lost} & kept),
        revision=_revision(connection, row.name, digest=row.digest, members=old)
        if lost or _is_search(connection, row)
        else "",
    )


def keep_revision(connection: sa.Connection, plan: Plan) -> None:
    """Moves the stored members of a study to a revision if the plan lacks any of them, unless one like it is stored."""
    row = _stored(connection, plan.study.name)
    if row is not None and _is_search(connection, row):
        set_aside(connection, row)
        return
    change = change_of(connection, plan)
    if change is None or not change.revision or _stored(connection, change.revision) is not None:
        return
    assert row is not None  # `change_of` has found it
    values = {name: getattr(row, name) for name in ("definition", "digest", "created", "updated")}
    inserted = connection.execute(sa.insert(study).values(name=change.revision, **values))
    number = inserted.inserted_primary_key[0]  # pyright: ignore[reportOptionalSubscript]
    connection.execute(sa.update(member).where(member.c.study == row.id).values(study=number))


def set_aside(connection: sa.Connection, row: sa.Row[Any]) -> str:
    """Gives a stored study the next free name `NAME@N`, with its members and its decisions; returns the name."""
    numbers = itertools.count(1)
    name = next(name for n in numbers if _stored(connection, name := f"{row.name}@{n}") is None)
    connection.execute(sa.update(study).where(study.c.id == row.id).values(name=name))
    return name


def _is_search(connection: sa.Connection, row: sa.Row[Any], digest: str | None = None) -> bool:
    """Whether a stored study is a search, and the one with the digest if that is given."""
    query = sa.select(search.c.study).where(search.c.study == row.id)
    if digest is not None:
        query = query.where(search.c.digest == digest)
    return connection.execute(query).first() is not None


def stored_definition(connection: sa.Connection, name: str) -> dict[str, Any] | None:
    """The definition of a stored study under the name that it is stored by; None if there is none."""
    row = _stored(connection, name)
    return None if row is None else {**json.loads(row.definition), "name": name}


def place_of(
    connection: sa.Connection, name: str, *, digest: str | None, members: set[Member], of_search: str | None = None
) -> tuple[str, int | None]:
    """Where a study from elsewhere belongs: a name, and the id of the study that has the name and all of the members.

    The id is None where there is no such study yet. Another study of the name stays as it is: the name is then that of
    a revision. `of_search` is the digest of a search, whose decisions only the same search has.
    """
    stored = _stored(connection, name)
    same = of_search is None or (stored is not None and _is_search(connection, stored, of_search))
    if stored is not None and not (same and members <= _members(connection, stored.id)):
        name = _revision(connection, name, digest=digest, members=members)
        stored = _stored(connection, name)
    return name, None if stored is None else int(stored.id)


def _revision(connection: sa.Connection, name: str, *, digest: str | None, members: set[Member]) -> str:
    """The name of the revision: that of an equal one, or the next free one."""
    number = 1
    while (other := _stored(connection, f"{name}@{number}")) is not None:
        if other.digest == digest and _members(connection, other.id) == members:
            break
        number += 1
    return f"{name}@{number}"


def _stored(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    return connection.execute(sa.select(study).where(study.c.name == name)).first()  # pyright: ignore


def _members(connection: sa.Connection, study_id: int) -> set[Member]:
    query = sa.select(member.c.trial, member.c.label, member.c.repeat).where(member.c.study == study_id)
    return {(row.trial, row.label, row.repeat) for row in connection.execute(query)}


def _planned(plan: Plan) -> set[Member]:
    return {(member.key, member.label, member.repeat) for member in plan.members}
