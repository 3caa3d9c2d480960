"""The live page in Chromium: what a user does, without an error in the console or a request to another host."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from assay.serve.server import LiveServer
from tests.report.test_page import results as made_results
from tests.serve.servers import serving

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
AXE = Path(__file__).with_name("axe.min.js")  # axe-core, MPL-2.0: https://github.com/dequelabs/axe-core
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="no Chromium (Debian: apt install chromium chromium-driver)"
    ),
]
_SECONDS = 30.0


class Browser:
    """Chromium, and what it was asked for."""

    def __init__(self, driver: Any, server: LiveServer) -> None:
        self.driver, self.server = driver, server

    def open(self, path: str, *, width: int = 1280, dark: bool = False) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(self.server.address.rstrip("/") + path)
        self.until("document.body.dataset.ready === ''")

    def script(self, code: str, *values: Any) -> Any:
        return self.driver.execute_script(code, *values)

    def until(self, condition: str) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, _SECONDS, 0.05).until(lambda d: d.execute_script(f"return {condition}"))

    def draw_everything(self) -> int:
        """Scrolls through the page until every chart is drawn; how many there are."""
        self.until("!document.querySelector('.part > .loading')")
        count = self.script("return document.querySelectorAll('figure[data-spec]').length")
        for i in range(count):
            self.script("document.querySelectorAll('figure[data-spec]')[arguments[0]].scrollIntoView()", i)
            self.until(f"!document.querySelectorAll('figure[data-spec]')[{i}].querySelector('.loading')")
        return count

    def errors(self) -> list[str]:
        """What the console has said, and requests to other hosts."""
        said = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]
        hosts: list[str] = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not re.match(rf"(http://127\.0\.0\.1:{self.server.port}/|data:|blob:)", url):
                    hosts.append(url)
        return [*said, *hosts]


@pytest.fixture(scope="module")
def driver() -> Generator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield made
    made.quit()


@pytest.fixture
def browser(driver: Any, tmp_path: Path) -> Generator[Browser]:
    made_results(tmp_path)
    with serving(tmp_path / "store.db") as server:
        made = Browser(driver, server)
        driver.get(server.first_address)
        made.errors()
        yield made
        driver.get("about:blank")


def test_the_first_address_leads_to_the_list_without_its_token(browser: Browser) -> None:
    assert browser.driver.current_url == browser.server.address
    assert browser.script("return document.cookie") == ""  # scripts do not see it
    browser.script("document.querySelector('a[href=\"/study/made\"]').click()")
    browser.until("document.title === '✓ made'")
    assert browser.script("return document.querySelector('#icon').getAttribute('href')") == "/assets/icon-over.svg"
    assert browser.errors() == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (768, True), (320, False)])
def test_every_chart_of_a_study_is_drawn_under_the_strict_policy(browser: Browser, width: int, dark: bool) -> None:
    browser.open("/study/made", width=width, dark=dark)
    count = browser.draw_everything()
    assert count >= 8
    drawn = browser.script("return document.querySelectorAll('figure[data-drawn] svg').length")
    messages = browser.script(
        "return [...document.querySelectorAll('figure:not([data-drawn])')].map(f => f.textContent.trim())"
    )
    assert drawn + len(messages) == count
    assert all("weights of trial" in message for message in messages)  # these were not kept
    assert browser.script("return document.documentElement.scrollWidth") <= width
    assert browser.errors() == [] or all("422" in error for error in browser.errors())


def _svg(browser: Browser) -> str:
    browser.until("document.querySelector('#chart-curves[data-drawn] svg')")
    return browser.script("return document.querySelector('#chart-curves svg').outerHTML.replace(/gradient_\\d+/g, '')")


def test_a_view_is_its_address(browser: Browser) -> None:
    browser.open("/study/made")
    whole = _svg(browser)
    browser.script(
        "const q = document.querySelector('[name=q]'); q.value = 'descent'; "
        "q.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    browser.until("location.search === '?q=descent'")
    browser.until("document.querySelector('#part-rows').textContent.includes('2 of 4 configurations')")
    browser.script(
        "const x = document.querySelector('[name=x]'); x.value = 'seconds'; "
        "x.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    browser.until("location.search === '?q=descent&x=seconds'")
    browser.until("document.querySelector('#chart-curves').ariaLabel.includes('2 lines')")
    browser.until("document.querySelector('#chart-curves svg').textContent.includes('training time')")
    chosen = _svg(browser)
    assert chosen != whole
    address = browser.driver.current_url.removeprefix(browser.server.address.rstrip("/"))
    assert "token" not in address
    browser.open(address)
    assert _svg(browser) == chosen
    assert browser.script("return document.querySelector('[name=x]').value") == "seconds"
    browser.script("history.go(-1)")
    browser.until("location.search !== '?q=descent&x=seconds'")
    assert browser.errors() == []


def test_charts_are_saved_as_svg_and_png(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    browser.open("/study/made")
    _svg(browser)
    for form in ("svg", "png"):
        browser.script("document.querySelector(`#part-curve-figure [data-save=${arguments[0]}]`).click()", form)
    for _ in range(100):
        if {"curves.svg", "curves.png"} <= {path.name for path in folder.iterdir()}:
            break
        browser.driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert (folder / "curves.svg").read_text().startswith("<svg")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert browser.errors() == []


def test_a_commit_changes_what_is_shown(browser: Browser, tmp_path: Path) -> None:
    browser.open("/study/made")
    browser.until("document.querySelector('#part-rows td')")
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE result SET accuracy = 0.125, finished = finished + 1")
    connection.close()
    browser.until("document.querySelector('#part-rows').textContent.includes('12.50 %')")
    browser.until("document.querySelector('#part-state').textContent.includes('12.50 %')")
    assert browser.errors() == []


def test_a_store_that_vanishes_is_said_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    browser.open("/")
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path.rename(tmp_path / "away.db")
    browser.until("document.querySelector('#part-overview').textContent.includes('no such store')")
    (tmp_path / "away.db").rename(path)
    browser.until("document.querySelector('a[href=\"/study/made\"]')")
    assert browser.errors() == []


def test_a_hidden_tab_fetches_nothing(browser: Browser, tmp_path: Path) -> None:
    browser.open("/study/made")
    browser.draw_everything()
    hide = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true }); \
document.dispatchEvent(new Event('visibilitychange'))"
    browser.script(hide, True)
    browser.errors()
    fetched = "return performance.getEntriesByType('resource').filter(r => !r.name.endsWith('/events')).length"
    before = browser.script(fetched)
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE result SET accuracy = 0.25, finished = finished + 1")
    connection.close()
    browser.driver.execute_async_script("setTimeout(arguments[0], 900)")
    assert browser.script(fetched) == before
    browser.script(hide, False)
    browser.until("document.querySelector('#part-rows').textContent.includes('25.00 %')")


def test_the_keyboard_reaches_everything(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open("/study/made")
    browser.draw_everything()
    browser.script("scrollTo(0, 0); document.activeElement.blur()")
    reached: set[str] = set()
    for _ in range(120):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = "const a = document.activeElement; return a.id || a.name || a.tagName + a.textContent"
        reached.add(browser.script(active))
    for name in ("q", "x", "seeds", "rows", "chart-curves"):
        assert name in reached
    assert "ASkip to the content" in reached


@pytest.mark.parametrize("path", ["/", "/study/made", "/trial", "/compare?study=made", "/article/adam"])
def test_axe_finds_no_violation(browser: Browser, path: str, tmp_path: Path) -> None:
    if path == "/trial":
        with sqlite3.connect(tmp_path / "store.db") as connection:
            path = f"/trial/{connection.execute('SELECT trial FROM result').fetchone()[0]}"
        connection.close()
    for dark in (False, True):
        browser.open(path, dark=dark)
        browser.draw_everything()
        browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        found = browser.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, { rules: { 'region': { enabled: true } } }).then(r => "
            "done(r.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html.slice(0, 120)).join(' | ')}`)))"
        )
        assert found == []
