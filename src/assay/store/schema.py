"""The tables of the store in the newest schema version; migrations/ holds the migrations from older versions.

A value that is filtered or sorted by has a column. What is read as a whole (a ledger, a recipe) is JSON text, and a
curve is bytes (`store/curves.py`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = "0009"
READABLE = (
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    VERSION,
)  # versions with these tables; what is only read need not be migrated
APPLICATION = 0x41535359  # "ASSY" in the header of an SQLite file

metadata = MetaData()


def _as_bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


class Packed(LargeBinary):
    """Bytes; in place of a curve, a store of schema 0005 and before has JSON text, which is read as it is."""

    cache_ok = True

    def bind_processor(self, dialect: Any) -> None:
        """Values are bytes already."""

    def result_processor(self, dialect: Any, coltype: object) -> Any:
        """Values are as the database gives them: a damaged one may be of any type, which `check_row` says."""
        return _as_bytes


def _key(name: str, **options: bool) -> Column[str]:
    return Column(name, String(64), **options)  # pyright: ignore[reportArgumentType]


trajectory = Table(
    "trajectory",
    metadata,
    _key("key", primary_key=True),
    Column("iteration", BigInteger, nullable=False, default=0),  # of the checkpoint
    _key("checkpoint"),  # the artifact to resume from
    Column("losses", Integer, nullable=False, default=0),  # workers that died while training it
    _key("token"),  # of the lease, null without a lease
    Column("host", Text),
    Column("boot", Text),
    Column("pid", Integer),
    Column("started", Text),  # when the process started, as the system reports it
    Column("expires", Double),  # by the database's clock, in seconds since 1970
)

trial = Table(
    "trial",
    metadata,
    _key("key", primary_key=True),
    Column("trajectory", String(64), ForeignKey("trajectory.key"), nullable=False, index=True),
    Column("recipe", Text, nullable=False),
    Column("data", Text, nullable=False),
    _key("data_checksum"),
    Column("model", Text),
    Column("optimizer", Text),
    Column("learning_rate", Double),
    Column("batches", Text),
    Column("batch_size", Integer),
    Column("seed", BigInteger),
    Column("engine", Text),
    Column("numerics", Integer),
    Column("device", Text),
    Column("timing", Text),
    Column("threads", Integer),
    Column("budget", BigInteger),  # iterations
    Column("created", Double, nullable=False),
)

result = Table(
    "result",
    metadata,
    Column("trial", String(64), ForeignKey("trial.key"), primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", Text),  # the traceback of a failed trial
    Column("stale", Boolean, nullable=False, default=False),  # to be retrained; valid until the new result is stored
    Column("accuracy", Double),
    Column("test_loss", Double),
    Column("train_loss", Double),
    Column("train_accuracy", Double),
    Column("validation_loss", Double),
    Column("validation_accuracy", Double),
    Column("seconds", Double),  # of training
    Column("effort", Double),
    Column("iterations", BigInteger),
    Column("examples", BigInteger),
    Column("flops", Double),
    Column("parameters", BigInteger),
    Column("peak_memory_bytes", BigInteger),
    Column("peak_device_memory_bytes", BigInteger),
    Column("cores", Integer),
    Column("cohort", Integer),
    Column("engine_choice", Text),
    Column("ledger", Text, nullable=False),
    Column("curve", Packed, nullable=False),
    Column("confusion", Text),
    Column("classes", Text),
    Column("warnings", Text, nullable=False),
    Column("machine", String(64), ForeignKey("machine.hash")),
    Column("source_commit", Text),  # of Assay
    _key("artifact"),
    Column("finished", Double, nullable=False),
    Column("processor_seconds", Double),  # of training, user and system, all threads; null if unknown
    Column("foreign_seconds", Double),  # of training, in which foreign load kept it from running; null if unknown
    Column("busy", Boolean),  # whether that is more than 5 % of training; null if unknown or too short to judge
    Column("level", Text),  # the engine's instruction level on the processor; null if unknown
    Column("preparation_seconds", Double),  # of a new engine for the data, not part of training; null if unknown
    Column("skipped", Double),  # the fraction of flops that the engine skips; null if unknown
    Column("r2", Double),  # of a regression, on the test set, as `rmse`; null for a classification
    Column("rmse", Double),  # in the target's units
    Column("train_r2", Double),
    Column("train_rmse", Double),
    Column("validation_r2", Double),
    Column("validation_rmse", Double),
    Column("train_examples", BigInteger),  # that it is trained on; null if unknown
    Column("test_examples", BigInteger),  # of its test set
)
ADDED_IN: dict[str, tuple[str, ...]] = {
    "0005": ("processor_seconds", "foreign_seconds", "busy", "level", "preparation_seconds", "skipped"),
    "0008": ("r2", "rmse", "train_r2", "train_rmse", "validation_r2", "validation_rmse"),
    "0009": ("train_examples", "test_examples"),
}
"""The columns of `result` that stores, exports and frames from before a version lack."""
ADDED = tuple(name for names in ADDED_IN.values() for name in names)
Index("result_finished", result.c.finished)

machine = Table("machine", metadata, _key("hash", primary_key=True), Column("description", Text, nullable=False))

study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("definition", Text, nullable=False),
    _key("digest"),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

member = Table(
    "member",
    metadata,
    Column("study", Integer, ForeignKey("study.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("trial", String(64), ForeignKey("trial.key"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("axis_values", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
)

bench = Table(  # engines side by side on one recipe
    "bench",
    metadata,
    _key("key", primary_key=True),
    Column("name", Text, nullable=False),
    Column("data", Text, nullable=False),
    _key("data_checksum"),
    Column("outcome", Text, nullable=False),  # running, completed, interrupted
    Column("measured", Integer, nullable=False),  # rows with a time
    Column("rows", Integer, nullable=False),
    Column("baseline", Text),
    Column("machine", String(64), ForeignKey("machine.hash")),
    Column("source_commit", Text),
    Column("content", Text, nullable=False),  # the whole bench, as --json prints it
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

imported = Table(  # curves of other frameworks' logs; these are not trials: never claimed, trained or paired by seed
    "imported",
    metadata,
    _key("key", primary_key=True),  # of the file's content
    Column("study", Integer, ForeignKey("study.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("framework", Text, nullable=False),
    Column("source", Text, nullable=False),  # file, hash, format, units, counts of lines
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accuracy", Double),
    Column("test_loss", Double),
    Column("train_loss", Double),
    Column("train_accuracy", Double),
    Column("validation_loss", Double),
    Column("validation_accuracy", Double),
    Column("seconds", Double),  # by the clock of the log
    Column("effort", Double),
    Column("iterations", BigInteger),
    Column("examples", BigInteger),
    Column("timing", Text, nullable=False),  # what the seconds include
    Column("machine", Text, nullable=False),
    Column("curve", Packed, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("finished", Double, nullable=False),  # when it was imported
)

progress = Table(  # what is being trained; only while the lease with this token holds
    "progress",
    metadata,
    _key("trajectory", primary_key=True),
    Column("token", String(64), nullable=False),  # of the lease
    Column("study", Text, nullable=False),
    Column("label", Text, nullable=False),  # of the configuration
    Column("holder", Text, nullable=False),
    Column("since", Double, nullable=False),  # by the database's clock, as `updated`
    Column("updated", Double, nullable=False),
    Column("iteration", BigInteger, nullable=False),
    Column("iterations", BigInteger, nullable=False),  # at the end
    Column("points", Packed, nullable=False),  # the latest points of the curve
)

search = Table(  # studies whose design is "search": what was resolved when each was first registered
    "search",
    metadata,
    Column("study", Integer, ForeignKey("study.id"), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the definition without its budget
    Column("method", Text, nullable=False),  # what "auto" stands for
    Column("choice", Text, nullable=False),  # why; empty where the method was given
    Column("worst", Text, nullable=False),  # what is told without a score, for each objective
    Column("shown", Text, nullable=False),  # trials of the store that the sampler sees first: points with scores
    Column("versions", Text, nullable=False),  # of the sampler's packages
    Column("created", Double, nullable=False),
)

search_job = Table(  # the decisions of searches, and what each was told: both are written once
    "search_job",
    metadata,
    Column("study", Integer, ForeignKey("study.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("kind", Text, nullable=False),  # suggestion, promotion, screening, race, fresh
    Column("trial", String(64), nullable=False),  # may have been removed
    Column("label", Text, nullable=False),
    Column("axis_values", Text, nullable=False),
    Column("repeat", Integer, nullable=False),  # the number of the seed
    Column("rung", Integer),  # null: the full budget
    Column("budget", BigInteger),  # iterations of the rung
    Column("parent", Integer),  # the job whose point it trains further, or on another seed
    Column("attempts", Integer, nullable=False),  # how often the sampler was asked
    Column("origin", Text, nullable=False),  # sampler, neighbour
    Column("seconds", Double, nullable=False),  # of deciding
    Column("decided", Double, nullable=False),
    Column("outcome", Text),  # of the trial when it was told; null until then, as all that follows
    Column("scores", Text),  # what the sampler was told
    Column("measured", Text),  # the trial's own scores; null without
    Column("feasible", Boolean),
    Column("cost_seconds", Double),
    Column("cost_flops", Double),
    Column("reused", Boolean),  # the trial was stored before it was decided
    Column("told", Double),
)

artifact = Table(  # those that have no file of their own
    "artifact",
    metadata,
    _key("hash", primary_key=True),
    Column("content", Packed, nullable=False),
    Column("written", Double, nullable=False),
)
