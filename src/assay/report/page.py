"""A study, or a bench, as one HTML file: question, answers, tables, charts and data, without a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import vl_convert

from assay.errors import AssayError, FileError
from assay.report import benches
from assay.report.charts import CHARTS
from assay.report.charts.writing import embedded
from assay.system.files import write_atomically

Frame = Any


class StudyResults(Protocol):
    """What a page is made of: the results of a study."""

    name: str
    about: dict[str, Any]

    @property
    def axes(self) -> list[str]: ...
    def frame(self) -> Frame: ...
    def curves(self) -> Frame: ...
    def summary(self) -> Frame: ...
    def verdicts(self) -> Frame: ...
    def targets(self) -> Frame: ...
    def answers(self) -> list[str]: ...
    def picture(self, name: str) -> Any: ...
    def environment(self) -> list[tuple[str, str]]: ...


SECTIONS: dict[str, str] = {  # chart -> heading, in the order of the page
    "curves": "How the accuracy grows",
    "pareto": "What accuracy costs in time",
    "effort": "Effort",
    "factors": "One change at a time",
    "grid": "Two axes at once",
    "sensitivity": "The learning rate",
    "importance": "What matters",
    "parallel": "Everything at once",
    "verdicts": "What the seeds say",
    "ledger": "Where the seconds went",
    "confusion": "What is taken for what (most accurate trial)",
    "confused": "The surest mistakes (most accurate trial)",
    "weights": "The first layer (most accurate trial)",
}
_MOST_ROWS = 400  # of a table; the data that can be downloaded are whole


def write_page(study: StudyResults, path: Path) -> Path:
    """Writes the page. Raises: AssayError where the study has no trials, FileError."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise FileError(f"{path}: a report is an HTML page; expected a name that ends in .html")
    if not path.parent.is_dir():
        raise FileError(f"{path}: its folder does not exist")
    write_atomically(path, page(study).encode())
    return path


def page(study: StudyResults) -> str:
    """The page as text."""
    trials = study.frame()
    if not len(trials):
        raise AssayError(f"study {study.name!r} has no trials")
    finished = int((trials["outcome"] != "planned").sum())
    figures, left_out = _figures(study) if finished else ({}, [])
    told = study.answers() if finished else [f"None of its {len(trials):,} trials is finished yet."]
    parts = [
        f"<h1>{_text(study.name)}</h1>",
        f'<p class="question">{_text(study.about.get("about") or "A study without a question.")}</p>',
        "<h2>Answers</h2>",
        "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in told) + "</ul>",
        _filter(trials) if finished else "",
        *(_figure(name, SECTIONS[name]) for name in figures),
        "<h2>Configurations</h2>",
        _table(study.summary(), "configuration"),
        *_optional_table(study, "Verdicts over paired seeds", "verdicts"),
        *_optional_table(study, "Time to the target", "targets"),
        "<h2>Trials</h2>",
        _table(trials[_columns(study)], "configuration"),
        "<h2>Data</h2>",
        _download("trials.csv", trials),
        _download("curves.csv", study.curves()),
        "<h2>How it was made</h2>",
        _pairs(study.environment()),
        f"<p>Again: <code>assay run {_text(study.name)}.toml</code> with this definition:</p>",
        f"<pre>{_text(json.dumps(study.about, indent=1))}</pre>",
        *(f'<p class="note">Not drawn: {_text(line)}</p>' for line in left_out),
    ]
    return _filled(study.name, parts, figures)


_BENCH: dict[str, str] = {"bench": "The seconds of every epoch", "bench-totals": "Accuracy by time"}


def bench_page(plain: dict[str, Any]) -> str:
    """The page of a bench, from its plain data."""
    epochs, summary = benches.epochs_frame(plain), benches.summary_frame(plain)
    figures = {name: CHARTS[name].draw(epochs).to_dict() for name in _BENCH}
    machine = plain["machine"]
    about = [(key, str(machine[key])) for key in ("cpu", "cores", "memory_bytes", "system", "python") if key in machine]
    about += [(name, version) for name, version in machine.get("versions", {}).items()]
    about += [("bench", plain["bench"]), ("outcome", plain["outcome"])]
    parts = [
        f"<h1>{_text(plain['name'])}: engines side by side</h1>",
        '<p class="question">The same recipe, initial weights and batches everywhere: first that they compute the '
        "same, then how long they take.</p>",
        "<h2>Answers</h2>",
        "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in benches.sentences(plain)) + "</ul>",
        *(_figure(name, heading) for name, heading in _BENCH.items()),
        "<h2>Rows</h2>",
        _table(summary.astype(object).where(summary.notna(), None), "label"),
        "<h2>Data</h2>",
        _download("rows.csv", summary),
        _download("epochs.csv", epochs),
        "<h2>How it was made</h2>",
        _pairs(about),
        f"<pre>{_text(json.dumps(plain['recipe'], indent=1))}</pre>",
    ]
    return _filled(plain["name"], parts, figures)


