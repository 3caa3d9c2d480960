"""A bundle is published twice with the same bytes, verified without its store, and told from a tampered one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.claims.bundles.archive import unpacked
from assay.claims.bundles.content import About
from assay.claims.bundles.data_files import content_of
from assay.claims.bundles.data_sets import DataSets
from assay.claims.bundles.manifest import read_manifest
from assay.claims.bundles.plan_check import plan_problems
from assay.claims.bundles.publishing import publish
from assay.claims.bundles.retraining import chance_of_missing
from assay.claims.bundles.verifying import Verification, verify
from assay.data.datasets import load
from assay.errors import AssayError
from assay.store.store import Store
from tests.claims.bundles.conftest import STUDY
from tests.claims.bundles.tampering import cells, plain, rows, tampered, with_rows


def found(path: Path, sample: int | None = 0, **options: Any) -> Verification:
    return verify(path, sample=sample, seed=1, **options)


def sentences(made: Verification) -> list[str]:
    return [f"{finding.kind}: {finding.sentence}" for finding in made.findings]


def test_a_bundle_has_the_same_bytes_twice_and_its_trials_the_same_bits(
    store: Store, tmp_path: Path, without_pages: None
) -> None:
    _twice(store, tmp_path)


@pytest.mark.endurance
def test_a_bundle_with_pages_has_the_same_bytes_twice_and_a_changed_page_is_named(store: Store, tmp_path: Path) -> None:
    first = _twice(store, tmp_path)
    files, _ = unpacked(first)
    page = files["report/rates.html"].replace(b"Which rate is best?", b"Which rate is worst?")
    changed = tampered(first, tmp_path / "c.zip", lambda given: given.update({"report/rates.html": page}))
    (finding,) = found(changed).findings
    assert finding.kind == "figure"
    assert "report/rates.html: line" in finding.sentence and "worst" in finding.sentence


def _twice(store: Store, folder: Path) -> Path:
    about = About("rates", authors=("Lovelace, Ada",), licence="CC-BY-4.0")
    first = publish(store, about, ["rates"], folder / "a.zip")
    assert publish(store, about, ["rates"], folder / "b.zip").sha256 == first.sha256
    assert (folder / "a.zip").read_bytes() == (folder / "b.zip").read_bytes()
    made = found(first.path, sample=2)
    assert sentences(made) == []
    assert [str(one.answer) for one in made.repeated] == ["same bits"] * 2
    assert (made.trials, made.compared, made.not_run) == (6, 2, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["a.zip", "b.zip"]  # nothing is written next to it
    return first.path


def test_no_file_names_a_folder_of_the_publisher(bundle: Path, store: Store) -> None:
    files, _ = unpacked(bundle)
    assert store.database.path is not None
    for name, content in files.items():
        for folder in (str(store.database.path.parent), str(Path.home()), str(Path.cwd())):
            assert folder.encode() not in content, name
    assert b'"finished"' not in files["data/machines.json"]


def test_what_the_publisher_did_not_say_is_left_out_and_said(bundle: Path, store: Store) -> None:
    files, _ = unpacked(bundle)
    assert "CITATION.cff" not in files
    assert "No author was given" in files["README.md"].decode()
    assert "No licence was given" in files["README.md"].decode()


def test_a_citation_has_its_authors_and_its_licence(store: Store, tmp_path: Path, without_pages: None) -> None:
    about = About("rates", authors=("Lovelace, Ada", "The Analysts"), licence="MIT")
    files, _ = unpacked(publish(store, about, ["rates"], tmp_path / "r.zip").path)
    assert files["CITATION.cff"].decode().splitlines()[3:] == [
        'title: "rates"',
        "authors:",
        '  - family-names: "Lovelace"',
        '    given-names: "Ada"',
        '  - name: "The Analysts"',
        "license: MIT",
    ]
    assert "No licence" not in files["README.md"].decode()
    with pytest.raises(AssayError, match="--licence: got 'my own'; expected an SPDX identifier"):
        publish(store, About("rates", licence="my own"), ["rates"], tmp_path / "r.zip")


def test_parquet_tables_are_verified_as_csv_ones(store: Store, tmp_path: Path, without_pages: None) -> None:
    path = publish(store, About("rates", parquet=True), ["rates"], tmp_path / "p.zip").path
    assert "data/trials.parquet" in unpacked(path)[0]
    assert publish(store, About("rates", parquet=True), ["rates"], tmp_path / "q.zip").path.read_bytes() == (
        path.read_bytes()
    )
    made = found(path, sample=1)
    assert (sentences(made), made.compared) == ([], 1)


def test_an_accuracy_that_was_changed_with_its_hash_contradicts_the_curve(bundle: Path, tmp_path: Path) -> None:
    made = found(tampered(bundle, tmp_path / "t.zip", cells("trials", 0, accuracy="0.99")))
    (sentence,) = sentences(made)
    assert sentence.startswith("row: trials, row 1: trial ")
    assert "its column accuracy is 0.99, the last point of its curve has 0." in sentence
    assert any("were not looked at" in unseen for unseen in made.unseen)


def test_an_accuracy_that_was_changed_everywhere_but_in_the_figures_is_one_that_the_data_do_not_give(
    bundle: Path, tmp_path: Path
) -> None:
    made = found(tampered(bundle, tmp_path / "t.zip", *_consistent(bundle, "0.99")))
    kinds = {finding.kind for finding in made.findings}
    assert kinds == {"figure"}
    assert any("results.json: rates.configurations[0].accuracy is 0." in sentence for sentence in sentences(made))


def _consistent(bundle: Path, accuracy: str) -> list[Any]:
    """Changes the accuracy of the first trial in its row and at the end of its curve, and drops its matrix."""
    files, _ = unpacked(bundle)
    key = rows(files, "trials")[0]["key"]
    last = max(n for n, row in enumerate(rows(files, "curves")) if row["trial"] == key)
    return [
        cells("trials", 0, accuracy=accuracy, confusion=""),
        cells("curves", last, test_accuracy=accuracy),
    ]


def test_a_value_that_was_changed_everywhere_is_found_in_the_trials_that_are_drawn(
    bundle: Path, tmp_path: Path
) -> None:
    from assay.claims.bundles.data_files import content_of
    from assay.claims.bundles.derived import derived_files
    from assay.claims.bundles.manifest import read_manifest

    def remake(files: dict[str, bytes]) -> None:
        about = read_manifest(files["manifest.json"]).about
        files |= derived_files(content_of(files, about)[0])

    path = tampered(bundle, tmp_path / "t.zip", *_consistent(bundle, "0.99"), remake)
    assert sentences(found(path)) == []  # nothing in it contradicts anything else
    made = found(path, sample=None)
    (sentence,) = sentences(made)
    assert sentence.startswith("value: trial ")
    assert "differs, although engine, numerics, level, libraries and processor are the same" in sentence
    assert "test_accuracy at iteration 40: 0.99, here 0." in sentence
    assert [str(one.answer) for one in made.repeated].count("same bits") == 5


def test_a_log_point_that_was_removed_is_found_in_the_trials_that_are_drawn(bundle: Path, tmp_path: Path) -> None:
    def remove(files: dict[str, bytes]) -> None:
        with_rows(files, "curves", [row for n, row in enumerate(rows(files, "curves")) if n != 3])

    made = found(tampered(bundle, tmp_path / "t.zip", remove), sample=None)
    assert any("differs: a log point at iteration 3 is here only" in sentence for sentence in sentences(made))
    json.dumps(made.plain(), allow_nan=False)


def test_a_confusion_matrix_that_was_changed_contradicts_the_accuracy(bundle: Path, tmp_path: Path) -> None:
    def swap(files: dict[str, bytes]) -> None:
        table = rows(files, "trials")
        matrix = json.loads(table[1]["confusion"])
        matrix[0][0] += 7
        table[1]["confusion"] = json.dumps(matrix)
        with_rows(files, "trials", table)

    assert any(
        "row: trial" in sentence and "its confusion matrix gives" in sentence
        for sentence in sentences(found(tampered(bundle, tmp_path / "t.zip", swap)))
    )


def test_a_row_that_was_removed_is_missing_from_the_plan(bundle: Path, tmp_path: Path) -> None:
    def remove(files: dict[str, bytes]) -> None:
        key = rows(files, "trials")[2]["key"]
        for name, column in (("trials", "key"), ("members", "trial"), ("curves", "trial")):
            with_rows(files, name, [row for row in rows(files, name) if row[column] != key])
        del files[f"recipes/{key[:16]}.toml"]

    made = found(tampered(bundle, tmp_path / "t.zip", remove))
    assert "plan: study rates: lacks 1 row that its plan asks for: rate 0.001, repeat 2" in sentences(made)


def test_a_trial_that_is_of_no_study_is_named(bundle: Path, tmp_path: Path) -> None:
    def remove(files: dict[str, bytes]) -> None:
        with_rows(files, "members", rows(files, "members")[1:])

    made = found(tampered(bundle, tmp_path / "t.zip", remove), sample=None)
    assert sentences(made) == [f"row: trials: no study has {rows(unpacked(bundle)[0], 'trials')[0]['key'][:8]}"]


def test_a_row_that_the_plan_does_not_ask_for_is_named(bundle: Path, tmp_path: Path) -> None:
    edit = plain("data/studies.json", lambda studies: studies[0]["definition"].update({"repeats": 2}))
    made = found(tampered(bundle, tmp_path / "t.zip", edit))
    sentence = "has 2 rows that its plan does not ask for: rate 0.001, repeat 2; rate 0.03, repeat 2"
    assert f"plan: study rates: {sentence}" in sentences(made)


def test_a_recipe_that_the_plan_does_not_ask_for_is_named(bundle: Path, tmp_path: Path) -> None:
    edit = plain("data/studies.json", lambda studies: studies[0]["definition"]["baseline"].update({"budget": 41}))
    made = found(tampered(bundle, tmp_path / "t.zip", edit))
    assert any("has another budget than its plan" in sentence for sentence in sentences(made))
    assert any("has a budget of 40 iterations; its plan asks for 41" in sentence for sentence in sentences(made))


def test_a_plan_that_its_data_set_cannot_be_split_for_is_named(bundle: Path, tmp_path: Path) -> None:
    data = {"name": "digits", "train": 10**6}
    edit = plain("data/studies.json", lambda studies: studies[0]["definition"]["baseline"].update({"data": data}))
    made = found(tampered(bundle, tmp_path / "t.zip", edit))
    assert any("cannot be what its plan asks for: data.train: got 1,000,000; expected" in s for s in sentences(made))


def test_data_that_are_given_are_recognised_by_their_checksum_and_else_refused_or_said_to_be_others(
    bundle: Path,
) -> None:
    with pytest.raises(AssayError, match="/no/such"):
        verify(bundle, seed=1, data=["/no/such"])
    sets = DataSets(["digits"])
    assert (digits := sets.find("digits", load("digits").checksum)) is not None
    assert sets.find("kana@12ab34cd56ef", digits.checksum) is digits
    assert sets.find("kana@12ab34cd56ef", "0" * 64) is None
    assert sets.why_not("kana@12ab34cd56ef").endswith("is not here, and what --data gives has another content")
    assert DataSets().why_not("kana@12ab34cd56ef").endswith("is not here; give its folder with --data")


def test_the_rows_of_a_search_are_not_compared_with_a_plan(bundle: Path) -> None:
    files, _ = unpacked(bundle)
    content, _ = content_of(files, read_manifest(files["manifest.json"]).about)
    axes = {"rate": {"key": "optimizer.learning_rate", "low": 0.001, "high": 0.03, "scale": "log"}}
    search = {"design": "search", "repeats": 1, "search": {"trials": 6, "method": "random"}, "axes": axes}
    studies = ({"name": "rates", "definition": STUDY | search},)
    problems, unseen = plan_problems(replace(content, studies=studies), DataSets(), allow_code=False)
    assert problems == []
    assert unseen == ["the rows of study rates with its plan: a search chose them, which a bundle does not show"]


def test_a_recipe_that_was_changed_has_not_its_key(bundle: Path, tmp_path: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        table = rows(files, "trials")
        table[0] |= {"recipe": table[0]["recipe"].replace('"seed":1', '"seed":9'), "seed": "9"}
        with_rows(files, "trials", table)

    made = found(tampered(bundle, tmp_path / "t.zip", change))
    assert any("its key is not that of its recipe" in sentence for sentence in sentences(made))


def test_a_figure_that_was_changed_is_named_with_what_the_data_give(bundle: Path, tmp_path: Path) -> None:
    edit = plain("results.json", lambda results: results["rates"]["configurations"][1].update({"accuracy": 0.975}))
    (sentence,) = sentences(found(tampered(bundle, tmp_path / "t.zip", edit)))
    assert sentence.startswith("figure: results.json: rates.configurations[1].accuracy is 0.975, the data give 0.")


def test_a_figure_of_the_card_that_was_changed_is_named(bundle: Path, tmp_path: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files["README.md"] = files["README.md"].replace(b"6 completed", b"9 completed")

    (sentence,) = sentences(found(tampered(bundle, tmp_path / "t.zip", edit)))
    assert sentence.startswith("figure: README.md: line 9 is ")


def test_a_hash_that_was_not_redone_is_named(bundle: Path, tmp_path: Path) -> None:
    edit = plain("results.json", lambda results: results["rates"]["configurations"][1].update({"accuracy": 0.975}))
    made = found(tampered(bundle, tmp_path / "t.zip", edit, hashes=False))
    assert sentences(made)[0] == "checksum: results.json: not the SHA-256 that the manifest has"
    assert len(sentences(made)) == 2  # and the figure


def test_files_that_are_missing_or_added_are_named(bundle: Path, tmp_path: Path) -> None:
    def edit(files: dict[str, bytes]) -> None:
        del files["environment.json"]
        files["extra.txt"] = b"x"

    made = found(tampered(bundle, tmp_path / "t.zip", edit, hashes=False))
    assert sentences(made) == [
        "checksum: environment.json: in the manifest, but missing",
        "checksum: extra.txt: not in the manifest",
        "figure: environment.json: is missing; the data give it",
        "figure: extra.txt: no file of a bundle with these data",
    ]


def test_words_of_other_packages_are_not_compared_and_figures_are(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(files: dict[str, bytes]) -> None:
        files["README.md"] += b"more\n"

    path = tampered(bundle, tmp_path / "t.zip", edit)
    monkeypatch.setattr("assay.claims.bundles.verifying.writers", lambda: {"assay": "9"})
    made = found(path)
    assert sentences(made) == []
    assert any("The words of README.md were not compared" in unseen for unseen in made.unseen)
    figure = plain("results.json", lambda results: results["rates"]["configurations"][1].update({"accuracy": 0.975}))
    assert len(found(tampered(bundle, tmp_path / "u.zip", figure)).findings) == 1


@pytest.mark.parametrize(
    ("tampered_trials", "trials", "sample", "chance"),
    [(1, 20, 5, 0.75), (2, 20, 5, 105 / 190), (5, 5, 1, 0.0), (1, 6, 0, 1.0), (3, 100, 5, 138415 / 161700)],
)
def test_the_chance_of_missing_is_hypergeometric(tampered_trials: int, trials: int, sample: int, chance: float) -> None:
    assert chance_of_missing(tampered_trials, trials=trials, sample=sample) == pytest.approx(chance, rel=1e-12)


def test_the_verifiers_seed_draws_the_trials(bundle: Path) -> None:
    draws = {seed: {one.trial for one in verify(bundle, sample=1, seed=seed).repeated} for seed in range(4)}
    assert all(len(keys) == 1 for keys in draws.values())
    assert len(set().union(*draws.values())) > 1
    assert {one.trial for one in verify(bundle, sample=1, seed=2).repeated} == draws[2]


CLAIMS = {
    "claims": [
        {
            "id": "fast-is-better",
            "text": "The rate 0.03 ends above the rate 0.001",
            "rule": "less",
            "left": {"configuration": "rate 0.001"},
            "right": {"configuration": "rate 0.03"},
        },
        {
            "id": "good",
            "text": "The rate 0.001 reaches 97.5 %",
            "rule": "threshold",
            "side": {"configuration": "rate 0.001"},
            "at_least": "97.5 %",
        },
    ]
}


@pytest.fixture
def claimed(store: Store, tmp_path: Path, without_pages: None) -> Path:
    return publish(store, About("rates"), ["rates"], tmp_path / "claimed.zip", claims=CLAIMS).path


def test_claims_are_judged_from_the_data_of_the_bundle(claimed: Path) -> None:
    made = found(claimed)
    assert sentences(made) == []
    assert [(claim["id"], claim["verdict"]) for claim in made.claims] == [
        ("fast-is-better", "holds"),
        ("good", "does not hold"),
    ]
    card = unpacked(claimed)[0]["README.md"].decode()
    assert "| The rate 0.001 reaches 97.5 % | does not hold |" in card


def test_a_verdict_and_a_figure_of_a_claim_that_were_changed_are_named(claimed: Path, tmp_path: Path) -> None:
    def edit(claims: Any) -> None:
        claims["claims"][1]["verdict"] = "holds"
        left = claims["claims"][0]["figures"][0]["left"]
        name = next(name for name, value in left.items() if isinstance(value, float))
        left[name] = 0.5

    made = found(tampered(claimed, tmp_path / "t.zip", plain("claims.json", edit)))
    figure, verdict = sentences(made)
    assert figure.startswith("figure: claims.json: claims[0].figures[0].left.") and "is 0.5, the data give" in figure
    assert verdict == 'figure: claims.json: claims[1].verdict is "holds", the data give "does not hold"'


def test_a_claim_that_cannot_be_read_is_named(claimed: Path, tmp_path: Path) -> None:
    edit = plain("data/claims.json", lambda table: table["claims"][0].update({"rule": "lesss"}))
    (sentence,) = sentences(found(tampered(claimed, tmp_path / "t.zip", edit)))
    assert sentence.startswith("figure: the data give no figures: data/claims.json: 1 error")
    assert "did you mean 'less'" in sentence


def test_a_claim_about_another_study_is_refused_by_publish(store: Store, tmp_path: Path, without_pages: None) -> None:
    claims = {"claims": [CLAIMS["claims"][1] | {"side": {"study": "other", "configuration": "x"}}]}
    with pytest.raises(AssayError, match="unknown study 'other'"):
        publish(store, About("rates"), ["rates"], tmp_path / "r.zip", claims=claims)


def test_claims_of_an_article_are_judged_one_by_one(store: Store, tmp_path: Path, without_pages: None) -> None:
    other = CLAIMS["claims"][1] | {"id": "other", "side": {"study": "other", "configuration": "x"}}
    nothing = CLAIMS["claims"][1] | {"id": "nothing", "side": {"configuration": "rate 7"}}
    claims = {"claims": [CLAIMS["claims"][0], other, nothing]}
    about = About("an article", kind="article")
    path = publish(store, about, ["rates"], tmp_path / "a.zip", claims=claims, extra={"article.toml": b"x"}).path
    made = found(path)
    assert sentences(made) == []
    assert [claim["verdict"] for claim in made.claims] == ["holds", "cannot tell", "cannot tell"]
    assert made.claims[1]["reason"] == "study other is not in the bundle"
    assert "rate 7" in made.claims[2]["reason"]


@pytest.mark.parametrize("value", [10**400, 1e300, True, "0.9", None, [0.9], float("inf")])
def test_a_figure_of_any_kind_is_compared(bundle: Path, tmp_path: Path, value: Any) -> None:
    edit = plain("results.json", lambda results: results["rates"]["configurations"][1].update({"accuracy": value}))
    (sentence,) = sentences(found(tampered(bundle, tmp_path / "t.zip", edit)))
    assert sentence.startswith("figure: results.json: rates.configurations[1].accuracy is ")


def test_a_plan_of_very_many_trials_is_named_before_it_is_made(bundle: Path, tmp_path: Path) -> None:
    def edit(studies: Any) -> None:
        definition = studies[0]["definition"]
        definition |= {"repeats": 2**53, "design": "one-at-a-time"}
        del definition["axes"]

    made = found(tampered(bundle, tmp_path / "t.zip", plain("data/studies.json", edit)))
    sentence = "has 9,007,199,254,740,992 trials; expected at most 100,000: lower repeats"
    assert any(text.startswith("plan: study rates: ") and sentence in text for text in sentences(made))
