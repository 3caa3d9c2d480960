"""Charts inside a page: their specifications, what draws them, and the script that highlights and filters."""

from __future__ import annotations

from functools import cache
from typing import Any

import vl_convert

from assay.report.charts.writing import embedded, rows_of, whole_names
from assay.report.html import text

_CHOSEN = "chosen == '' || !isValid(datum.name) || datum.name == chosen"


def figure(name: str, heading: str, *, keeps_colours: bool, seen: str = "") -> str:
    """The place of a chart, with its heading; `seen` says to those who do not see it what it shows."""
    label, kind = text(heading), ' class="keeps-colours"' if keeps_colours else ""
    return (
        f'<h2>{label}</h2>\n<figure id="chart-{name}"{kind} tabindex="0" role="img" aria-label="{text(seen) or label}">'
        f'<div class="chart"></div></figure>'
    )


def scripts(specs: dict[str, Any], then: str = "") -> list[str]:
    """The elements that draw the charts of the specifications into their figures; `then`: a script that comes last."""
    bundle = drawing_bundle().replace("</script", "<\\/script")
    module = f"const SPECS = {embedded(specs)};\n{DRAWING}{_SCRIPT}{then}"
    return [f"<script>{bundle}</script>", f'<script type="module">\n{module}</script>']


@cache
def drawing_bundle() -> str:
    """The programs that draw charts, Vega and its parts, as one script that loads nothing."""
    return vl_convert.javascript_bundle(None)  # pyright: ignore[reportArgumentType] (None: all of it)


def steered(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart without a background, whose marks fade unless they belong to the configuration chosen in the page."""
    spec["background"] = "transparent"
    for row in rows_of(spec):
        for name, value in row.items():
            if isinstance(value, float):
                row[name] = float(f"{value:.8g}")  # of what no picture and no tooltip shows more
    spec.setdefault("usermeta", {})["names"] = [list(pair) for pair in whole_names(spec).items()]
    if not any("name" in row for row in rows_of(spec)):
        return spec
    spec.setdefault("params", []).append({"name": "chosen", "value": ""})
    for unit in _units(spec):
        encoding = unit.setdefault("encoding", {})
        if "opacity" not in encoding:
            mark = unit["mark"]
            full = mark.get("opacity", 1) if isinstance(mark, dict) else 1
            encoding["opacity"] = {"condition": {"test": _CHOSEN, "value": full}, "value": 0.06}
    return spec


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
figure .chart { min-height: 8rem; }
select, input { font: inherit; max-width: 20rem; }
figure:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; }
tbody tr.chosen { background: var(--mark); }
@media (prefers-color-scheme: dark) {
  figure .chart svg { filter: invert(0.91) hue-rotate(180deg); }
  figure.keeps-colours .chart svg { filter: none; }
  figure.keeps-colours .chart svg :is(.role-title, .role-axis, .role-legend) text { fill: var(--ink); }
  figure.keeps-colours:is(#chart-confused, #chart-parallel) .chart svg .role-mark text { fill: var(--ink); }
  figure.keeps-colours#chart-parallel .chart svg .role-mark text[stroke='white'] { stroke: var(--paper); }
  figure .chart details svg { filter: none !important; }
}
@media print {
  .bar { display: none; }
  figure .chart { display: block !important; width: 100%; padding-right: 0 !important; }
  figure .chart svg { max-width: 100%; height: auto; filter: none; }
  figure .chart details { display: none; }
}
"""

DRAWING = """
const FIXED = ['parallel', 'confused', 'weights'];
function wrapped(text, letters) {
  const lines = [''];
  for (const word of [text ?? ''].flat().join(' ').split(' ')) {
    const line = lines.at(-1);
    if (line && line.length + word.length >= letters) lines.push(word);
    else lines[lines.length - 1] = line ? line + ' ' + word : word;
  }
  return lines;
}
function parts(spec, each) {
  each(spec);
  for (const key of ['layer', 'hconcat', 'vconcat', 'concat']) for (const part of spec[key] ?? []) parts(part, each);
  if (spec.spec) parts(spec.spec, each);
}
function narrow(name, spec, room) {
  const config = spec.config, title = spec.title, columns = spec.usermeta?.names?.length || room < 400 ? 1 : 2;
  title.text = wrapped(title.text, room / 11);
  if (title.subtitle) title.subtitle = wrapped(title.subtitle, room / 8.5);
  config.legend = { ...config.legend, orient: 'bottom', labelLimit: room - 80 };
  config.axisY = { ...config.axisY, labelLimit: 150, labelFontSize: 10 };
  parts(spec, part => {
    if (part.hconcat) { part.vconcat = part.hconcat; delete part.hconcat; }
    if (part.encoding?.y?.axis?.labels === false) delete part.encoding.y.axis.labels;
    if (part.facet) part.columns = 1;
    if (!FIXED.includes(name) && typeof part.width === 'number') part.width = Math.min(part.width, room - 235);
    if (part.width?.step && !FIXED.includes(name)) {
      const x = part.layer?.[0]?.encoding?.x?.scale?.domain;
      if (x) part.width = { step: Math.max(12, Math.min(part.width.step, (room - 150) / x.length)) };
    }
    const steered = part.layer?.filter(layer => !JSON.stringify(layer.transform ?? '').includes('datum.side')
      && layer.encoding?.x2?.field !== 'x2');
    if (steered) part.layer = steered;
    for (const channel of Object.values(part.encoding ?? {}))
      if (channel?.legend) Object.assign(channel.legend, { orient: 'bottom', columns, labelLimit: room / columns - 75,
        direction: 'gradientLength' in channel.legend ? 'horizontal' : undefined });
  });
}
function titled(place, names) {
  for (const label of place.querySelectorAll('svg text')) {
    const shown = label.textContent, cut = shown.replace(/….*$/, '');
    if (!shown || label.querySelector('title')) continue;
    const whole = names.find(([text]) => text === shown)
      ?? (shown.includes('…') ? names.find(([text]) => text.startsWith(cut)) : undefined);
    if (!whole) continue;
    const title = document.createElementNS('http://www.w3.org/2000/svg', 'title');
    title.textContent = whole[1];
    label.append(title);
    label.style.pointerEvents = 'auto';
  }
}
"""
"""The functions of every page that draws charts: `narrow` fits one to a small screen, `titled` adds whole names."""

_SCRIPT = """
const views = [];
for (const [name, spec] of Object.entries(SPECS)) {
  const place = document.querySelector(`#chart-${name} .chart`);
  try {
    if (place.clientWidth < 640) narrow(name, spec, place.clientWidth);
    const { view } = await vegaEmbed(place, spec, { renderer: 'svg', actions: { export: true, source: false,
      compiled: false, editor: false } });
    views.push(view);
    titled(place, spec.usermeta?.names ?? []);
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

__all__ = ["DRAWING", "STYLE", "drawing_bundle", "figure", "scripts", "steered"]
