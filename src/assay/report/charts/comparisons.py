"""Configurations side by side: accuracy against time, effort, differences with their intervals, seconds by use."""

from __future__ import annotations

from math import exp, log
from typing import Any, Literal

import altair as alt

from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    headed,
    measure_of,
    mixed,
    nothing,
    numbers,
    statistics,
    unfinished,
    words,
)
from assay.report.charts.theme import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    WIDTH,
    Rows,
    axis,
    axis_format,
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
from assay.report.charts.thinning import spread

_SEEDS, _MEANS, _FRONT = 3000, 2000, 300  # points: more of them only hide each other
_BARS = 25
LEDGER: tuple[str, ...] = ("data", "compile", "train", "evaluate", "checkpoint", "wait", "other")


def accuracy_against_time(
    trials: Frame, *, by: str = "configuration", most_labels: int = 8, title: str | None = None
) -> Any:
    """Test accuracy against training seconds: seeds faint, means solid, the Pareto front as a line with names.

    A mean is on the front if no other one is both faster and more accurate. A mean counts the trials that have an
    accuracy; × marks those of which some did not finish. Raises: AssayError.
    """
    checked(trials, [by, "seconds", "accuracy"])
    heading = headed(trials, "test accuracy against training time", title)
    named = labels(dict.fromkeys(words(trials, by)))
    seeds: Rows = [
        {"name": name, "x": x, "y": y, "how": how or "finished"}
        for name, x, y, how in zip(
            words(trials, by), numbers(trials, "seconds"), numbers(trials, "accuracy"), unfinished(trials), strict=True
        )
        if x is not None and x > 0 and y is not None
    ]
    if not seeds:
        return message(nothing(trials, "an accuracy and a time"), heading, mixed(trials))
    means = _means(seeds, trials, by)
    front = _front(means)
    for mean in front:
        mean["front"] = True
    counts = len(means), len(front)
    front = [front[i] for i in spread(len(front), _FRONT)]
    means = means if len(means) <= _MEANS else _thinned(means, _MEANS) + front
    shown = seeds if len(seeds) <= _SEEDS else _thinned(seeds, _SEEDS)
    x_domain = span([s["x"] for s in seeds], log=True, pad=0.1)
    y_low, y_high = span([s["y"] for s in seeds], pad=0.05)
    y_domain = (y_low, y_high + (y_high - y_low) * 0.1)  # room for names above the front
    height = 380
    x_axis = axis(x_domain, log=True)
    y_axis = alt.Axis(format=axis_format(y_low, y_high, percent=True), tickCount=7)

    def at_x(field: str) -> alt.X:
        return alt.X(field, title="training time [s] (log scale)", scale=_scale(x_domain, log=True), axis=x_axis)

    def at_y(field: str) -> alt.Y:
        return alt.Y(field, title="test accuracy", scale=_scale(y_domain), axis=y_axis)

    base = alt.Chart().encode(x=at_x("x:Q"), y=at_y("y:Q"))
    about = tooltip(
        name=by, x=("seconds", ".4~g"), y=("accuracy", ".2%"), n=("trials", "d"), unfinished=("of them unfinished", "d")
    )
    color = alt.condition("datum.front", alt.value(ORANGE), alt.value(BLUE))
    layers = [
        base.properties(data=table(shown))
        .mark_circle(size=22, opacity=0.25, color=GREY)
        .encode(tooltip=tooltip(name=by, x=("seconds", ".4~g"), y=("accuracy", ".2%"), how="outcome")),
        base.properties(data=table(_stairs(front, x_domain[1]))).mark_line(
            color=ORANGE, strokeWidth=1.5, strokeDash=[5, 3]
        ),
        base.properties(data=table(means))
        .mark_circle(size=70 if len(means) <= 100 else 30, opacity=0.9 if len(means) <= 100 else 0.6)
        .encode(color=color, tooltip=about),
    ]
    if any(mean["unfinished"] for mean in means):
        crosses = base.properties(data=table([m for m in means if m["unfinished"]]))
        layers.append(crosses.mark_text(text="×", fontSize=20, fontWeight="bold", color=INK).encode(tooltip=about))
    written = _placed(front, named, x_domain, y_domain, size=(WIDTH + 100, height), most=most_labels)
    if written:
        names = base.properties(data=table(written))
        layers.append(names.mark_rule(color=GREY, strokeWidth=0.8).encode(x2="x2:Q", y2="y2:Q"))
        sides: list[tuple[str, Literal["left", "right"]]] = [("left", "right"), ("right", "left")]
        for side, align in sides:
            mine = names.transform_filter(f"datum.side == '{side}'").encode(
                x=at_x("x2:Q"), y=at_y("y2:Q"), text="label:N"
            )
            halo = mine.mark_text(align=align, baseline="middle", fontSize=12, stroke="white", strokeWidth=4)
            text = mine.mark_text(align=align, baseline="middle", fontSize=12, color=INK)
            layers += [halo, text.encode(tooltip=tooltip(name=by))]
    chart = alt.layer(*layers).properties(width=WIDTH + 100, height=height)
    notes = [
        f"{counts[0]:,} means of {len(seeds):,} trials (grey)",
        f"orange: no other is faster and better ({counts[1]:,})",
        f"{len(shown):,} of the trials drawn, extremes kept" if len(shown) < len(seeds) else "",
        f"{_MEANS:,} of the means" if counts[0] > _MEANS else "",
        _not_drawn(trials, len(seeds)),
        f"{ended(trials)} (×)" if ended(trials) else "",
        mixed(trials),
    ]
    return dressed(chart, heading, notes)


