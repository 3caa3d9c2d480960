"""A study, or a bench, as one HTML file: question, answers, tables, charts and data, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from assay.errors import AssayError, FileError
from assay.report import benches, figures, html
from assay.report.charts import CHARTS, Chart, Shape
from assay.report.html import text
from assay.report.notes import Note, line
from assay.report.text import file_stem
from assay.system.files import write_atomically

Frame = Any


class StudyResults(Protocol):
    """What a page is made of: the results of a study."""

    name: str
    about: dict[str, Any]

    @property
    def axes(self) -> list[str]: ...
    @property
    def renamed_axes(self) -> str: ...
    def frame(self) -> Frame: ...
    def curves(self) -> Frame: ...
    def summary(self) -> Frame: ...
    def verdicts(self) -> Frame: ...
    def targets(self) -> Frame: ...
    def best_points(self) -> Frame: ...
    def answers(self) -> list[str]: ...
    def picture(self, name: str) -> Any: ...
    def environment(self) -> list[tuple[str, str]]: ...
    def notes(self) -> list[Note]: ...
    @property
    def rerun(self) -> Rerun: ...


class Rerun(Protocol):
    """How a study is run again: its definition as TOML, and why that cannot be run, if it cannot."""

    @property
    def text(self) -> str: ...
    @property
    def problem(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def ignored(self) -> tuple[str, ...]: ...
    def command(self, study: str) -> str: ...


_BENCH = ("bench", "bench-totals")


def write_page(study: StudyResults, path: Path) -> Path:
    """Writes the page. Raises: AssayError where the study has no trials, FileError."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise FileError(f"{path}: a report is an HTML page; expected a name that ends in .html")
    if not path.parent.is_dir():
        raise FileError(f"{path}: its folder does not exist")
    write_atomically(path, page(study).encode())
    return path


def page(study: StudyResults) -> str:
    """The page as text. Raises: AssayError where the study has no trials."""
    trials = study.frame()
    if not len(trials):
        raise AssayError(f"study {study.name!r} has no trials")
    finished = int((trials["outcome"] != "planned").sum())
    specs, left_out = _specs(study) if finished else ({}, [])
    answers = study.answers() if finished else [f"None of its {len(trials):,} trials is finished yet."]
    parts = [
        f"<h1>{text(study.name)}</h1>",
        f'<p class="question">{text(study.about.get("about") or "A study without a question.")}</p>',
        "<h2>Answers</h2>",
        html.items(answers),
        *_notes(study, trials),
        _filter(trials) if finished else "",
        *(_figure(CHARTS[name], specs[name]) for name in specs),
        "<h2>Configurations</h2>",
        html.frame_table(study.summary().rename(columns={"finished": "ended"}), "configuration"),
        *_optional_table(study, "Verdicts over paired seeds: simultaneous intervals, p corrected by Holm", "verdicts"),
        *_optional_table(study, "Time to target", "targets"),
        "<h2>Trials</h2>",
        html.frame_table(_with_best(trials[_columns(study)], study), "configuration"),
        "<h2>Data</h2>",
        html.download("trials.csv", trials),
        html.download("curves.csv", study.curves()),
        "<h2>How it was made</h2>",
        html.pairs(study.environment()),
        *_again(study),
        *(f'<p class="note">Not drawn: {text(reason)}</p>' for reason in left_out),
    ]
    return html.page(study.name, parts, style=figures.STYLE, scripts=figures.scripts(specs))


def _again(study: StudyResults) -> list[str]:
    """The definition, and the commands that run it again; or why none does."""
    again, file = study.rerun, f"{file_stem(study.name)}.toml"
    definition = f"<pre>{text(again.text)}</pre>"
    if again.problem:
        return [f'<p class="note">This definition cannot be run again: {text(again.problem)}</p>', definition]
    by_name = f"<code>{text(again.command(again.name))}</code> with this store, or " if again.name else ""
    by_file = f"save this definition as <code>{text(file)}</code>, then <code>{text(again.command(file))}</code>"
    return [f"<p>Again: {by_name}{by_file}</p>", definition]


