from __future__ import annotations

import json
import re
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from assay.report.charts.writing import embedded
from assay.report.figures import steered
from assay.report.page import chart_spec, fitting, page
from assay.results.results import Results
from assay.store.store import Store
from tests.report.test_page import EVIL
from tests.report.test_page import results as made_results
from tests.serve.clients import Client, client


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return made_results(tmp_path)


@pytest.fixture
def browser(results: Results, tmp_path: Path) -> Client:
    return client(tmp_path / "store.db")


def test_the_list_has_state_progress_and_best_of_each_study(browser: Client) -> None:
    text = browser.get("/").text
    assert '<a href="/study/made">made</a>' in text
    assert "12 of 12" in text
    assert "finished" in text
    assert "86.00 %" in text  # the best of 0.80 to 0.86


def test_a_study_whose_trials_are_open_is_not_running(tmp_path: Path) -> None:
    made_results(tmp_path, finished=False)
    text = client(tmp_path / "store.db").get("/study/made/part/state").text
    assert "not running, 12 trials open" in text
    assert 'data-state="idle" data-percent="0"' in text


def test_the_answers_are_those_of_the_report(results: Results, browser: Client) -> None:
    from assay.report.html import text as escaped

    text = browser.get("/study/made/part/answers").text
    assert len(results.answers()) > 2
    for answer in results.answers():
        assert f"<li>{escaped(answer)}</li>" in text


def test_charts_are_those_of_the_report_to_the_byte(results: Results, browser: Client) -> None:
    report, drawn = page(results), 0
    for chart in fitting(results):
        answer = browser.get(f"/study/made/chart/{chart.name}.json")
        if answer.status_code == 200:
            drawn += 1
            assert f'"{chart.name}":{answer.text}' in report
        else:
            assert f'"{chart.name}":' not in report
    assert drawn > 5


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("x=seconds&log=x", {"x": "seconds", "log": "x"}),
        ("y=loss&smooth=3", {"measure": "loss", "smooth": 3}),
        ("x=epochs", {"x": "epochs"}),
        ("x=flops&start=1&stop=1e12", {"x": "flops", "start": 1.0, "stop": 1e12}),
        ("split=test", {"split": "test"}),
    ],
)
def test_a_view_draws_what_the_options_of_plot_draw(
    query: str, options: dict[str, Any], results: Results, browser: Client
) -> None:
    answer = browser.get(f"/study/made/chart/curves.json?{query}")
    assert answer.text == embedded(chart_spec(results, "curves", **options))


def _bands(spec: str) -> dict[str, list[tuple[float, ...]]]:
    """The points of each configuration's band, by its name."""
    bands: dict[str, list[tuple[float, ...]]] = {}
    for rows in json.loads(spec)["datasets"].values():
        for row in rows:
            if "low" in row:
                bands.setdefault(row["name"], []).append(tuple(row[c] for c in ("x", "y", "low", "high", "n")))
    return bands


def _spec(browser: Client, query: str) -> str:
    answer = browser.get("/study/made/chart/curves.json", params={"q": query})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_no_figure_changes_by_what_else_is_shown(browser: Client) -> None:
    every, few = _bands(_spec(browser, "")), _bands(_spec(browser, "small"))
    assert 0 < len(few) < len(every)
    for name, band in few.items():
        assert band == every[name]
        assert {point[-1] for point in band} == {3}  # all seeds
    whole, part = (browser.get("/study/made/part/rows", params={"q": query}).text for query in ("", "small"))
    rows = re.findall(r"<tr><td>.*?</tr>", part)
    assert len(rows) == 2
    figures = [re.sub(r'href="[^"]*"', "", row) for row in re.findall(r"<tr><td>.*?</tr>", whole)]
    assert all(re.sub(r'href="[^"]*"', "", row) in figures for row in rows)


def test_single_seeds_are_drawn_on_demand(results: Results, browser: Client) -> None:
    answer = browser.get("/study/made/chart/curves.json", params={"q": "small", "seeds": "1"})
    trials = results.frame()
    small = trials[trials["configuration"].str.contains("small")]
    assert set(_bands(answer.text)) == set(small["trial"])


