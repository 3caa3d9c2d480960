"""The URL of a store: what may be written, what it names, and how it is shown without its password."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from assay.errors import FileError, StoreError, to_install
from assay.system.files import home_expanded

Place = str | os.PathLike[str]
"""Where a store is: its URL, or the path of an SQLite file."""

DEFAULT = "sqlite:///assay.db"
_FORMS = "sqlite:///FILE or postgresql+psycopg://..."
_SCHEME = re.compile(r"(sqlite|postgres|postgresql)(\+\w+)?:(?!//)")


def parsed(url: str) -> sa.URL:
    """A URL, or the path of an SQLite file: what has no `://` is a path, whatever characters it has."""
    if match := _SCHEME.match(url):
        raise StoreError(f"store {without_password(url)!r}: expected two slashes after {match[0]!r}, as in {_FORMS}")
    if "://" not in url:
        return sa.URL.create("sqlite", database=_home_expanded(url) if url.startswith("~") else url)
    shown = without_password(url)
    try:
        address = _with_driver(sa.make_url(url))
        backend = address.get_backend_name()
        if backend == "postgresql":
            address.get_dialect().import_dbapi()
    except ModuleNotFoundError:
        raise StoreError(f"a store in PostgreSQL needs psycopg: {to_install('postgres')}") from None
    except NoSuchModuleError:
        raise StoreError(_unsupported(shown, url.partition("://")[0])) from None
    except (ArgumentError, ValueError):
        raise StoreError(f"store {shown!r}: not a URL; expected {_FORMS}") from None
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(_unsupported(shown, backend))
    if backend == "sqlite" and (address.host or address.username or address.query):
        raise StoreError(f"store {shown!r}: SQLite has no host, user or options; expected sqlite:///FILE")
    if backend == "sqlite" and not address.database:
        raise StoreError(f"store {shown!r}: names no file; expected sqlite:///FILE")
    if backend == "sqlite" and address.database and address.database.startswith("~"):
        return address.set(database=_home_expanded(address.database))
    return address


def _unsupported(shown: str, backend: str) -> str:
    return f"store {shown!r}: {backend!r} is not supported; expected sqlite or postgresql+psycopg"


def without_password(url: str) -> str:
    """A URL, well-formed or not, with its password replaced.

    >>> without_password("postgres://ada:secret@host:port/x?password=secret&sslmode=require")
    'postgres://ada:***@host:port/x?password=***&sslmode=require'
    >>> without_password("postgres:ada:secret@host/x")
    'postgres:ada:***@host/x'
    """
    masked = re.sub(r"((?:://|^[\w+.-]+:/?)[^/@:]*:).*(?=@)", r"\1***", url)
    return re.sub(r"(?i)((?:password|passwd|pwd|sslpassword|token)=)[^&\s]*", r"\1***", masked)


def _with_driver(url: sa.URL) -> sa.URL:
    """A PostgreSQL URL that names no driver, with the one that Assay installs."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def _home_expanded(name: str) -> str:
    try:
        return str(home_expanded(name))
    except FileError as error:
        raise StoreError(f"store {error}") from None


def sqlite_path(url: str) -> Path | None:
    """The file that a URL names; None if it is not an SQLite URL."""
    address = parsed(url)
    return file_of(address) if address.get_backend_name() == "sqlite" else None


def file_of(address: sa.URL) -> Path:
    """The file of an SQLite URL. A link is followed: SQLite's log and the weights are next to the file itself."""
    path = Path(address.database or "")
    with suppress(OSError, RuntimeError):  # a closed folder, a circle of links: whoever opens the file says so
        return path.resolve() if path.is_symlink() else path
    return path
