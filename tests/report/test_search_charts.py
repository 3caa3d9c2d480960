"""The charts of a search: they hold the numbers, and stay small with ten thousand trials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from assay.analysis.tuning_cost import tuning_cost
from assay.errors import AssayError
from assay.report.charts import CHARTS
from assay.report.charts.writing import rows_of
from tests.results.searches import halved, job, search

OF_SEARCH = ("history", "regret", "slices", "contour")


def spec_of(chart: Any) -> dict[str, Any]:
    """The specification of a chart that is drawn."""
    spec = chart.to_dict()
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
    return spec


def subtitle(spec: dict[str, Any]) -> str:
    lines = spec["title"].get("subtitle", "")
    return lines if isinstance(lines, str) else " ".join(lines)


def test_the_history_has_the_steps_of_the_incumbent() -> None:
    spec = spec_of(CHARTS["history"](search(job(0, 0.5), job(1, 0.4), job(2, 0.8), job(3, None, outcome="failed"))))
    steps = [(row["x"], row["y"]) for row in rows_of(spec) if "name" not in row]
    assert steps == [(1, 0.5), (3, 0.8), (4.0, 0.8)]
    assert "best 80.00 % of 4 trials" in subtitle(spec)
    assert "one run: no band" in subtitle(spec)
    random = search(*(job(n, n / 40) for n in range(30)), method="random")
    assert "grey band: expected best of so many random draws" in subtitle(spec_of(CHARTS["history"](random)))


def test_the_regret_ends_at_the_best_of_the_search() -> None:
    spec = spec_of(CHARTS["regret"](search(job(0, 0.5), job(1, 0.7), job(2, 0.8))))
    by_trials, by_seconds = (spec["datasets"][panel["data"]["name"]] for panel in spec["hconcat"])
    assert [(row["x"], round(row["y"], 9)) for row in by_trials] == [(1, 30.0), (2, 10.0), (3, 0.0), (3, 0.0)]
    assert [row["x"] for row in by_seconds] == [2.0, 4.0, 6.0, 6.0]
    assert "80.00 %, reached after 3 trials and 6 s" in subtitle(spec)
    wide = spec_of(CHARTS["regret"](search(job(0, 0.5), job(1, 0.899), job(2, 0.9))))
    assert "regret 0 is not on the logarithmic axis" in subtitle(wide)


def test_the_rungs_show_who_was_promoted() -> None:
    spec = spec_of(CHARTS["rungs"](halved()))
    assert "trained to each rung: 9, 3, 1" in subtitle(spec)
    assert "orange: trained to the full budget (1); blue dots: stopped (8)" in subtitle(spec)
    (final,) = {row["line"] for row in rows_of(spec) if row["final"]}
    path = [(row["x"], row["score"]) for row in rows_of(spec) if row["line"] == final]
    assert path == [(0, 0.8), (1, pytest.approx(0.82)), (2, 0.9)]
    assert "no rungs" in rows_of(spec_of(CHARTS["rungs"](search(job(0, 0.5)))))[0]["text"]


def test_contours_and_slices_name_their_axes() -> None:
    made = search(*(job(n, 0.5 + (n % 40) / 100) for n in range(60)))
    spec = spec_of(CHARTS["contour"](made))
    assert spec["title"]["text"] == "contour: l2 and rate"
    cells = spec_of(CHARTS["contour"](made, rows="l2", columns="rate"))
    assert any("score" in row for row in rows_of(cells))
    assert len(spec_of(CHARTS["slices"](made))["vconcat"][0]["hconcat"]) == 2  # hidden does not vary
    with pytest.raises(AssayError, match="unknown axis 'rates'; did you mean 'rate'"):
        CHARTS["contour"](made, rows="rates")


def test_ten_thousand_trials_are_thinned() -> None:
    many = search(*(job(n, 0.5 + (n % 997) / 2000) for n in range(10_000)))
    for name in OF_SEARCH:
        rows = rows_of(CHARTS[name](many).to_dict())
        assert len(rows) < 5_000, name
    assert "2,797 of the trials drawn" in subtitle(CHARTS["history"](many).to_dict())
    best = max(row["y"] for row in rows_of(CHARTS["history"](many).to_dict()))
    assert best == pytest.approx(0.5 + 996 / 2000)


@pytest.mark.parametrize("name", [*OF_SEARCH, "rungs"])
def test_a_search_without_scores_says_so(name: str) -> None:
    spec = spec_of(CHARTS[name](search(job(0, None, outcome="failed"), job(1, None, outcome="diverged"))))
    assert "text" in rows_of(spec)[0]


def test_tuning_cost_draws_bands_and_defaults() -> None:
    draws = [
        pd.DataFrame({"value": value, "score": np.linspace(0.1, top, 20), "seconds": 1.0})
        for value, top in (("adam", 0.9), ("descent", 0.5))
    ]
    cost = SimpleNamespace(
        table=tuning_cost(pd.concat(draws)),
        by="optimizer",
        measure="accuracy",
        defaults=(SimpleNamespace(value="adam", score=0.7), SimpleNamespace(value="descent", score=None)),
        notes=("a grid counts as uniform draws of its points",),
        sentences=lambda: ["with 10 trials, adam has the best expected score (95 % bands apart)"],
    )
    spec = spec_of(CHARTS["tuning-cost"](cost))
    assert len(spec["hconcat"]) == 2
    assert [row["y"] for row in rows_of(spec) if set(row) == {"series", "y", "line"}] == [0.7]  # both panels share it
    assert "dashed: the defaults alone" in subtitle(spec)
    assert "a grid counts as uniform draws" in subtitle(spec)
