"""Curves imported from other frameworks' logs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the table of imported curves."""
    op.create_table(
        "imported",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("framework", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("test_loss", sa.Double()),
        sa.Column("train_loss", sa.Double()),
        sa.Column("train_accuracy", sa.Double()),
        sa.Column("validation_loss", sa.Double()),
        sa.Column("validation_accuracy", sa.Double()),
        sa.Column("seconds", sa.Double()),
        sa.Column("effort", sa.Double()),
        sa.Column("iterations", sa.BigInteger()),
        sa.Column("examples", sa.BigInteger()),
        sa.Column("timing", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=False),
    )
    op.create_index("ix_imported_study", "imported", ["study"])
