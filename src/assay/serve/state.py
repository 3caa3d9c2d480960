"""What changes while a study runs: its state, the trajectories in training with their curves, and its failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.html import text
from assay.report.text import clean, duration, percent, score_words
from assay.serve.overview import iterations_words, left_words, progress_cell, state_words
from assay.serve.shell import address, ago, link, note, table
from assay.store.activity import StudyState
from assay.training.history import Point

_MOST_RUNNING = 24  # curves of running trials
_MOST_FAILURES = 30
_WIDTH, _HEIGHT = 240, 60


def state_part(name: str, state: StudyState | None, *, has_curves: bool) -> str:
    """The line on the state of a study; its data attributes say to the script what the tab's title shows."""
    key, words = state_words(state, has_curves=has_curves)
    counts = state.activity if state is not None else None
    percent_ended = 100 * counts.ended // counts.trials if counts is not None and counts.trials else 0
    cells = [("state", f'<span class="state {key}">{text(words)}</span>')]
    if counts is not None and counts.trials:
        cells.append(("trials ended", progress_cell(state)))
        score = "accuracy" if counts.best_r2 is None else "score"
        cells.append((f"best {score} so far", text(score_words(counts.best, counts.best_r2))))
    if state is not None and state.is_in_work and counts is not None:
        rate = counts.per_second
        cells.append(("trials a minute", "-" if rate is None else text(f"{60 * rate:,.3g}")))
        cells.append(("time left", text(left_words(state))))
    pairs = "".join(f"<div><dt>{label}</dt><dd>{cell}</dd></div>" for label, cell in cells)
    return f'<dl class="facts" data-state="{key}" data-percent="{percent_ended}" data-name="{text(name)}">{pairs}</dl>'


def running_part(rows: Sequence[Mapping[str, Any]]) -> str:
    """The trajectories of a study in training, each with the curve that it has so far."""
    if not rows:
        return ""
    cards = [
        f'<li><p><b>{text(row["label"])}</b></p>{_curve(row["points"], row)}<p class="note">'
        f"{text(iterations_words(row))} iterations, {text(duration(row['seconds']))}</p></li>"
        for row in rows[:_MOST_RUNNING]
    ]
    rest = len(rows) - len(cards)
    more = note(f"{rest:,} more are in training.") if rest > 0 else ""
    about = note(
        "Each has been trained for 5 s or longer. The latest points that its driver has written, up to 1 s old."
    )
    return f'<h2 id="running">In training now</h2>{about}<ul class="cards">{"".join(cards)}</ul>{more}'


def _curve(points: Sequence[Point], row: Mapping[str, Any]) -> str:
    """The curve of a running trajectory: its score, or its loss where no score was measured."""
    for name, label in _CURVES:
        places = [(p.iteration, value) for p in points if (value := getattr(p, name)) is not None and value == value]
        if len(places) > 1:
            return _line(places, label, row)
    return '<p class="note">no two log points yet</p>'


_CURVES = (
    ("test_accuracy", "test accuracy"),
    ("validation_accuracy", "validation accuracy"),
    ("test_r2", "test R2"),
    ("validation_r2", "validation R2"),
    ("test_loss", "test loss"),
    ("validation_loss", "validation loss"),
    ("train_loss", "training loss"),
)


def _line(places: Sequence[tuple[float, float]], label: str, row: Mapping[str, Any]) -> str:
    low, high = min(y for _, y in places), max(y for _, y in places)
    first, end = places[0][0], max(row["iterations"] or 0, places[-1][0])
    across, up = max(1, end - first), (high - low) or 1.0
    line = " ".join(
        f"{_WIDTH * (x - first) / across:.1f},{_HEIGHT - 4 - (_HEIGHT - 8) * (y - low) / up:.1f}" for x, y in places
    )
    last = percent(places[-1][1]) if "accuracy" in label else f"{places[-1][1]:.4g}"
    about = f"{label}: {last} at iteration {places[-1][0]:,}"
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(about)}">'
        f'<polyline points="{line}"></polyline></svg><p class="note">{text(about)}</p>'
    )


def failures_part(rows: Sequence[Mapping[str, Any]]) -> str:
    """The trials that did not finish, with their reasons; "" without any."""
    if not rows:
        return ""
    cells = [
        [
            link(address("trial", row["trial"]), row["trial"][:8]),
            text(row["label"]),
            text(row["outcome"]),
            text(clean(row["reason"])),
            text(ago(row["finished"])),
        ]
        for row in rows[:_MOST_FAILURES]
    ]
    more = note(f"Showing the latest {_MOST_FAILURES} of them.") if len(rows) > _MOST_FAILURES else ""
    header = ["trial", "configuration", "outcome", "reason", "ended"]
    drawn = table(header, cells, caption="Trials that did not finish")
    return f'<h2 id="failures">Trials that did not finish</h2>{drawn}{more}'


MOST_FAILURES = _MOST_FAILURES + 1
"""How many `failures_part` is given: one more than it shows says that there are more."""

__all__ = ["MOST_FAILURES", "failures_part", "running_part", "state_part"]
