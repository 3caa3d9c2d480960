"""Hooks of MkDocs: the tutorial notebook becomes a page of the site, with its stored outputs; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

NOTEBOOK, PAGE = "tutorial.ipynb", "tutorial.md"


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the page that is made of the notebook, and its pictures."""
    exporter = MarkdownExporter()
    text, resources = exporter.from_filename(str(Path(config["docs_dir"]) / NOTEBOOK))
    files.append(File.generated(config, PAGE, content=text))
    for name, content in resources["outputs"].items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lets links to the notebook, which work in the repository, lead to its page."""
    return markdown.replace(f"({NOTEBOOK})", f"({PAGE})")
