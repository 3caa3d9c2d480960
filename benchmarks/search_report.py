"""What the runs of `benchmarks.search` show: regret with bands, ranks, and what differs over the tables.

The regret of a run is the judged score that the best point of its table has more than its incumbent. Both are means
over the judging seeds, so that the best point owes a part of its score to luck: no search reaches a regret of 0 but by
chance, and all methods share this floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import scipy
from numpy.typing import NDArray

from assay.report.charts import write
from assay.report.charts.style import COLOURS, strokes
from benchmarks.search_runs import METHODS, START, Runs
from benchmarks.search_tables import load_table

BUDGETS = (10, 20, 30, 50, 100)
"""In trainings with the full budget, or in their mean seconds."""
_ALPHA = 0.05


@dataclass(frozen=True)
class Regret:
    """The regret of a method on a table at a budget, over the repetitions.

    Attributes:
        unit: "trainings", or "seconds" in multiples of the mean seconds of a training of the table.
        median: In percentage points.
        low: Of the 95 % interval of the median, by order statistics.
        high: Of the same.
        rank: The mean rank among the methods of the table with this budget, 1 is best.
        of: How many methods were ranked.
        difference: The median over the repetitions of the difference to random search; None of random search itself.
        difference_low: Of its 95 % interval.
        difference_high: Of the same.
        n: Repetitions.
    """

    table: str
    method: str
    unit: str
    budget: int
    median: float
    low: float
    high: float
    rank: float
    of: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    n: int


def median_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The median and its distribution-free 95 % interval: two order statistics (David and Nagaraja, 2003, 7.1)."""
    ordered, n = np.sort(values), values.size
    below = int(scipy.stats.binom.ppf(_ALPHA / 2, n, 0.5))
    while below > 0 and scipy.stats.binom.cdf(below - 1, n, 0.5) > _ALPHA / 2:
        below -= 1
    place = max(below - 1, 0)
    return float(np.median(values)), float(ordered[place]), float(ordered[n - 1 - place])


def at_budget(runs: Runs, budget: float, unit: str) -> NDArray[np.float64] | None:
    """The regret of each run at a budget (R,); None where a run did not have it, or nothing had ended."""
    spent = runs.work if unit == "trainings" else runs.seconds
    scale = 1.0 if unit == "trainings" else float(load_table(runs.table).seconds[:, -1].mean())
    if (spent[:, -1] < 0.75 * budget * scale).any():  # a search in seconds ends at about its budget
        return None
    places = (spent <= budget * scale * (1 + 1e-9)).sum(axis=1) - 1
    return None if (places < 0).any() else runs.regret[np.arange(len(places)), places]


def regrets(all_runs: Sequence[Runs]) -> list[Regret]:
    """Every method on every table at every budget."""
    rows: list[Regret] = []
    for table in dict.fromkeys(runs.table for runs in all_runs):
        of_table = [runs for runs in all_runs if runs.table == table]
        for unit in ("trainings", "seconds"):
            for budget in BUDGETS:
                values = {runs.method: at_budget(runs, budget, unit) for runs in of_table}
                rows += _of_budget(table, unit, budget, {m: v for m, v in values.items() if v is not None})
    return rows


def _of_budget(table: str, unit: str, budget: int, values: dict[str, NDArray[np.float64]]) -> list[Regret]:
    if not values:
        return []
    ranks = scipy.stats.rankdata(np.stack(list(values.values())), axis=0).mean(axis=1)
    rows: list[Regret] = []
    for (method, own), rank in zip(values.items(), ranks.tolist(), strict=True):
        middle = [100 * value for value in median_interval(own)]
        apart: list[float | None] = [None, None, None]
        if method != "random" and "random" in values:
            apart = [100 * value for value in median_interval(own - values["random"])]
        interval = dict(zip(("median", "low", "high"), middle, strict=True))
        paired = dict(zip(("difference", "difference_low", "difference_high"), apart, strict=True))
        ranked = {"rank": rank, "of": len(values), "n": own.size}
        rows.append(Regret(table, method, unit, budget, **interval, **ranked, **paired))
    return rows


