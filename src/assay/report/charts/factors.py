"""What the axes of a study do: effects one at a time, two axes as a grid, all of them as parallel coordinates."""

from __future__ import annotations

from math import log as log_
from typing import Any

import altair as alt
import pandas as pd

from assay.errors import AssayError
from assay.report.charts.frames import (
    Frame,
    axes_of,
    checked,
    ended,
    headed,
    measure_of,
    nothing,
    numbers,
    ordered,
    statistics,
    unfinished,
    words,
)
from assay.report.charts.theme import (
    BLUE,
    GREY,
    INK,
    WIDTH,
    Rows,
    dressed,
    labels,
    message,
    number,
    short,
    span,
    table,
    ticks,
    tooltip,
    unique,
    word,
)
from assay.report.charts.thinning import spread

_CELLS = 40  # rows and columns of a grid


def effects(
    frame: Frame,
    *,
    measure: str = "accuracy",
    most: int = 60,
    origin: str = "the baseline",
    title: str | None = None,
) -> Any:
    """What each value of each axis changes against the `origin`, with its interval, grouped by axis.

    `frame` has the columns axis, value, effect, low and high, in the unit of the measure. Raises: AssayError.
    """
    checked(frame, ["axis", "value", "effect", "low", "high"], what="effects")
    about = measure_of(measure)
    heading = title if title is not None else "what one change at a time does"
    rows: Rows = []
    columns = ("axis", "value", "effect", "low", "high")
    for name, value, effect, low, high in zip(*(frame[c].tolist() for c in columns), strict=True):
        middle = number(effect)
        if middle is not None:
            ends = [about.factor * (middle if end is None else end) for end in (number(low), number(high))]
            row = {
                "axis": word(name),
                "value": word(value),
                "x": about.factor * middle,
                "low": ends[0],
                "high": ends[1],
            }
            rows.append(row)
    unmeasured, total = len(frame) - len(rows), len(rows)
    if not rows:
        said = f": {unmeasured} without a number" if unmeasured else ""
        return message(f"There is no effect to show{said}.", heading)
    largest = sorted(range(total), key=lambda i: -abs(rows[i]["x"]))[:most]
    rows = [rows[i] for i in sorted(largest)]
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row["axis"], []).append(row)
    limits = list(span([0.0, *(r[c] for r in rows for c in ("low", "high"))], pad=0.06))
    heads = labels(groups, most=28)
    panels = [
        _effects_of(group, heads[name], limits, title=about.difference if name == list(groups)[-1] else None)
        for name, group in groups.items()
    ]
    chart = alt.vconcat(*panels, spacing=28, bounds="flush") if len(panels) > 1 else panels[0]
    notes = [
        f"points with their intervals; 0 is {origin}",
        f"the {len(rows)} largest of {total:,} effects" if len(rows) < total else "",
        f"{unmeasured:,} without a number left out" if unmeasured else "",
    ]
    return dressed(chart, heading, notes)


def _effects_of(rows: Rows, head: str, limits: list[float], *, title: str | None) -> Any:
    """The panel of one axis; the last one has the title and the labels of x."""
    for row, label in zip(rows, unique(short(r["value"], 24) for r in rows), strict=True):
        row["label"] = label
    rows = sorted(rows, key=lambda r: -r["x"])
    last = title is not None
    written = "format(datum.value, '~g')"  # each by itself: a scale of steps of ten writes 50 as 5e+1
    x_axis = alt.Axis(labelExpr=written, tickCount=7, labels=last, ticks=last, domain=last, title=title)
    y_axis = alt.Axis(
        title=None, ticks=False, domain=False, labelPadding=8, minExtent=170, maxExtent=170, labelLimit=165
    )
    scale = alt.Scale(domain=limits, nice=False)
    heading = alt.TitleParams(head, anchor="start", fontSize=13, dx=-4, offset=4)
    base = alt.Chart(table(rows)).encode(
        x=alt.X("x:Q", axis=x_axis, scale=scale),
        y=alt.Y("label:N", sort=[r["label"] for r in rows], axis=y_axis),
        color=alt.condition("datum.low > 0 || datum.high < 0", alt.value(BLUE), alt.value(GREY)),
        tooltip=tooltip(
            axis="axis", value="value", x=("effect", "+.4~g"), low=("low", "+.4~g"), high=("high", "+.4~g")
        ),
    )
    zero = alt.Chart(table([{"x": 0}])).mark_rule(color=INK, strokeDash=[3, 3])
    zero = zero.encode(x=alt.X("x:Q", axis=x_axis, scale=scale))
    lines = base.mark_rule(strokeWidth=2.2).encode(x=alt.X("low:Q", axis=x_axis, scale=scale), x2="high:Q")
    points = base.mark_circle(size=80, opacity=1)
    return alt.layer(zero, lines, points).properties(width=WIDTH - 60, height=22 * len(rows), title=heading)


