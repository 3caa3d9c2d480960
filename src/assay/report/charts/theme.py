"""What the charts have in common: colours, sizes, labels, titles, and the chart that says why there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

import altair as alt

from assay.report.text import clean

Rows = list[dict[str, Any]]

# Okabe and Ito, "Color universal design" (2008): told apart with every common kind of colour blindness
PALETTE = {"training": "#0072B2", "validation": "#009E73", "test": "#D55E00"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BLUE, ORANGE, GREEN = COLOURS[:3]
GREY, INK = "#8a8a8a", "#222222"
DASHES = ([1, 0], [6, 3], [2, 2])  # a second and a third round through the colours
WIDTH = 600  # of the plot alone: with its axis and its legend about 800 pixels
SERIES = 12  # more lines than that cannot be told apart
LABEL = 36  # letters of a label; the whole name stands in the tooltip


@dataclass(frozen=True)
class Measure:
    """How a measured quantity is written: its title, the format of its numbers, and that of a difference."""

    title: str
    format: str
    difference: str
    factor: float = 1.0  # from a difference to the unit of its title


_POINTS = "[percentage points]"
MEASURES = {
    "accuracy": Measure("test accuracy", ".1%", f"difference in test accuracy {_POINTS}", 100),
    "validation_accuracy": Measure("validation accuracy", ".1%", f"difference in validation accuracy {_POINTS}", 100),
    "train_accuracy": Measure("training accuracy", ".1%", f"difference in training accuracy {_POINTS}", 100),
    "test_loss": Measure("test loss", ".3~g", "difference in test loss"),
    "train_loss": Measure("training loss", ".3~g", "difference in training loss"),
    "seconds": Measure("training time [s]", ".3~g", "difference in training time [s]"),
    "effort": Measure("effort [s of training / accuracy]", ".3~g", "difference in effort [s / accuracy]"),
}


def number(value: Any) -> float | None:
    """The value as a plain float, None where it is not a finite number: what JSON can hold."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if isfinite(found) else None


def word(value: Any) -> str:
    """The value of an axis as it is written in a label: numbers short, everything else without control characters.

    >>> word(0.1), word(128), word(float("nan")), word([64, 32])
    ('0.1', '128', 'none', '[64, 32]')
    """
    if value is None or value != value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else clean(value)


def short(text: object, most: int = LABEL) -> str:
    """The text with its middle left out where it is longer than `most` letters.

    >>> short("a very long name of a configuration", 16)
    'a very l…uration'
    """
    text = clean(text)
    if len(text) <= most:
        return text
    return f"{text[: ceil((most - 1) / 2)]}…{text[len(text) - (most - 1) // 2 :]}"


def unique(texts: Iterable[str]) -> list[str]:
    """The texts, repeated ones numbered.

    >>> unique(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    found: dict[str, None] = {}
    for text in texts:
        label, count = text, 2
        while label in found:
            label, count = f"{text} ({count})", count + 1
        found[label] = None
    return list(found)


def labels(names: Iterable[str], *, most: int = LABEL) -> dict[str, str]:
    """A short label for each of different names, no two alike."""
    names = list(names)
    return dict(zip(names, unique(short(name, most) for name in names), strict=True))


def table(rows: Rows) -> Any:
    """Rows as Altair's data. A plain dictionary: Altair would check each row of its own type, a second for 10,000."""
    return {"values": rows}


def colours(names: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """The scales of colour and of dashes for the labels of at most 18 series."""
    rounds = [divmod(i, len(COLOURS)) for i in range(len(names))]
    dashes = [DASHES[round_ % len(DASHES)] for round_, _ in rounds]
    color = alt.Scale(domain=list(names), range=[COLOURS[place] for _, place in rounds])
    return color, alt.Scale(domain=list(names), range=dashes)


def strokes(title: str | None, **more: Any) -> alt.Legend:
    """A legend of lines, also where bands or points share their colours."""
    style = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 3, "symbolOpacity": 1}
    return alt.Legend(title=title, symbolFillColor="transparent", **style, **more)


