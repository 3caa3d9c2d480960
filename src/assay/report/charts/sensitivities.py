"""What matters: a measure against the learning rate of each optimizer, and the share that each axis explains."""

from __future__ import annotations

from typing import Any

import altair as alt

from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    framed,
    headed,
    measure_of,
    nothing,
    numbers,
    unfinished,
    words,
)
from assay.report.charts.theme import (
    BLUE,
    INK,
    SERIES,
    WIDTH,
    Rows,
    axis,
    axis_format,
    colours,
    dressed,
    labels,
    message,
    number,
    short,
    span,
    strokes,
    table,
    tooltip,
    unique,
    word,
)

_BARS = 25


def sensitivity(
    trials: Frame,
    *,
    x: str = "learning_rate",
    by: str = "optimizer",
    measure: str = "accuracy",
    most: int = SERIES,
    title: str | None = None,
) -> Any:
    """A measure against the learning rate, or another number, for each optimizer: median, and the range as a band.

    Trials without a number are marked × at the lower edge. Raises: AssayError.
    """
    about = measure_of(measure)
    checked(trials, [x, by, measure])
    heading = headed(trials, f"{about.title} against {short(x).replace('_', ' ')}", title)
    plain = framed(series=words(trials, by), x=numbers(trials, x), y=numbers(trials, measure))
    plain["unfinished"] = unfinished(trials)
    plain = plain.astype({"x": "float64", "y": "float64"})
    plain = plain[plain["x"].notna()]
    finite = plain[plain["y"].notna()]
    if not len(finite):
        return message(nothing(trials, f"a number for {about.title}"), heading)
    log = bool((plain["x"] > 0).all() and plain["x"].max() / plain["x"].min() > 5)
    medians = finite.groupby(["series", "x"])["y"].median()
    peaks = medians.groupby("series").agg("max" if "accuracy" in measure else "min")
    ranked = [str(name) for name in peaks.sort_values(ascending="accuracy" not in measure, kind="stable").index]
    kept = ranked[:most]
    named = labels(kept)
    grouped = finite[finite["series"].isin(kept)].groupby(["series", "x"])["y"]
    found = framed(y=grouped.median(), low=grouped.min(), high=grouped.max(), n=grouped.count())
    rows: Rows = [
        {"name": r["series"], "series": named[r["series"]], "kind": "line"}
        | {"x": float(r["x"]), "y": float(r["y"]), "low": float(r["low"]), "high": float(r["high"]), "n": int(r["n"])}
        for r in found.reset_index().to_dict("records")
    ]
    low, high = span([r[c] for r in rows for c in ("low", "high")], pad=0.06)
    lost = plain[plain["series"].isin(kept) & (plain["y"].isna() | (plain["unfinished"] != ""))]
    counts = lost.groupby(["series", "x"]).size()
    rows += [
        {"name": name, "series": named[name], "kind": "lost", "x": float(at), "y": low, "n": int(n)}
        for (name, at), n in counts.items()
    ]
    x_values = [r["x"] for r in rows]
    domain = list(span(x_values, log=log, pad=0.03))
    x_axis = axis(domain, log=log, count=7)
    scale = alt.Scale(domain=[low, high], nice=False)
    y_axis = alt.Axis(format=axis_format(low, high, percent="accuracy" in measure))
    y, bottom = (alt.Y(f"{end}:Q", title=about.title, scale=scale, axis=y_axis) for end in ("y", "low"))
    color, dash = colours(list(named.values()))
    legend = strokes(f"{short(by)}, best first") if len(kept) > 1 else None
    base = alt.Chart(table(rows)).encode(
        x=alt.X(
            "x:Q",
            title=short(x).replace("_", " ") + (" (log scale)" if log else ""),
            scale=alt.Scale(type="log" if log else "linear", domain=domain, nice=False),
            axis=x_axis,
        ),
        y=y,
        color=alt.Color("series:N", scale=color, legend=legend),
        tooltip=[
            *tooltip(name=by, x=(short(x), ",~r"), y=("median", ".4~f"), low=("lowest", ".4~f")),
            *tooltip(high=("highest", ".4~f"), n=("trials", "d")),
        ],
    )
    told = base.transform_filter("datum.kind == 'line'")
    hover = alt.selection_point(name="trial", fields=["series"], on="pointerover", clear="pointerout")
    band = told.mark_area(fillOpacity=0.15).encode(y=bottom, y2="high:Q")
    line = told.mark_line(strokeWidth=2.2).encode(
        strokeDash=alt.StrokeDash("series:N", scale=dash, legend=legend),
        strokeOpacity=alt.condition(hover, alt.value(1), alt.value(0.2)),
    )
    dots = told.mark_circle(size=45, opacity=1)
    crosses = base.transform_filter("datum.kind == 'lost'").mark_text(text="×", fontSize=18, fontWeight="bold", dy=-8)
    crosses = crosses.encode(tooltip=tooltip(name=by, x=(short(x), ",~r"), n=("unfinished trials", "d")))
    chart = alt.layer(band, line.add_params(hover), dots, crosses).properties(width=WIDTH - 40, height=340)
    best = max(rows, key=lambda r: (r["kind"] == "line", r["y"] if "accuracy" in measure else -r["y"]))
    value = f"{best['y']:.2%}" if "accuracy" in measure else f"{best['y']:.3g}"
    notes = [
        f"best median: {value} by {best['series']} at {best['x']:g}",
        f"the best {len(kept)} of {len(ranked):,}" if len(kept) < len(ranked) else "",
        f"{ended(trials)} (× at the lower edge)" if ended(trials) else "",
    ]
    return dressed(chart, heading, notes)


def importance(frame: Frame, *, most: int = _BARS, title: str | None = None) -> Any:
    """How much of the differences each axis explains, largest first. `frame` has the columns axis and share.

    Raises: AssayError.
    """
    checked(frame, ["axis", "share"], what="importance")
    heading = title if title is not None else "which axis matters"
    found = [(word(a), number(s)) for a, s in zip(frame["axis"].tolist(), frame["share"].tolist(), strict=True)]
    told = sorted(((a, s) for a, s in found if s is not None), key=lambda pair: -pair[1])
    if not told:
        return message("There is no importance to show.", heading)
    kept = told[:most]
    names = unique(short(axis) for axis, _ in kept)
    rows: Rows = [
        {"name": axis, "label": label, "x": share, "text": f"{share:.1%}"}
        for (axis, share), label in zip(kept, names, strict=True)
    ]
    low, high = min(0.0, kept[-1][1]), max(max(s for _, s in kept), 0.01)
    base = alt.Chart(table(rows)).encode(
        x=alt.X(
            "x:Q", title="share of the variance that the axis explains", axis=alt.Axis(format="%", tickCount=6)
        ).scale(domain=[low, high], nice=False),
        y=alt.Y("label:N", sort=names, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8)),
        tooltip=tooltip(name="axis", x=("share", ".2%")),
    )
    bars = base.mark_bar(color=BLUE, opacity=0.8, height={"band": 0.65})
    text = base.mark_text(align="left", dx=6, fontSize=12, color=INK).encode(text="text:N")
    chart = alt.layer(bars, text).properties(width=WIDTH - 90, height=alt.Step(26))
    notes = [
        f"the largest {len(kept)} of {len(told):,}" if len(kept) < len(told) else "",
        f"{len(found) - len(told):,} without a number left out" if len(told) < len(found) else "",
    ]
    return dressed(chart, heading, notes)
