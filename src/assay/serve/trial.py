"""A trial's page: how it ended, its curve, time breakdown, confusion, machine, recipe, command and weights."""

from __future__ import annotations

import json
from typing import Any

from assay.errors import AssayError
from assay.recipe.toml import toml_text
from assay.report import figures, html
from assay.report.charts import CHARTS
from assay.report.charts.writing import embedded
from assay.report.html import text
from assay.report.text import clean, counted, duration, percent
from assay.results.inspection import most_confused
from assay.serve.shell import address, figure, note, table
from assay.serve.state import running_part
from assay.store import imported, progress, queries
from assay.store.records import history_of
from assay.store.store import Store
from assay.store.trial_command import repeat_command
from assay.training.history import History, drawn_from

Row = dict[str, Any]
_CHARTS = {"curve": "Learning curve", "confusion": "Confusion matrix", "confused": "Most confident misclassifications"}


def trial_body(store: Store, key: str, *, url: str | None) -> tuple[str, list[str]]:
    """The title of a trial's page and its parts. Raises: StoreError where no trial has the key."""
    if (curve := imported.find(store.database, key)) is not None:
        return _imported_body(curve)
    row = queries.one_trial(store.database, key)
    history = history_of(row) if row["outcome"] else None
    label = row["studies"][0][1] if row["studies"] else row["key"][:8]
    title = f"{label}, seed {row['seed']}"
    parts = [f"<h1>{text(clean(title))}</h1>", html.pairs(_facts(row, history))]
    if row["error"]:
        parts.append(f'<details class="section"><summary>Error</summary><pre>{text(row["error"])}</pre></details>')
    if history is not None and history.points:
        parts += [_figures(row, store), _ledger(history)]
    elif history is None:
        parts.append(_without_result(row, store))
    parts += [_command(row, url), _recipe(json.loads(row["recipe"])), _weights(row, store)]
    studies = [
        f'<a href="{text(address("study", name))}">{text(clean(name))}</a>: {text(own)}' for name, own in row["studies"]
    ]
    parts.append("<h2>Studies</h2><ul>" + "".join(f"<li>{line}</li>" for line in studies) + "</ul>")
    return title, parts


def _without_result(row: Row, store: Store) -> str:
    """What is known of a trial that is in training or planned."""
    running = [one for one in progress.listed(store.database) if one["trajectory"] == row["trajectory"]]
    words = "It is in training." if row["running"] else "It is planned and has no result yet."
    return f"<p>{words}</p>{running_part(running)}"


def _imported_body(curve: Row) -> tuple[str, list[str]]:
    history = imported.history_of(curve)
    key, study = curve["key"], curve["study_name"]
    parts = [
        f"<h1>{text(clean(curve['name']))}</h1>",
        note("Imported from a log of another framework; it was not trained here."),
        html.pairs([("imported", key), ("study", study), ("framework", curve["framework"]), ("ended", history.ending)]),
        figure(address("trial", key, "chart", "curve.json"), "Learning curve", name="curve"),
    ]
    return str(curve["name"]), parts


def _facts(row: Row, history: History | None) -> list[tuple[str, str]]:
    """How the trial ended and on what."""
    machine = json.loads(row["description"] or "{}")
    words = {"cpu": str, "cores": _cores, "system": str, "python": "Python {}".format}
    place = ", ".join(write(machine[key]) for key, write in words.items() if key in machine)
    facts = [("trial", row["key"]), ("outcome", history.ending if history is not None else "no result yet")]
    numbers = (
        ("test accuracy", "accuracy", percent),
        ("validation accuracy", "validation_accuracy", percent),
        ("test R2", "r2", "{:.4g}".format),
        ("validation R2", "validation_r2", "{:.4g}".format),
        ("test RMSE", "rmse", "{:.4g}".format),
        ("training", "seconds", duration),
        ("processor time of training", "processor_seconds", duration),
        ("iterations", "iterations", "{:,}".format),
        ("parameters", "parameters", "{:,}".format),
    )
    facts += [(name, write(row[column])) for name, column, write in numbers if row[column] is not None]
    facts += [("load", "busy machine: foreign load took more than 5 % of training")] if row["busy"] else []
    others = (("engine", "engine"), ("device", "device"), ("timing", "timing"), ("threads", "threads"))
    facts += [(name, str(row[column])) for name, column in others if row[column] is not None]
    facts += [("machine", place)] if place else []
    return facts + ([("instruction level", row["level"])] if row["level"] else [])


def _cores(number: int) -> str:
    return counted(number, "core")


