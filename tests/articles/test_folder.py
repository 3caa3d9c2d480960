"""An article in a folder of a user: what is read, what is refused, what runs, and what is executed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from assay.articles import article_names, context_of, find_article, narrowed, page_of, plans_of, spec_of
from assay.articles.new import new_article
from assay.articles.page import Figure, Page
from assay.articles.parts import KINDS
from assay.errors import AssayError, RecipeError
from assay.store.store import Store
from assay.studies.study import bundled_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The skeleton with two seeds, as fast as it can be."""
    new_article(tmp_path / "mine")
    study = tmp_path / "mine" / "studies" / "question.toml"
    study.write_text(
        study.read_text().replace("repeats = 8", 'repeats = 2\ntiming = "packed"').replace("epochs = 6", "epochs = 2")
    )
    return tmp_path / "mine"


def changed(folder: Path, old: str, new: str) -> Path:
    file = folder / "article.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_skeleton_is_an_article_and_is_not_written_over(tmp_path: Path) -> None:
    files = new_article(tmp_path / "mine")
    assert [file.relative_to(tmp_path / "mine").as_posix() for file in files] == [
        "article.toml",
        "studies/question.toml",
        "experiments.py",
    ]
    article = find_article(str(tmp_path / "mine"))
    assert (article.name, article.bundled) == ("mine", False)
    assert [claim.id for claim in article.claims] == ["adam-is-good", "adam-beats-descent", "small"]
    with pytest.raises(AssayError, match="exists already"):
        new_article(tmp_path / "mine")


def test_all_that_is_wrong_in_a_folder_is_said_at_once(folder: Path) -> None:
    file = folder / "article.toml"
    text = file.read_text()
    for old, new in (
        ("{summary}", "{sumary}"),
        ('table = "changes"', 'table = "change"'),
        ('picture = "curves"', 'picture = "curves"\nfacets = ["a"]'),
        ('name = "question"', 'name = "questoin"'),
        ('rule = "beats"', 'rule = "beat"'),
        ("# [[points]]", "[[points]]\niterations = 5"),
        ("title = ", 'options = ["epoch"]\ntitle = '),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        find_article(str(folder))
    said = "\n".join(caught.value.problems)
    for sentence in (
        "lead: unknown placeholder 'sumary'; did you mean 'summary'?",
        "unknown table 'change'; did you mean 'changes'?",
        "has no key 'facets'; did you mean 'facet'?",
        "unknown study 'questoin'; did you mean 'question'?",
        "unknown rule 'beat'; did you mean 'beats'?",
        "points 1: cell: is missing",
        "unknown option 'epoch'; did you mean 'epochs'?",
    ):
        assert sentence in said, f"{sentence}\n---\n{said}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('study = "question"\nbaseline', 'study = "other"\nbaseline', "show 1: unknown study 'other'"),
        ('title = "Test accuracy"', 'title = "{iteration 5}"', "unknown placeholder 'iteration 5'"),
        ('picture = "curves"', 'picture = "curves"\ntable = "changes"', "got table and picture; expected one of"),
        ('side = { configuration = "adam" }', "side = {}", "selects no configuration"),
    ],
)
def test_a_mistake_is_a_sentence(folder: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(AssayError) as caught:
        find_article(str(changed(folder, old, new)))
    assert expected in str(caught.value)


def test_a_folder_without_an_article_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="assay new article"):
        find_article(str(tmp_path))


def test_the_studies_of_the_bundled_articles_are_found_by_their_names() -> None:
    names = set(bundled_names())
    for name in article_names():
        article = find_article(name)
        assert {entry.name for entry in article.file.studies} <= names
        for entry in article.file.studies:
            assert article.study(entry.name).name == entry.name


def test_no_code_asks_for_an_article_by_its_name() -> None:
    root = Path(__file__).resolve().parents[2] / "src" / "assay"
    files = [*root.glob("articles/*.py"), *root.glob("articles/tables/*.py"), *root.glob("articles/pictures/*.py")]
    for file in [*files, root / "cli" / "reproduce.py"]:
        for name in article_names():
            assert f'"{name}"' not in file.read_text(), (file, name)


def test_every_kind_of_table_and_picture_is_used_by_an_article() -> None:
    used = {type(part) for name in article_names() for part in find_article(name).parts}
    assert {kind for kinds in KINDS.values() for kind in kinds.values()} <= used


