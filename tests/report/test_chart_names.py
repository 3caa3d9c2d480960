"""Names that programs stumble over are drawn like any other: in pictures, and in the page in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
import vl_convert

from assay.report.charts import CHARTS
from assay.report.charts.parallel import round_ticks
from assay.report.charts.style import labels, names_by_position, short
from assay.report.charts.writing import svg
from assay.report.figures import STYLE, figure, scripts, steered
from assay.report.html import page
from tests.report.frames import study
from tests.report.test_page import CHROMIUM

NAMES = ("constructor", "toString", "__proto__", "hasOwnProperty", "a\u2028b", "", "quo\"te's \\ <b>", "rocket 🚀")
SHOWN = (
    "constructor",
    "toString",
    "__proto__",
    "hasOwnProperty",
    "a\ufffdb",
    "(empty)",
    "quo\"te's \\ <b>",
    "rocket 🚀",
)


def named(column: str = "configuration"):
    """A study whose configurations, or values of another column, have these names."""
    trials, curves = study(len(NAMES), 2)
    names = dict(zip(dict.fromkeys(trials["configuration"]), NAMES, strict=True))
    return trials.assign(**{column: [names[label] for label in trials["configuration"]]}), curves


def texts(picture: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*(?<!/)>([^<]*)<", picture)]


@pytest.mark.parametrize("name", ["curves", "effort", "ledger"])
def test_every_name_is_drawn_and_has_its_own_mark(name: str) -> None:
    trials, curves = named()
    chart = CHARTS[name](trials, curves) if name == "curves" else CHARTS[name](trials)
    picture = vl_convert.vegalite_to_svg(chart.to_dict())
    assert set(SHOWN) <= set(texts(picture))
    if name == "effort":
        bars = re.findall(r'<path aria-label="[^"]*" role="graphics-symbol" aria-roledescription="bar"', picture)
        assert len(bars) == len(NAMES)
    if name == "curves":  # eight colours or dashes, and a path for each line: __proto__ had one for every point
        lines = re.findall(r'aria-roledescription="line mark" d="M[^"]*"', picture)
        assert len(lines) == len(NAMES) and all(line.count("L") > 10 for line in lines)


def test_names_on_every_other_side_of_a_chart() -> None:
    trials, curves = named("optimizer")
    for chart in (
        CHARTS["grid"](trials, rows="optimizer", columns="batch"),
        CHARTS["sensitivity"](trials),
        CHARTS["curves"](trials, curves, facet="optimizer"),
        CHARTS["parallel"](trials, axes=["optimizer", "batch"]),
    ):
        assert set(SHOWN) <= set(texts(vl_convert.vegalite_to_svg(chart.to_dict())))
    matrix = [[1 if i == j else 0 for j in range(len(NAMES))] for i in range(len(NAMES))]
    assert set(SHOWN) - {""} <= set(texts(vl_convert.vegalite_to_svg(CHARTS["confusion"](matrix, NAMES).to_dict())))
    trials = trials.rename(columns={"optimizer": "__proto__"})
    tips = json.dumps(CHARTS["effort"](trials, by="__proto__").to_dict())
    assert '"title": "__proto__ "' in tips  # a key of that name would be no line of the tooltip


def test_labels_are_cut_at_their_end_and_whole_on_hover() -> None:
    assert short("optimizer = adam, learning rate 0.001", 20) == "optimizer = adam, l…"
    trials, _ = study(3, 2)
    long = "a configuration with a name & of more letters than a label shows"
    trials["configuration"] = [long if label.startswith("adam") else label for label in trials["configuration"]]
    picture = svg(CHARTS["effort"](trials))
    assert "…<title>a configuration with a name &amp; of more letters than a label shows</title></text>" in picture


def test_long_labels_keep_what_tells_them_apart() -> None:
    names = [f"learning_rate {rate}, size {size}, relu" for rate in (0.001, 0.01) for size in (10, 100)]
    assert list(labels(names, most=24).values()) == [
        "0.001, 10, relu",
        "0.001, 100, relu",
        "0.01, 10, relu",
        "0.01, 100, relu",
    ]
    assert list(labels(names, most=40).values()) == names  # nothing is left out where there is room
    assert list(labels(["a" * 30 + "1", "a" * 30 + "2"], most=12).values()) == ["aaaaa…aaaaa1", "aaaaa…aaaaa2"]
    assert list(labels(["x" * 20 + str(i) + "y" * 20 for i in range(2)], most=9).values()) == [
        "xxxx…yyyy",
        "xxxx…yyyy (2)",
    ]


def test_a_label_without_the_common_words_has_its_whole_name_on_hover() -> None:
    trials, _ = study(3, 2)
    names = {
        label: f"{label}, learning_rate 0.001, activation relu" for label in dict.fromkeys(trials["configuration"])
    }
    trials["configuration"] = [names[label] for label in trials["configuration"]]
    picture = svg(CHARTS["effort"](trials))
    assert picture.count(", learning_rate 0.001, activation relu</title></text>") == len(names)
    assert "…" not in picture


def test_the_lines_of_parallel_coordinates_keep_their_colours_on_a_dark_page() -> None:
    assert CHARTS["parallel"].keeps_colours
    assert "#chart-parallel) .chart svg .role-mark text { fill: var(--ink); }" in STYLE


def test_the_score_of_parallel_coordinates_has_round_ticks() -> None:
    assert round_ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert round_ticks(0.689, 0.992) == [0.7, 0.8, 0.9]
    assert round_ticks(0.95, 0.9512) == [0.95, 0.95025, 0.9505, 0.95075, 0.951]
    assert round_ticks(0.5, 0.5) == [0.5]


def test_the_expression_of_names_is_plain_ascii() -> None:
    assert names_by_position(["constructor", "🚀"]) == r'substring(([" constructor", " \ud83d\ude80"])[datum.value], 1)'


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_draws_them_with_their_legend_within_the_window(width: int, tmp_path: Path) -> None:
    trials, curves = named()
    charts = {name: CHARTS[name](trials, curves) if name == "curves" else CHARTS[name](trials) for name in
              ("curves", "effort", "pareto", "ledger")}  # fmt: skip
    specs = {name: steered(chart.to_dict()) for name, chart in charts.items()}
    parts = [figure(name, name, keeps_colours=False, seen=spec["description"]) for name, spec in specs.items()]
    probe = """<script type=module>setTimeout(() => { const right = [...document.querySelectorAll('.role-legend text')]
    .map(text => text.getBoundingClientRect().right); const shown = [...document.querySelectorAll('#chart-curves text')]
    .map(text => text.textContent); document.documentElement.dataset.right = Math.round(Math.max(...right));
    document.documentElement.dataset.shown = JSON.stringify(shown); }, 2500)</script>"""
    path = tmp_path / "names.html"
    path.write_text(page("names", parts, scripts=[*scripts(specs), probe]), encoding="utf-8")
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--window-size={width},3000", "--virtual-time-budget=8000", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert 'data-drawn="4"' in done.stdout
    (shown,) = re.findall(r'data-shown="([^"]*)"', done.stdout)
    assert set(SHOWN) <= set(json.loads(unescape(shown)))
    (right,) = re.findall(r'data-right="(\d+)"', done.stdout)
    assert int(right) <= width