def _filled(title: str, parts: Sequence[str], figures: dict[str, Any]) -> str:
    return _PAGE.format(
        title=_text(title),
        style=_STYLE,
        body="\n".join(part for part in parts if part),
        bundle=_bundle(),
        specs=embedded(figures),
        script=_SCRIPT,
    )


# --- parts -----------------------------------------------------------------------------------------------------------


def _figures(study: StudyResults) -> tuple[dict[str, Any], list[str]]:
    """The charts that fit the study, ready to be highlighted and filtered, and why the others do not."""
    found: dict[str, Any] = {}
    left_out: list[str] = []
    for name in _fitting(study):
        try:
            found[name] = _steered(study.picture(name).to_dict())
        except AssayError as error:
            left_out.append(f"{name}: {error}")
    return found, left_out


def _fitting(study: StudyResults) -> list[str]:
    design, axes = study.about.get("design", "grid"), study.axes
    rates = study.frame()["learning_rate"].nunique()
    skipped = {
        "factors": design != "one-at-a-time",
        "grid": design != "grid" or len(axes) != 2,
        "sensitivity": rates < 3,
        "importance": design == "one-at-a-time" or len(axes) < 2,
        "parallel": len(axes) < 3,
        "verdicts": study.about.get("repeats", 1) < 2 or study.frame()["configuration"].nunique() > 12,
    }
    return [name for name in SECTIONS if not skipped.get(name, False)]


_STEERED = "chosen == '' || !isValid(datum.name) || datum.name == chosen"


