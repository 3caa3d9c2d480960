"""Charts inside a page: their specifications, what draws them, and the script that highlights and filters."""

from __future__ import annotations

from typing import Any

import vl_convert

from assay.report.charts.writing import embedded
from assay.report.html import text

_CHOSEN = "chosen == '' || !isValid(datum.name) || datum.name == chosen"


def figure(name: str, heading: str, *, keeps_colours: bool) -> str:
    """The place of a chart, with its heading."""
    label, kind = text(heading), ' class="keeps-colours"' if keeps_colours else ""
    return (
        f'<h2>{label}</h2>\n<figure id="chart-{name}"{kind} tabindex="0" role="img" aria-label="{label}">'
        f'<div class="chart"></div></figure>'
    )


def scripts(specs: dict[str, Any], then: str = "") -> list[str]:
    """The elements that draw the charts of the specifications into their figures; `then`: a script that comes last."""
    bundle: str = vl_convert.javascript_bundle(None)  # pyright: ignore[reportArgumentType] (None: all of it)
    bundle = bundle.replace("</script", "<\\/script")
    module = f"const SPECS = {embedded(specs)};\n{_SCRIPT}{then}"
    return [f"<script>{bundle}</script>", f'<script type="module">\n{module}</script>']


def steered(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart without a background, whose marks fade unless they belong to the configuration chosen in the page."""
    spec["background"] = "transparent"
    if not any(isinstance(row, dict) and "name" in row for row in _rows(spec)):
        return spec
    spec.setdefault("params", []).append({"name": "chosen", "value": ""})
    for unit in _units(spec):
        encoding = unit.setdefault("encoding", {})
        if "opacity" not in encoding:
            mark = unit["mark"]
            full = mark.get("opacity", 1) if isinstance(mark, dict) else 1
            encoding["opacity"] = {"condition": {"test": _CHOSEN, "value": full}, "value": 0.06}
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


STYLE = """
.bar { position: sticky; top: 0; background: var(--paper); padding: 0.5rem 0; border-bottom: 1px solid var(--line);
  z-index: 1; display: flex; gap: 1.5rem; flex-wrap: wrap; }
select, input { font: inherit; max-width: 20rem; }
figure:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; }
tbody tr.chosen { background: var(--mark); }
@media (prefers-color-scheme: dark) {
  figure .chart svg { filter: invert(0.91) hue-rotate(180deg); }
  figure.keeps-colours .chart svg { filter: none; }
  figure.keeps-colours .chart svg :is(.role-title, .role-axis, .role-legend) text { fill: var(--ink); }
  figure.keeps-colours#chart-confused .chart svg .role-mark text { fill: var(--ink); }
}
@media print {
  .bar { display: none; }
  figure .chart { display: block !important; width: 100%; padding-right: 0 !important; }
  figure .chart svg { max-width: 100%; height: auto; filter: none; }
  figure .chart details { display: none; }
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

__all__ = ["STYLE", "figure", "scripts", "steered"]
