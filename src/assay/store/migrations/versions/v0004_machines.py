"""Machines under a hash that leaves Assay's own version out: a release does not make another machine of this one."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

machine = sa.table("machine", sa.column("hash", sa.String), sa.column("description", sa.Text))
referring = [sa.table(name, sa.column("machine", sa.String)) for name in ("result", "bench")]


def upgrade() -> None:
    """Computes every hash again. Machines that differed in Assay's version alone become one."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(machine.c.hash, machine.c.description).order_by(machine.c.hash)).all()
    stored = {row.hash for row in rows}
    for old, description in rows:
        new = _hash(description) or old
        if new == old:
            continue
        if new not in stored:  # before anything refers to it, and the old row goes when nothing does
            connection.execute(sa.insert(machine).values(hash=new, description=description))
            stored.add(new)
        for table in referring:
            connection.execute(sa.update(table).where(table.c.machine == old).values(machine=new))
        connection.execute(sa.delete(machine).where(machine.c.hash == old))


def _hash(description: str) -> str | None:
    """The hash as this version of the schema defines it; None where the description cannot be read."""
    try:
        lasting = json.loads(description)
        for name in ("commit", "blas"):
            lasting.pop(name, None)
        if isinstance(lasting.get("versions"), dict):
            lasting["versions"].pop("assay", None)
    except (ValueError, AttributeError, TypeError):
        return None
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:32]
