"""Answers on a stranger's store: names do not steer the terminal, commands are quoted, nothing is fetched."""

from __future__ import annotations

import csv
import io
import json
import shlex
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assay.cli.options import typed_store
from assay.recipe.toml import toml_text
from assay.report.html import text as page_text
from assay.report.text import clean, from_csv_cell
from assay.store.schema import imported, member, study, trial
from assay.store.store import Store
from assay.store.urls import without_password
from tests.report.random_stores import random_log
from tests.store.makers import made_end, made_plan

ESCAPE = "\x1b[2J\x9b31m\u202eevil\n=1+1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which every name is one that its reader must not obey."""
    import random

    from assay.store import imported as curves

    store = Store(str(tmp_path / "assay.db"))
    store.register(plan := made_plan(2))
    while claimed := store.leases.claim(plan.jobs):
        store.finish(claimed[0], claimed[1].trials[0], made_end(claimed[1].trials[0]))
        store.leases.release(claimed[0])
    curves.add(store.database, random_log(random.Random(1), 1), study_name="made")
    with store.database.write() as connection:
        connection.execute(sa.update(member).values(label=ESCAPE))
        connection.execute(sa.update(study).values(name="made"))
        connection.execute(sa.update(imported).values(name=ESCAPE + "2"))
        connection.execute(sa.update(trial).values(engine="x; touch owned", device="cpu $(touch owned)"))
    return store


def is_clean(text: str) -> bool:
    return all(clean(line) == line for line in text.replace("\r\n", "\n").split("\n"))  # CSV ends its lines so


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "--trials"),
        ("list", "--trials", "--csv"),
        ("status",),
        ("compare", "made"),
        ("compare", "made", "--csv"),
        ("compare", "made", "--markdown"),
        ("compare", "made", "nobody\x1b[2J"),
        ("compare", "made", "--baseline", "nobody"),
        ("target", "made"),
        ("target", "made", "--csv"),
        ("target", "made", "--markdown"),
        ("plot", "made", "curves", "--out", "x.json"),
        ("plot", "made", "nothing\x1b[2J"),
    ],
)
def test_no_name_steers_the_terminal(store: Store, invoke: Any, words: tuple[str, ...]) -> None:
    code, out, err = invoke(*words)
    assert code in (0, 2) and is_clean(out) and is_clean(err)


def test_csv_gives_the_cleaned_label_back_and_no_formula(store: Store, invoke: Any) -> None:
    _, out, _ = invoke("target", "made", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {from_csv_cell(row["configuration"]) for row in rows} >= {clean(ESCAPE)}
    assert not any(cell[:1] in "=+-@" for row in rows for cell in (row["configuration"],))


def test_the_command_that_repeats_quotes_every_word(store: Store, invoke: Any) -> None:
    with store.database.read() as connection:
        key = connection.execute(sa.select(trial.c.key)).scalars().first()
    _, out, err = invoke("show", key, "--json")
    words = shlex.split(json.loads(out)["command"])
    assert "x; touch owned" in words and "cpu $(touch owned)" in words
    _, out, err = invoke("show", key)
    assert is_clean(out) and is_clean(err)


def test_an_answer_never_fetches(store: Store, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.database.write() as connection:
        recipe = json.loads(str(connection.execute(sa.select(trial.c.recipe)).scalars().first()))
        recipe["data"]["name"] = "openml:554"
        connection.execute(sa.update(trial).values(recipe=json.dumps(recipe), data="openml:554"))

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("an answer opened a connection")

    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", refused)
    monkeypatch.setattr("assay.data.openml.from_openml", refused)
    for words in (
        ("compare", "made"),
        ("target", "made"),
        ("list", "--trials"),
        ("plot", "made", "curves", "-o", "a.json"),
    ):
        assert invoke(*words)[0] in (0, 2)
    from assay.errors import AssayError
    from assay.results.inspection import most_confused
    from assay.store.queries import one_trial
    from assay.store.records import history_of

    with store.database.read() as connection:
        key = str(connection.execute(sa.select(trial.c.key)).scalars().first())
    history = history_of(one_trial(store.database, key))
    with pytest.raises(AssayError, match="would be fetched"):
        most_confused(history)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@host/x",
        "postgres://ada:secret@host:port/x",
        "postgresql:ada:secret@host/x",
        "mysql://ada:sec/ret@host/x",
        "postgresql://host/x?user=ada&password=secret",
        "postgresql+psycopg://ada:se@cret@host/x",
    ],
)
def test_no_printed_command_shows_a_password(url: str) -> None:
    shown = without_password(url)
    assert (
        "***" in shown and "secret" not in shown and "ret@" not in shown and "ret/" not in shown and "cret" not in shown
    )
    if "://" in url:
        assert typed_store(url) == shown


@pytest.mark.parametrize(
    "url", ["postgres://ada:secret@host:port/x", "postgresql:ada:secret@host/x", "mysql://ada:secret@host/x"]
)
def test_no_message_shows_a_password(url: str, invoke: Any) -> None:
    code, out, err = invoke("list", "--store", url)
    assert code == 2 and "secret" not in out + err and "ada:***@host" in err


def test_pages_and_recipes_hold_no_control_characters_and_recipes_read_back() -> None:
    assert page_text("a\x1b[2J\u202e<b>\nc") == "a\ufffd[2J\ufffd&lt;b&gt;\nc"
    text = toml_text({"name": ESCAPE, "emoji": "\U0001f468\u200d\U0001f469", "x\x9by": "\x7f\U000e0001"})
    assert is_clean(text)
    assert tomllib.loads(text) == {
        "name": ESCAPE,
        "emoji": "\U0001f468\u200d\U0001f469",
        "x\x9by": "\x7f\U000e0001",
    }