def _figures(row: Row, store: Store) -> str:
    names = ["curve", *(["confusion"] if row["confusion"] else [])]
    names += ["confused"] if row["confusion"] and row["artifact"] else []
    parts: list[str] = []
    for name in names:
        source = address("trial", row["key"], "chart", f"{name}.json")
        drawn = figure(source, _CHARTS[name], name=name, keeps_colours=CHARTS[name].keeps_colours)
        parts.append(f"<h2>{_CHARTS[name]}</h2>{drawn}")
    return "".join(parts)


def _ledger(history: History) -> str:
    plain = {name: value for name, value in vars(history.ledger).items() if isinstance(value, int | float)}
    wall = plain.pop("wall", 0.0)
    plain |= {"other": history.ledger.other, "wall": wall}
    rows = [
        [text(name), f"{seconds:.4g}", f"{100 * seconds / wall:.1f} %" if wall else "-"]
        for name, seconds in plain.items()
        if seconds
    ]
    drawn = table(["part", "seconds", "of wall time"], rows, caption="Time breakdown", numbers=(1, 2))
    return f"<h2>Time breakdown</h2>{drawn}"


def _command(row: Row, url: str | None) -> str:
    repeat = repeat_command(row, url)
    if repeat is None:
        return "<h2>Repeat it</h2><p>The command line of its program is stored when it has run.</p>"
    about = (
        note(f"It was timed {row['timing']}; assay train times isolated, which is another trial.")
        if row["timing"] != "isolated"
        else ""
    )
    return f"<h2>Repeat it</h2>{about}{_copied('command', clean(repeat))}"


def _recipe(recipe: dict[str, Any]) -> str:
    return f"<h2>Recipe</h2>{_copied('recipe', toml_text(recipe))}"


def _copied(name: str, content: str) -> str:
    return (
        f'<pre id="text-{name}" tabindex="0">{text(content)}</pre>'
        f'<p><button type="button" data-copy="text-{name}">Copy the {name}</button></p>'
    )


def _weights(row: Row, store: Store) -> str:
    if not row["artifact"]:
        return "<h2>Weights</h2><p>They were not kept: <code>keep</code> in the study decides it.</p>"
    target = address("trial", row["key"], "weights.safetensors")
    return (
        f'<h2>Weights</h2><p><a download href="{text(target)}">Download the weights</a> <span class="note">a file of '
        "safetensors, which assay predict reads</span></p>"
    )


def trial_spec(store: Store, key: str, name: str) -> str:
    """A chart of a trial as JSON. Raises: AssayError where it cannot be drawn."""
    if name not in _CHARTS:
        raise AssayError(f"a trial has no chart {name!r}; it has {', '.join(_CHARTS)}")
    chart = CHARTS[name]
    if (curve := imported.find(store.database, key)) is not None:
        points, words = drawn_from(imported.history_of(curve))
        return embedded(figures.steered(chart(points, words).to_dict()))
    row = queries.one_trial(store.database, key)
    if row["outcome"] is None:
        raise AssayError(f"trial {row['key'][:8]} has no result yet")
    made = chart(*_drawn_from(row, name, store), **({} if name == "curve" else {"title": _title(row, name)}))
    return embedded(figures.steered(made.to_dict()))


def trial_stamp(store: Store, key: str) -> tuple[Any, ...]:
    """Changes when the charts of a trial may have changed. Raises: StoreError where no trial has the key."""
    if (curve := imported.find(store.database, key)) is not None:
        return (curve["key"],)
    row = queries.one_trial(store.database, key)
    return row["key"], row["outcome"], row["finished"], row["artifact"]


def _drawn_from(row: Row, name: str, store: Store) -> tuple[Any, ...]:
    """What a chart of a trial with a result is drawn from, without a look at its study. Raises: AssayError."""
    short = row["key"][:8]
    if name == "confusion":
        if not row["confusion"]:
            raise AssayError(f"trial {short} has no confusion counts: it did not finish")
        return json.loads(row["confusion"]), json.loads(row["classes"])
    if name == "confused":
        history = store.history(row["key"])
        if history is None:
            raise AssayError(f"the weights of trial {short} were not kept")
        return most_confused(history)
    history = history_of(row)
    if not history.points:
        raise AssayError(f"trial {short} has no log point")
    return drawn_from(history)


def _title(row: Row, name: str) -> str:
    study, label = row["studies"][0] if row["studies"] else ("", row["key"][:8])
    return f"{study}{': ' if study else ''}{_CHARTS[name].lower()} of {label}, seed {row['seed']}"


def weights_of(store: Store, key: str) -> tuple[str, bytes]:
    """The name of a file and the weights of a trial as safetensors. Raises: AssayError where they were not kept."""
    row = queries.one_trial(store.database, key)
    if not row["artifact"]:
        raise AssayError(f"the weights of trial {row['key'][:8]} were not kept")
    return f"trial-{row['key'][:12]}.safetensors", store.artifacts.get(row["artifact"])


__all__ = ["trial_body", "trial_spec", "weights_of"]