@dataclass(frozen=True)
class Friedman:
    """Friedman's test over tables, and Nemenyi's critical difference of mean ranks (Demšar, 2006).

    Attributes:
        budget: In trainings.
        tables: N.
        ranks: The mean rank of each method by its median regret, 1 is best.
        p: Of Friedman's test.
        critical: Mean ranks that differ by less are not distinguished, at 5 %.
        verdict: In words.
    """

    budget: int
    tables: tuple[str, ...]
    ranks: dict[str, float]
    p: float
    critical: float
    verdict: str


def friedman(rows: Sequence[Regret], methods: Sequence[str], tables: Sequence[str], budget: int) -> Friedman | None:
    """The test of some methods over some tables; None where one lacks the budget on one of them."""
    medians = {(r.table, r.method): r.median for r in rows if r.unit == "trainings" and r.budget == budget}
    if any((table, method) not in medians for table in tables for method in methods):
        return None
    scores = np.array([[medians[table, method] for method in methods] for table in tables])  # (N, k)
    ranks = scipy.stats.rankdata(scores, axis=1).mean(axis=0)
    n, k = scores.shape
    p = _p_value(scores)
    critical = nemenyi(k, n)
    best, worst = int(ranks.argmin()), int(ranks.argmax())
    clear = p < _ALPHA and ranks[worst] - ranks[best] > critical
    verdict = f"{methods[best]} is better than {methods[worst]}" if clear else "cannot tell"
    named = dict(zip(methods, map(float, ranks), strict=True))
    return Friedman(budget, tuple(tables), named, p, critical, verdict)


