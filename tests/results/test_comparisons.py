"""Which comparisons are shown, what leads the answers of a study of many configurations, and how a page holds them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.report.downloads import Downloads
from assay.results.results import Results
from assay.store.endings import put
from assay.store.records import Finished
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.outcome import Outcome
from tests.store.makers import made_history


def filled(path: Path, *, rates: int = 24, timing: str = "isolated", design: str = "grid") -> Results:
    """A study of so many learning rates with three seeds: the first quarter stays at chance."""
    values = [round(0.01 * (i + 1), 4) for i in range(rates)]
    raw: dict[str, Any] = {"name": "many", "engine": "numpy", "repeats": 3, "timing": timing, "design": design}
    raw |= {"axes": {"rate": {"key": "optimizer.learning_rate", "values": values}}}
    made = plan(Study.parse(raw | {"baseline": {"data": "digits", "budget": {"iterations": 10}}}))
    store = Store(str(path))
    store.register(made)
    place = {member.key: (member.label, member.repeat) for member in made.members}
    names = list(dict.fromkeys(member.label for member in made.members))
    first = made_history(next(iter(made.trials.values())))
    with store.database.write() as connection:
        for key, trial in made.trials.items():
            label, repeat = place[key]
            i = names.index(label)
            accuracy = (
                0.1056 if i < len(names) // 4 else 0.3 + 0.6 * i / len(names) + 0.002 * ((7 * i + 3 * repeat) % 5)
            )
            points = tuple(replace(p, test_accuracy=accuracy * (p.iteration + 1) / 11) for p in first.points)
            ledger = replace(first.ledger, train=0.1 + 0.01 * i + 0.001 * repeat)
            points = tuple(replace(p, seconds=ledger.train * p.iteration / 10) for p in points)
            history = replace(first, recipe=trial.recipe, points=points, ledger=ledger)
            put(store.database, connection, [(key, Finished(Outcome.COMPLETED, "done", history), None)])
    return Results(store, "many")


@pytest.fixture
def many(tmp_path: Path) -> Results:
    return filled(tmp_path / "assay.db")


def test_answers_lead_with_the_best_and_what_is_pareto_optimal(many: Results) -> None:
    answers = many.answers()
    assert answers[0] == "72 trials of 24 configurations: 72 completed."
    assert answers[1].startswith("rate 0.24 is best: accuracy ")
    text = "\n".join(answers)
    assert (
        "Pareto-optimal by training time and test accuracy, " in text
        and ", the most accurate first: rate 0.24 (" in text
    )
    assert not re.search(r"no significant difference between rate 0\.24 and rate 0\.0[1-6]\b", text)
    assert re.search(r"Least effort of the \d of 24 configurations that reach 8\d\.00 % test accuracy: rate 0\.2", text)
    assert "10.56 % test accuracy is reached" not in text
    assert re.search(r"8\d\.00 % test accuracy is reached first by rate 0\.2.*never reached by 2\d of 24", text)


def test_compare_shows_at_most_20_rows_and_says_how_to_see_all(many: Results, invoke: Any, tmp_path: Path) -> None:
    many.store.close()
    code, out, err = invoke("compare", "many")
    assert code == 0 and len(out.splitlines()) < 120
    assert "showing 20 of 23 comparisons; --all shows them, --csv has every pair" in err
    assert "uncorrected for the 276 comparisons" in err + out
    assert len(invoke("compare", "many", "--csv")[1].splitlines()) == 1 + 24 * 23 // 2
    rows = invoke("compare", "many", "--all", "--markdown")[1].splitlines()
    assert len(rows) == 2 + 276 and rows[0].startswith(
        "| a | b | difference [points] | interval | n | p (Holm) | finding |"
    )
    latex = invoke("compare", "many", "--latex")[1].splitlines()
    assert latex[0].startswith("% many: rate 0.24 with the others") and latex[-1] == r"\end{tabular}"


def test_compare_keeps_the_order_asked_also_by_the_values_alone(many: Results, invoke: Any) -> None:
    many.store.close()
    rows = json.loads(invoke("compare", "many", "0.2", "rate 0.1", "--json")[1])["rows"]
    assert [(row["a"], row["b"]) for row in rows] == [("rate 0.2", "rate 0.1")] and rows[0]["difference"] > 0
    turned = json.loads(invoke("compare", "many", "rate 0.1", "rate 0.2", "--json")[1])["rows"][0]
    assert (turned["difference"], turned["low"]) == (-rows[0]["difference"], -rows[0]["high"])
    assert (turned["p_holm"], turned["n"]) == (rows[0]["p_holm"], 3)
    assert " rate 0.2 and rate 0.1: " in invoke("compare", "many", "rate 0.2", "rate 0.1")[1]
    assert invoke("compare", "many", "rate 9")[0] == 2


def test_a_baseline_leads_and_one_pair_has_one_number_of_seeds(tmp_path: Path) -> None:
    results = filled(tmp_path / "assay.db", rates=8, design="one-at-a-time")
    made = results.comparisons()
    assert made.about == "each configuration with baseline, the largest difference first" and made.total == 8
    assert {verdict.names[1] for verdict in made.verdicts} == {"baseline"} and results.matrix() == ([], [])
    said = "\n".join(results.answers())
    assert "configurations differ significantly from the baseline after Holm's correction for 8 comparisons" in said
    assert "pairs" not in said
    for verdict in made.verdicts[:6]:
        assert f"{verdict.names[0]}" in said and (
            not verdict.more_seeds or f"about {verdict.more_seeds} more seed" in said
        )


def test_packed_efforts_are_ranked_by_run_and_report_alike(tmp_path: Path, invoke: Any) -> None:
    results = filled(tmp_path / "assay.db", timing="packed")
    assert any(
        "Least effort" in answer and "(packed: the trials ran in parallel)" in answer for answer in results.answers()
    )
    from assay.report.answers import efforts

    ((title, table),) = efforts(results.summary(), results.frame())
    assert title.startswith(" (packed: the trials ran in parallel)") and "come first" in title
    assert table["configuration"].iloc[0] in next(a for a in results.answers() if a.startswith("Least effort"))


def test_the_page_folds_and_names_what_it_leaves_out(many: Results, tmp_path: Path) -> None:
    page = many.report(tmp_path / "many.html").read_text()
    sections = re.findall(r'<details id="section-([a-z-]+)"', page)
    links = re.findall(r'<a href="#section-([a-z-]+)">', page)
    assert sections == links and sections[0] == "answers" and {"configurations", "comparisons", "data"} <= set(sections)
    folded = re.findall(r'<details id="section-([a-z-]+)" class="section" data-folded', page)
    assert {"trials", "targets", "matrix", "made"} <= set(folded) and "configurations" not in folded
    assert 'download="trials.csv.gz"' in page and 'href="data:application/gzip' in page


def test_large_data_are_next_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    import pandas as pd

    monkeypatch.setattr("assay.report.downloads.MOST_EMBEDDED", 10)
    data = Downloads.of({"trials.csv": pd.DataFrame({"a": [1, 2], "b": ["=x", "y"]})})
    assert (
        not data.is_embedded
        and 'href="page-trials.csv.gz"' in data.links("page")
        and "next to this page" in data.links("page")
    )
    (path,) = data.write(tmp_path / "page.html")
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == ["a,b", "1,'=x", "2,y"]


def test_the_matrix_agrees_with_the_verdicts(many: Results) -> None:
    names, rows = many.matrix()
    table = many.verdicts()
    better = {
        (a, b) if d > 0 else (b, a) for a, b, d, sure in table[["a", "b", "difference", "decided"]].values if sure
    }
    assert names[0] == "rate 0.24" and len(names) == 24 and better
    for name, signs in zip(names, rows, strict=True):
        for other, sign in zip(names, signs, strict=True):
            wanted = "+" if (name, other) in better else "−" if (other, name) in better else "·"
            assert sign == ("" if name == other else wanted)
