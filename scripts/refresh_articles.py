"""Writes the measured parts of docs/articles/ and the tables of articles from the exports in docs/articles/data.

    python scripts/refresh_articles.py [NAME ...]

trains nothing. It imports the exports, which hold trials and curves without weights, into a store of its own, and
replaces the part of each page between the lines `<!-- measured -->` and `<!-- /measured -->`, and the pictures next to
it. With names, the pages and rows of other articles stay as they are, as do those without an export. With
`--from STORE` it first exports the studies of the named articles from a store.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from assay import __version__
from assay.articles import Page, context_of, find_article, page_of, plans_after, plans_of, results_of, spec_of
from assay.report.charts import write
from assay.report.text import duration
from assay.store.exchange import export, read_back
from assay.store.store import Store
from assay.studies.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
ARTICLES = ROOT / "docs" / "articles"
EXPORTS = ARTICLES / "data"  # a folder for each study, as `assay store export` writes it
PAGES = {  # the page of each reproduction, and its title in the table of articles
    "flux-mnist": ("flux-mnist", "three networks, three variants of gradient descent"),
    "adam": ("adam", "the same with ADAM: is it better?"),
    "from-scratch": ("from-scratch", "a network from scratch: what preallocation buys"),
    "adadelta": ("adadelta", "ADADELTA: four optimizers over their settings"),
    "schedules": ("schedules", "learning-rate schedules against constant rates"),
    "parameters": ("parameters", "parameter choice, one change at a time"),
    "parameter-grid": ("parameter-grid", "all 2,187 combinations"),
    "lenet5": ("lenet5", "a widened LeNet-5 in MATLAB, PyTorch and Flux"),
    "beyond": ("beyond", "what the articles left open"),
}
COLOURS = 64  # of a picture; fewer look different
MOST_BYTES = 150_000


def main() -> None:
    """Reads the exports and writes the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PAGES])
    parser.add_argument("--from", dest="store", help="export the studies of the articles from this store first")
    parser.add_argument("--data", default="mnist", help="name or folder of MNIST")
    arguments = parser.parse_args()
    for name in arguments.names or PAGES:
        stem, about = PAGES[name]
        with tempfile.TemporaryDirectory() as folder:
            if arguments.store:
                export_studies(name, Store(arguments.store), arguments.data)
            store = Store(str(Path(folder) / "exports.db"))
            for study in sorted(EXPORTS.iterdir()):
                read_back(store, study)
            page, finished, total = stored_page(name, store, arguments.data)
            print(f"{name}: {finished:,} of {total:,} trials", flush=True)
            if page is None:
                continue
            write_page(stem, page)
        line = row(name, stem, about, page, f"{finished:,} of {total:,}" if finished < total else "all")
        for file, folder in ((ROOT / "README.md", "docs/articles/"), (ARTICLES / "README.md", "")):
            table(file, {name: line.replace("](", f"]({folder}")})


def export_studies(name: str, store: Store, data: str) -> None:
    """Exports the studies of an article, each into its folder."""
    for plan in stored_plans(name, store, data).values():
        folder = EXPORTS / plan.study.name
        shutil.rmtree(folder, ignore_errors=True)
        export(store, folder, study_name=plan.study.name)


def write_page(stem: str, page: Page) -> None:
    """Writes the measured part of a page, and its pictures; pictures that it no longer has are removed."""
    between(ARTICLES / f"{stem}.md", page.body(stem))
    files = {picture.file(stem): picture for picture in page.pictures}
    for old in ARTICLES.glob(f"{stem}-*.png"):
        if old.name not in files and old.name in (ARTICLES / f"{stem}.md").read_text(encoding="utf-8"):
            raise SystemExit(f"{stem}.md shows {old.name}, which the page no longer has")
    for file, picture in files.items():
        shrink(write(picture.chart, ARTICLES / file))


