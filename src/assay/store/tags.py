"""Tags of studies: words of their users, in a table that is made when the first tag is written.

It is not part of the schema's versions: a store without it has no tags, and older versions of Assay ignore it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from assay.errors import StoreError
from assay.store.database import Database
from assay.store.queries import study_definition
from assay.store.schema import study

_metadata = sa.MetaData()
tag = sa.Table(
    "tag",
    _metadata,
    sa.Column("study", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_KEY = re.compile(r"[A-Za-z_][\w.-]{0,99}")


def parsed(texts: Sequence[str]) -> dict[str, str]:
    """Tags of KEY=VALUE; an empty value removes the tag. Raises: StoreError, for the first that is none.

    >>> parsed(["owner=ada", "stage="])
    {'owner': 'ada', 'stage': ''}
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not _KEY.fullmatch(key) or len(value) > 1000:
            raise StoreError(f"tag {text!r}: expected KEY=VALUE, such as owner=ada; KEY= removes a tag")
        if tags.get(key, value) != value:
            raise StoreError(f"tag {key!r}: is given twice, as {tags[key]!r} and as {value!r}")
        tags[key] = value
    return tags


def write(database: Database, name: str, tags: Mapping[str, str]) -> None:
    """Sets the tags of a study; one with an empty value is removed. Raises: StoreError for an unknown study."""
    number = study_definition(database, name)["id"]
    with database.write() as connection:
        tag.create(connection, checkfirst=True)
        for key, value in tags.items():
            connection.execute(sa.delete(tag).where(tag.c.study == number, tag.c.key == key))
            if value:
                connection.execute(sa.insert(tag).values(study=number, key=key, value=value))


def read(database: Database) -> dict[str, dict[str, str]]:
    """The tags of every study that has some, by its name."""
    query = sa.select(study.c.name, tag.c.key, tag.c.value).join(tag, tag.c.study == study.c.id)
    tags: dict[str, dict[str, str]] = {}
    with database.read() as connection:
        if not sa.inspect(connection).has_table(tag.name):
            return {}
        for name, key, value in connection.execute(query.order_by(study.c.name, tag.c.key)):
            tags.setdefault(name, {})[key] = value
    return tags


def forget(connection: sa.Connection, number: int) -> None:
    """Removes the tags of a study that is removed."""
    if sa.inspect(connection).has_table(tag.name):
        connection.execute(sa.delete(tag).where(tag.c.study == number))


def has(tags: Mapping[str, str], wanted: str) -> bool:
    """Whether tags pass a filter: KEY=VALUE, or KEY alone for any value.

    >>> has({"owner": "ada"}, "owner"), has({"owner": "ada"}, "owner=bob")
    (True, False)

    Raises: StoreError for a filter with another operator, or without a key.
    """
    key, equals, value = (part.strip() for part in wanted.partition("="))
    if not _KEY.fullmatch(key):
        raise StoreError(f"--tag {wanted!r}: expected KEY or KEY=VALUE, such as owner=ada")
    return tags.get(key) == value if equals else key in tags
