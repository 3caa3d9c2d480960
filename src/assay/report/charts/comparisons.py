"""Configurations side by side: effort, differences with their intervals, seconds by use."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.analysis.frames import own
from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    headed,
    measure_of,
    mixed,
    nothing,
    statistics,
)
from assay.report.charts.theme import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    WIDTH,
    Rows,
    axis,
    dressed,
    labels,
    message,
    number,
    span,
    table,
    tooltip,
    unique,
    word,
)

_BARS = 25
LEDGER: tuple[str, ...] = ("data", "compile", "train", "evaluate", "checkpoint", "wait", "other")


def effort_ranking(
    trials: Frame, *, by: str = "configuration", most: int = _BARS, log: bool = False, title: str | None = None
) -> Any:
    """Median effort (training seconds / accuracy) as bars, lowest first, with whiskers from the lowest to the highest.

    The mean accuracy stands beside each. With `log` the medians are points on a logarithmic axis, as bars would have
    no zero to begin at. Raises: AssayError.
    """
    checked(trials, [by, "effort", "accuracy"])
    trials, left_out = own(trials)
    heading = headed(trials, "effort, lower is better", title)
    found = statistics(trials, by, ["effort", "accuracy"]).sort_values("effort_median", kind="stable")
    told = found[found["effort_median"].notna() & ((found["effort_min"] > 0) | (not log))]
    if not len(told):
        return message(nothing(trials, "an effort"), heading, mixed(trials))
    kept = told.head(most)
    named = labels(kept["name"])
    rows: Rows = [
        {"name": r["name"], "label": named[r["name"]], "n": int(r["n"]), "unfinished": int(r["unfinished"])}
        | {"x": number(r["effort_median"]), "low": number(r["effort_min"]), "high": number(r["effort_max"])}
        | {"accuracy": number(r["accuracy_mean"]), "text": _accuracy_text(r)}
        for r in kept.to_dict("records")
    ]
    limits = span([r[c] for r in rows for c in ("low", "high")], log=log)
    domain = list(limits) if log else [0, max(r["high"] for r in rows) * 1.02]
    x_axis = axis(limits, log=log)
    x = alt.X("x:Q", title="effort [s of training / accuracy]" + (" (log scale)" if log else ""), axis=x_axis)
    x = x.scale(type="log" if log else "linear", domain=domain, nice=False, zero=not log)
    bottom = x.copy()
    bottom.shorthand = "low:Q"
    base = alt.Chart(table(rows)).encode(
        x=x,
        y=_names(rows),
        tooltip=tooltip(
            name=by,
            x=("median effort", ".4~g"),
            low=("lowest", ".4~g"),
            high=("highest", ".4~g"),
            accuracy=("mean accuracy", ".2%"),
            n=("trials", "d"),
            unfinished=("of them unfinished", "d"),
        ),
    )
    body = (
        base.mark_circle(size=90, color=BLUE, opacity=1)
        if log
        else base.mark_bar(color=BLUE, opacity=0.75, height={"band": 0.6})
    )
    whiskers = base.mark_rule(color=INK, strokeWidth=1.5).encode(x=bottom, x2="high:Q")
    text = base.mark_text(align="left", dx=8, fontSize=12, color=INK).encode(x=alt.value(WIDTH - 90), text="text:N")
    chart = alt.layer(body, whiskers, text).properties(width=WIDTH - 90, height=alt.Step(24))
    without = len(found) - len(told)
    notes = [
        "median, whiskers from the lowest to the highest trial, mean accuracy at the right",
        f"the best {len(kept)} of {len(told):,}" if len(kept) < len(told) else "",
        f"{without:,} without an effort left out" if without else "",
        f"{ended(trials)} (×)" if ended(trials) else "",
        left_out,
        mixed(trials),
    ]
    return dressed(chart, heading, notes)


def _accuracy_text(row: dict[str, Any]) -> str:
    accuracy = number(row["accuracy_mean"])
    said = "no accuracy" if accuracy is None else f"{accuracy:.2%}"
    return f"{said}  × {int(row['unfinished'])} of {int(row['n'])}" if row["unfinished"] else said


def _names(rows: Rows, *, title: str | None = None) -> alt.Y:
    """The axis of names in the order of the rows."""
    axis = alt.Axis(title=title, ticks=False, domain=False, labelPadding=8)
    return alt.Y("label:N", sort=[row["label"] for row in rows], axis=axis)


def verdicts(frame: Frame, *, measure: str = "accuracy", most: int = 40, title: str | None = None) -> Any:
    """Differences between pairs with their intervals: decided where the interval leaves out zero.

    `frame` has the columns a, b, difference (of a to b), low, high and decided (true or false). Raises: AssayError.
    """
    checked(frame, ["a", "b", "difference", "low", "high", "decided"], what="verdicts")
    about = measure_of(measure)
    heading = title if title is not None else "which differences are decided"
    rows: Rows = []
    columns = ("a", "b", "difference", "low", "high", "decided")
    unmeasured = 0
    for a, b, difference, low, high, decided in zip(*(frame[c].tolist() for c in columns), strict=True):
        middle, ends = number(difference), (number(low), number(high))
        if middle is None:
            unmeasured += 1
            continue
        low_, high_ = (about.factor * (middle if end is None else end) for end in ends)
        row = {"name": f"{word(a)} − {word(b)}", "a": word(a), "b": word(b), "x": about.factor * middle}
        rows.append(
            row | {"low": low_, "high": high_, "verdict": "decided" if decided is True or decided == 1 else "undecided"}
        )
    if not rows:
        return message("There is no difference between two configurations to show.", heading)
    total = len(rows)
    rows = sorted(sorted(rows, key=lambda r: -abs(r["x"]))[:most], key=lambda r: -r["x"])
    named = labels(dict.fromkeys(name for r in rows for name in (r["a"], r["b"])), most=24)
    for row, label in zip(rows, unique(f"{named[r['a']]} − {named[r['b']]}" for r in rows), strict=True):
        row["label"] = label
    domain = list(span([0.0, *(r[c] for r in rows for c in ("low", "high"))], pad=0.06))
    scale, x_axis = alt.Scale(domain=domain, nice=False), axis(domain, count=7)
    x, bottom = (alt.X(f"{end}:Q", title=about.difference, scale=scale, axis=x_axis) for end in ("x", "low"))
    color = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=["decided", "undecided"], range=[BLUE, GREY]),
        legend=alt.Legend(title=None, orient="top"),
    )
    about_row = tooltip(
        a="a", b="b", x=("a − b", "+.4~g"), low=("low", "+.4~g"), high=("high", "+.4~g"), verdict="verdict"
    )
    base = alt.Chart(table(rows)).encode(x=x, y=_names(rows), color=color, tooltip=about_row)
    zero = alt.Chart(table([{"x": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x=x)
    lines = base.mark_rule(strokeWidth=2.2).encode(x=bottom, x2="high:Q")
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        shape=alt.Shape("verdict:N", scale=alt.Scale(domain=["decided", "undecided"], range=["circle", "diamond"]))
    )
    chart = alt.layer(zero, lines, points).properties(width=WIDTH - 130, height=alt.Step(24))
    decided = sum(r["verdict"] == "decided" for r in rows)
    notes = [
        f"{decided} of {len(rows)} decided",
        f"the {len(rows)} largest of {total:,} differences" if len(rows) < total else "",
        f"{unmeasured:,} without a difference left out" if unmeasured else "",
    ]
    return dressed(chart, heading, notes)


_USES: dict[str, str] = dict(
    zip(LEDGER, (COLOURS[4], COLOURS[3], COLOURS[0], GREEN, COLOURS[5], "#bdbdbd", "#6b6b6b"), strict=True)
)  # a colour for each use of the seconds


def ledger(
    trials: Frame,
    *,
    by: str = "configuration",
    most: int = _BARS,
    share: bool = False,
    title: str | None = None,
) -> Any:
    """Where the seconds of a trial went, as stacked bars of the means, longest first; as shares with `share`.

    Raises: AssayError.
    """
    checked(trials, [by, "ledger_train"])
    heading = headed(trials, "where the seconds went", title)
    present = [entry for entry in LEDGER if f"ledger_{entry}" in trials.columns]
    found = statistics(trials, by, [f"ledger_{entry}" for entry in present])
    means = {entry: found[f"ledger_{entry}_mean"].fillna(0.0).clip(lower=0.0) for entry in present}
    found["total"] = sum(means.values())
    for entry in present:
        found[entry] = means[entry]
    told = found[found["total"] > 0].sort_values("total", ascending=False, kind="stable")
    if not len(told):
        return message(nothing(trials, "a second that was booked"), heading)
    kept = told.head(most)
    named = labels(kept["name"])
    rows: Rows = [
        {"name": r["name"], "label": named[r["name"]], "use": entry, "rank": i, "n": int(r["n"])}
        | {"seconds": float(r[entry]), "share": float(r[entry] / r["total"])}
        | {"x": float(r[entry] / r["total"] if share else r[entry]), "total": float(r["total"])}
        for r in kept.to_dict("records")
        for i, entry in enumerate(present)
    ]
    used = [entry for entry in present if any(r["use"] == entry and r["seconds"] > 0 for r in rows)]
    sums: Rows = [{"label": named[r["name"]], "text": f"{r['total']:.3g} s"} for r in kept.to_dict("records")]
    longest = float(kept["total"].max())
    x = alt.X("sum(x):Q", title="share of the time of a trial" if share else "mean seconds of a trial", stack="zero")
    x = x.axis(format="%" if share else "~g", tickCount=6).scale(domain=[0, 1 if share else longest], nice=False)
    color = alt.Color(
        "use:N",
        scale=alt.Scale(domain=used, range=[_USES[entry] for entry in used]),
        legend=alt.Legend(title=None, orient="top", symbolType="square"),
    )
    about = tooltip(
        name=by,
        use="use",
        seconds=("mean seconds", ".4~g"),
        share=("share", ".1%"),
        total=("all", ".4~g"),
        n=("trials", "d"),
    )
    bars = (
        alt.Chart(table(rows))
        .mark_bar(height={"band": 0.7})
        .encode(x=x, y=_names(sums), color=color, order="rank:Q", tooltip=about)
    )
    text = (
        alt.Chart(table(sums))
        .mark_text(align="left", dx=8, fontSize=12, color=INK)
        .encode(x=alt.value(WIDTH - 90), y=_names(sums), text="text:N")
    )
    chart = alt.layer(bars, text).properties(width=WIDTH - 90, height=alt.Step(24))
    notes = [
        "means over the trials, the sum at the right",
        f"the longest {len(kept)} of {len(told):,}" if len(kept) < len(told) else "",
        ended(trials),
        mixed(trials),
    ]
    return dressed(chart, heading, notes)