def bench_page(plain: dict[str, Any]) -> str:
    """The page of a bench, from its plain data."""
    epochs, summary = benches.epochs_frame(plain), benches.summary_frame(plain)
    charts = [CHARTS[name] for name in _BENCH]
    specs = {
        chart.name: chart(epochs, title=f"{plain['name']}: {chart.title.lower()}").to_dict()
        | {"background": "transparent"}
        for chart in charts
    }
    machine = plain["machine"]
    about = [(key, str(machine[key])) for key in ("cpu", "cores", "memory_bytes", "system", "python") if key in machine]
    about += [(name, version) for name, version in machine.get("versions", {}).items()]
    about += [("bench", plain["bench"]), ("outcome", plain["outcome"])]
    parts = [
        f"<h1>{text(plain['name'])}: engines side by side</h1>",
        '<p class="question">The same recipe, initial weights and batches everywhere: first whether the engines '
        "compute the same, then how long they take.</p>",
        "<h2>Answers</h2>",
        html.items(benches.sentences(plain)),
        *(_figure(chart, specs[chart.name]) for chart in charts),
        "<h2>Rows</h2>",
        html.frame_table(summary.astype(object).where(summary.notna(), None), "label"),
        "<h2>Data</h2>",
        html.download("rows.csv", summary),
        html.download("epochs.csv", epochs),
        "<h2>How it was made</h2>",
        html.pairs(about),
        f"<pre>{text(json.dumps(plain['recipe'], indent=1))}</pre>",
    ]
    return html.page(plain["name"], parts, style=figures.STYLE, scripts=figures.scripts(specs))


def fitting(study: StudyResults) -> list[Chart]:
    """The charts that are worth drawing of the study, in the order of the page."""
    trials = study.frame()
    shape = Shape(
        design=study.about.get("design", "grid"),
        axes=len(study.axes),
        repeats=study.about.get("repeats", 1),
        configurations=trials["configuration"].nunique(),
        learning_rates=trials["learning_rate"].nunique(),
    )
    return [chart for chart in CHARTS.values() if chart.suits(shape)]


def _specs(study: StudyResults) -> tuple[dict[str, Any], list[str]]:
    """The charts that fit the study, ready to be highlighted, and why the others cannot be drawn."""
    specs: dict[str, Any] = {}
    left_out: list[str] = []
    for chart in fitting(study):
        try:
            specs[chart.name] = figures.steered(study.picture(chart.name).to_dict())
        except AssayError as error:
            left_out.append(f"{chart.name}: {error}")
    return specs, left_out


def _figure(chart: Chart, spec: dict[str, Any]) -> str:
    seen = str(spec.get("description", ""))
    return figures.figure(chart.name, chart.title, keeps_colours=chart.keeps_colours, seen=seen)


def _filter(trials: Frame) -> str:
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    options = "".join(f'<option value="{text(name)}">{text(name)}</option>' for name in names[:2000])
    return (
        '<p class="bar"><label>Highlight <select id="chosen"><option value="">every configuration</option>'
        f"{options}</select></label> "
        '<label>Filter tables <input id="words" type="search" placeholder="words"></label></p>'
    )


def _columns(study: StudyResults) -> list[str]:
    wanted = ["trial", "configuration", "seed", "outcome", "accuracy", "balanced_accuracy", "macro_f1", "test_loss"]
    wanted += ["seconds", "processor_seconds", "busy", "effort", "iterations"]
    return [*wanted, "engine", "timing", *(["origin"] if "imported" in set(study.frame()["origin"]) else [])]


_MOST_NOTES = 30


def _notes(study: StudyResults, trials: Frame) -> list[str]:
    """The notes on the trials; the first ones if there are many."""
    count, notes = trials["configuration"].nunique(), study.notes()
    lines = [line(note, configurations=count) for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        lines.append(f"{len(notes) - _MOST_NOTES:,} more notes: `assay show` has those of each trial.")
    lines += [study.renamed_axes] if study.renamed_axes else []
    lines += study.rerun.ignored
    return ["<h2>Notes</h2>", html.items(lines)] if lines else []


def _with_best(trials: Frame, study: StudyResults) -> Frame:
    """The trials with their best points: the lowest loss on the validation set, or on the test set if there is none."""
    return trials.merge(study.best_points(), on="trial", how="left")


def _optional_table(study: StudyResults, heading: str, name: str) -> list[str]:
    """A table that not every study has, or nothing."""
    try:
        frame = getattr(study, name)()
    except AssayError:
        return []
    table = html.frame_table(frame.drop(columns=["sentence"], errors="ignore"), frame.columns[0])
    return [f"<h2>{heading}</h2>", table]
