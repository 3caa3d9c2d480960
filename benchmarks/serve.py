"""Measures the live page of a store: python -m benchmarks.serve STORE STUDY [--filters N] [--idle SECONDS] and more.

The store is that of `python -m benchmarks.synthetic`. The server runs in a process of its own, and this one is its
browser without drawing: what is measured is what the server takes, until the last byte is here. With --browser,
Chromium opens the page (by chromedriver and the package selenium), and what is measured is what its user waits for.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from assay.report.charts.writing import rows_of

_QUERIES = (
    "optimizer={optimizer} accuracy>{accuracy}",
    "batch={batch} accuracy>{accuracy}",
    "hidden=[{batch}]",
    "optimizer={optimizer} batch={batch}",
    "accuracy<{accuracy}",
)
_OPTIMIZERS, _BATCHES, _ACCURACIES = ("adam", "momentum", "rmsprop", "descent"), (16, 32, 64, 128), (0.5, 0.7, 0.9)


class Client:
    """Asks a server that it has started."""

    def __init__(self, store: Path) -> None:
        words = [sys.executable, "-m", "assay", "serve", "--store", str(store), "--port", "0"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        first = urlsplit(self.process.stdout.readline().strip())
        self.first, self.port = first.geturl(), int(first.port or 0)
        self.cookie, self.sizes = "", dict[str, int]()
        answer = self._answer(f"/?{first.query}")
        self.cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        answer.read()

    def _answer(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("GET", path, headers={"cookie": self.cookie})
        return connection.getresponse()

    def get(self, path: str) -> bytes:
        """The content at an address, whose size is kept."""
        content = self._answer(path).read()
        self.sizes[path] = len(content)
        return content

    def seconds(self, *paths: str) -> float:
        """How long it takes until all are here, one after the other."""
        begin = time.perf_counter()
        for path in paths:
            self.get(path)
        return time.perf_counter() - begin

    def memory(self) -> float:
        """The most memory that the server has had, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def processor(self) -> float:
        """The processor seconds of the server."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


def _queries(count: int) -> list[str]:
    every = [
        text.format(optimizer=optimizer, batch=batch, accuracy=accuracy)
        for accuracy in _ACCURACIES
        for batch in _BATCHES
        for optimizer in _OPTIMIZERS
        for text in _QUERIES
    ]
    return list(dict.fromkeys(every))[:count]


def _filters(client: Client, study: str, count: int) -> dict[str, Any]:
    """What a filter takes: the table first, then the curves, which a browser asks for at the same time."""
    both: list[float] = []
    tables: list[float] = []
    begin = client.processor()
    for query in _queries(count):
        asked = f"?q={quote(query)}"
        tables.append(client.seconds(f"/study/{study}/part/rows{asked}"))
        both.append(tables[-1] + client.seconds(f"/study/{study}/chart/curves.json{asked}"))
    return {
        "n": len(both),
        "processor_seconds_each": (client.processor() - begin) / len(both),
        "table_median": statistics.median(tables),
        "table_p95": _p95(tables),
        "table_and_curves_median": statistics.median(both),
        "table_and_curves_p95": _p95(both),
    }


def _p95(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def _idle(client: Client, store: Path, seconds: float, subscribers: int = 10) -> dict[str, float]:
    """The processor seconds of the server while clients listen and another connection commits once a second."""
    answers = [client._answer("/events") for _ in range(subscribers)]
    before, begin = client.processor(), time.perf_counter()
    with closing(sqlite3.connect(store, timeout=60)) as connection:
        while time.perf_counter() - begin < seconds:
            connection.execute("UPDATE machine SET description = description")
            connection.commit()
            time.sleep(1.0)
    took = time.perf_counter() - begin
    used = client.processor() - before
    for answer in answers:
        answer.close()
    return {
        "subscribers": subscribers,
        "seconds": took,
        "processor_seconds": used,
        "percent_of_a_core": 100 * used / took,
    }


def _marks(client: Client, study: str) -> dict[str, int]:
    """The rows of each chart of the page, of which each mark is drawn."""
    part = client.get(f"/study/{study}/part/charts").decode()
    names = [piece.partition(".json")[0] for piece in part.split(f"/study/{study}/chart/")[1:]]
    counts: dict[str, int] = {}
    for name in ("curves", *dict.fromkeys(name for name in names if ".csv" not in name)):
        content = client.get(f"/study/{study}/chart/{name}.json")
        if content.startswith(b"{"):
            counts[name] = len(rows_of(json.loads(content)))
    return counts


_PAINTED = """
const [query, done] = arguments, form = document.querySelector('#controls');
const places = ['#part-rows', '#chart-curves .chart'].map(name => document.querySelector(name)), took = {};
places.forEach((place, at) => new MutationObserver((_, own) => {
  own.disconnect();
  requestAnimationFrame(() => setTimeout(() => {  // after the frame that shows it
    took[at ? 'curves' : 'table'] = performance.now() - begin;
    if (Object.keys(took).length === places.length) done(took);
  }));
}).observe(place, { childList: true }));
form.q.value = query;
const begin = performance.now();
form.requestSubmit();
"""
"""Asks for a query as the key Enter does, and tells when the table and the curves were painted, in milliseconds."""


_WHOLE = ("answers", "charts", "comparisons", "about")
"""The parts of the page that read the whole study, a minute of a core; a filter does not ask for them."""


def _browser(client: Client, study: str, count: int) -> dict[str, Any]:
    """What somebody waits for in Chromium, from a query that is sent to its table and curves on the screen."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(word)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(60)
        driver.get(client.first)
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*/part/{name}*" for name in _WHOLE]})
        begin = time.perf_counter()
        driver.get(f"http://127.0.0.1:{client.port}/study/{study}")
        while not driver.execute_script("return 'drawn' in (document.querySelector('#chart-curves')?.dataset ?? {})"):
            time.sleep(0.01)
        first = time.perf_counter() - begin
        while driver.execute_script("return document.querySelectorAll('.part > .loading').length"):
            time.sleep(0.1)
        took = [driver.execute_async_script(_PAINTED, query) for query in _queries(count)]
    finally:
        driver.quit()
    made: dict[str, Any] = {"n": len(took), "first_chart_painted": first}
    for name in ("table", "curves"):
        values = [each[name] / 1000 for each in took]
        made |= {f"{name}_painted_median": statistics.median(values), f"{name}_painted_p95": _p95(values)}
    return made