def _not_drawn(trials: Frame, drawn: int) -> str:
    return f"{len(trials) - drawn:,} without accuracy or time not drawn" if drawn < len(trials) else ""


def _scale(domain: tuple[float, float], *, log: bool = False) -> alt.Scale:
    return alt.Scale(type="log" if log else "linear", domain=list(domain), nice=False)


def _means(seeds: Rows, trials: Frame, by: str) -> Rows:
    sums: dict[str, list[float]] = {}
    for seed in seeds:
        total = sums.setdefault(seed["name"], [0.0, 0.0, 0.0])
        total[0] += 1
        total[1] += seed["x"]
        total[2] += seed["y"]
    bad: dict[str, int] = {}
    for name, how in zip(words(trials, by), unfinished(trials), strict=True):
        bad[name] = bad.get(name, 0) + bool(how)
    return [
        {"name": name, "x": x / n, "y": y / n, "n": int(n), "unfinished": bad[name], "front": False}
        for name, (n, x, y) in sums.items()
    ]


def _front(means: Rows) -> Rows:
    """The means that no other one beats in both, from the fastest to the most accurate."""
    front: Rows = []
    for mean in sorted(means, key=lambda m: (m["x"], -m["y"])):
        if not front or mean["y"] > front[-1]["y"]:
            front.append(mean)
    return front


def _stairs(front: Rows, end: float) -> Rows:
    """The corners of the front: what accuracy has been reached by which time."""
    corners: Rows = []
    for i, mean in enumerate(front):
        after = front[i + 1]["x"] if i + 1 < len(front) else end
        corners += [{"x": mean["x"], "y": mean["y"]}, {"x": after, "y": mean["y"]}]
    return corners


def _thinned(points: Rows, most: int) -> Rows:
    """Evenly by accuracy, with the fastest and the slowest."""
    by_accuracy = sorted(points, key=lambda p: p["y"])
    by_time = sorted(points, key=lambda p: p["x"])
    return [by_accuracy[i] for i in spread(len(points), most - 2)] + [by_time[0], by_time[-1]]


def _placed(
    front: Rows,
    named: dict[str, str],
    x_domain: tuple[float, float],
    y_domain: tuple[float, float],
    *,
    size: tuple[int, int],
    most: int,
) -> Rows:
    """Where the names of the front stand: left above it, where no point can be, each clear of the others.

    A name for which there is no room is left to its tooltip.
    """
    width, height = size
    logs = log(x_domain[0]), log(x_domain[1])
    boxes: list[tuple[float, float, float, float]] = []
    written: Rows = []
    for mean in [front[i] for i in spread(len(front), most)]:
        x = (log(mean["x"]) - logs[0]) / (logs[1] - logs[0]) * width
        y = (y_domain[1] - mean["y"]) / (y_domain[1] - y_domain[0]) * height
        label = named[mean["name"]]
        wide = 6.6 * len(label)
        for left, top in _candidates(x, y, wide):
            box = (left, top, left + wide, top + 14)
            inside = left >= 2 and top >= 0 and box[2] <= width and box[3] <= height
            if inside and not any(_overlap(box, other) for other in boxes):
                boxes.append(box)
                near = left + wide if left < x else left
                at = exp(logs[0] + near / width * (logs[1] - logs[0]))
                middle = y_domain[1] - (top + 7) / height * (y_domain[1] - y_domain[0])
                written.append(
                    {"name": mean["name"], "label": label, "x": mean["x"], "y": mean["y"]}
                    | {"x2": at, "y2": middle, "side": "left" if left < x else "right"}
                )
                break
    return written


def _candidates(x: float, y: float, wide: float) -> list[tuple[float, float]]:
    """The left upper corners to try for a label of a point, nearest first."""
    above = [(x - 10 - wide, y - 20 - 15 * i) for i in range(9)]
    return [*above[:3], (x + 10, y - 22), *above[3:], (x + 12, y + 8), (x + 12, y + 24), (x + 12, y + 40)]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] + 4 and b[0] < a[2] + 4 and a[1] < b[3] and b[1] < a[3]


def effort_ranking(
    trials: Frame, *, by: str = "configuration", most: int = _BARS, log: bool = False, title: str | None = None
) -> Any:
    """Median effort (training seconds / accuracy) as bars, lowest first, with whiskers from the lowest to the highest.

    The mean accuracy stands beside each. With `log` the medians are points on a logarithmic axis, as bars would have
    no zero to begin at. Raises: AssayError.
    """
    checked(trials, [by, "effort", "accuracy"])
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
