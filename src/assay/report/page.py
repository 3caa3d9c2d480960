"""A study, or a bench, as one HTML file: question, answers, tables, charts and data, without a network."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from assay.analysis.phases import PHASE, by_phase
from assay.analysis.quantities import ranked_by
from assay.analysis.summaries import ranked, summarised
from assay.errors import AssayError, FileError
from assay.report import benches, figures, html
from assay.report.answers import selected_by
from assay.report.charts import CHARTS, Chart, Shape
from assay.report.downloads import Downloads
from assay.report.html import text
from assay.report.notes import Note, line
from assay.report.sections import SCRIPT as SECTIONS_SCRIPT
from assay.report.sections import STYLE as SECTIONS_STYLE
from assay.report.sections import Section, contents, drawn
from assay.report.text import file_stem
from assay.system.command_line import command_line
from assay.system.files import write_atomically
from assay.system.memory import give_back

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
    def comparisons(self, *, measure: str, most: int | None) -> Any: ...
    def matrix(self) -> tuple[list[str], list[list[str]]]: ...
    def race_table(self) -> tuple[Frame | None, list[str]]: ...
    def answers(self) -> list[str]: ...
    def picture(self, name: str, **options: Any) -> Any: ...
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


BENCH_CHARTS = ("bench", "bench-totals")


def write_page(study: StudyResults, path: Path) -> Path:
    """Writes the page. Raises: AssayError where the study has no trials, FileError."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise FileError(f"{path}: a report is an HTML page; expected a name that ends in .html")
    if not path.parent.is_dir():
        raise FileError(f"{path}: its folder does not exist")
    data = _downloads(study, folder=path.parent)
    data.write(path)
    give_back()  # of a hundred thousand trials, what making the data took
    write_atomically(path, page(study, data=data, stem=path.stem).encode())
    return path


_LONG = 12  # configurations, above which a page folds what is not read first
_OPEN_CHARTS = 2  # of a folded page
_MOST_COMPARISONS = 200
_MOST_CHOICES = 500  # configurations that can be highlighted by name


def page(study: StudyResults, *, data: Downloads | None = None, stem: str | None = None) -> str:
    """The page as text; `stem`: of its file, next to which large data are. Raises: AssayError without trials."""
    trials = study.frame()
    if not len(trials):
        raise AssayError(f"study {study.name!r} has no trials")
    finished = int((trials["outcome"] != "planned").sum())
    specs, left_out = _specs(study) if finished else ({}, [])
    give_back()  # what drawing took
    folds = trials["configuration"].nunique() > _LONG
    data = _downloads(study) if data is None else data
    answers = study.answers() if finished else [f"None of its {len(trials):,} trials is finished yet."]
    notes = notes_list(study, trials)
    charts = [
        Section(name, CHARTS[name].title, _figure(CHARTS[name], specs[name]), folded=folds and place >= _OPEN_CHARTS)
        for place, name in enumerate(specs)
    ]
    parts = [
        Section("answers", "Answers", html.items(answers)),
        *([Section("notes", "Notes", notes, folded=folds)] if notes else []),
    ]
    rest = [*charts, *_tables(study, trials, folds=folds), *_about(study, data, stem, left_out, folds=folds)]
    body = [
        f"<h1>{text(study.name)}</h1>",
        f'<p class="question">{text(study.about.get("about") or "A study without a question.")}</p>',
        contents([*parts, *rest]),
        *drawn(parts),
        _filter(trials) if finished else "",
        *drawn(rest),
    ]
    style = figures.STYLE + SECTIONS_STYLE
    give_back()  # before the program that draws the charts is made
    return html.page(study.name, body, style=style, scripts=figures.scripts(specs, SECTIONS_SCRIPT))


def _tables(study: StudyResults, trials: Frame, *, folds: bool) -> list[Section]:
    """The sections of the tables."""
    summary = html.frame_table(configuration_table(study), "configuration", file="configurations.csv.gz")
    sections = [*race_sections(study), Section("configurations", "Configurations", summary)]
    with suppress(AssayError):
        sections += comparison_sections(study, trials, folds=folds)
    with suppress(AssayError):
        targets = html.frame_table(study.targets(), "configuration", file="targets.csv.gz")
        sections.append(Section("targets", "Time to target", targets, folded=folds))
    table = html.frame_table(_with_best(trials[_columns(study)], study), "configuration", file="trials.csv.gz")
    return [*sections, Section("trials", "Trials", table, folded=folds)]


