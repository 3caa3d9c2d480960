"""Searches: what each resolved, its decisions, and what they were told."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Makes the two tables of searches. Columns for rungs and seeds are there from the beginning."""
    op.create_table(
        "search",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id"), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("worst", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
    )
    op.create_table(
        "search_job",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id"), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("trial", sa.String(64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("axis_values", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer()),
        sa.Column("budget", sa.BigInteger()),
        sa.Column("parent", sa.Integer()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("decided", sa.Double(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("scores", sa.Text()),
        sa.Column("measured", sa.Text()),
        sa.Column("feasible", sa.Boolean()),
        sa.Column("cost_seconds", sa.Double()),
        sa.Column("cost_flops", sa.Double()),
        sa.Column("reused", sa.Boolean()),
        sa.Column("told", sa.Double()),
    )
