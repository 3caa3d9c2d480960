"""Stores to test: SQLite in a folder, and a real PostgreSQL where its programs are installed."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa

from assay.store.store import Store
from tests.store.servers import postgres, program

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def server() -> Generator[str]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with postgres() as url:
        yield url


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    address: str = request.getfixturevalue("server")
    admin = sa.create_engine(address, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE trials"))
    yield address.rsplit("/", 1)[0] + "/trials"
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE trials WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def store(url: str) -> Generator[Store]:
    opened = Store(url)
    yield opened
    opened.close()
