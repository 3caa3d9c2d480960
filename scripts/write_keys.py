"""Writes docs/keys.md: every key of a recipe and of a study, from the parts that define them.

python scripts/write_keys.py            # writes the page
python scripts/write_keys.py --check    # exit code 1 if the page is not what it would write
"""

from __future__ import annotations

import sys
from pathlib import Path

from assay.recipe.model import Recipe
from assay.recipe.reference import Key, KeySection, choices, sections
from assay.studies.schema import study_sections

PAGE = Path(__file__).parents[1] / "docs" / "keys.md"
_LONG = 60  # characters of a default or of values in a table; longer ones are named below it

HEAD = """# Keys of recipes and studies

<!-- Written by scripts/write_keys.py from the parts; edit their docstrings, not this page. -->

Every key that a TOML file, `--set KEY=VALUE` or plain data in Python may have. `assay help KEY` shows one of them in a
terminal, and `assay schema recipe`, `study` or `claims` prints the JSON schema with which an editor completes and
checks a file: write it with `-o assay.schema.json`, and put `#:schema ./assay.schema.json` in the first line.

| typed | short for |
|---|---|
| `--model`, `--optimizer` | `--set model=...`, `--set optimizer=...` |
| `--lr` | `--set optimizer.learning_rate=...` |
| `--epochs`, `--batch`, `--seed` | `--set budget.epochs=...`, `--set batches.size=...`, `--set seed=...` |
| `--data` | `--set data.name=...`; the split stays |

Lengths are whole numbers of iterations, or texts such as `"5 epochs"`. Names are read in any case and with any hyphens.
[Other libraries' words](recipe-words.md) are in the last column: they are read as the key of their line.
"""


def page() -> str:
    """The whole page."""
    entries = sections(user=False)
    parts = [HEAD, "\n## Recipe\n"]
    for section in entries:
        parts.append(_section(section, level=3))
    parts.append("\n## Names\n")
    for name, table in _choices().items():
        rows = "\n".join(f"| `{entry}` | {_cell(about)} |" for entry, about in table.items())
        parts.append(f"\n### `{name}`\n\n| value | |\n|---|---|\n{rows}\n")
    parts.append("\n## Study\n\nA study's file has these keys; those of a recipe stand under `[baseline]`.\n")
    parts += [_section(section, level=3) for section in study_sections()]
    return "".join(parts)


def _choices() -> dict[str, dict[str, str]]:
    """The values of each key that takes a name, of the top of a recipe and of its model."""
    tables = {name: choices(name, field) for name, field in Recipe.model_fields.items()}
    model = type(Recipe().model)
    tables |= {f"model.{name}": choices(name, field) for name, field in model.model_fields.items()}
    return {name: table for name, table in tables.items() if table}


def _section(section: KeySection, *, level: int) -> str:
    name = f"`{section.path}`" if section.path else "Top"
    title = f"{name}: `{section.component}`" if section.component else name
    text = f"\n{'#' * level} {title}\n\n{_prose(section.about)}\n"
    text += f"\nWritten `{section.choice}`.\n" if section.choice else ""
    if not section.keys:
        return text + "\nNo keys.\n"
    header = "| key | type | default | values | meaning | example | also |\n|---|---|---|---|---|---|---|\n"
    return text + "\n" + header + "".join(_row(key) for key in section.keys)


def _row(key: Key) -> str:
    unit = f" ({key.unit})" if key.unit else ""
    default = "required" if key.required else _code(key.default) if key.default else "none"
    also = ", ".join(f"`{alias}`" for alias in key.aliases)
    cells = [f"`{key.path}`", key.type + unit, default, key.range, key.meaning, _code(key.example), also]
    return "| " + " | ".join(map(_cell, cells)) + " |\n"


def _code(text: str) -> str:
    if len(text) > _LONG:
        return "see the code of the model" if text.startswith("[") else f"`{text[:_LONG]}...`"
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    return text.replace("<-", "&larr;").replace("*", "\\*").replace("|w|", "\\|w\\|")


def main() -> int:
    """Writes the page, or checks it."""
    text = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
