"""What a network confuses, what it has learned, what its functions look like: charts made of cells and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.errors import AssayError, unknown
from assay.parts.activations import ACTIVATIONS
from assay.report.charts.theme import (
    BLUE,
    INK,
    ORANGE,
    Rows,
    dressed,
    message,
    number,
    short,
    table,
    tooltip,
    unique,
    word,
)
from assay.report.charts.thinning import spread

_WRITTEN = 20  # classes up to which counts stand in the cells
_CLASSES = 100
_TILES = 64


def confusion(counts: Any, classes: Sequence[object] | None = None, *, title: str | None = None) -> Any:
    """How often each true class (rows) was taken for each class (columns): hits in blue, errors in orange.

    `counts`: (C, C). Raises: AssayError.
    """
    found = np.asarray(counts, dtype=float)
    heading = title if title is not None else "which class is taken for which"
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise AssayError(f"confusion: expected counts of shape (classes, classes), got {found.shape}")
    found = np.where(np.isfinite(found), found, 0.0)
    c = len(found)
    named = [word(name) for name in classes] if classes is not None else [str(i) for i in range(c)]
    if len(named) != c:
        raise AssayError(f"confusion: {len(named)} names for {c} classes")
    total = found.sum()
    if not total:
        return message("There is no prediction to show.", heading)
    kept = spread(c, _CLASSES)
    texts = unique(short(name, 18) for name in named)
    of_row = found.sum(axis=1)
    worst = max((found[i, j] for i in kept for j in kept if i != j), default=0.0)
    rows: Rows = [
        {"true": named[i], "predicted": named[j], "y": texts[i], "x": texts[j], "count": found[i, j], "hit": i == j}
        | {"share": found[i, j] / of_row[i] if of_row[i] else 0.0, "text": f"{found[i, j]:,.0f}" if found[i, j] else ""}
        | {"light": bool(found[i, j] > 0.6 * (of_row[i] if i == j else worst))}
        for i in kept
        for j in kept
    ]
    order = [texts[i] for i in kept]
    step = max(6, min(46, 520 // len(kept)))
    angle = 0 if max(map(len, order)) * 7 < step else -40
    base = alt.Chart(table(rows)).encode(
        x=alt.X("x:N", sort=order, title="predicted").axis(
            ticks=False, domain=False, labelAngle=angle, labelOverlap=len(kept) > 40
        ),
        y=alt.Y("y:N", sort=order, title="true").axis(ticks=False, domain=False, labelOverlap=len(kept) > 40),
        tooltip=tooltip(
            true="true", predicted="predicted", count=("count", ",d"), share=("share of the true class", ".1%")
        ),
    )
    blank = base.mark_rect(color="#f4f4f4", stroke="white")
    hits = (
        base.transform_filter("datum.hit")
        .mark_rect(stroke="white")
        .encode(
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(range=["#deebf7", BLUE], domain=[0, 1]),
                legend=alt.Legend(title="right, share of the class", format="%", gradientLength=90),
            )
        )
    )
    errors = (
        base.transform_filter("!datum.hit && datum.count > 0")
        .mark_rect(stroke="white")
        .encode(
            color=alt.Color(
                "count:Q",
                scale=alt.Scale(range=["#fdebe0", ORANGE], domain=[0, max(worst, 1.0)]),
                legend=alt.Legend(title="wrong, count", format="~s", tickMinStep=1, gradientLength=90),
            )
        )
    )
    layers = [blank, hits, *([errors] if worst else [])]
    if len(kept) <= _WRITTEN:
        layers.append(
            base.mark_text(fontSize=12 if step > 30 else 10).encode(
                text="text:N", color=alt.condition("datum.light", alt.value("#ffffff"), alt.value(INK))
            )
        )
    chart = (
        alt.layer(*layers).resolve_scale(color="independent").properties(width=alt.Step(step), height=alt.Step(step))
    )
    right = float(np.trace(found))
    notes = [f"{right:,.0f} of {total:,.0f} right ({right / total:.2%})", _worst(found, named)]
    notes += [f"{len(kept)} of {c:,} classes drawn"] if len(kept) < c else []
    return dressed(chart, heading, notes)


def _worst(counts: NDArray[np.float64], named: Sequence[str]) -> str:
    errors = counts - np.diag(np.diag(counts))
    if not errors.any():
        return "no error"
    i, j = np.unravel_index(int(errors.argmax()), errors.shape)
    return f"most often {short(named[int(i)], 20)} taken for {short(named[int(j)], 20)} ({errors[i, j]:,.0f})"


def confused(
    images: Sequence[Any],
    true: Sequence[object],
    predicted: Sequence[object],
    *,
    probabilities: Sequence[float | None] | None = None,
    most: int = 24,
    title: str | None = None,
) -> Any:
    """Images that were taken for another class, in the order given, each with its true and its predicted class.

    `images`: arrays (height, width) or (height, width, 3), dark is low. `probabilities`: those given to the wrong
    classes. Raises: AssayError.
    """
    heading = title if title is not None else "most confused images"
    if not len(images) == len(true) == len(predicted) or len(probabilities or true) != len(true):
        sizes = f"{len(images)} images, {len(true)} true and {len(predicted)} predicted classes"
        raise AssayError(f"confused: {sizes}; expected as many of each")
    if not len(images):
        return message("No image was taken for another class.", heading)
    shown = min(len(images), most)
    across = min(8, shown)
    rows: Rows = []
    for i in range(shown):
        chance = number(probabilities[i]) if probabilities is not None else None
        said = "" if chance is None else f" ({chance:.0%})"
        rows.append(
            {"url": picture(_grey(images[i])), "column": i % across, "row": i // across}
            | {"true": word(true[i]), "predicted": word(predicted[i]), "probability": chance}
            | {"first": f"{short(word(true[i]), 12)} → {short(word(predicted[i]), 12)}{said}"}
        )
    about = tooltip(true="true", predicted="predicted", probability=("probability", ".1%"))
    chart = _tiles(rows, across=across, tile=72, gap=24, below=18).encode(tooltip=about)
    text = _below(rows, "first", across=across, tile=72, gap=24, below=18)
    chart = alt.layer(chart, text)
    notes = ["true → predicted" + (" (probability of the wrong class)" if probabilities is not None else "")]
    notes += [f"{shown} of {len(images):,} errors"] if shown < len(images) else []
    return dressed(_sized(chart, shown, across=across, tile=72, gap=24, below=18), heading, notes)


def weights(w: Any, shape: tuple[int, ...], *, most: int = _TILES, title: str | None = None) -> Any:
    """The weights from the image to each unit of the first layer, as images: blue negative, orange positive.

    `w`: (D, H), with D the pixels of `shape`, (height, width) or (height, width, channels), whose mean is drawn.
    The units with the largest weights come first. Raises: AssayError.
    """
    found = np.asarray(w, dtype=float)
    heading = title if title is not None else "weights of the first layer"
    if found.ndim != 2 or len(shape) not in (2, 3) or int(np.prod(shape)) != found.shape[0]:
        raise AssayError(f"weights: {found.shape} does not fit images of shape {tuple(shape)}")
    bad = int((~np.isfinite(found)).any(axis=0).sum())
    found = np.where(np.isfinite(found), found, 0.0)
    units = found.shape[1]
    largest = float(np.abs(found).max()) if found.size else 0.0
    if not largest:
        said = f"{bad:,} of {units:,} units have weights that are no numbers" if bad else "every weight is zero"
        return message(f"There is nothing to see: {said}.", heading)
    order = np.argsort(-np.linalg.norm(found, axis=0), kind="stable")[:most]
    end = float(np.quantile(np.abs(found[:, order]), 0.995)) or largest
    across = min(len(order), 8 if len(order) > 16 else max(1, ceil(sqrt(len(order) * 1.6))))
    tile = 76 if across >= 8 else 90
    rows: Rows = []
    for i, unit in enumerate(order.tolist()):
        pixels = found[:, unit].reshape(shape)
        pixels = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
        rows.append(
            {"url": picture(_signed(pixels / end)), "column": i % across, "row": i // across, "unit": f"unit {unit}"}
            | {"low": float(pixels.min()), "high": float(pixels.max()), "value": 0.0}
        )
    about = tooltip(unit="unit", low=("lowest", "+.3~g"), high=("highest", "+.3~g"))
    grid = {"across": across, "tile": tile, "gap": 6, "below": 0}
    chart = _tiles(rows, **grid).encode(tooltip=about)
    key = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=[-end, 0, end], range=[_BLUE_END, "#ffffff", _ORANGE_END], interpolate="rgb"),
        legend=alt.Legend(title="weight", format=".2~g", gradientLength=150, values=[-end, 0, end]),
    )
    legend = _places(rows, **grid).mark_point(opacity=0, size=1).encode(color=key)
    notes = [
        f"the {len(order)} largest of {units:,} units" if len(order) < units else f"{units:,} units, the largest first",
        f"colours end at ±{end:.3g}, the largest weight is {largest:.3g}" if largest > 1.001 * end else "",
        f"{bad:,} units have weights that are no numbers, drawn as 0" if bad else "",
    ]
    return dressed(_sized(alt.layer(chart, legend), len(order), **grid), heading, notes)


def activations(names: Sequence[str] | None = None, *, title: str | None = None) -> Any:
    """Activation functions and their derivatives, from the table of the package. Raises: AssayError."""
    chosen = list(ACTIVATIONS) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in ACTIVATIONS:
            raise AssayError(unknown("activation", name, ACTIVATIONS))
    z = np.linspace(-4.0, 4.0, 161)
    rows: Rows = []
    for name in chosen:
        part = ACTIVATIONS[name]
        a = np.asarray(part.forward(np, z), dtype=float)
        slope = np.asarray(part.derivative(np, z, a), dtype=float)
        for kind, values in (("function", a), ("derivative", slope)):
            pairs = zip(z.tolist(), values.tolist(), strict=True)
            rows += [{"name": name, "kind": kind, "z": x, "y": y} for x, y in pairs]
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["function", "derivative"], range=[BLUE, ORANGE]),
        legend=alt.Legend(title=None, orient="top", symbolSize=300),
    )
    dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=["function", "derivative"], range=[[1, 0], [5, 3]]))
    axis = alt.Axis(tickCount=5, format="~g")
    base = alt.Chart().encode(
        x=alt.X("z:Q", title="z", axis=axis),
        y=alt.Y("y:Q", title=None, axis=axis, scale=alt.Scale(domain=[-1.2, 3], nice=False)),
        color=color,
        strokeDash=dash,
        tooltip=tooltip(name="function", kind="curve", z=("z", ".2~f"), y=("value", ".4~f")),
    )
    chart = base.mark_line(strokeWidth=2.2, clip=True).properties(width=205, height=140, data=table(rows))
    heads = {name: f"{name}: {short(ACTIVATIONS[name].formula, 34)}" for name in chosen}
    for row in rows:
        row["head"] = heads[row["name"]]
    facet = alt.Facet("head:N", sort=list(heads.values()), title=None, header=alt.Header(labelLimit=230))
    heading = title if title is not None else "activation functions and their derivatives"
    if not rows:
        return message("No activation function was named.", heading)
    return dressed(chart.facet(facet=facet, columns=3), heading)


_BLUE_END, _ORANGE_END = "#005a8f", "#b54a00"


def picture(pixels: NDArray[np.uint8]) -> str:
    """Pixels (height, width) or (height, width, 3) as the address of a PNG that holds them."""
    buffer = BytesIO()
    enlarged = pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)  # viewers would smooth small ones
    Image.fromarray(enlarged).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


_ENLARGED = 4


def _grey(image: Any) -> NDArray[np.uint8]:
    """An image as bytes, from its lowest value in black to its highest in white."""
    values = np.asarray(image, dtype=float)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or not values.size:
        raise AssayError(f"confused: expected images (height, width) or (height, width, 3), got {values.shape}")
    values = np.where(np.isfinite(values), values, np.nanmin(np.where(np.isfinite(values), values, np.inf)))
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = values.min(), values.max()
    return (255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)


def _signed(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values from -1 to 1 as colours from blue over white to orange."""
    ends = [np.array([int(end[i : i + 2], 16) for i in (1, 3, 5)], dtype=float) for end in (_BLUE_END, _ORANGE_END)]
    strength = np.clip(np.abs(values), 0, 1)[..., None]
    far = np.where(values[..., None] < 0, ends[0], ends[1])
    return (255 + strength * (far - 255)).round().astype(np.uint8)


