"""The learning curves of a study: a line for each configuration, a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from assay.analysis.frames import is_imported, listed
from assay.errors import AssayError, unknown
from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    numbers,
    ordered,
    unfinished,
    words,
)
from assay.report.charts.theme import (
    GREY,
    SERIES,
    WIDTH,
    Rows,
    axis,
    axis_format,
    colours,
    dressed,
    labels,
    message,
    short,
    span,
    strokes,
    table,
    tooltip,
)
from assay.report.charts.thinning import smoothed, spread, thinned

AXES = {
    "iteration": "iterations",
    "examples": "examples seen",
    "seconds": "training time [s]",
    "flops": "floating-point operations",
}
_MEASURES = ("accuracy", "loss")
_SPLITS = {"test": "test", "validation": "validation", "train": "training"}
_POINTS = 300  # of a line: two pixels each
_REST = 60  # grey lines of the series that are not told apart, of 30 points each
_PANELS = 12


def learning_curves(
    trials: Frame,
    curves: Frame,
    *,
    x: str = "iteration",
    measure: str = "accuracy",
    split: str = "test",
    by: str = "configuration",
    facet: str | None = None,
    start: float | None = None,
    stop: float | None = None,
    smooth: int = 1,
    log: str = "",
    most: int = SERIES,
    order: Sequence[str] | None = None,
    title: str | None = None,
) -> Any:
    """The median over the trials of each series as a line, from the lowest to the highest as a band.

    `x`: "iteration", "examples", "seconds" or "flops"; `measure`: "accuracy" or "loss" on the `split` "test",
    "validation" or "train". A series is a value of the column `by` of `trials` ("trial": each trial is a line);
    with `facet`, another column, each of its values has a panel. `start` and `stop` zoom in on a part of x; `smooth`
    is the number of points of a trailing mean; `log` names the logarithmic axes: "x", "y" or "xy".
    The `most` series with the best final test accuracy are coloured, others grey; with `order` those that it names, in
    that order, and no others are drawn.
    Raises: AssayError.
    """
    column = _asked(x, measure, split=split, log=log, smooth=smooth, start=start, stop=stop)
    checked(trials, ["trial", by, *([facet] if facet else [])])
    checked(curves, ["trial"], what="curves")
    heading = headed(
        trials, f"{_SPLITS[split]} {measure}" + (f" by {short(by)}" if by != "configuration" else ""), title
    )
    points = _points(trials, curves, x=x, column=column, by=by, facet=facet)
    if smooth > 1:
        points["y"] = points.groupby("trial", sort=False)["y"].transform(smoothed, smooth)
    if order is not None:
        points = points[points["series"].isin(order)]
    before = points["trial"].nunique()
    within = pd.Series(True, index=points.index)
    if start is not None:
        within &= points["x"] >= start
    if stop is not None:
        within &= points["x"] <= stop
    points = points[within]
    for name in log:
        points = points[points[name] > 0]
    if not len(points):
        return message(_empty(trials, f"{_SPLITS[split]} {measure}", zoomed=before > 0), heading)
    panels = ordered(trials[facet].tolist()) if facet else [""]
    along = _counted(trials) if x == "iteration" else AXES[x]
    picture = _Picture(
        x,
        along,
        _SPLITS[split] + " " + measure,
        log=log,
        percent=measure == "accuracy",
        by=by,
        facet=facet,
        panels=panels,
        order=order,
    )
    chart, left_out = _drawn(points, picture, most=min(most, 3 * SERIES // 2))
    notes = [*left_out, _marks(trials), _not_drawn(trials, points), mixed(trials) if x == "seconds" else ""]
    notes += [f"each point the mean of the last {smooth} points" if smooth > 1 else ""]
    return dressed(chart, heading, notes)


@dataclass(frozen=True)
class _Picture:
    x: str
    along: str  # the title of the axis of x
    measure: str
    log: str
    percent: bool
    by: str
    facet: str | None
    panels: list[str]  # in order
    order: Sequence[str] | None  # of the series; None: best first


def _asked(x: str, measure: str, *, split: str, log: str, smooth: int, start: float | None, stop: float | None) -> str:
    """The column of the curves that is asked for. Raises: AssayError."""
    for kind, name, known in (("axis", x, AXES), ("measure", measure, _MEASURES), ("split", split, _SPLITS)):
        if name not in known:
            raise AssayError(unknown(kind, name, known))
    if log not in ("", "x", "y", "xy"):
        raise AssayError("log: " + unknown("choice", log, ["", "x", "y", "xy"]))
    if smooth < 1:
        raise AssayError(f"smooth: got {smooth}; expected a number of points >= 1")
    if start is not None and stop is not None and start >= stop:
        raise AssayError(f"start: got {start:g}, which is not before stop, {stop:g}")
    return f"{split}_{measure}"


def _points(trials: Frame, curves: Frame, *, x: str, column: str, by: str, facet: str | None) -> Frame:
    """The finite points in columns of fixed names, each with its series and panel, sorted by trial and x."""
    about = pd.DataFrame(
        {
            "trial": trials["trial"].to_numpy(),
            "series": words(trials, by),
            "panel": words(trials, facet) if facet else "",
            "unfinished": unfinished(trials),
            "final": pd.Series(numbers(trials, "accuracy"), dtype="float64").to_numpy(),
        }
    ).drop_duplicates("trial")
    found = pd.DataFrame(
        {
            "trial": curves["trial"].to_numpy(dtype=object),  # also where there is none
            "x": np.array(numbers(curves, x), dtype=float),
            "y": np.array(numbers(curves, column), dtype=float),
        }
    )
    steps = np.array(numbers(curves, "iteration"), dtype=float)
    found["step"] = np.where(np.isfinite(steps), steps, found["x"]) if x == "seconds" else found["x"]
    found = found.dropna().merge(about, on="trial", how="inner")
    return found.sort_values(["trial", "x"], kind="stable").reset_index(drop=True)


def _drawn(points: Frame, picture: _Picture, *, most: int) -> tuple[Any, list[str]]:
    """The chart, and what its subtitle has to say about series that were left out and points that were thinned."""
    means = points.drop_duplicates("trial").groupby("series", sort=False)["final"].mean()
    ranked = [str(name) for name in means.sort_values(ascending=False, kind="stable", na_position="last").index]
    if picture.order is not None:
        ranked = [name for name in picture.order if name in ranked]
    kept, rest = ranked[:most], ranked[most:]
    panels = [name for name in picture.panels if name in set(points["panel"])]
    if picture.facet == picture.by:  # a panel for each series: those of the best, and none in grey
        panels, rest = [name for name in panels if name in kept[:_PANELS]], []
        kept = kept[:_PANELS]
    shown = panels[:_PANELS]
    named, heads = labels(kept if picture.order is None else picture.order), labels(shown)
    rows: Rows = []
    most_points, thinned_from = max(40, min(_POINTS, 8000 // (len(kept) * len(shown)))), 0
    grey = [rest[i] for i in spread(len(rest), _REST)]
    top = _ceiling(points, picture)
    points = points[points["panel"].isin(shown) & points["series"].isin([*kept, *grey])]
    for (panel, series), group in points.groupby(["panel", "series"], sort=False):
        told = series in named
        line = _band(group)
        chosen = thinned(
            line["x"],
            [line["y"], line["low"], line["high"]] if told and line["n"].max() > 1 else [line["y"]],
            most=most_points if told else 30,
            log="x" in picture.log,
        )
        thinned_from = max(thinned_from, len(line["x"]) if told and len(chosen) < len(line["x"]) else 0)
        about = {"panel": heads[panel], "series": named.get(series, series), "name": series}
        kind = ("line" if len(chosen) > 25 else "dots") if told else "rest"
        columns = zip(*(line[c][chosen].tolist() for c in ("x", "y", "low", "high", "n")), strict=True)
        rows += [about | {"kind": kind, "x": a, "y": y, "low": lo, "high": hi, "n": n} for a, y, lo, hi, n in columns]
        if told:
            last = group[group["unfinished"] != ""].drop_duplicates("trial", keep="last")
            ends = zip(last["x"].tolist(), last["y"].tolist(), last["unfinished"], strict=True)
            rows += [about | {"kind": "end", "x": a, "y": min(y, top), "how": how} for a, y, how in ends]
    said = [_who(ranked, kept, grey, points)]
    if len(shown) < len(panels):
        said.append(f"{len(panels) - len(shown):,} of {len(panels):,} panels are left out")
    if top < max((r["high"] for r in rows if r["kind"] != "end"), default=top):
        said.append(f"the axis ends at {top:.3g}, where the trials that finished have their highest value")
    if thinned_from:
        said.append(f"lines of up to {thinned_from:,} points are thinned, their extremes kept")
    return _assembled(rows, picture, names=[named[name] for name in kept], panels=list(heads.values()), top=top), said


def _band(group: Frame) -> dict[str, Any]:
    """Median, lowest and highest over the trials of a series, as arrays over x, and how many trials there are.

    Trials logged at the same steps are compared step by step, against the median of their seconds; others are
    interpolated, each within its own range: no curve goes on after its last point.
    """
    if group["trial"].nunique() == 1:
        y = group["y"].to_numpy()
        return {"x": group["x"].to_numpy(), "y": y, "low": y, "high": y, "n": np.ones(len(y), dtype=int)}
    longest = group.groupby("trial", sort=False)["step"].nunique().max()
    if group["step"].nunique() == longest:
        steps = group.groupby("step", sort=True)
        y = steps["y"]
        x = np.maximum.accumulate(steps["x"].median().to_numpy())  # where a trial ends the median may step back
        found = {"y": y.median(), "low": y.min(), "high": y.max(), "n": y.count()}
        return {"x": x} | {name: values.to_numpy() for name, values in found.items()}
    everything = np.unique(group["x"].to_numpy())
    grid = everything[spread(len(everything), 2 * _POINTS)]
    curves = np.array(
        [
            np.interp(grid, one["x"].to_numpy(), one["y"].to_numpy(), left=np.nan, right=np.nan)
            for _, one in group.groupby("trial", sort=False)
        ]
    )  # (trials, grid): each x of the grid is a point of some trial, so that no column is empty
    spans = {"y": np.nanmedian(curves, axis=0), "low": np.nanmin(curves, axis=0), "high": np.nanmax(curves, axis=0)}
    return {"x": grid} | spans | {"n": np.isfinite(curves).sum(axis=0)}


def _ceiling(points: Frame, picture: _Picture) -> float:
    """The top of the y axis: where trials diverged, what the others reach, so that one does not flatten all."""
    fit = points.loc[points["unfinished"] == "", "y"]
    values = fit if len(fit) else points["y"]
    return float(values.max()) if picture.percent or len(fit) else float(values.quantile(0.9))


def _who(ranked: Sequence[str], kept: Sequence[str], grey: Sequence[str], points: Frame) -> str:
    if len(ranked) > len(kept):
        others = f", {len(grey):,} others in grey" if grey else ""
        return f"the best {len(kept)} of {len(ranked):,} by final test accuracy{others}"
    counts = points.groupby(["panel", "series"])["trial"].nunique()
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "one trial each" if len(counts) > 1 else ""
    return f"median and range of {low} trials" if low == high else f"median and range of {low} to {high} trials"


def _marks(trials: Frame) -> str:
    how = ended(trials)
    return f"{how} (× at the last point)" if how else ""


def _counted(trials: Frame) -> str:
    """What the steps of the curves count: epochs where every one was imported from a log that names no iterations."""
    steps = set(words(trials, "steps")) if "steps" in trials.columns else set()
    return "epochs" if steps == {"epochs"} else AXES["iteration"]


def _not_drawn(trials: Frame, points: Frame) -> str:
    """The sentence on imported curves without a point: another set was measured, or their log counts epochs alone."""
    foreign = trials[is_imported(trials)]
    names = foreign["configuration"][~foreign["trial"].isin(points["trial"])].tolist() if len(foreign) else []
    return f"{listed(names)} not drawn: its log has no such numbers" if names else ""


def _empty(trials: Frame, what: str, *, zoomed: bool) -> str:
    return f"No point of {what} lies between start and stop." if zoomed else nothing(trials, f"a point of {what}")


def _assembled(rows: Rows, picture: _Picture, *, names: list[str], panels: list[str], top: float) -> Any:
    single, many = len(names) == 1, len(panels) > 1
    named = list(labels(picture.order).values()) if picture.order is not None else names
    color, dash = colours(named)  # where an order is given also of those that are missing here
    same = picture.facet == picture.by
    legend = None
    if not single and not same:
        legend = strokes(short(picture.by) + (", best first" if picture.order is None else ""), values=names)
        legend = strokes(short(picture.by), values=names, orient="bottom", columns=3) if many else legend
    width, height, columns = _size(len(panels))
    y = _y(rows, picture, top)
    base = alt.Chart().encode(x=_x(rows, picture, width), y=y)
    coloured = base.encode(
        color=alt.Color("series:N", scale=color, legend=legend),
        tooltip=tooltip(
            name=picture.by,
            x=(picture.along, ",~r"),
            y=(f"median {picture.measure}", ".4~f"),
            low=("lowest", ".4~f"),
            high=("highest", ".4~f"),
            n=("trials", "d"),
        ),
    )
    hover = alt.selection_point(name="trial", fields=["series"], on="pointerover", clear="pointerout")
    rest = base.transform_filter("datum.kind == 'rest'").mark_line(
        color=GREY, strokeWidth=1, strokeOpacity=0.3, clip=True
    )
    told = "datum.kind == 'line' || datum.kind == 'dots'"
    band = coloured.transform_filter(f"({told}) && datum.n > 1").mark_area(clip=True)
    bottom = y.copy()
    bottom.shorthand = "low:Q"
    band = band.encode(y=bottom, y2="high:Q", fillOpacity=alt.condition(hover, alt.value(0.16), alt.value(0.03)))
    line = coloured.transform_filter(told).mark_line(strokeWidth=2.2, clip=True).add_params(hover)
    line = line.encode(
        strokeDash=alt.StrokeDash("series:N", scale=dash, legend=legend),
        strokeOpacity=alt.condition(hover, alt.value(1), alt.value(0.2)),
    )
    dots = coloured.transform_filter("datum.kind == 'dots'").mark_point(filled=True, size=28, opacity=1, clip=True)
    ends = coloured.transform_filter("datum.kind == 'end'").mark_text(text="×", fontSize=20, fontWeight="bold")
    ends = ends.encode(tooltip=tooltip(name=picture.by, how="outcome", x=(picture.along, ",~r")))
    layers = [rest.encode(detail="name:N")] if any(r["kind"] == "rest" for r in rows) else []
    layers += [band, line]
    layers += [dots] if any(r["kind"] == "dots" for r in rows) else []
    layers += [ends] if any(r["kind"] == "end" for r in rows) else []
    chart = alt.layer(*layers, data=table(rows)).properties(width=width, height=height)
    if picture.facet is None:
        return chart
    header = alt.Header(title=short(picture.facet), labelFontWeight="bold")
    return chart.facet(facet=alt.Facet("panel:N", sort=panels, header=header), columns=columns)


def _x(rows: Rows, picture: _Picture, width: int) -> alt.X:
    values = [float(r["x"]) for r in rows]
    log = "x" in picture.log
    low, high = min(values), max(values)
    if low == high:
        low, high = span(values, log=True) if log else (low - 1, high + 1)
    written = axis([low, high], log=log, format="~g" if picture.x == "seconds" else "~s", count=max(3, width // 90))
    if len(set(values)) == 1:
        written.values = values[:1]
    scale = alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False)
    return alt.X("x:Q", title=picture.along + (" (log scale)" if log else ""), scale=scale, axis=written)


def _y(rows: Rows, picture: _Picture, top: float) -> alt.Y:
    log = "y" in picture.log
    low, high = span([min(r[c], top) for r in rows if r["kind"] != "end" for c in ("low", "high")], log=log)
    written = axis([low, high], log=log)
    if picture.percent and not log:
        written = alt.Axis(format=axis_format(low, high, percent=True), tickCount=6)
    scale = alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False)
    return alt.Y("y:Q", title=picture.measure + (" (log scale)" if log else ""), scale=scale, axis=written)


def _size(panels: int) -> tuple[int, int, int]:
    """Width and height of a panel, and panels in a row."""
    if panels <= 1:
        return WIDTH - 60, 340, 1
    if panels == 3:
        return 230, 190, 3
    return (330, 220, 2) if panels <= 4 else (210, 160, 3)