def heat_map(
    trials: Frame,
    *,
    rows: str | None = None,
    columns: str | None = None,
    measure: str = "accuracy",
    title: str | None = None,
) -> Any:
    """The mean of a measure for each pair of values of two axes, written in the cells.

    Without `rows` and `columns`: the first two axes of the study. A cell with × holds trials, none of which has a
    number. Raises: AssayError.
    """
    about = measure_of(measure)
    free = [name for name in axes_of(trials) if name not in (rows, columns)]
    if (rows is None) + (columns is None) > len(free) and len(trials):
        had = ", ".join(repr(name) for name in axes_of(trials)) or "none"
        raise AssayError(
            f"grid: two axes are needed; axes that vary in these trials: {had}. Name `rows` and `columns`."
        )
    heading = headed(trials, f"mean {about.title}", title)
    if not len(trials):
        return message(nothing(trials, "a number"), heading)
    rows = rows if rows is not None else free.pop(0)
    columns = columns if columns is not None else free.pop(0)
    checked(trials, [rows, columns, measure])
    plain = pd.DataFrame({"cell": list(zip(words(trials, rows), words(trials, columns), strict=True))})
    plain["value"] = numbers(trials, measure)
    plain["unfinished"] = [bool(how) for how in unfinished(trials)]
    levels = {name: ordered(trials[name].tolist()) for name in (rows, columns)}
    kept = {name: [found[i] for i in spread(len(found), _CELLS)] for name, found in levels.items()}
    cells = plain.groupby("cell", sort=False)
    summary = {key: (cells_.value.astype("float64"), int(cells_.unfinished.sum())) for key, cells_ in cells}
    means = [number(values.mean()) for values, _ in summary.values()]
    finite = [mean for mean in means if mean is not None]
    if not finite:
        return message(nothing(trials, f"a number for {about.title}"), heading)
    low, high = min(finite), max(finite)
    wide = len(kept[columns]) <= 14
    named = {name: labels(kept[name], most=24 if name == rows else (36 if not wide else 16)) for name in kept}
    drawn: Rows = []
    for row in kept[rows]:
        for column in kept[columns]:
            values, bad = summary.get((row, column), (pd.Series(dtype="float64"), 0))
            mean = number(values.mean()) if len(values) else None
            share = 0.0 if mean is None or high == low else (mean - low) / (high - low)
            text = _cell_text(mean, percent="accuracy" in measure) if mean is not None else "×" if len(values) else ""
            drawn.append(
                {"row": row, "column": column, "y": named[rows][row], "x": named[columns][column], "mean": mean}
                | {"text": text, "n": len(values), "unfinished": bad}
                | {"light": mean is not None and share <= 0.55}
            )
    step_x = max(18, min(110, 560 // len(kept[columns])))
    step_y = max(16, min(40, 480 // len(kept[rows])))
    small = 9 if step_x < 44 else 12
    base = alt.Chart(table(drawn)).encode(
        x=alt.X("x:N", sort=list(named[columns].values()), title=short(columns)).axis(
            labelAngle=0 if wide and max(map(len, named[columns].values())) * 7 < step_x else -40,
            ticks=False,
            domain=False,
            orient="bottom",
            labelLimit=200,
        ),
        y=alt.Y("y:N", sort=list(named[rows].values()), title=short(rows)).axis(
            ticks=False, domain=False, labelLimit=200
        ),
        tooltip=[
            *tooltip(
                row=short(rows),
                column=short(columns),
                mean=(f"mean {about.title}", ".2%" if "acc" in measure else ".4~g"),
            ),
            *tooltip(n=("trials", "d"), unfinished=("of them unfinished", "d")),
        ],
    )
    legend = alt.Legend(title=None, format=about.format, gradientLength=min(200, max(60, step_y * len(kept[rows]))))
    scale = alt.Scale(scheme="viridis", domain=[low, high] if high > low else [low - 1e-3, high + 1e-3])
    filled = (
        base.transform_filter("isValid(datum.mean)")
        .mark_rect(stroke="white")
        .encode(color=alt.Color("mean:Q", scale=scale, legend=legend))
    )
    bare = base.transform_filter("!isValid(datum.mean)").mark_rect(stroke="white", color="#eeeeee")
    layers = [bare, filled]
    if step_x >= 28:
        text = base.mark_text(fontSize=small).encode(
            text="text:N", color=alt.condition("datum.light", alt.value("#ffffff"), alt.value(INK))
        )
        layers.append(text)
    chart = alt.layer(*layers).properties(width=alt.Step(step_x), height=alt.Step(step_y))
    best = max(drawn, key=lambda cell: -1.0 if cell["mean"] is None else cell["mean"])
    accuracy = "accuracy" in measure
    notes = [
        f"best: {best['mean']:.1%} at {short(rows)} {best['y']}, {short(columns)} {best['x']}" if accuracy else "",
        *(
            f"{len(kept[name])} of the {len(levels[name]):,} values of {short(name)}"
            for name in (rows, columns)
            if len(kept[name]) < len(levels[name])
        ),
        f"{ended(trials)} (× where no trial has a number)" if ended(trials) else "",
    ]
    return dressed(chart, heading + (" [%]" if accuracy and title is None else ""), notes)


def _cell_text(value: float, *, percent: bool) -> str:
    return f"{100 * value:.1f}" if percent else f"{value:.3g}"


def parallel_coordinates(
    trials: Frame,
    *,
    axes: list[str] | None = None,
    by: str = "configuration",
    most: int = 300,
    title: str | None = None,
) -> Any:
    """A line for each configuration through its values on every axis to its mean accuracy, which colours it.

    Without `axes`: those of the study. More than `most` configurations are thinned evenly by accuracy.
    Raises: AssayError.
    """
    names = axes_of(trials) if axes is None else list(axes)
    checked(trials, [by, "accuracy", *names])
    heading = headed(trials, "the axes and the accuracy", title)
    means = statistics(trials, by, ["accuracy"]).set_index("name")
    firsts = trials.assign(_by=words(trials, by)).drop_duplicates("_by").set_index("_by")
    told = means[means["accuracy_mean"].notna()].sort_values("accuracy_mean", kind="stable")
    if not len(told) or not names:
        said = nothing(trials, "an accuracy") if not len(told) else "No axis varies in these trials."
        return message(said, heading)
    kept = [str(told.index[i]) for i in spread(len(told), most)]
    firsts = firsts.loc[kept]
    accuracies = [float(told.loc[name, "accuracy_mean"]) for name in kept]
    low, high = span(told["accuracy_mean"].tolist(), pad=0.02)
    rows: Rows = []
    marks: Rows = []
    for place, name in enumerate(names):
        heights, levels = _placed(firsts[name].tolist(), trials[name].tolist())
        values = words(firsts, name)
        rows += [
            {"name": n, "place": place, "y": y, "accuracy": a, "axis": name, "value": v}
            for n, y, a, v in zip(kept, heights, accuracies, values, strict=True)
        ]
        marks += [{"place": place, "y": y, "text": short(text, 18)} for y, text in levels]
    last = len(names)
    rows += [
        {
            "name": n,
            "place": last,
            "y": (a - low) / (high - low),
            "accuracy": a,
            "axis": "accuracy",
            "value": f"{a:.2%}",
        }
        for n, a in zip(kept, accuracies, strict=True)
    ]
    marks += [{"place": last, "y": i / 4, "text": f"{low + (high - low) * i / 4:.1%}"} for i in range(5)]
    heads = [{"place": i, "text": short(name, 20)} for i, name in enumerate([*names, "test accuracy"])]
    wide, tall = max(WIDTH, 110 * last), 360
    x = alt.X("place:Q", axis=None, scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False))
    scale = alt.Scale(scheme="viridis", reverse=False, domain=[low, high])
    hover = alt.selection_point(name="trial", fields=["name"], on="pointerover", clear="pointerout")
    opacity = 0.9 if len(kept) <= 30 else 0.6 if len(kept) <= 120 else 0.35
    lines = (
        alt.Chart(table(rows))
        .mark_line(strokeWidth=1.8, interpolate="monotone")
        .encode(
            x=x,
            y=y,
            detail="name:N",
            color=alt.Color("accuracy:Q", scale=scale, legend=None),
            strokeOpacity=alt.condition(hover, alt.value(opacity), alt.value(0.04)),
            tooltip=tooltip(name=by, axis="axis", value="value", accuracy=("mean accuracy", ".2%")),
        )
        .add_params(hover)
    )
    rules = (
        alt.Chart(table([{"place": i, "y": 0, "top": 1} for i in range(last + 1)]))
        .mark_rule(color="#555")
        .encode(x=x, y=y, y2="top:Q")
    )
    text = alt.Chart(table(marks)).mark_text(fontSize=11, align="left", dx=6, color=INK, stroke=None)
    halo = alt.Chart(table(marks)).mark_text(
        fontSize=11, align="left", dx=6, stroke="white", strokeWidth=3, opacity=0.85
    )
    head = alt.Chart(table(heads)).mark_text(fontSize=13, fontWeight="bold", dy=-16, color=INK)
    chart = alt.layer(
        rules,
        lines,
        halo.encode(x=x, y=y, text="text:N"),
        text.encode(x=x, y=y, text="text:N"),
        head.encode(x=x, y=alt.value(0), text="text:N"),
    ).properties(width=wide, height=tall)
    notes = [
        f"{len(kept):,} of {len(told):,} configurations, evenly by accuracy" if len(kept) < len(told) else "",
        f"a line for each of {len(kept):,} configurations" if len(kept) == len(told) else "",
        f"{len(means) - len(told):,} without an accuracy not drawn" if len(told) < len(means) else "",
        ended(trials),
    ]
    return dressed(chart, heading, notes)


def _placed(values: list[Any], everything: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values lie between 0 and 1 on their axis, and the labels of the axis.

    Up to eight different values, and all that are no numbers, lie at equal distances; more numbers lie to scale.
    """
    levels = ordered(everything)
    plain = [number(value) for value in everything if not isinstance(value, (bool, str))]
    finite = [value for value in plain if value is not None]
    if len(levels) <= 8 or len(finite) < len(everything):
        place = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        shown = [levels[i] for i in spread(len(levels), 16)]
        return [place[word(value)] for value in values], [(place[level], level) for level in shown]
    low, high = min(finite), max(finite)
    log = low > 0 and high / low > 50
    series = pd.Series(values, dtype="float64")
    scaled = (series / low).map(log_) / log_(high / low) if log else (series - low) / (high - low)
    at = ticks(low, high) if log else [low + (high - low) * i / 4 for i in range(5)]
    height = [(log_(v / low) / log_(high / low) if log else (v - low) / (high - low)) for v in at]
    return scaled.tolist(), [(y, f"{v:.3g}") for y, v in zip(height, at, strict=True)]