def measured(
    store: Path, study: str, *, filters: int, idle: float, whole: bool = False, browser: bool = False
) -> dict[str, Any]:
    """The figures, by name."""
    client = Client(store)
    try:
        figure, curves = f"/study/{study}/part/curve-figure", f"/study/{study}/chart/curves.json"
        made: dict[str, Any] = {"memory_before": client.memory()}
        begin = client.processor()
        made["first_chart_cold"] = client.seconds(f"/study/{study}", figure, curves)
        made["first_chart_cold_processor"] = client.processor() - begin
        made["first_chart_warm"] = client.seconds(f"/study/{study}", figure, curves)
        made["table_cold"] = client.seconds(f"/study/{study}/part/rows")
        assets = [f"/assets/{name}" for name in ("page.js", "drawing.js", "vega.js", "style.css", "icon.svg")]
        client.seconds(*assets)
        made["page_bytes"] = sum(client.sizes.values())
        made["filters"] = _filters(client, study, filters)
        made["memory_of_curves_and_table"] = client.memory()
        if whole:
            made["answers_cold"] = client.seconds(f"/study/{study}/part/answers")
            made["marks"] = _marks(client, study)
            made["memory_of_everything"] = client.memory()
        if browser:
            made["browser"] = _browser(client, study, filters)
        made["idle"] = _idle(client, store, idle)
        return made
    finally:
        client.process.terminate()
        client.process.wait(20)


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("study")
    parser.add_argument("--filters", type=int, default=100)
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--whole", action="store_true", help="also the answers and every chart")
    parser.add_argument("--browser", action="store_true", help="also until it is painted in Chromium")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "store.db"  # the idle clients need somebody who commits
        shutil.copyfile(given.store, copy)
        chosen = {name: getattr(given, name) for name in ("filters", "idle", "whole", "browser")}
        made = measured(copy, given.study, **chosen)
    made["machine"] = {"cores": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()}
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
