"""Test accuracy against training time: which configurations no other one beats."""

from __future__ import annotations

from math import exp, log
from typing import Any, Literal

import altair as alt

from assay.analysis.frames import own
from assay.report.charts.frames import (
    Frame,
    checked,
    ended,
    headed,
    mixed,
    nothing,
    numbers,
    unfinished,
    words,
)
from assay.report.charts.theme import (
    BLUE,
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
    span,
    table,
    tooltip,
)
from assay.report.charts.thinning import spread

_SEEDS, _MEANS, _FRONT = 3000, 2000, 300  # points: more of them only hide each other


def accuracy_against_time(
    trials: Frame, *, by: str = "configuration", most_labels: int = 8, title: str | None = None
) -> Any:
    """Test accuracy against training seconds: seeds faint, means solid, the Pareto front as a line with names.

    A mean is on the front if no other one is both faster and more accurate. A mean counts the trials that have an
    accuracy; × marks those of which some did not finish. Raises: AssayError.
    """
    checked(trials, [by, "seconds", "accuracy"])
    trials, left_out = own(trials)
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
    x_low, x_high = span([s["x"] for s in seeds], log=True, pad=0.1)
    x_domain = (x_low * (x_low / x_high) ** 0.15, x_high)  # room for the name of the fastest
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
        left_out,
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
    logs, tall = (log(x_domain[0]), log(x_domain[1])), y_domain[1] - y_domain[0]
    places = [
        ((log(m["x"]) - logs[0]) / (logs[1] - logs[0]) * width, (y_domain[1] - m["y"]) / tall * height) for m in front
    ]
    boxes = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]  # a name hides no point of the front
    written: Rows = []
    for i in spread(len(front), most):
        mean, (x, y) = front[i], places[i]
        label = named[mean["name"]]
        wide = 6.6 * len(label)
        for left, top in _candidates(x, y, wide):
            box = (left, top, left + wide, top + 14)
            inside = left >= 2 and top >= 0 and box[2] <= width and box[3] <= height
            if inside and not any(_overlap(box, other) for other in boxes):
                boxes.append(box)
                near = left + wide if left < x else left
                at = exp(logs[0] + near / width * (logs[1] - logs[0]))
                middle = y_domain[1] - (top + 7) / height * tall
                written.append(
                    {"name": mean["name"], "label": label, "x": mean["x"], "y": mean["y"]}
                    | {"x2": at, "y2": middle, "side": "left" if left < x else "right"}
                )
                break
    return written


def _candidates(x: float, y: float, wide: float) -> list[tuple[float, float]]:
    """The left upper corners to try for a label of a point, nearest first."""
    above = [(x - 10 - wide, y - 22 - 15 * i) for i in range(9)]
    return [*above[:3], (x + 10, y - 24), *above[3:], (x + 12, y + 8), (x + 12, y + 24), (x + 12, y + 40)]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] + 4 and b[0] < a[2] + 4 and a[1] < b[3] and b[1] < a[3]