def _places(rows: Rows, *, across: int, tile: int, gap: int, below: int) -> alt.Chart:
    """The chart whose x and y are the middles of tiles in a grid."""
    down = rows[-1]["row"] + 1
    for row in rows:
        row["x"] = row["column"] * (tile + gap) + tile / 2
        row["y"] = row["row"] * (tile + gap + below) + tile / 2
    width, height = across * (tile + gap), down * (tile + gap + below)
    return alt.Chart(table(rows)).encode(
        x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, width], nice=False)),
        y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False)),
    )


def _tiles(rows: Rows, *, across: int, tile: int, gap: int, below: int) -> alt.Chart:
    places = _places(rows, across=across, tile=tile, gap=gap, below=below)
    return places.mark_image(width=tile, height=tile).encode(url="url:N")


def _below(rows: Rows, field: str, *, across: int, tile: int, gap: int, below: int) -> alt.Chart:
    places = _places(rows, across=across, tile=tile, gap=gap, below=below)
    return places.mark_text(dy=tile / 2 + 12, fontSize=12, color=INK, limit=tile + gap - 4).encode(text=f"{field}:N")


def _sized(chart: Any, count: int, *, across: int, tile: int, gap: int, below: int) -> Any:
    down = ceil(count / across)
    return chart.properties(width=across * (tile + gap), height=down * (tile + gap + below))