def _steered(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart whose marks fade unless they belong to the configuration that the page has chosen."""
    if not any(isinstance(row, dict) and "name" in row for row in _rows(spec)):
        return spec
    spec.setdefault("params", []).append({"name": "chosen", "value": ""})
    for unit in _units(spec):
        encoding = unit.setdefault("encoding", {})
        if "opacity" not in encoding:
            mark = unit["mark"]
            full = mark.get("opacity", 1) if isinstance(mark, dict) else 1
            encoding["opacity"] = {"condition": {"test": _STEERED, "value": full}, "value": 0.06}
    return spec


def _rows(spec: Any) -> list[Any]:
    if isinstance(spec, dict):
        here: list[Any] = spec["values"] if isinstance(spec.get("values"), list) else []
        inner = [row for key, value in spec.items() if key != "values" for row in _rows(value)]
        sets = [row for value in spec.get("datasets", {}).values() for row in value] if "datasets" in spec else []
        return [*here, *inner, *sets]
    return [row for item in spec for row in _rows(item)] if isinstance(spec, list) else []


def _units(spec: Any) -> list[dict[str, Any]]:
    """Every part of a specification that draws marks."""
    if not isinstance(spec, dict):
        return [unit for item in spec for unit in _units(item)] if isinstance(spec, list) else []
    if "mark" in spec:
        return [spec]
    nested = ("layer", "hconcat", "vconcat", "concat", "spec")
    return [unit for key in nested if key in spec for unit in _units(spec[key])]


def _figure(name: str, heading: str) -> str:
    label = _text(heading)
    return (
        f'<h2>{label}</h2>\n<figure id="chart-{name}" tabindex="0" role="img" aria-label="{label}">'
        f'<div class="chart"></div></figure>'
    )


def _filter(trials: Frame) -> str:
    names = list(dict.fromkeys(map(str, trials["configuration"].tolist())))
    options = "".join(f'<option value="{_text(name)}">{_text(name)}</option>' for name in names[:2000])
    return (
        '<p class="bar"><label>Highlight <select id="chosen"><option value="">every configuration</option>'
        f"{options}</select></label> "
        '<label>Filter tables <input id="words" type="search" placeholder="words"></label></p>'
    )


def _columns(study: StudyResults) -> list[str]:
    wanted = ["trial", "configuration", "seed", "outcome", "accuracy", "test_loss", "seconds", "effort", "iterations"]
    return [*wanted, "engine", "timing", *(["origin"] if "imported" in set(study.frame()["origin"]) else [])]


def _optional_table(study: StudyResults, heading: str, name: str) -> list[str]:
    """A table that not every study has, or nothing."""
    try:
        frame = getattr(study, name)()
    except AssayError:
        return []
    return [f"<h2>{heading}</h2>", _table(frame.drop(columns=["sentence"], errors="ignore"), frame.columns[0])]


def _table(frame: Frame, key: str) -> str:
    """A frame as a table whose rows can be filtered, sorted by clicking a heading, and chosen."""
    columns = [str(column) for column in frame.columns]
    head = "".join(f'<th scope="col"><button>{_text(column.replace("_", " "))}</button></th>' for column in columns)
    body: list[str] = []
    for record in frame.head(_MOST_ROWS).to_dict("records"):
        cells = "".join(_cell(column, record[column]) for column in columns)
        body.append(f'<tr data-name="{_text(record.get(key, ""))}">{cells}</tr>')
    more = len(frame) - _MOST_ROWS
    note = f'<p class="note">{more:,} more rows are in the data below.</p>' if more > 0 else ""
    rows = "\n".join(body)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'


def _cell(column: str, value: Any) -> str:
    if value is None or value != value:
        return "<td>-</td>"
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int | float) or hasattr(value, "dtype"):
        number = float(value)
        shares = ("accuracy", "low", "high", "success", "difference")
        if any(column.startswith(word) or column.endswith("accuracy") for word in shares) and abs(number) <= 1:
            return f'<td class="number" data-value="{number!r}">{number:.2%}</td>'
        said = f"{number:,.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:.4g}"
        return f'<td class="number" data-value="{number!r}">{said}</td>'
    text = str(value)
    return f"<td>{_text(text[:8] if column == 'trial' else text)}</td>"


def _download(name: str, frame: Frame) -> str:
    content = base64.b64encode(frame.to_csv(index=False).encode()).decode()
    return f'<p><a download="{name}" href="data:text/csv;base64,{content}">{name}</a>, {len(frame):,} rows</p>'


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>' for name, value in lines)
    return f'<div class="wide"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _bundle() -> str:
    """The programs that draw the charts, as one script that puts `vegaEmbed` on the window."""
    script: str = vl_convert.javascript_bundle(None)  # pyright: ignore[reportArgumentType] (None: all of it)
    return script.replace("</script", "<\\/script")


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{bundle}</script>
<script type="module">
const SPECS = {specs};
{script}</script>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #666; --line: #ddd; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --faint: #a0a0a0; --line: #3a3d42; --mark: #4a4320; }
  figure .chart svg { filter: invert(0.91) hue-rotate(180deg); }
  #chart-confused .chart svg, #chart-weights .chart svg, #chart-grid .chart svg, #chart-confusion .chart svg {
    filter: none; background: #fff; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { margin: 0.5rem 0 0; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 0.6rem; font-size: 1.25rem; }
.question { font-size: 1.1rem; color: var(--faint); margin-top: 0.2rem; }
.note { color: var(--faint); font-size: 0.9rem; }
.bar { position: sticky; top: 0; background: var(--paper); padding: 0.5rem 0; border-bottom: 1px solid var(--line);
  z-index: 1; display: flex; gap: 1.5rem; flex-wrap: wrap; }
select, input { font: inherit; max-width: 20rem; }
figure { margin: 0; overflow-x: auto; }
figure:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; }
tbody tr.chosen { background: var(--mark); }
pre { overflow-x: auto; font-size: 0.85rem; border: 1px solid var(--line); padding: 0.7rem; }
@media print {
  .bar { display: none; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  figure, .wide { overflow: visible; }
  figure .chart { display: block !important; width: 100%; padding-right: 0 !important; }
  figure .chart svg { max-width: 100%; height: auto; filter: none; }
  figure .chart details { display: none; }
  table { font-size: 0.6rem; }
  th, td { padding-right: 0.35rem; }
}
"""

_SCRIPT = """
const views = [];
for (const [name, spec] of Object.entries(SPECS)) {
  const place = document.querySelector(`#chart-${name} .chart`);
  try {
    const { view } = await vegaEmbed(place, spec, { renderer: 'svg', actions: { export: true, source: false,
      compiled: false, editor: false } });
    views.push(view);
  } catch (error) {
    place.textContent = 'This chart could not be drawn.';
    console.error(name, error);
  }
}
const select = document.querySelector('#chosen'), words = document.querySelector('#words');
function choose(name) {
  select.value = name;
  for (const view of views) {
    try { view.signal('chosen', name).run(); } catch (error) { /* a chart without configurations */ }
  }
  for (const row of document.querySelectorAll('tr[data-name]'))
    row.classList.toggle('chosen', name !== '' && row.dataset.name === name);
}
select?.addEventListener('change', () => choose(select.value));
words?.addEventListener('input', () => {
  const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const row of document.querySelectorAll('tr[data-name]')) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every(word => text.includes(word));
  }
});
for (const row of document.querySelectorAll('tr[data-name]'))
  row.addEventListener('click', () => choose(select.value === row.dataset.name ? '' : row.dataset.name));
for (const button of document.querySelectorAll('th button'))
  button.addEventListener('click', () => {
    const head = button.closest('th'), body = button.closest('table').tBodies[0];
    const at = [...head.parentNode.children].indexOf(head), down = head.ariaSort !== 'descending';
    for (const other of head.parentNode.children) other.ariaSort = null;
    head.ariaSort = down ? 'descending' : 'ascending';
    const value = row => { const cell = row.children[at]; return cell.dataset.value ? +cell.dataset.value
      : cell.textContent; };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (down ? -1 : 1) * (typeof x === 'number' && typeof y === 'number' ? x - y
        : String(x).localeCompare(String(y)));
    });
    body.append(...rows);
  });
document.documentElement.dataset.drawn = views.length;
"""