def race_sections(study: StudyResults) -> list[Section]:
    """The race of a search with seeds; none for other studies."""
    table, notes = study.race_table()
    if table is None:
        return []
    body = f'<p class="note">{text(" ".join(notes))}</p>' + html.frame_table(table, "configuration")
    return [Section("race", "Race", body)]


def comparison_sections(study: StudyResults, trials: Frame, *, folds: bool) -> list[Section]:
    """The comparisons that lead, and a matrix of all pairs of a study without a baseline."""
    made = study.comparisons(measure=selected_by(trials), most=_MOST_COMPARISONS)
    table = made.table()
    table.attrs["measure"] = selected_by(trials)
    is_many = bool(made.verdicts) and made.verdicts[0].comparisons > 1
    notes = [f"Over paired {made.replicate}s: {made.about}."]
    notes += ["Intervals of significant differences are simultaneous, p is corrected for all comparisons."] * is_many
    notes += [f"* {made.alone}."] if made.alone else []
    shown, total = len(made.verdicts), made.total
    notes += (
        [f"Showing {shown:,} of {total:,}; {command_line('assay compare', study.name, all=True)} has them."]
        if shown < total
        else []
    )
    body = f'<p class="note">{text(" ".join(notes))}</p>' + html.frame_table(table, "a")
    sections = [Section("comparisons", "Comparisons", body)]
    names, rows = study.matrix()
    if len(names) > 2:
        caption = (
            "+ the row is significantly better than the column, − worse, · no significant difference or too few "
            f"{made.replicate}s"
        )
        count = trials["configuration"].nunique()
        caption += f"; the {len(names)} best of {count:,} configurations" if len(names) < count else ""
        body = f'<p class="note">{text(caption)}.</p>' + html.matrix(names, rows)
        sections.append(Section("matrix", "Comparison of all pairs", body, folded=folds))
    return sections


def _about(
    study: StudyResults, data: Downloads, stem: str | None, left_out: list[str], *, folds: bool
) -> list[Section]:
    """The data, and how to make them again."""
    made = [
        html.pairs(study.environment()),
        *again(study),
        *(f'<p class="note">Not drawn: {text(reason)}</p>' for reason in left_out),
    ]
    return [
        Section("data", "Data", data.links(stem)),
        Section("made", "How it was made", "\n".join(made), folded=folds),
    ]


def configuration_table(study: StudyResults) -> Frame:
    """The configurations as the page shows them: by what they are selected by, without columns that hold nothing."""
    summary = study.summary().rename(columns={"finished": "ended"})
    chosen = selected_by(study.frame())
    test = ranked_by(study.frame()).column
    phase = [PHASE] if PHASE in summary.columns else []
    first = ["configuration", *phase, "n", chosen, "validation_sd" if chosen != test else "sd"]
    first += [
        name
        for name in (test, "sd", "low", "high", "rmse", "seconds", "effort")
        if name in summary.columns and name not in first and (name != "effort" or test != "r2")
    ]
    rest = [name for name in summary.columns if name not in first and summary[name].astype(bool).any()]
    table = summary[[*first, *(name for name in rest if summary[name].notna().any())]]
    return by_phase(table.sort_values(chosen, ascending=False, kind="stable", na_position="last"))


def _downloads(study: StudyResults, *, folder: Path | None = None) -> Downloads:
    """The data of the page."""
    frames = {"trials.csv": study.frame(), "curves.csv": study.curves(), "configurations.csv": study.summary()}
    with suppress(AssayError):
        frames["targets.csv"] = study.targets()
    return Downloads.of(frames, folder=folder)


def again(study: StudyResults) -> list[str]:
    """The definition, and the commands that run it again; or why none does."""
    rerun, file = study.rerun, f"{file_stem(study.name)}.toml"
    definition = f"<pre>{text(rerun.text)}</pre>"
    if rerun.problem:
        return [f'<p class="note">This definition cannot be run again: {text(rerun.problem)}</p>', definition]
    by_name = f"<code>{text(rerun.command(rerun.name))}</code> with this store, or " if rerun.name else ""
    by_file = f"save this definition as <code>{text(file)}</code>, then <code>{text(rerun.command(file))}</code>"
    return [f"<p>Again: {by_name}{by_file}</p>", definition]


def bench_page(plain: dict[str, Any]) -> str:
    """The page of a bench, from its plain data."""
    epochs, summary = benches.epochs_frame(plain), benches.summary_frame(plain)
    specs = bench_specs(plain)
    charts = [CHARTS[name] for name in specs]
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
        *(f"<h2>{text(chart.title)}</h2>{_figure(chart, specs[chart.name])}" for chart in charts),
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