def test_the_table_is_sorted_and_selected(results: Results, browser: Client) -> None:
    up = browser.get("/study/made/part/rows", params={"sort": "accuracy"}).text
    down = browser.get("/study/made/part/rows", params={"sort": "-accuracy"}).text
    means = sorted(f"{100 * mean:.2f} %" for mean in results.summary()["accuracy"])

    def shown(text: str) -> list[str]:
        return re.findall(r"<tr><td>.*?</td><td class=number>3</td><td class=number>([\d.]+ %)</td>", text)

    assert shown(up) == means
    assert shown(down) == means[::-1]
    assert "No row passes the query" in browser.get("/study/made/part/rows", params={"q": "accuracy>0.99"}).text
    trials = browser.get("/study/made/part/rows", params={"rows": "trials", "q": "small"}).text
    assert len(re.findall('href="/trial/[0-9a-f]{16,}"', trials)) == 6


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"q": "acuracy>0.9"}, "unknown column &#x27;acuracy&#x27;; did you mean &#x27;accuracy&#x27;?"),
        ({"q": "accuracy>"}, "cannot read"),
        ({"sort": "nothing"}, "sort: unknown column"),
        ({"x": "minutes"}, "unknown x &#x27;minutes&#x27;"),
        ({"page": "zero"}, "page: got &#x27;zero&#x27;; expected a whole number"),
        ({"page": "0"}, "page: got 0; expected 1 or more"),
        ({"smooth": "1001"}, "smooth: got 1001; expected 1 to 1,000 points"),
        ({"start": "soon"}, "start: got &#x27;soon&#x27;; expected a number"),
    ],
)
def test_a_mistake_in_a_view_is_a_sentence(params: dict[str, str], sentence: str, browser: Client) -> None:
    assert sentence in browser.get("/study/made/part/rows", params=params).text
    assert browser.get("/study/made", params=params).status_code == 200


def test_a_study_that_is_not_stored_is_not_one_without_trials(browser: Client) -> None:
    for path in ("/study/mode", "/study/mode/part/state"):
        text = browser.get(path).text
        assert "unknown study &#x27;mode&#x27;; did you mean &#x27;made&#x27;?" in text
        assert "no trials" not in text


def test_the_data_of_a_chart_are_a_csv_file(browser: Client) -> None:
    answer = browser.get("/study/made/chart/effort.csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''made-effort.csv"
    header, *rows = answer.text.splitlines()
    assert "configuration" in header or "name" in header
    assert len(rows) >= 4


def test_the_report_can_be_downloaded(results: Results, browser: Client) -> None:
    answer = browser.get("/study/made/report.html")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.text == page(results)


def test_every_part_of_a_study_is_made(browser: Client) -> None:
    for part in ("state", "running", "failures", "answers", "curve-figure", "rows", "charts", "comparisons", "about"):
        answer = browser.get(f"/study/made/part/{part}")
        assert answer.status_code == 200
        assert 'class="alert"' not in answer.text, part
        again = browser.get(f"/study/made/part/{part}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


def test_names_with_markup_are_text(browser: Client) -> None:
    for path in ("/study/made", "/study/made/part/rows", "/study/made/part/answers", "/study/made/part/comparisons"):
        text = browser.get(path).text
        assert EVIL not in text
        assert "<img" not in text
    assert "<script" not in browser.get("/study/made/chart/curves.json").text


def test_a_trial_has_its_recipe_command_ledger_and_charts(results: Results, browser: Client) -> None:
    key = results.frame()["trial"].iloc[0]
    text = browser.get(f"/trial/{key}").text
    assert "[optimizer]" in text
    assert f"assay show {key[:12]}" in text
    assert "--again" in text
    assert "Time breakdown" in text
    assert 'href="/study/made"' in text
    assert json.loads(browser.get(f"/trial/{key}/chart/curve.json").text)["datasets"]
    assert "no trial has a key" in browser.get("/trial/0000").text


def test_studies_are_compared_side_by_side(tmp_path: Path) -> None:
    made_results(tmp_path)
    store = Store(str(tmp_path / "store.db"))
    with store.database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO study (name, definition, digest, created, updated) SELECT 'copy', definition, digest, created,"
            " updated FROM study"
        )
        connection.exec_driver_sql(
            "INSERT INTO member SELECT 2, position, trial, label, axis_values, repeat FROM member"
        )
    text = client(tmp_path / "store.db").get("/compare?study=made&study=copy").text
    assert text.count('<section class="column">') == 2
    assert "/study/made/chart/curves.json" in text
    assert "/study/copy/chart/curves.json" in text
    rows = re.findall(r"<td>(\d\d\.\d\d % ± [\d.]+, n = 3[^<]*)</td>", text)
    assert rows[0] == rows[1]  # the same trials
    assert "choose 2 to 6" in client(tmp_path / "store.db").get("/compare?study=made").text


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/trial/0000", 404, "no trial has a key that begins with &#x27;0000&#x27;"),
        ("/trial/0000/part/body", 404, "no trial has a key"),
        ("/trial/0000/chart/curve.json", 404, "no trial has a key"),
        ("/trial/0000/weights.safetensors", 404, "no trial has a key"),
        ("/trial/zz", 404, "expected a key"),
        ("/study/mode", 404, "did you mean &#x27;made&#x27;?"),
        ("/study/mode/part/state", 404, "did you mean &#x27;made&#x27;?"),
        ("/study/mode/chart/curves.json", 404, "did you mean 'made'?"),
        ("/study/mode/report.html", 404, "did you mean &#x27;made&#x27;?"),
        ("/study/made/part/row", 404, "did you mean &#x27;rows&#x27;?"),
        ("/study/made/chart/curve.txt", 400, "expected a name that ends in .json or .csv"),
        ("/bench/none", 404, "no bench has the name &#x27;none&#x27;"),
        ("/article/adan", 404, "did you mean &#x27;adam&#x27;?"),
        ("/compare?study=made&study=mode", 404, "did you mean &#x27;made&#x27;?"),
        ("/compare?study=made", 400, "choose 2 to 6"),
        ("/nothing", 404, "There is no page &#x27;/nothing&#x27; here."),
    ],
)
def test_an_address_of_nothing_is_not_found_with_a_sentence(
    path: str, status: int, sentence: str, browser: Client
) -> None:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text
    assert sentence in answer.text


