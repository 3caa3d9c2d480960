from __future__ import annotations

import base64
import re
from pathlib import Path

from assay.articles.page import Figure, Page
from assay.report.charts.writing import svg
from tests.report.test_page import EVIL, results


def test_a_notebook_shows_the_charts_of_a_study_inline(tmp_path: Path) -> None:
    made = results(tmp_path)
    shown = made._repr_html_()
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)">', shown)
    assert [base64.b64decode(content).decode() for _, content in pictures] == [
        svg(made.picture(name)) for name in ("curves", "pareto")
    ]
    assert pictures[0][0].startswith("made: test accuracy.")
    assert EVIL not in shown


def test_a_picture_of_an_article_asks_for_the_font_whose_widths_it_has(tmp_path: Path) -> None:
    chart = results(tmp_path).picture("curves")
    page = Page("A title", [], [Figure("curves", chart, "Curves")], [])
    (content,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', "".join(page.html_parts()))
    fonts = set(re.findall('font-family="([^"]*)"', base64.b64decode(content).decode()))
    assert fonts == {"Liberation Sans, Arial, Helvetica, sans-serif"}


def test_a_study_without_results_has_its_table_alone(tmp_path: Path) -> None:
    assert "<img" not in results(tmp_path, finished=False)._repr_html_()
