"""Curves as bytes in place of JSON text, and a table of what is being trained."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from assay.store.curves import packed_text

revision = "0006"
down_revision = "0005"

_CHUNK = 1000  # curves in memory at once


def upgrade() -> None:
    """Rewrites every curve. One that cannot be read keeps its text, as bytes, so that a check finds it."""
    connection = op.get_bind()
    for name, key in (("result", "trial"), ("imported", "key")):
        if connection.dialect.name == "sqlite":
            _in_sqlite(connection, name)
        else:
            _in_postgresql(connection, name, key)
    op.create_table(
        "progress",
        sa.Column("trajectory", sa.String(64), primary_key=True),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("study", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("iterations", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
    )


def _in_sqlite(connection: sa.Connection, name: str) -> None:
    """Copies the table into one whose column has the new type: SQLite cannot change a type in place."""
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.create_function("assay_curve", 1, _packed, deterministic=True)
    schema = sa.text("SELECT sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL ORDER BY type DESC")
    table, *indices = connection.execute(schema, {"name": name}).scalars().all()
    body = str(table).split("(", 1)[1]
    if "curve TEXT" not in body:
        raise ValueError(f"table {name!r} has another schema than that of version {down_revision}")
    columns = [str(row[1]) for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")]
    values = [f"assay_curve({column})" if column == "curve" else column for column in columns]
    connection.exec_driver_sql(f"CREATE TABLE new_{name} ({body.replace('curve TEXT', 'curve BLOB')}")
    copy = f"INSERT INTO new_{name} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {name}"  # noqa: S608
    connection.exec_driver_sql(copy)
    connection.exec_driver_sql(f"DROP TABLE {name}")
    connection.exec_driver_sql(f"ALTER TABLE new_{name} RENAME TO {name}")
    for statement in indices:
        connection.exec_driver_sql(str(statement))


def _in_postgresql(connection: sa.Connection, name: str, key: str) -> None:
    op.add_column(name, sa.Column("curve_bytes", sa.LargeBinary()))
    table = sa.table(name, sa.column(key, sa.String), sa.column("curve", sa.Text), sa.column("curve_bytes"))
    update = sa.update(table).where(table.c[key] == sa.bindparam("row")).values(curve_bytes=sa.bindparam("bytes"))
    for chunk in _chunks(list(connection.execute(sa.select(table.c[key])).scalars())):
        rows = connection.execute(sa.select(table.c[key], table.c.curve).where(table.c[key].in_(chunk)))
        connection.execute(update, [{"row": row[0], "bytes": _packed(row[1])} for row in rows])
    op.drop_column(name, "curve")
    op.alter_column(name, "curve_bytes", new_column_name="curve", nullable=False)


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def _packed(cell: object) -> object:
    """A curve as bytes; what is no curve is left as it is."""
    if not isinstance(cell, str):
        return cell
    try:
        return packed_text(cell)
    except ValueError:
        return cell.encode("utf-8", "surrogatepass")