def stored_plans(name: str, store: Store, data: str) -> dict[str, Plan]:
    """The plans of an article's studies, those that depend on results included; they are registered in the store."""
    article = find_article(name)
    spec = spec_of(article, data=data)
    plans = plans_of(article, spec)
    for plan in plans.values():
        store.register(plan)
    more = plans_after(article, spec, results_of(plans, store))
    for plan in more.values():
        store.register(plan)
    return {**plans, **more}


def stored_page(name: str, store: Store, data: str) -> tuple[Page | None, int, int]:
    """The page of the stored results (None if there are none), the number of finished trials, and of all trials."""
    article, plans = find_article(name), stored_plans(name, store, data)
    context = context_of(article, spec_of(article, data=data), plans, store)
    outcomes = [result.frame()["outcome"] for result in context.results.values()]
    finished, total = sum(int((o != "planned").sum()) for o in outcomes), sum(map(len, outcomes))
    return page_of(article, context) if finished else None, finished, total


def row(name: str, stem: str, about: str, page: Page, measured: str) -> str:
    """The row of an article in the table: its verdicts, and how long its studies took."""
    plain = page.plain()
    entries = [entry for table in plain["tables"] for entry in table["rows"]]
    figures = [entry["verdict"] for entry in entries if "verdict" in entry]
    findings = [entry["verdict"] for entry in plain["findings"]]
    time = duration(sum(_seconds(entry["taken"]) for entry in entries if "taken" in entry))
    counts = f"{_counts(figures)} | {_counts(findings)}"
    return f"| [{about}]({stem}.md) | `assay reproduce {name}` | {counts} | {measured} | {time} | {version()} |"


def version() -> str:
    """The version of Assay that measures now; between two versions, the former one."""
    unreleased = re.search(r"^## Unreleased", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    return f"after {__version__}" if unreleased else __version__


def _counts(verdicts: list[str]) -> str:
    """holds (and how many near chance, which say nothing) / does not hold / not judged or not measured"""
    if not verdicts:
        return "-"
    held, not_held = verdicts.count("holds"), verdicts.count("does not hold")
    near_chance = verdicts.count("holds, near chance")
    rest = len(verdicts) - held - not_held - near_chance
    return f"{held}{f' + {near_chance} near chance' if near_chance else ''} / {not_held} / {rest}"


def _seconds(text: str) -> float:
    number, _, unit = text.partition(" ")
    return 0.0 if number == "-" else float(number) * {"s": 1.0, "min": 60.0, "h": 3600.0}[unit]


def between(file: Path, text: str, name: str = "measured") -> None:
    """Replaces the text between the two marker lines of that name."""
    before = file.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {name} -->.*<!-- /{name} -->", re.DOTALL)
    after, count = pattern.subn(lambda _: f"<!-- {name} -->\n\n{text.strip()}\n\n<!-- /{name} -->", before)
    if count != 1:
        raise SystemExit(f"{file}: expected one part between <!-- {name} --> and <!-- /{name} -->, found {count}")
    file.write_text(after, encoding="utf-8")


def table(file: Path, rows: dict[str, str]) -> None:
    """Writes the table of articles; other rows stay as they are."""
    old = {
        match[1]: match[0] for match in re.finditer(r"^\|.*`assay reproduce ([a-z0-9-]+).*$", file.read_text(), re.M)
    }
    lines = [(old | rows)[name] for name in PAGES if name in old | rows]
    header = (
        "| article | command | figures: hold / do not / open | findings: likewise | trials measured | time | "
        "measured by version |"
    )
    between(file, "\n".join([header, "|---|---|---:|---:|---:|---:|---:|", *lines]), "articles")


def shrink(picture: Path) -> None:
    """Makes a picture file small: a palette of colours, and half the size if that is not enough."""
    image: Any = Image.open(picture).convert("RGB")
    for scale in (1, 2):
        image = image.resize((image.width // scale, image.height // scale), Image.Resampling.LANCZOS)
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)
        if picture.stat().st_size < MOST_BYTES:
            return


if __name__ == "__main__":
    main()
