"""The report: one page that needs no network, opens in a real browser without an error, and trusts no name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.errors import AssayError, FileError
from assay.report.answers import answers, baseline_of, target_sentences
from assay.report.html import frame_table
from assay.report.page import fitting, page
from assay.results.results import Results
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from tests.analysis.frames import curves, trials
from tests.store.makers import made_end

EVIL = '</script><script>document.title="evil"</script><img src=x onerror="document.title=1">'
_UNSEEN = ("confused", "weights")  # need weights, which were not kept
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def results(tmp_path: Path, *, finished: bool = True, repeats: int = 3, **raw: Any) -> Results:
    """A study of trials with made-up results."""
    axes = {
        "optimizer": {"descent": {"optimizer": "descent"}, EVIL: {"optimizer": "adam"}},
        "model": {"small": {"model": {"hidden": [4]}}, "large": {"model": {"hidden": [8]}}},
    }
    baseline = {"budget": {"iterations": 10}, "model": {"hidden": [4]}}
    settings = {
        "name": "made",
        "about": f"Is {EVIL} better?",
        "engine": "numpy",
        "repeats": repeats,
        "baseline": baseline,
    }
    made = plan(Study.parse({**settings, "axes": axes, **raw}))
    store = Store(str(tmp_path / "store.db"))
    store.register(made)
    number = 0
    while finished and (claimed := store.leases.claim(made.jobs)):
        number += 1
        trial = claimed[1].trials[0]
        store.finish(claimed[0], trial, made_end(trial, accuracy=0.8 + 0.01 * (number % 7)))
        store.leases.release(claimed[0])
    return Results(store, "made")


def test_the_page_holds_question_answers_tables_charts_and_data(tmp_path: Path) -> None:
    study = results(tmp_path)
    path = study.report(tmp_path / "made.html")
    text = path.read_text()
    assert path.stat().st_size < 3_000_000
    for said in ("is best: accuracy", "Least effort", "trials.csv", "curves.csv", "machine", "assay run made.toml"):
        assert said in text
    for name in ("curves", "pareto", "effort", "grid", "verdicts", "ledger", "confusion"):
        assert f'id="chart-{name}"' in text
    suitable = [chart.name for chart in fitting(study)]
    assert re.findall(r'<figure id="chart-([a-z-]+)"', text) == [name for name in suitable if name not in _UNSEEN]
    assert not {"factors", "parallel", "sensitivity", "bench", "activations"} & set(suitable)
    assert not re.search(r'(src|href)="https?:', text)


def test_a_name_cannot_run_anything(tmp_path: Path) -> None:
    text = page(results(tmp_path))
    assert "<script>document" not in text
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


def test_studies_that_are_small_or_empty_or_unfinished_have_pages(tmp_path: Path) -> None:
    one = results(tmp_path, repeats=1, design="one-at-a-time", axes={})
    assert "chart-curves" in page(one)
    (tmp_path / "other").mkdir()
    planned = page(results(tmp_path / "other", finished=False))
    assert "None of its 12 trials is finished yet." in planned
    with pytest.raises(FileError, match=r"ends in \.html"):
        one.report(tmp_path / "made.pdf")
    with pytest.raises(FileError, match="does not exist"):
        one.report(tmp_path / "no" / "made.html")


def test_pictures_by_name(tmp_path: Path) -> None:
    found = results(tmp_path)
    for name in ("curves", "pareto", "effort", "grid", "ledger", "verdicts", "importance", "confusion", "activations"):
        assert json.dumps(found.picture(name).to_dict())
    assert "logged" not in str(found.picture("curves", x="seconds", log="x", smooth=3, start=0.0).to_dict())
    for name, options, said in (
        ("curvs", {}, "did you mean 'curves'"),
        ("effort", {"x": "seconds"}, "unknown option 'x'"),
        ("weights", {}, "were not kept"),
        ("confusion", {"trial": "ffff"}, "no finished trial whose key begins"),
        ("factors", {}, "baseline"),
        ("curves", {"x": "epoch"}, "did you mean 'epochs'"),
    ):
        with pytest.raises(AssayError, match=said):
            found.picture(name, **options)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_in_a_browser_without_an_error(width: int, tmp_path: Path) -> None:
    path = results(tmp_path).report(tmp_path / "made.html")
    # a script of the test chooses a configuration once everything is drawn, as a user would
    chosen = "<script type=module>setTimeout(() => { const s = document.querySelector('#chosen'); s.selectedIndex = 1; \
s.dispatchEvent(new Event('change')); document.documentElement.dataset.rows = \
document.querySelectorAll('tr.chosen').length; }, 3000)</script>"
    before, end, after = path.read_text().rpartition("</body>")  # the programs speak of bodies too
    path.write_text(before + chosen + end + after)
    words = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    words += [f"--window-size={width},4000", "--virtual-time-budget=10000", f"--user-data-dir={tmp_path / 'profile'}"]
    dumped = [*words, "--dump-dom", path.as_uri()]
    done = subprocess.run(dumped, capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    drawn = re.search(r'data-drawn="(\d+)"', done.stdout)
    assert drawn
    assert int(drawn[1]) == done.stdout.count("<figure")
    rows = re.search(r'data-rows="(\d+)"', done.stdout)
    assert rows
    assert int(rows[1]) >= 4  # the configuration's row and those of its trials
    assert "<title>made</title>" in done.stdout  # no name has run
    pdf = tmp_path / "made.pdf"
    subprocess.run([*words, f"--print-to-pdf={pdf}", path.as_uri()], capture_output=True, timeout=120, check=True)
    assert pdf.read_bytes().startswith(b"%PDF")


def test_percentages_stay_percentages_beyond_100_percent() -> None:
    frame = pd.DataFrame({"a": ["x"], "difference": [-0.47], "low": [-1.073], "high": [0.1334], "seconds": [1.5]})
    table = frame_table(frame, "a")
    assert [cell in table for cell in (">-47.00 %<", ">-107.30 %<", ">13.34 %<", ">1.5<")] == [True] * 4


def test_what_is_reached_most_often_is_not_called_first_where_another_is_sooner() -> None:
    frame = trials({"sure": [0.9] * 4, "soon": [0.9] * 4})
    late, soon, never = [0.1] * 9 + [0.9], [0.1, 0.9] + [0.9] * 8, [0.1] * 10
    points = curves({f"sure/{i}": late for i in range(4)} | {f"soon/{i}": soon if i < 3 else never for i in range(4)})
    (sentence,) = target_sentences(frame, points, 0.9)
    assert sentence == (
        "90.00 % test accuracy is reached most often by sure: 4 of 4 seeds, median 90 iterations; soonest, with misses "
        "counted, by soon: 3 of 4 seeds, median 10 iterations (interpolated linearly between log points)."
    )
    frame["iterations"], frame["examples"] = 100, [1000] * 4 + [3200] * 4
    (sentence,) = target_sentences(frame, points, 0.9)
    assert "batch sizes differ, so iterations are not equal work: `assay target --by examples`" in sentence
    frame["examples"] = [1000] * 4 + [998] * 4  # the last batch of an epoch is smaller
    assert "batch sizes" not in target_sentences(frame, points, 0.9)[0]
    both = curves({f"sure/{i}": late for i in range(4)} | {f"soon/{i}": soon for i in range(4)})
    assert target_sentences(frame, both, 0.9)[0].startswith("90.00 % test accuracy is reached first by soon: 4 of 4")


def test_titles_name_the_study_and_curves_count_epochs(tmp_path: Path) -> None:
    study = results(tmp_path)
    for name in ("curves", "pareto", "effort", "ledger", "verdicts", "importance", "confusion", "curve"):
        title = study.picture(name).to_dict()["title"]["text"]
        assert "".join(title).startswith("made: "), name
    spec = study.picture("curves", x="epochs").to_dict()
    (values,) = spec["datasets"].values()
    assert max(row["x"] for row in values) == 320 / 1437  # examples seen / training examples of the digits
    assert repr(study) == "<Results of 'made': 12 trials of 4 configurations: 12 completed>"
    table = study._repr_html_()
    assert "<th>mean test accuracy</th>" in table and table.count("<tr>") == 5 and "<td>3 of 3</td>" in table


def test_a_study_of_which_nothing_is_left_has_no_baseline() -> None:
    assert baseline_of(trials({}).reindex(columns=["configuration", "origin"])) is None


def test_effort_does_not_reward_not_training() -> None:
    none = trials({"quick": [0.1, 0.1], "slow": [0.1, 0.11]})
    none = none.assign(seconds=[1.0, 1.0, 2.0, 2.0], effort=[10.0, 10.0, 20.0, 19.0], classes=10)
    sentences = answers(none, curves({}))
    assert any(
        text.startswith("No configuration is ranked by effort: the best configuration, slow") for text in sentences
    )
    assert not any("Least effort" in text for text in sentences)
    learned = none.assign(accuracy=[0.1, 0.1, 0.9, 0.9])
    assert any("configurations that reach 89.00 % test accuracy: slow" in t for t in answers(learned, curves({})))