ADDS = 'adds = { source = "question", choose = "best-of-each", by = "optimiser", copies = ["optimizer"] }'
SAMPLING = '[sampling]\nstudy = "question"\n'


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ('setups = "enginse"', "question: setups: got 'enginse'; expected 'engines', or a list"),
        ('setups = [{ engin = "native" }]', "setups 1: a setup has no key 'engin'; did you mean 'engine'?"),
        ('setups = [{ device = "cpu" }]', "setups 1: engine is missing; expected one of numpy"),
        ('setups = [{ engine = "nativ" }]', "setups 1: unknown engine 'nativ'; did you mean 'native'?"),
        ('setups = [{ engine = "numpy", device = "cqu" }]', "setups 1: unknown device 'cqu'"),
        ('setups = [{ engine = "numpy", threads = "two" }]', "threads: got 'two'; expected a whole number >= 1"),
        ('setups = [{ engine = "numpy" }, { engine = "numpy" }]', "setups 2: is listed twice"),
        ('[[studies]]\nname = "question"', "studies: 'question' is listed 2 times"),
        (ADDS, "adds.source: unknown study without adds 'question'"),
        (ADDS, "adds.by: unknown axis 'optimiser'; did you mean 'optimizer'?"),
        (f'{SAMPLING}strata = ["modle"]\nwithin = "optimizer"', "sampling.strata: unknown axis 'modle'"),
        (f'{SAMPLING}strata = []\nwithin = "x"', "sampling.within: unknown axis 'x'"),
    ],
)
def test_what_is_wrong_with_a_study_of_an_article_is_said_before_it_runs(
    folder: Path, added: str, sentence: str
) -> None:
    changed(folder, '[[studies]]\nname = "question"\n', f'[[studies]]\nname = "question"\n{added}\n')
    with pytest.raises(RecipeError) as caught:
        find_article(str(folder))
    assert sentence in "\n".join(caught.value.problems)


def test_pictures_have_names_of_files_of_their_own(folder: Path) -> None:
    picture = '[[show]]\npicture = "curves"\nname = "{}"\nstudies = ["question"]\n'
    file = folder / "article.toml"
    file.write_text("\n".join([file.read_text(), picture.format("../../outside"), picture.format("accuracy")]))
    with pytest.raises(RecipeError) as caught:
        find_article(str(folder))
    assert list(caught.value.problems) == [
        "show 3: name: got '../../outside', which ends the name of a file; expected letters, digits, - _ and .",
        "show 4: name: 'accuracy' is that of show 2; expected another one",
    ]


CURVES = 'picture = "curves"\nname = "z"\nstudies = ["question"]\n'
OF_STUDY = 'table = "{}"\nstudy = "question"\n'


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (f'{CURVES}where.modle = ["a"]', "unknown column 'modle'; did you mean 'model'?"),
        (f'{CURVES}sort.modle = ["a"]', "unknown column 'modle'; did you mean 'model'?"),
        (f'{CURVES}by = "modle"\norder = "seen"', "unknown column 'modle'; did you mean 'model'?"),
        (f'{CURVES}facet = ["modle", "optimizer"]', "unknown column 'modle'; did you mean 'model'?"),
        (CURVES.replace('"curves"', '"effort"'), "write longest = true"),
        (
            f'{OF_STUDY.format("accuracy-by-epoch")}configurations = ["adam"]\nepochs = [1]',
            "facts: unknown entry 'runs'",
        ),
    ],
)
def test_a_part_with_a_wrong_column_is_a_sentence_on_the_page(folder: Path, part: str, sentence: str) -> None:
    file = folder / "article.toml"
    file.write_text(f"{file.read_text()}\n[[show]]\n{part}\n")
    article = find_article(str(folder))
    store, spec = Store(str(folder / "store.db")), spec_of(article)
    plans = plans_of(article, spec)
    for plan in plans.values():
        store.register(plan)
    (*_, last, _time) = page_of(article, context_of(article, spec, plans, store)).parts
    assert sentence in last.note


@pytest.mark.parametrize(
    "part",
    [
        CURVES.replace('["question"]', "[]"),
        f"{OF_STUDY.format('seeds')}configurations = []",
        f"{OF_STUDY.format('logging-cost')}published = {{ adam = 1.0 }}",
        f'{OF_STUDY.format("calibration")}axis = "x"\nby = "model"\npoints = {{}}',
    ],
)
def test_a_part_of_nothing_is_refused(folder: Path, part: str) -> None:
    file = folder / "article.toml"
    file.write_text(f"{file.read_text()}\n[[show]]\n{part}\n")
    with pytest.raises(RecipeError, match="or more entries"):
        find_article(str(folder))


def test_a_page_links_its_pictures_whatever_its_folder_is_called() -> None:
    page = Page("", [], [Figure("loss", None, "Loss")], [])
    assert "![Loss](my%20%5Bfirst%5D%20page-loss.png)" in page.body("my [first] page")


