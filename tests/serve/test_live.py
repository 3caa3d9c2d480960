from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.serve.cached import Cache
from assay.serve.server import LiveServer
from assay.serve.watched import WatchedStore
from assay.store.stamps import CommitCounter, stamp, study_stamp
from assay.store.store import Store
from tests.report.test_page import results as made_results
from tests.serve.clients import client
from tests.serve.servers import serving
from tests.store.servers import postgres, program

_COMMIT = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE result SET finished = finished + 1")
connection.commit()
"""


def _commit(path: Path) -> None:
    """A commit of another process."""
    subprocess.run([sys.executable, "-c", _COMMIT, str(path)], check=True)


def _cookie(server: LiveServer) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/?token={server.token}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.headers["set-cookie"]).partition(";")[0]


_COMMIT_TO_POSTGRESQL = """
import sys, psycopg
with psycopg.connect(sys.argv[1].replace("+psycopg", "")) as connection:
    connection.execute("INSERT INTO machine (hash, description) VALUES (%s, '{}')", [sys.argv[2]])
"""


@pytest.mark.postgres
def test_a_commit_of_another_process_to_postgresql_is_sent_within_a_second() -> None:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with postgres() as url:
        Store(url).close()
        with serving(url) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/events", headers={"cookie": _cookie(server)})
            events = connection.getresponse()
            last = _revision(events)
            took: list[float] = []
            for number in range(5):
                words = [sys.executable, "-c", _COMMIT_TO_POSTGRESQL, url, f"{number:x}"]
                subprocess.run(words, check=True)
                begin = time.monotonic()  # the commit is some milliseconds old
                revision = _revision(events)
                took.append(time.monotonic() - begin)
                assert revision != last
                last = revision
            events.close()
            connection.close()
        assert max(took) < 1.0, took


def _revision(events: http.client.HTTPResponse) -> str:
    """The next revision of a stream."""
    line = events.readline().decode()
    while not line.startswith("data: "):
        line = events.readline().decode()
    return json.loads(line.removeprefix("data: "))


def test_a_commit_of_another_process_is_sent_within_a_second(tmp_path: Path) -> None:
    made_results(tmp_path)
    with serving(tmp_path / "store.db") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/events", headers={"cookie": _cookie(server)})
        events = connection.getresponse()
        assert events.headers["content-type"].startswith("text/event-stream")
        first = json.loads(events.readline().decode().removeprefix("data: "))
        events.readline()
        for _ in range(2):
            _commit(tmp_path / "store.db")
            begin = time.monotonic()
            second = json.loads(events.readline().decode().removeprefix("data: "))
            events.readline()
            assert time.monotonic() - begin < 1.0
            assert second != first
            first = second
        events.close()
        connection.close()


def test_a_revision_changes_with_a_commit_and_only_then(tmp_path: Path) -> None:
    made_results(tmp_path)
    store = WatchedStore(str(tmp_path / "store.db"))
    first = store.revision()
    assert store.revision() == first
    before = store.stamp()
    _commit(tmp_path / "store.db")
    assert store.revision() != first
    assert store.stamp() != before
    store.close()


def test_what_a_study_is_stamped_by_changes_with_it_alone(tmp_path: Path) -> None:
    made = made_results(tmp_path)
    database = made.store.database
    before, whole = study_stamp(database, "made"), stamp(database)
    with database.write() as connection:  # progress of a training
        connection.exec_driver_sql("UPDATE trajectory SET losses = losses")
    assert (study_stamp(database, "made"), stamp(database)) == (before, whole)
    made.store.annotate("made", "until_decided", {"measure": "accuracy"})  # which leaves its time
    assert study_stamp(database, "made") != before
    assert stamp(database) != whole
    before = study_stamp(database, "made")
    made.store.remove(trials=[made.frame()["trial"].iloc[0]])
    assert study_stamp(database, "made") != before
    assert study_stamp(database, "none") == ()


@pytest.mark.postgres
def test_a_commit_to_postgresql_is_seen() -> None:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with postgres() as url:
        writer, reader = Store(url), Store(url, read_only=True)
        counter = CommitCounter(reader.database)
        first = counter.value()
        assert counter.value() == first
        with writer.database.write() as connection:
            connection.exec_driver_sql("INSERT INTO machine (hash, description) VALUES ('a', '{}')")
        assert counter.value() != first
        page = client(url)
        assert "This store has no study yet" in page.get("/").text
        page.store.close()
        reader.close()
        writer.close()


def test_what_takes_long_is_made_anew_at_most_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("assay.serve.cached.time.monotonic", lambda: clock[0])
    cache, made = Cache(10), []

    def slow() -> int:
        clock[0] += 2.0
        made.append(clock[0])
        return len(made)

    for second in range(100):
        clock[0] = max(clock[0], float(second))
        cache.get("study", second, slow)
    assert len(made) == 10  # 2 s of every 10
    behind = cache.get("study", "new", slow)
    assert behind.is_behind
    assert behind.wait > 0


def test_what_is_quick_is_made_anew_at_once() -> None:
    cache = Cache(10)
    values = [cache.get("study", stamp, lambda stamp=stamp: stamp).value for stamp in (1, 2, 2, 3)]
    assert values == [1, 2, 2, 3]


def test_a_cache_keeps_what_was_used_last_up_to_its_weight() -> None:
    cache, made = Cache(10), []
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, 0, lambda name=name: made.append(name) or name, weight=lambda _: 4)
    assert made == ["a", "b", "c", "b"]


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    from assay.errors import AssayError

    with serving(tmp_path / "store.db") as server, pytest.raises(AssayError, match="cannot be listened on"):
        LiveServer(str(tmp_path / "store.db"), port=server.port)
