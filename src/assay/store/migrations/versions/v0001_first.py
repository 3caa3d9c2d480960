"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes every table."""
    op.create_table(
        "artifact",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("written", sa.Double(), nullable=False),
    )
    op.create_table(
        "machine",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("description", sa.Text(), nullable=False),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
    )
    op.create_table(
        "trajectory",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.String(64)),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(64)),
        sa.Column("host", sa.Text()),
        sa.Column("boot", sa.Text()),
        sa.Column("pid", sa.Integer()),
        sa.Column("started", sa.Text()),
        sa.Column("expires", sa.Double()),
    )
    op.create_table(
        "trial",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("trajectory", sa.String(64), sa.ForeignKey("trajectory.key"), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("data_checksum", sa.String(64)),
        sa.Column("model", sa.Text()),
        sa.Column("optimizer", sa.Text()),
        sa.Column("learning_rate", sa.Double()),
        sa.Column("batches", sa.Text()),
        sa.Column("batch_size", sa.Integer()),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("engine", sa.Text()),
        sa.Column("numerics", sa.Integer()),
        sa.Column("device", sa.Text()),
        sa.Column("timing", sa.Text()),
        sa.Column("threads", sa.Integer()),
        sa.Column("budget", sa.BigInteger()),
        sa.Column("created", sa.Double(), nullable=False),
    )
    op.create_index("ix_trial_trajectory", "trial", ["trajectory"])
    op.create_table(
        "member",
        sa.Column("study", sa.Integer(), sa.ForeignKey("study.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("trial", sa.String(64), sa.ForeignKey("trial.key"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("axis_values", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
    )
    op.create_index("ix_member_trial", "member", ["trial"])
    op.create_table(
        "result",
        sa.Column("trial", sa.String(64), sa.ForeignKey("trial.key"), primary_key=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("stale", sa.Boolean(), nullable=False),
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
        sa.Column("flops", sa.Double()),
        sa.Column("parameters", sa.BigInteger()),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
        sa.Column("peak_device_memory_bytes", sa.BigInteger()),
        sa.Column("cores", sa.Integer()),
        sa.Column("cohort", sa.Integer()),
        sa.Column("engine_choice", sa.Text()),
        sa.Column("ledger", sa.Text(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("confusion", sa.Text()),
        sa.Column("classes", sa.Text()),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("machine", sa.String(64), sa.ForeignKey("machine.hash")),
        sa.Column("source_commit", sa.Text()),
        sa.Column("artifact", sa.String(64)),
        sa.Column("finished", sa.Double(), nullable=False),
    )
    op.create_index("result_finished", "result", ["finished"])