def test_a_claim_names_studies_and_experiments_that_the_folder_has(folder: Path) -> None:
    changed(folder, 'side = { configuration = "adam" }', 'side = { study = "questoin", configuration = "adam" }')
    (folder / "experiments.py").unlink()
    with pytest.raises(RecipeError) as caught:
        find_article(str(folder))
    assert list(caught.value.problems) == [
        "claims: adam-is-good: unknown study 'questoin'; did you mean 'question'? Known: question",
        "claims: small: experiment 'parameters': the folder has no experiments.py",
    ]


# --- running ---------------------------------------------------------------------------------------------------------


def test_a_folder_runs_to_its_page_and_its_code_only_with_leave(invoke: Any, folder: Path) -> None:
    words = ["reproduce", str(folder), "--yes", "--out", "out", "--json"]
    code, out, err = invoke(*words)
    assert code == 0, err
    page = json.loads(out)
    verdicts = {finding["id"]: finding["verdict"] for finding in page["findings"]}
    assert verdicts["small"] == "not run"
    assert verdicts["adam-is-good"] in ("holds", "does not hold")
    assert json.loads(Path("out/mine.json").read_text())["title"] == page["title"]
    assert Path("out/mine-accuracy.png").exists() and Path("out/mine.html").exists()
    code, out, err = invoke(*words, "--allow-code")
    assert "0 to train" in err
    small = next(finding for finding in json.loads(out)["findings"] if finding["id"] == "small")
    assert (small["verdict"], "2410" in small["evidence"]) == ("holds", True)


def test_nothing_of_a_folder_is_executed_without_leave(invoke: Any, folder: Path) -> None:
    (folder / "experiments.py").write_text("raise SystemExit('executed')\n")
    code, out, err = invoke("reproduce", str(folder), "--stored", "--json")
    assert code == 0, err
    assert {f["verdict"] for f in json.loads(out)["findings"] if f["id"] == "small"} == {"not run"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 'many'", "expected a number, or a list of numbers"),
        ("return 1 / 0", "experiments.py: parameters: ZeroDivisionError"),
    ],
)
def test_an_experiment_that_fails_is_a_claim_that_cannot_be_told(
    invoke: Any, folder: Path, body: str, expected: str
) -> None:
    (folder / "experiments.py").write_text(f"def parameters(context):\n    {body}\n")
    code, out, err = invoke("reproduce", str(folder), "--stored", "--json", "--allow-code")
    assert code == 0, err
    small = next(finding for finding in json.loads(out)["findings"] if finding["id"] == "small")
    assert small["verdict"] == "cannot tell"
    assert expected in small["evidence"]


def test_a_side_that_selects_nothing_is_refused_before_anything_is_trained(invoke: Any, folder: Path) -> None:
    changed(folder, 'left = { configuration = "adam" }', 'left = { configuration = "adma" }')
    code, _, err = invoke("reproduce", str(folder), "--yes")
    assert code == 2
    assert "did you mean 'adam'" in err
    assert "estimated before" not in err, "nothing was trained"


def test_one_claim_needs_its_own_studies_alone(invoke: Any, folder: Path) -> None:
    shutil.copy(folder / "studies" / "question.toml", folder / "studies" / "second.toml")
    second = folder / "studies" / "second.toml"
    second.write_text(second.read_text().replace('name = "question"', 'name = "second"').replace("adam =", "other ="))
    changed(folder, "# --- what it claims", '[[studies]]\nname = "second"\n\n# --- what it claims')
    article = find_article(str(folder))
    spec = spec_of(article)
    assert list(plans_of(article, spec)) == ["question", "second"]
    one = narrowed(article, "adam-is-good")
    assert (list(plans_of(one, spec)), [claim.id for claim in one.claims]) == (["question"], ["adam-is-good"])
    assert list(plans_of(narrowed(article, "small"), spec)) == ["question", "second"], "an experiment may read any"
    with pytest.raises(AssayError, match="did you mean 'small'"):
        narrowed(article, "smal")


def test_a_study_keeps_its_data_where_the_article_names_none(folder: Path) -> None:
    article = find_article(str(changed(folder, 'data = "digits"', '# data = "digits"')))
    (plan,) = plans_of(article, spec_of(article)).values()
    assert {trial.recipe.data.name for trial in plan.trials.values()} == {"digits"}


def test_new_knows_what_it_can_write(invoke: Any) -> None:
    code, _, err = invoke("new", "artcle", "x")
    assert (code, "did you mean 'article'" in err) == (2, True)
