"""Tables for the terminal: learning curves, results and costs of trainings, the contents of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from assay.analysis.phases import PHASE
from assay.analysis.quantities import (
    CLASS_SCORES,
    LOSS,
    MACRO_SCORES,
    QUANTITIES,
    REGRESSION,
    SCORE,
    SPLITS,
    name_of,
    score_of,
    task_of,
)
from assay.report.cells import is_number
from assay.report.text import clean, distinguished, duration, number, percent, score_words
from assay.report.thinning import evenly
from assay.system.load import BUSY, JUDGED_SECONDS

if TYPE_CHECKING:
    import pandas

    from assay.training.history import History, Point
    from assay.training.source import Source

_SECONDS, _SD = "seconds\n(processor)", "sd\n[points]"
_MOST_POINTS = 14  # of a curve: what fits on a screen with the tables below it


def curve(history: History) -> Table:
    """The learning curve, thinned to a screenful with its first and last points kept."""
    points = thinned(history.points, _MOST_POINTS)
    source = history.source
    title = source.label if source else f"{history.recipe.label()}, seed {history.recipe.seed}"
    caption = f"showing {len(points)} of {len(history.points)} log points"
    columns = _columns(history, points)
    wide = len(columns) > 6  # then two lines of headers and narrow borders, so that no digit is cut at 80 characters
    table = Table(
        title=Text(clean(title), style="table.title"),
        caption=caption if len(points) < len(history.points) else None,
        title_justify="left",
        caption_justify="left",
        padding=(0, 0) if wide else (0, 1),
    )
    for header in columns:
        table.add_column(header.replace(" ", "\n") if wide else header, justify="right", no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


def _columns(history: History, points: Sequence[Point]) -> dict[str, list[str]]:
    """The cells of a curve by header; without validation columns, and columns of a log, that hold no value."""
    source = history.source
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "seconds": ("seconds", lambda seconds: _decimal(seconds, ".3f")),
        "train loss": ("train_loss", number),
        "test loss": ("test_loss", number),
        "train acc.": ("train_accuracy", percent),
        "test acc.": ("test_accuracy", percent),
        "valid. loss": ("validation_loss", number),
        "valid. acc.": ("validation_accuracy", percent),
    }
    if history.task is REGRESSION:
        columns = {header: column for header, column in columns.items() if not header.endswith("acc.")}
        for metric in REGRESSION.metrics:
            names = {"train": "train", "test": "test", "valid.": "validation"}
            columns |= {f"{h} {metric.label}": (name_of(split, metric.name), number) for h, split in names.items()}
        del columns["train RMSE"]  # for the width of a terminal; --json has it
    measured = {
        header for header, (name, _) in columns.items() if any(getattr(p, name) is not None for p in history.points)
    }
    validated = any(header.startswith("valid.") for header in measured)
    shown = measured if source else set(columns) if validated else {h for h in columns if not h.startswith("valid.")}
    cells = {header: [show(getattr(p, name)) for p in points] for header, (name, show) in columns.items()}
    steps = {source.steps.removesuffix("s") if source else "iteration": [f"{p.iteration:,}" for p in points]}
    return steps | {header: column for header, column in cells.items() if header in shown}


def summary(history: History) -> Table:
    """Results and costs of a training."""
    last, ledger = history.final, history.ledger.plain()
    seconds = ", ".join(f"{name} {value:.3f}" for name, value in ledger.items() if value >= 0.0005 or name == "train")
    lines: list[tuple[str, str]] = [
        ("outcome", history.ending),
        *_test_scores(history),
        ("test loss", number(last.test_loss)),
        ("train loss", number(last.train_loss)),
        *scores_of(history),
        ("best point", _best(history)),
        ("seconds", seconds),
        ("processor seconds", _processor_seconds(history)),
        ("foreign load", _foreign_load(history)),
        ("effort", _effort(history)),
        ("operations", _operations(history)),
        ("peak memory", f"{history.peak_memory_bytes / 2**20:,.0f} MiB"),
        ("engine", f"{history.engine} on {history.device} ({history.engine_choice})"),
    ]
    if history.cohort > 1:
        lines.append(("cohort", f"{history.cohort:,} trials trained together; the seconds are this trial's part"))
    if history.preparation_seconds is not None:
        seconds = f"{history.preparation_seconds:.3f} s"
        lines.append(("preparation", f"{seconds} until a new engine has the data, part of data, not of train"))
    if history.peak_device_memory_bytes is not None:
        lines.append(("peak on device", f"{history.peak_device_memory_bytes / 2**20:,.0f} MiB"))
    lines += [("note", note) for note in history.notes]
    return pairs(lines)


def _test_scores(history: History) -> list[tuple[str, str]]:
    """The scores of the task on the test set."""
    quantities = [QUANTITIES[name_of("test", metric.name)] for metric in history.task.metrics]
    values = [(quantity, getattr(history.final, quantity.name)) for quantity in quantities]
    return [(q.label, percent(value) if q.is_fraction else number(value)) for q, value in values]


def _effort(history: History) -> str:
    if history.task is REGRESSION:
        return "not defined: it is training time / accuracy, and a regression has no accuracy"
    return "-" if history.effort is None else f"{history.effort:.4f} s of training / accuracy"


def scores_of(history: History) -> list[tuple[str, str]]:
    """The scores over all classes of the confusion matrix, or that none is stored."""
    if history.task is REGRESSION:
        return []
    scores = history.scores
    if scores is None:
        return [("balanced accuracy", "-: no confusion matrix is stored with this trial")]
    macro = ", ".join(f"{label.partition(' ')[2]} {percent(scores[name])}" for name, label in _MACRO.items())
    return [("balanced accuracy", percent(scores["balanced_accuracy"])), ("mean over classes", macro)]


_MACRO = {name: label for name, label in MACRO_SCORES.items() if name.startswith("macro_")}
_MOST_CLASSES = 20  # of a table of classes, on a screen


def classes(history: History) -> Table | None:
    """Precision, recall and F1 of each class, or of those with the lowest F1; None without a confusion matrix."""
    scores = history.scores
    if scores is None:
        return None
    rows: list[dict[str, Any]] = scores["per_class"]
    shown = rows
    if len(rows) > _MOST_CLASSES:
        shown = sorted(rows, key=lambda row: (row["f1"] is None, row["f1"]))[:_MOST_CLASSES]
    table = Table(
        title="scores of each class on the test set",
        caption=f"the {len(shown)} lowest F1 of {len(rows):,} classes" if len(shown) < len(rows) else None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("class", overflow="fold")
    for header in ("precision", "recall", "F1", "examples"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in shown:
        table.add_row(_text(row["class"]), *(percent(row[name]) for name in CLASS_SCORES), f"{row['support']:,}")
    return table


def _best(history: History) -> str:
    """Where the lowest loss is, on which set, and the accuracy there."""
    best = history.best
    if best is None:
        return "-"
    steps = history.source.steps if history.source else "iterations"
    accuracy = "" if best.accuracy is None else f", accuracy {percent(best.accuracy)}"
    accuracy += "" if best.r2 is None else f", R2 {number(best.r2)}"
    where = f"{steps.removesuffix('s')} {best.iteration:,}"
    return f"{where}: lowest {best.set} loss {number(best.loss)}{accuracy}"


def imported(history: History) -> Table:
    """Results, seconds, units and line counts of an imported log."""
    source = history.source
    assert source is not None  # an imported curve has one
    names = [name_of(split, metric.name) for metric in (SCORE, LOSS) for split in reversed(SPLITS)]
    last = {name: value for name in names if (value := history.last(name)) is not None}
    lines: list[tuple[str, object]] = [("outcome", history.ending)]
    lines += [
        (name.replace("_", " "), percent(value) if QUANTITIES[name].is_fraction else number(value))
        for name, value in last.items()
    ]
    lines += [("best point", _best(history))] if history.best else []
    lines += [("seconds", f"{_log_seconds(source)} (imported: {source.clock})")]
    lines += [("effort", f"{history.effort:.4f} s by the log's own clock / accuracy")] if history.effort else []
    lines += [
        ("framework", f"{source.framework or 'unknown'} (format {source.format})"),
        ("machine", source.machine or "unknown"),
        ("file", f"{source.file}, sha256 {source.sha256}"),
        ("events" if source.format == "tensorboard" else "lines", _line_counts(source)),
    ]
    lines += [("unit" if name != "not taken" else "", f"{name}: {unit}") for name, unit in source.units.items()]
    return pairs([*lines, *(("note", note) for note in history.notes)])


def _log_seconds(source: Source) -> str:
    labels = {"train": "training", "evaluate": "validation", "wall": "elapsed"}
    parts = [f"{label} {source.seconds[name]:.2f}" for name, label in labels.items() if name in source.seconds]
    return ", ".join(parts) or "none"


def _line_counts(source: Source) -> str:
    counts = [f"{count:,} {_LINE_KINDS.get(name, name)}" for name, count in source.lines.items() if name != "lines"]
    return f"{source.lines.get('lines', 0):,}: {', '.join(counts)}"


_LINE_KINDS = {"apart": "ignored"}  # how a kind of lines is shown, where it is not stored by that name


def _operations(history: History) -> str:
    if history.operations is None:
        return "unknown: those of a user's module are not counted"
    return f"{history.operations / 1e9:,.3f} GFLOP" + _rate(history)


def _rate(history: History) -> str:
    seconds = history.final.seconds
    if not seconds or not history.iterations:
        return ""
    rate = f", effective {history.flops / seconds / 1e9:,.2f} GFLOP/s"
    return rate + (f" ({percent(history.skipped)} of them skipped: zero inputs)" if history.skipped else "")


def _processor_seconds(history: History) -> str:
    ledger = history.ledger.plain_processor()
    if ledger is None:
        return "unknown"
    return ", ".join(f"{name} {value:.3f}" for name, value in ledger.items() if value >= 0.0005 or name == "train")


def _foreign_load(history: History) -> str:
    """What foreign load took from the training, and whether that marks the trial."""
    load, train = history.load, history.ledger.train
    if load.foreign is None:
        return BUSY if load.busy else "unknown"
    text = f"{load.foreign:.3f} s"
    if load.busy is None:
        return f"{text}; trainings under {JUDGED_SECONDS:g} s are not judged"
    return f"{text}, {percent(load.foreign / train)} of training" + (f": {BUSY}" if load.busy else "")


def pairs(lines: Sequence[tuple[str, object]]) -> Table:
    """Two columns without a border: names and their values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(clean(name)), Text(clean(value)))
    return table


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, evenly spaced, with the first and the last."""
    return [points[i] for i in evenly(len(points), most)]


def prediction(label: str, probabilities: dict[str, float]) -> str:
    """The predicted class, and the ten highest probabilities, in a line."""
    ranked: list[tuple[str, float]] = sorted(probabilities.items(), key=lambda item: -item[1])
    return f"{clean(label)}   " + "  ".join(f"{clean(name)}: {p:.3f}" for name, p in ranked[:10])


def engine_lines(engines: dict[str, Any]) -> list[tuple[str, str]]:
    """One line per engine: its version and devices, or what to install."""
    return [
        (
            f"engine {name}",
            f"{entry['version']}, devices: {', '.join(entry['devices'])}" if entry["installed"] else entry["hint"],
        )
        for name, entry in engines.items()
    ]


def study(summary: pandas.DataFrame, title: str) -> Table:
    """A study's configurations, in the order of the frame: accuracy, its deviation and range over seeds, costs.

    A regression has R2, and its RMSE in place of the effort.

    Where configurations are selected by validation, that accuracy comes first and the test accuracy next to it.
    """
    table = Table(title=Text(clean(title), style="table.title"), title_justify="left")
    frame: Any = summary
    validated = "validation_n" in frame.columns and bool(frame["validation_n"].sum() > 0)
    table.add_column("configuration", overflow="fold", min_width=13)
    task = task_of(frame)
    test, validation_score = (score_of(task, split).column for split in ("test", "validation"))
    is_regression = task is REGRESSION
    sd = "sd" if is_regression else _SD
    name = "R2" if is_regression else "accuracy"
    scores = ("validation", sd, "test", sd) if validated else (name, sd, "min .. max")
    written: Callable[[Any], str] = _plain_number if is_regression else percent
    deviation: Callable[[Any], str] = _plain_number if is_regression else _points
    phased = PHASE in frame.columns
    last = "RMSE" if is_regression else "effort"
    for column in (*(["seeds"] if phased else []), "n", *scores, _SECONDS, last):
        table.add_column(column, justify="right", no_wrap=column in ("accuracy", "R2", "validation", "test"))
    rows: list[dict[str, Any]] = summary.to_dict("records")  # pyright: ignore[reportAssignmentType]
    labels = distinguished(str(row["configuration"]) for row in rows)
    for row in rows:
        count = f"{row['finished']}" if row["finished"] == row["trials"] else f"{row['finished']} of {row['trials']}"
        count += "".join(f", {row[column]} {word}" for column, word in _ENDINGS.items() if row.get(column))
        count += f", {row['busy_trials']} {BUSY}" if row["busy_trials"] else ""
        missing = row[test] != row[test]
        spread = "-" if missing else f"{written(row['low'])} .. {written(row['high'])}"
        of_test = [written(row[test]), deviation(row.get("sd"))]
        validation = [written(row[validation_score]), deviation(row["validation_sd"])] if validated else []
        cells = [*validation, *of_test, *([] if validated else [spread])]
        effort = _plain_number(row["rmse"]) if is_regression else _decimal(row["effort"], ".4f")
        busy = f" {BUSY}" if row["busy"] else ""
        seconds = _seconds(row) + (busy if is_regression else "")
        effort += "" if is_regression else busy
        phase = [str(row[PHASE]) or "-"] if phased else []
        table.add_row(Text(labels[str(row["configuration"])]), *phase, count, *cells, seconds, effort)
    return table


def _plain_number(value: float | None) -> str:
    """A score that is no fraction."""
    return _decimal(value, ".4g")


def _text(value: object) -> Text:
    """A name as it is, in which Rich reads no markup."""
    return Text(clean(value))


def _points(value: float | None) -> str:
    """A standard deviation of accuracies, in percentage points."""
    return "-" if value is None or value != value else f"{100 * value:.2f}"


_ENDINGS = {"diverged": "div.", "timed_out": "timed out", "no_result": "no result"}  # a column, and how it is counted


def studies(rows: Sequence[dict[str, Any]]) -> Table:
    """The studies of a store; their tags where there are any."""
    biased = any(row.get("selected") and (row["best"], row.get("best_r2")) != (None, None) for row in rows)
    caption = "* biased: this score selected its configuration in a search" if biased else None
    table = Table(title="studies", caption=caption, title_justify="left", caption_justify="left")
    table.add_column("study", overflow="fold")
    tagged = any(row.get("tags") for row in rows)
    if tagged:
        table.add_column("tags", overflow="fold")
    best_name = "best score" if any(row.get("best_r2") is not None for row in rows) else "best accuracy"
    for column in ("trials", "imported", best_name, "training [s]", "updated"):
        table.add_column(column, justify="right", no_wrap=True)
    names = distinguished(str(row["name"]) for row in rows)
    for row in rows:
        best = score_words(row["best"], row.get("best_r2"))
        best += "*" if row.get("selected") and best != "-" else ""
        seconds = _decimal(row["seconds"], ",.1f")
        done = "" if row["finished"] == row["trials"] else f"{row['finished']:,} of "
        done += f"{row['trials']:,}" + (f", {row['unfinished']:,} unfinished" if row["unfinished"] else "")
        counts = [done, f"{row['imported']:,}" if row["imported"] else "-"]
        tags = [_text(", ".join(f"{k}={v}" for k, v in row["tags"].items()))] if tagged else []
        table.add_row(Text(names[str(row["name"])]), *tags, *counts, best, seconds, _when(row["updated"]))
    return table


def running(rows: Sequence[dict[str, Any]]) -> Table:
    """What is being trained, as its driver last noted it."""
    table = Table(title="in training", title_justify="left")
    for column in ("study", "configuration", "driver"):
        table.add_column(column, overflow="fold")
    for column in ("iteration", "loss", "accuracy", "for", "noted"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        point = row["points"][-1] if row["points"] else None
        names = [_text(row[name]) for name in ("study", "label", "holder")]
        cells = [f"{row['iteration']:,}/{row['iterations']:,}", _decimal(point.train_loss if point else None, ".4f")]
        cells.append(percent(point.test_accuracy if point else None))
        table.add_row(*names, *cells, duration(row["seconds"]), _when(row["updated"]))
    return table


def benches(rows: Sequence[dict[str, Any]]) -> Table:
    """The benches of a store."""
    table = Table(title="benches", title_justify="left")
    table.add_column("bench", no_wrap=True)
    for column in ("name", "data", "baseline"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "outcome", "updated"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        count = f"{row['measured']} of {row['rows']}"
        cells = [row["key"][:8], row["name"], Path(row["data"]).name, row["baseline"] or "-", count, row["outcome"]]
        table.add_row(*map(_text, cells), _when(row["updated"]))
    return table


_WORDS = ("model", "optimizer", "batches", "data", "engine")


def trials(rows: Sequence[dict[str, Any]], *, score: str | None = None) -> Table:
    """Trials and imported curves, one line each; `score`: a score of the confusion matrix in a column of its own."""
    table = Table()
    table.add_column("trial", no_wrap=True)
    table.add_column("recipe", overflow="fold")
    of_score = [score.replace("_", " ")] if score else []
    regressions = any(row.get("r2") is not None for row in rows)
    for column in ("seed", "budget", "accuracy or R2" if regressions else "accuracy", *of_score, _SECONDS, "outcome"):
        table.add_column(column, justify="right", no_wrap=column != "outcome")
    for row in rows:
        if row.get("origin") == "imported":
            label = f"{row['label']}, {row['engine']}, {row['file']}"
            scores = ["-"] if score else []
            numbers = ["-", _budget(row), percent(row["accuracy"]), *scores, _seconds(row), row["outcome"]]
            table.add_row(*map(_text, [row["key"][:8], label, *numbers]))
            continue
        row = dict(row)
        for name in _WORDS:  # columns that an older or a damaged store leaves empty
            row[name] = row[name] or "-"
        batches = row["batches"] + (f" {row['batch_size']}" if row["batch_size"] else "")
        rate = row["optimizer"] + ("" if row["learning_rate"] is None else f" {row['learning_rate']:g}")
        label = ", ".join([row["model"], rate, batches, Path(row["data"]).name, row["engine"]])
        scores = [percent(row[score])] if score else []
        reached = score_words(row["accuracy"], row.get("r2"))
        numbers = [row["seed"], _planned(row), reached, *scores, _seconds(row)]
        outcome = (row["outcome"] or "planned") + (f", {BUSY}" if row["busy"] else "")
        table.add_row(*map(_text, [row["key"][:8], label, *numbers, outcome]))
    return table


def _seconds(row: dict[str, Any]) -> str:
    """The seconds of training, and its processor seconds where they are known."""
    processor = _decimal(row["processor_seconds"], ".3f")
    return _decimal(row["seconds"], ".3f") + ("" if processor == "-" else f" ({processor})")


def _planned(row: dict[str, Any]) -> str:
    """The budget of a trial, in iterations or in seconds of training."""
    if row["budget"] is not None:
        return f"{row['budget']:,}"
    return "-" if row["budget_seconds"] is None else f"{row['budget_seconds']:g} s"


def _budget(row: dict[str, Any]) -> str:
    return "-" if row["iterations"] is None else f"{row['iterations']:,}"


def _decimal(value: float | None, form: str) -> str:
    return "-" if value is None or value != value else format(value, form)


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, TypeError, ValueError):  # of a damaged store, which `assay store check` names
        return "-"


def of_frame(frame: Any, title: str) -> Table:
    """A frame of words, as wide as the terminal; numbers are right-aligned."""
    header = [str(column) for column in frame.columns]
    rows = [[str(value) for value in row] for row in frame.itertuples(index=False)]
    right = [all(is_number(row[i]) for row in rows) for i in range(len(header))]
    return of_rows(title, header, rows, right=right)


def of_rows(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool] | None = None
) -> Table:
    """Rows of text under a header, folded to the terminal's width; `right`: which columns are right-aligned."""
    table = Table(title=Text(clean(title), style="table.title"), title_justify="left")
    for name, is_right in zip(header, right or [False] * len(header), strict=True):
        table.add_column(Text(clean(name)), justify="right" if is_right else "left", overflow="fold")
    shown = distinguished(cell for row in rows for cell in row)
    for row in rows:
        table.add_row(*(Text(shown[cell]) for cell in row))
    return table