def ticks(low: float, high: float) -> list[float]:
    """Where a logarithmic axis has labels: decades; 1, 2, 5 of each where those are fewer; or steps of one size.

    >>> ticks(0.5, 2000), ticks(3, 30), ticks(2.3, 2.7)
    ([1.0, 10.0, 100.0, 1000.0], [5.0, 10.0, 20.0], [2.3, 2.4, 2.5, 2.6, 2.7])
    """
    if not 0 < low <= high:
        return []
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    decades = [10.0**p for p in powers if low <= 10.0**p <= high]
    fine = [float(f"{m}e{p}") for p in powers for m in (1, 2, 5) if low <= float(f"{m}e{p}") <= high]
    if len(decades) > 2:
        return decades[:: ceil(len(decades) / 9)]
    return fine if len(fine) > 2 else _steps(low, high)


def _steps(low: float, high: float) -> list[float]:
    """Three to seven round numbers from low to high."""
    if low == high:
        return [low]
    power = floor(log10((high - low) / 3))
    step = max((m for m in (1, 2, 5) if m * 10.0**power <= (high - low) / 3), default=1) * 10.0**power
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(i * step, 15 - max(0, power)) for i in range(first, last + 1)]


def span(values: Iterable[float], *, log: bool = False, pad: float = 0.04) -> tuple[float, float]:
    """The ends of an axis that shows all values with some room; never of length zero."""
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if log:
        ratio = (high / low) ** pad if high > low else 1.5
        return low / ratio, high * ratio
    room = (high - low) * pad or max(abs(high) * 0.05, 1e-3)
    return low - room, high + room


def axis(limits: Sequence[float], *, log: bool = False, format: str = "~g", count: int = 6) -> alt.Axis:
    """An axis between two limits, with the labels that its scale needs."""
    written = f"format(datum.value, '{format}')"  # each by itself: a scale drops labels, and writes 0 as 0k
    if log:
        return alt.Axis(labelExpr=written, values=ticks(limits[0], limits[1]))
    return alt.Axis(labelExpr=written, tickCount=count, labelOverlap=True)


def axis_format(low: float, high: float, *, percent: bool) -> str:
    """The format of the labels of an axis: as many digits as its ends need to differ."""
    if not percent:
        return "~g"
    return "%" if high - low > 0.05 else ".1%" if high - low > 0.005 else ".2%"


def dressed(chart: Any, title: str, notes: Iterable[str] = ()) -> Any:
    """The chart with its title, the notes below it as a subtitle, and the style that all charts share."""
    said = "; ".join(note for note in notes if note)
    lines = textwrap.wrap(said, 112, max_lines=4, placeholder=" …")
    text = textwrap.wrap(clean(title), 80, max_lines=2, placeholder=" …") or [""]
    head = alt.TitleParams(text[0] if len(text) == 1 else text, anchor="start", offset=12)
    if lines:
        head.subtitle = lines if len(lines) > 1 else lines[0]
    return styled(chart.properties(title=head))


def styled(chart: Any) -> Any:
    """The chart with the style that all charts share."""
    return (
        chart.configure_title(fontSize=17, subtitleFontSize=13, subtitleColor="#555", subtitlePadding=6)
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridColor="#e6e6e6")
        .configure_axisY(labelLimit=280)
        .configure_legend(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=280, symbolLimit=40)
        .configure_header(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", labelLimit=280)
        .configure_view(stroke=None)
    )


def message(text: str, title: str, *notes: str) -> Any:
    """A chart that holds nothing but a sentence: why there is nothing to draw."""
    lines = textwrap.wrap(clean(text), 80) or [""]
    mark = alt.Chart(table([{"text": "\n".join(lines)}])).mark_text(fontSize=15, color=INK, lineBreak="\n")
    return dressed(mark.encode(text="text:N").properties(width=WIDTH, height=120), title, notes)


def tooltip(**fields: str | tuple[str, str]) -> list[alt.Tooltip]:
    """Tooltips from field=(title, format) or field=title."""
    found: list[alt.Tooltip] = []
    for field, said in fields.items():
        if isinstance(said, tuple):
            found.append(alt.Tooltip(f"{field}:Q", title=said[0], format=said[1]))
        else:
            found.append(alt.Tooltip(f"{field}:N", title=said))
    return found


def counted(counts: Mapping[str, int], total: int) -> str:
    """How many of all trials ended in which way.

    >>> counted({"diverged": 2, "failed": 1}, 24)
    '2 diverged and 1 failed of 24 trials'
    """
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"{' and '.join(parts)} of {total:,} trial{'s' if total != 1 else ''}" if parts else ""
