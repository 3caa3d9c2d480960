"""What the charts have in common: colours, sizes, labels, axes, titles, and the chart that says why it is empty."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

import altair as alt

from assay.analysis.quantities import MEASURES, Quantity
from assay.errors import AssayError, unknown
from assay.report.text import clean, percent

Rows = list[dict[str, Any]]

# Okabe and Ito, "Color universal design" (2008): distinguished with every common kind of colour blindness
PALETTE = {"training": "#0072B2", "validation": "#009E73", "test": "#D55E00"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BLUE, ORANGE, GREEN = COLOURS[:3]
GREY, INK = "#8a8a8a", "#222222"
DASHES = ([1, 0], [6, 3], [2, 2])  # a second and a third round through the colours
WIDTH = 600  # of the plot alone: with its axis and its legend about 800 pixels
WIDTHS = (200, 4000)  # that may be asked for
SERIES = 12  # more lines than that cannot be distinguished
LABEL = 36  # letters of a label; the tooltip has the whole name
EMPTY = "(empty)"  # the label of an empty name, which would be a row or a line without one


_width: ContextVar[int] = ContextVar("width of plots", default=WIDTH)


def plot_width() -> int:
    """The pixels of a plot from left to right, without its labels and its legend."""
    return _width.get()


@contextmanager
def drawn_in(width: int | None) -> Generator[None]:
    """Plots that are drawn inside have this width; None is the usual one. Raises: AssayError."""
    if width is not None and not WIDTHS[0] <= width <= WIDTHS[1]:
        raise AssayError(f"width: got {width}; expected {WIDTHS[0]} to {WIDTHS[1]} pixels")
    token = _width.set(WIDTH if width is None else width)
    try:
        yield
    finally:
        _width.reset(token)


@dataclass(frozen=True)
class Measure:
    """How a quantity is written in a chart."""

    quantity: Quantity

    @property
    def title(self) -> str:
        """The title of an axis of its values."""
        unit = f" [{self.quantity.symbol}]" if self.quantity.symbol else ""
        return f"{self.quantity.label}{unit}"

    @property
    def difference(self) -> str:
        """The title of an axis of its differences, in multiples of 1 / `factor`."""
        unit = " [percentage points]" if self.quantity.is_fraction else ""
        return f"difference in {self.title}{unit}"

    @property
    def factor(self) -> float:
        """From a difference to the unit of its title."""
        return 100.0 if self.quantity.is_fraction else 1.0

    @property
    def format(self) -> str:
        """The format of its values in labels."""
        return ".1%" if self.quantity.is_fraction else ".3~g"

    @property
    def exact(self) -> str:
        """The format of its values in tooltips."""
        return ".2%" if self.quantity.is_fraction else ".4~g"

    def text(self, value: float) -> str:
        """A value in a sentence."""
        return percent(value) if self.quantity.is_fraction else f"{value:.3g}"

    def span(self, values: Iterable[float], *, log: bool = False, pad: float = 0.04) -> tuple[float, float]:
        """The limits of an axis of the values: `span`, within what is possible."""
        low, high = span(values, log=log, pad=pad)
        bottom, top = self.quantity.low, self.quantity.high
        return low if bottom is None or log else max(low, bottom), high if top is None else min(high, top)


def measure_of(column: str) -> Measure:
    """How a quantity, by its column in a frame of trials, is written. Raises: AssayError."""
    if column not in MEASURES:
        raise AssayError(unknown("measure", column, MEASURES))
    return Measure(MEASURES[column])


def number(value: Any) -> float | None:
    """The value as a plain float, None where it is not a finite number: what JSON can hold."""
    try:
        plain = float(value)
    except (TypeError, ValueError):
        return None
    return plain if isfinite(plain) else None


def word(value: Any) -> str:
    """The value of an axis as it is written in a label: numbers short, everything else without control characters.

    >>> word(0.1), word(128), word(float("nan")), word([64, 32])
    ('0.1', '128', 'none', '[64, 32]')
    """
    if value is None or value != value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else clean(value) or EMPTY


def short(text: object, most: int = LABEL) -> str:
    """The text with its end left out where it is longer than `most` letters.

    >>> short("a very long name of a configuration", 16)
    'a very long nam…'
    """
    text = clean(text)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def unique(texts: Iterable[str]) -> list[str]:
    """The texts, repeated ones numbered.

    >>> unique(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    labels: dict[str, None] = {}
    for text in texts:
        label, count = text, 2
        while label in labels:
            label, count = f"{text} ({count})", count + 1
        labels[label] = None
    return list(labels)


def labels(names: Iterable[str], *, most: int = LABEL) -> dict[str, str]:
    """A short label for each of different names, no two alike.

    Where names are too long, they lose the words that all have at the same place, and then their middle if their
    beginnings alone would not tell them apart.

    >>> list(labels(["rate 0.01, size 10", "rate 0.02, size 10"], most=16).values())
    ['0.01, 10', '0.02, 10']
    """
    names = list(names)
    texts = [clean(name) for name in names]
    if any(len(text) > most for text in texts):
        texts = _without_common_words(texts)
    cut = [short(text, most) for text in texts]
    count = Counter(cut)
    cut = [_both_ends(text, most) if count[label] > 1 else label for text, label in zip(texts, cut, strict=True)]
    return dict(zip(names, unique(cut), strict=True))


def _without_common_words(texts: list[str]) -> list[str]:
    """Texts such as "rate 0.1, size 10" without the first words of their parts, where all texts have the same ones."""
    split = [text.split(", ") for text in texts]
    if len({len(parts) for parts in split}) > 1 or len(texts) < 2:
        return texts
    columns: list[list[str]] = []
    for column in zip(*split, strict=True):
        pairs = [part.partition(" ") for part in column]
        is_common = len({first for first, _, _ in pairs}) == 1 and all(rest for _, _, rest in pairs)
        columns.append([rest for _, _, rest in pairs] if is_common else list(column))
    return [", ".join(parts) for parts in zip(*columns, strict=True)]


def _both_ends(text: str, most: int) -> str:
    """The text with its middle left out where it is longer than `most` letters."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head].rstrip()}…{text[len(text) - (most - 1 - head) :].lstrip()}"


def table(rows: Rows) -> Any:
    """Rows as Altair's data. A plain dictionary: Altair would check each row of its own type, a second for 10,000.

    A tuple: Altair copies lists, row by row, each time that a chart is layered or gets a property.
    """
    return {"values": tuple(rows)}


def colours(count: int) -> tuple[list[str], list[list[int]]]:
    """The colours and the dashes of at most 18 series."""
    rounds = [divmod(i, len(COLOURS)) for i in range(count)]
    return [COLOURS[place] for _, place in rounds], [DASHES[round_ % len(DASHES)] for round_, _ in rounds]


def placed_in(rows: Rows, names: Sequence[str], field: str, place: str) -> Rows:
    """The rows with the position of their `field` among the names, under `place`; those of other names have none.

    Scales and groups go by positions: Vega keeps names as keys of JavaScript objects, where "constructor" and
    "__proto__" are there already, and writes sorted names into programs, where a line separator ends a string.
    """
    positions = {name: position for position, name in enumerate(names)}
    return [row | {place: positions[row[field]]} if row.get(field) in positions else row for row in rows]


def names_by_position(names: Sequence[str]) -> str:
    """The expression that writes the name instead of its position on an axis or in a legend.

    A space comes before each name and is taken off again: Vega cannot read the literal 'constructor' in an expression.
    """
    return f"substring(({json.dumps([' ' + name for name in names])})[datum.value], 1)"


def strokes(title: str | None, **more: Any) -> alt.Legend:
    """A legend of lines, also where bands or points share their colours."""
    style = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 3, "symbolOpacity": 1}
    return alt.Legend(title=title, symbolFillColor="transparent", **style, **more)


_LEAST = 1e-200


def span(values: Iterable[float], *, log: bool = False, pad: float = 0.04) -> tuple[float, float]:
    """The ends of an axis that shows all values with some room; never of length zero."""
    plain = list(values) or [0.0, 1.0]
    low, high = min(plain), max(plain)
    if log:
        low = max(low, _LEAST)  # below, a logarithm and a ratio may not be finite
        ratio = (max(high, low) / low) ** pad if high > low else 1.5
        return low / ratio, max(high, low) * ratio
    room = (high - low) * pad or max(abs(high) * 0.05, 1e-3)
    return low - room, high + room


_LABEL_PIXELS = 6  # between two labels of an axis, so that they do not read as one number


@dataclass(frozen=True)
class PlotAxis:
    """A quantitative axis: its title, its limits, the format of its labels and about how many there are.

    `values` are the places of the labels where Vega is not to choose them; without `labels` it is a grid alone.
    """

    title: str | None
    limits: Sequence[float]
    log: bool = False
    format: str = "~g"
    count: int = 6
    values: Sequence[float] | None = None
    labels: bool = True

    def x(self, field: str = "x") -> alt.X:
        """The axis as the channel x of a field."""
        return alt.X(f"{field}:Q", title=self._title(), scale=self._scale(), axis=self._axis())

    def y(self, field: str = "y") -> alt.Y:
        """The axis as the channel y of a field."""
        return alt.Y(f"{field}:Q", title=self._title(), scale=self._scale(), axis=self._axis())

    def _title(self) -> str | None:
        return f"{self.title} (log scale)" if self.title and self.log else self.title

    def _scale(self) -> alt.Scale:
        if self.log:  # which has no zero; Vega warns where it is named
            return alt.Scale(type="log", domain=list(self.limits), nice=False)
        return alt.Scale(domain=list(self.limits), nice=False, zero=False)

    def _axis(self) -> alt.Axis:
        count = 10 if self.log else self.count  # of a decade's ten places Vega labels those that it has room for
        axis = alt.Axis(
            tickCount=count, labels=self.labels, ticks=self.labels, domain=self.labels, labelSeparation=_LABEL_PIXELS
        )
        values = log_ticks(*self.limits) if self.log and self.values is None else self.values
        if values is not None:
            axis.values = list(values)
        if self.format == "~s" and not self.log:  # each label by itself: one format for all would write 0 as 0k
            axis.labelExpr = "format(datum.value, '~s')"
            axis.labelOverlap = True
        else:
            axis.format = "~r" if self.format == "~g" and not self.log else self.format  # ~g would write 50 as 5e+1
        return axis


def log_ticks(low: float, high: float) -> list[float] | None:
    """Round places of labels on a logarithmic axis: powers of ten, with their doubles and fives where it is short.

    None where fewer than two are within the limits.

    >>> log_ticks(0.0007, 0.03), log_ticks(1, 10_000)
    ([0.001, 0.002, 0.005, 0.01, 0.02], [1.0, 10.0, 100.0, 1000.0, 10000.0])
    """
    if not 0 < low < high < float("inf"):
        return None
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    wide = log10(high / low)
    factors = (1,) if wide > 3 else (1, 2, 5) if wide > 0.9 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    step = max(1, len(decades) // 10)
    places = [float(f"{factor}e{decade}") for decade in decades[::step] for factor in factors]
    within = [place for place in places if low <= place <= high]
    return within if len(within) > 1 else None


@dataclass(frozen=True)
class Plane:
    """Two quantitative axes, and the size of the plot in pixels."""

    x: PlotAxis
    y: PlotAxis
    size: tuple[int, int]


def axis_format(low: float, high: float, *, percent: bool) -> str:
    """The format of the labels of an axis: as many digits as its ends need to differ."""
    if not percent:
        return "~g"
    return "%" if high - low > 0.05 else ".1%" if high - low > 0.005 else ".2%"


def dressed(chart: Any, title: str, notes: Iterable[str] = (), *, seen: str = "") -> Any:
    """The chart with its title, the notes below it as a subtitle, and the style that all charts share.

    Its description, for those who do not see it, is the title, what is `seen`, and the notes.
    """
    notes = [clean(note) for note in notes if note]
    description = ". ".join(clean(text) for text in (title, seen, "; ".join(notes)) if text)
    subtitle = textwrap.wrap("; ".join(notes), 112, max_lines=4, placeholder=" …")
    text = textwrap.wrap(clean(title), 80, max_lines=2, placeholder=" …") or [""]
    heading = alt.TitleParams(text[0] if len(text) == 1 else text, anchor="start", offset=12)
    if subtitle:
        heading.subtitle = subtitle if len(subtitle) > 1 else subtitle[0]
    return styled(chart.properties(title=heading, description=f"{description}."))


def styled(chart: Any) -> Any:
    """The chart with the style that all charts share."""
    return chart.configure(  # at once: each call copies the chart
        title=alt.TitleConfig(fontSize=17, subtitleFontSize=13, subtitleColor="#555", subtitlePadding=6),
        axis=alt.AxisConfig(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridColor="#e6e6e6"),
        axisY=alt.AxisConfig(labelLimit=280),
        legend=alt.LegendConfig(
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=280, symbolLimit=40
        ),
        header=alt.HeaderConfig(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", labelLimit=280),
        view=alt.ViewConfig(stroke=None),
    )


def message(text: str, title: str, *notes: str) -> Any:
    """A chart that holds a sentence alone: why there is nothing to draw."""
    lines = textwrap.wrap(clean(text), 80) or [""]
    mark = alt.Chart(table([{"text": "\n".join(lines)}])).mark_text(fontSize=15, color=INK, lineBreak="\n")
    return dressed(mark.encode(text="text:N").properties(width=WIDTH, height=120), title, notes)


def tooltip(**fields: str | tuple[str, str]) -> list[alt.Tooltip]:
    """Tooltips from field=(title, format) or field=title."""
    return [
        alt.Tooltip(f"{field}:N", title=_tip_title(title))
        if isinstance(title, str)
        else alt.Tooltip(f"{field}:Q", title=_tip_title(title[0]), format=title[1])
        for field, title in fields.items()
    ]


def _tip_title(title: str) -> str:
    """The title of a line of a tooltip, which Vega makes the key of an object: `__proto__` would be none."""
    title = clean(title)
    return f"{title} " if title == "__proto__" else title


def counted(counts: Mapping[str, int], total: int) -> str:
    """How many of all trials ended in which way.

    >>> counted({"diverged": 2, "failed": 1}, 24)
    '2 diverged and 1 failed of 24 trials'
    """
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"{' and '.join(parts)} of {total:,} trial{'s' if total != 1 else ''}" if parts else ""