def test_a_trial_page_follows_the_store(tmp_path: Path) -> None:
    made = made_results(tmp_path, finished=False)
    browser = client(tmp_path / "store.db")
    key = made.frame()["trial"].iloc[0]
    text = browser.get(f"/trial/{key}").text
    assert f'data-part="/trial/{key}/part/body"' in text
    assert "It is planned and has no result yet." in text
    made.store.close()
    store = Store(str(tmp_path / "store.db"))
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE trajectory SET token = 7")
    assert "It is in training." in browser.get(f"/trial/{key}/part/body").text


def test_charts_of_one_trial_do_not_read_its_study(
    results: Results, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = results.frame()["trial"].iloc[0]
    expected = embedded(steered(results.picture("confusion", trial=key).to_dict()))
    monkeypatch.setattr("assay.store.queries.study_rows", lambda *_: pytest.fail("it reads the study"))
    assert browser.get(f"/trial/{key}/chart/confusion.json").text == expected


def test_an_article_does_not_hold_up_the_list(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> list[str]:
        begun.set()
        assert go_on.wait(20)
        return ["<p>slow</p>"]

    monkeypatch.setattr("assay.serve.app.article_parts", slow)
    answers: list[str] = []
    article = threading.Thread(target=lambda: answers.append(browser.get("/article/adam").text))
    article.start()
    assert begun.wait(20)
    overview = threading.Thread(target=lambda: answers.append(browser.get("/part/overview").text))
    overview.start()
    overview.join(20)
    go_on.set()
    article.join(20)
    assert ['href="/study/made"' in text for text in answers] == [True, False]


def test_an_article_that_is_not_stored_says_how_it_is_run(browser: Client) -> None:
    text = browser.get("/article/adam").text
    assert "assay reproduce adam" in text
    assert "unknown" in browser.get("/article/none").text


# --- a store that cannot be read ---


def test_a_store_that_is_missing_appears_when_it_is_made(tmp_path: Path) -> None:
    browser = client(tmp_path / "store.db")
    assert "no such store" in browser.get("/").text
    made_results(tmp_path)
    assert 'href="/study/made"' in browser.get("/").text


def test_a_store_that_vanished_is_said_and_comes_back(browser: Client, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert 'href="/study/made"' in browser.get("/").text
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.move(path, tmp_path / "away.db")
    assert "no such store" in browser.get("/").text
    assert "no such store" in browser.get("/study/made/part/answers").text
    shutil.move(tmp_path / "away.db", path)
    assert 'href="/study/made"' in browser.get("/").text


def test_a_damaged_store_is_said_and_a_repaired_one_is_shown(browser: Client, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    good = path.read_bytes()
    path.unlink()
    path.write_bytes(b"x" * len(good))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    text = browser.get("/").text
    assert "not a store of Assay" in text
    path.unlink()
    path.write_bytes(good)
    assert 'href="/study/made"' in browser.get("/").text


def test_a_locked_store_is_said_within_seconds(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.serve.watched._PATIENCE", 0.1)
    path = tmp_path / "store.db"
    results.store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    browser = client(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert "locked by another program" in browser.get("/").text
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert 'href="/study/made"' in browser.get("/").text


def test_the_store_is_not_written(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    results.store.close()
    before = path.read_bytes()
    browser = client(path)
    for address in ("/", "/study/made", "/study/made/part/answers", "/article/adam"):
        browser.get(address)
    assert path.read_bytes() == before