def _p_value(scores: NDArray[np.float64]) -> float:
    """Of Friedman's test over the tables; of two methods, of the sign test."""
    if scores.shape[1] > 2:
        return float(scipy.stats.friedmanchisquare(*scores.T).pvalue)
    wins, losses = (int((scores[:, 0] < scores[:, 1]).sum()), int((scores[:, 0] > scores[:, 1]).sum()))
    return float(scipy.stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def nemenyi(k: int, n: int) -> float:
    """The critical difference of the mean ranks of k methods over n tables, at 5 %: q sqrt(k (k + 1) / (6 n)).

    >>> round(nemenyi(4, 10), 2)
    1.48
    """
    q = float(scipy.stats.studentized_range.ppf(1 - _ALPHA, k, math.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


@dataclass(frozen=True)
class Asking:
    """What a suggestion takes: the median and the largest mean of a run, in processor seconds."""

    table: str
    method: str
    trials: int
    median: float
    largest: float


def asking(all_runs: Sequence[Runs]) -> list[Asking]:
    """The processor seconds of suggestions after the random start, of each method that has a model."""
    return [
        Asking(
            runs.table,
            runs.method,
            runs.asking.shape[1] + START,
            float(np.median(runs.asking.mean(axis=1))),
            float(runs.asking.mean(axis=1).max()),
        )
        for runs in all_runs
        if runs.asking.shape[1] and np.isfinite(runs.asking).all()
    ]


def plain(all_runs: Sequence[Runs], rows: Sequence[Regret], tests: Sequence[Friedman]) -> dict[str, Any]:
    """The report as plain data."""
    tables = {
        name: {
            "about": table.about,
            "points": len(table.space.listed),
            "trials": len(set(table.trials.tolist())),
            "judged_on_other_seeds": table.is_judged_apart,
            "best": float(table.judging[:, -1].max()),
            "mean_seconds": float(table.seconds[:, -1].mean()),
        }
        for name in dict.fromkeys(runs.table for runs in all_runs)
        for table in [load_table(name)]
    }
    return {
        "tables": tables,
        "regret": [asdict(row) for row in rows],
        "friedman": [asdict(test) for test in tests],
        "asking": [asdict(row) for row in asking(all_runs)],
    }


# --- the tables of the documentation ---------------------------------------------------------------------------------


def markdown(rows: Sequence[Regret], tests: Sequence[Friedman], askings: Sequence[Asking]) -> str:
    """The report as tables in Markdown."""
    budgets = sorted({row.budget for row in rows})
    lines: list[str] = []
    for unit in ("trainings", "seconds"):
        head = [
            "table",
            "method",
            *(f"{budget}" for budget in budgets),
            "mean rank at 30",
            "at 100",
            "minus random at 100",
        ]
        lines += [f"Budgets in {_UNITS[unit]}:", "", _line(head), _line(["---"] * 2 + ["---:"] * (len(head) - 2))]
        of_unit = [row for row in rows if row.unit == unit]
        for table, method in dict.fromkeys((row.table, row.method) for row in of_unit):
            own = {row.budget: row for row in of_unit if (row.table, row.method) == (table, method)}
            cells = [f"{own[b].median:.2f} [{own[b].low:.2f}, {own[b].high:.2f}]" if b in own else "" for b in budgets]
            ranks = [f"{own[b].rank:.1f} of {own[b].of}" if b in own else "" for b in (30, 100)]
            lines.append(_line([table, method, *cells, *ranks, _apart(own.get(100))]))
        lines.append("")
    lines += [_line(["tables", "trainings", "mean ranks", "p", "critical difference", "verdict"]), _line(["---"] * 6)]
    for test in tests:
        ranks = ", ".join(f"{method} {rank:.2f}" for method, rank in test.ranks.items())
        cells = [f"{test.p:.3f}", f"{test.critical:.2f}", test.verdict]
        lines.append(_line([", ".join(test.tables), str(test.budget), ranks, *cells]))
    lines += ["", _line(["method", "table", "suggestions", "ms, median of runs", "largest"]), _line(["---"] * 5)]
    for one in askings:
        cells = [f"{1e3 * one.median:.1f}", f"{1e3 * one.largest:.1f}"]
        lines.append(_line([one.method, one.table, f"{START + 1} to {one.trials}", *cells]))
    return "\n".join(lines) + "\n"


_UNITS = {"trainings": "trainings with the full budget", "seconds": "seconds of so many mean trainings"}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _apart(row: Regret | None) -> str:
    if row is None or row.difference is None:
        return ""
    return f"{row.difference:+.2f} [{row.difference_low:+.2f}, {row.difference_high:+.2f}]"


# --- the picture -----------------------------------------------------------------------------------------------------


def chart(all_runs: Sequence[Runs], path: Path) -> None:
    """A row of panels for each table: the median regret with its band, against trainings and against seconds."""
    methods = [name for name in METHODS if any(runs.method == name for runs in all_runs)]
    tables = list(dict.fromkeys(runs.table for runs in all_runs))
    scale = alt.Scale(domain=methods, range=[*COLOURS, "#7f7f7f", "#a6761d"][: len(methods)])
    panels = [
        alt.hconcat(*(_panel(all_runs, table, unit, scale) for unit in ("trainings", "seconds")), spacing=20)
        for table in tables
    ]
    write(alt.vconcat(*panels, spacing=16).configure_view(stroke=None).configure_axis(titleFontWeight="normal"), path)


def _panel(all_runs: Sequence[Runs], table: str, unit: str, scale: alt.Scale) -> Any:
    rows: list[dict[str, Any]] = []
    mean = float(load_table(table).seconds[:, -1].mean())
    for runs in all_runs:
        if runs.table != table:
            continue
        for budget in np.geomspace(3, 100, 40):
            values = at_budget(runs, float(budget), unit)
            if values is not None:
                middle, low, high = (max(100 * value, 0.01) for value in median_interval(values))
                at = float(budget) if unit == "trainings" else float(budget) * mean
                rows.append({"method": runs.method, "x": at, "y": middle, "low": low, "high": high})
    title = "trainings with the full budget" if unit == "trainings" else "processor seconds of training"
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title=title, scale=alt.Scale(type="log", nice=False), axis=alt.Axis(labelSeparation=6)),
        color=alt.Color("method:N", scale=scale, legend=strokes(None)),
    )
    y = alt.Scale(type="log", nice=False)
    left = "regret [percentage points]" if unit == "trainings" else None
    band = base.mark_area(opacity=0.1).encode(y=alt.Y("low:Q", scale=y, title=left), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("y:Q", scale=y, title=left))
    heading = f"{table}: median of {next(r.regret.shape[0] for r in all_runs if r.table == table)} searches, 95 % band"
    return alt.layer(band, line).properties(width=270, height=160, title=heading if unit == "trainings" else " ")
