"""Processor seconds, foreign load, instruction level, preparation and skipped operations of each result.

Those of older trials are unknown.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the columns, with null in every stored result."""
    for name, kind in (
        ("processor_seconds", sa.Double()),
        ("foreign_seconds", sa.Double()),
        ("busy", sa.Boolean()),
        ("level", sa.Text()),
        ("preparation_seconds", sa.Double()),
        ("skipped", sa.Double()),
    ):
        op.add_column("result", sa.Column(name, kind))