def bench_specs(plain: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The charts of a bench, by name."""
    epochs, charts = benches.epochs_frame(plain), [CHARTS[name] for name in BENCH_CHARTS]
    titles = {chart.name: f"{plain['name']}: {chart.title.lower()}" for chart in charts}
    return {c.name: c(epochs, title=titles[c.name]).to_dict() | {"background": "transparent"} for c in charts}


def fitting(study: StudyResults) -> list[Chart]:
    """The charts that are worth drawing of the study, in the order of the page."""
    trials = study.frame()
    shape = Shape(
        design=study.about.get("design", "grid"),
        axes=len(study.axes),
        repeats=study.about.get("repeats", 1),
        configurations=trials["configuration"].nunique(),
        learning_rates=trials["learning_rate"].nunique(),
        **_of_search(study.about),
    )
    return [chart for chart in CHARTS.values() if chart.suits(shape)]


def _of_search(about: dict[str, Any]) -> dict[str, Any]:
    """What the definition of a study says of its search, and whether its trials are random draws."""
    search: Any = about.get("search") or {}
    objective = search.get("objective", "accuracy")
    is_random = about.get("design") == "random" or (search.get("method") == "random" and not search.get("halving"))
    return {
        "objectives": 1 if isinstance(objective, str) else len(objective),
        "promotes": bool(search.get("halving")),
        "is_random": is_random,
    }


def chart_spec(study: StudyResults, name: str, **options: Any) -> dict[str, Any]:
    """A chart of the study as every page draws it. Raises: AssayError where it cannot be drawn."""
    return figures.steered(study.picture(name, **options).to_dict())


def _specs(study: StudyResults) -> tuple[dict[str, Any], list[str]]:
    """The charts that fit the study, ready to be highlighted, and why the others cannot be drawn."""
    specs: dict[str, Any] = {}
    left_out: list[str] = []
    for chart in fitting(study):
        try:
            specs[chart.name] = chart_spec(study, chart.name)
        except AssayError as error:
            left_out.append(f"{chart.name}: {error}")
    return specs, left_out


def _figure(chart: Chart, spec: dict[str, Any]) -> str:
    seen = str(spec.get("description", ""))
    drawn_in = figures.figure(chart.name, chart.title, keeps_colours=chart.keeps_colours, seen=seen)
    return drawn_in.partition("</h2>\n")[2]  # the section has its heading


def _filter(trials: Frame) -> str:
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    every = "every configuration"
    if len(names) > _MOST_CHOICES:
        names = _best(trials)[:_MOST_CHOICES]
        every += f" (the {_MOST_CHOICES:,} best are listed)"
    options = "".join(f'<option value="{text(name)}">{text(name)}</option>' for name in names)
    return (
        f'<p class="bar"><label>Highlight <select id="chosen"><option value="">{every}</option>'
        f"{options}</select></label> "
        '<label>Filter tables <input id="words" type="search" placeholder="words"></label></p>'
    )


def _best(trials: Frame) -> list[str]:
    """The configurations, the best first, by what they are selected by."""
    summary = ranked(summarised(trials), selected_by(trials), ascending=False)
    return [str(name) for name in summary["configuration"].tolist()]


def _columns(study: StudyResults) -> list[str]:
    phase = [PHASE] if PHASE in study.frame().columns else []
    wanted = ["trial", "configuration", *phase, "seed", "outcome", "accuracy", "balanced_accuracy", "macro_f1"]
    wanted += ["r2", "rmse", "test_loss", "seconds", "processor_seconds", "busy", "effort", "iterations"]
    wanted = [name for name in wanted if name in study.frame().columns]
    return [*wanted, "engine", "timing", *(["origin"] if "imported" in set(study.frame()["origin"]) else [])]


_MOST_NOTES = 30


def notes_list(study: StudyResults, trials: Frame) -> str:
    """The notes on the trials as a list; the first ones if there are many, "" without any."""
    count, notes = trials["configuration"].nunique(), study.notes()
    lines = [line(note, configurations=count) for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        lines.append(f"{len(notes) - _MOST_NOTES:,} more notes: `assay show` has those of each trial.")
    lines += [study.renamed_axes] if study.renamed_axes else []
    lines += study.rerun.ignored
    return html.items(lines) if lines else ""


def _with_best(trials: Frame, study: StudyResults) -> Frame:
    """The trials with their best points: the lowest loss on the validation set, or on the test set if there is none."""
    return trials.merge(study.best_points(), on="trial", how="left")
