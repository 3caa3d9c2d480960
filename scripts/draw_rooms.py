"""Draws the rooms of the package and which room imports which, from the layers in pyproject.toml and the real imports.

    python scripts/draw_rooms.py

writes docs/rooms.svg. Imports under TYPE_CHECKING count too. It needs grimp, which comes with import-linter.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "rooms.svg"
COLUMN, ROW, MARGIN = 46, 30, 16
BOX_LEFT, BOX_RIGHT, BOX_HEIGHT = 76, 22, 22  # of a room's box, from the centre of its column

STYLE = """
  .paper { fill: #ffffff } .box { fill: #e8eaf6; stroke: #3f51b5 } .name { fill: #1a237e } .text { fill: #444444 }
  .guide { stroke: #d5d8e6 } .dot { fill: #3f51b5 }
  text { font: 12px system-ui, sans-serif; text-anchor: middle } .text { text-anchor: start }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1e2129 } .box { fill: #2c3354; stroke: #8c9eff } .name { fill: #e8eaf6 } .text { fill: #c8ccd8 }
    .guide { stroke: #3a3f52 } .dot { fill: #8c9eff }
  }
"""


class Rooms(NamedTuple):
    """The rooms from top to bottom, and the pairs (importing room, imported room)."""

    names: list[str]
    imports: set[tuple[str, str]]


def read_rooms() -> Rooms:
    """The layers of import-linter, and every import between two of them."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [c for c in configuration["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    layers = [name.strip(" ()") for layer in contract["layers"] for name in layer.replace(":", "|").split("|")]
    names = [layer.removeprefix("assay.") for layer in layers]
    graph = grimp.build_graph("assay", cache_dir=None)
    imports: set[tuple[str, str]] = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            pair = (_room(module), _room(imported))
            if pair[0] != pair[1] and set(pair) <= set(names):
                imports.add(pair)
    return Rooms(names, imports)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def draw(rooms: Rooms) -> str:
    """The picture: rooms on the diagonal, a dot in the row of the importing and the column of the imported room."""
    place = {name: (MARGIN + BOX_LEFT + COLUMN * n, MARGIN + ROW * n + ROW // 2) for n, name in enumerate(rooms.names)}
    width = MARGIN * 2 + BOX_LEFT + COLUMN * (len(place) - 1) + BOX_RIGHT
    height = MARGIN * 2 + ROW * len(place)
    guides, dots, boxes = [], [], []
    for name, (x, y) in place.items():
        right = max((place[used][0] for user, used in rooms.imports if user == name), default=x)
        top = min((place[user][1] for user, used in rooms.imports if used == name), default=y)
        guides.append(f'<path class="guide" d="M{x} {y}H{right}M{x} {y}V{top}" fill="none"/>')
        boxes.append(
            f'<rect class="box" x="{x - BOX_LEFT}" y="{y - BOX_HEIGHT // 2}" width="{BOX_LEFT + BOX_RIGHT}" '
            f'height="{BOX_HEIGHT}" rx="4"/><text class="name" x="{x + (BOX_RIGHT - BOX_LEFT) // 2}" y="{y + 4}">'
            f"{name}</text>"
        )
    for user, used in sorted(rooms.imports):
        x, y = place[used][0], place[user][1]
        dots.append(f'<circle class="dot" cx="{x}" cy="{y}" r="5"><title>{user} imports {used}</title></circle>')
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>The rooms of Assay and their imports</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
        *guides,
        *dots,
        *boxes,
        f'<text class="text" x="{MARGIN}" y="{height - 3 * ROW}">A dot means: the room to its left</text>',
        f'<text class="text" x="{MARGIN}" y="{height - 3 * ROW + 18}">imports the room below it.</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(read_rooms()))
    print(PICTURE.relative_to(ROOT))
