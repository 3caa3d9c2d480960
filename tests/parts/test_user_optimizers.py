"""A user's own optimizer: trained like any other, imported only where that is allowed."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import assay
from assay.engines import ENGINES, choose, installed
from assay.errors import AssayError, CodeError, RecipeError
from assay.parts.optimizers import Adam, Descent, Optimizer
from assay.parts.user_optimizers import UnloadedOptimizer, allowing_code, class_hash, loaded_class
from assay.recipe.cohorts import cohorts
from assay.recipe.model import Recipe
from assay.recipe.patches import merged
from assay.store.integrity import check
from assay.store.store import Store
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.checkpoints import from_bytes, restore, save, to_bytes
from assay.training.history import History
from assay.training.prediction import predict

SMALL = {"model": {"hidden": [5]}, "budget": {"iterations": 30}, "log": 10}


class Copied(Optimizer):
    """Descent again."""

    learning_rate: float = 0.1
    flops: ClassVar[int] = 2

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        return h.learning_rate * g, ()


class Lagging(Optimizer):
    """The step of two iterations ago, with what arenas and autograd buffers make difficult."""

    name: Literal["lagging"] = "lagging"
    learning_rate: float = 0.05
    share: float = 0.5
    slots: ClassVar[int] = 2

    def factors(self, t: Any) -> Any:
        return {"early": 1.0 / t}

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        last, before = slots
        small = xp.where(abs(before) > 1e-3, before, h.share * last)
        return -h.learning_rate * (1 + h.early) * (-small), (g, last)  # the gradient itself, and a slot moved on


class MyAdam(Adam):
    """A subclass of an optimizer of the table is an own one too."""

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        return 0.0 * g, slots


class Holder:
    class Inner(Copied):
        pass


PLACE = f"{__name__}:Copied"
PLAIN = """
from typing import Any, ClassVar
from assay.parts.optimizers import Optimizer

class {name}(Optimizer):
    learning_rate: float = 0.1
    strength: float = 1.0
    slots: ClassVar[int] = {slots}
    {more}

    @staticmethod
    def rule(xp: Any, w: Any, g: Any, slots: Any, h: Any) -> Any:
        {body}
"""


def write(path: Path, *, name: str = "Mine", slots: int = 0, body: str, more: str = "") -> None:
    path.write_text(PLAIN.format(name=name, slots=slots, body=body, more=more))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_STORE", raising=False)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    forget(before)


def forget(before: set[str]) -> None:
    """As a new process would begin."""
    for name in set(sys.modules) - before:
        if name.startswith(("my_", "evil")):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def invoke(folder: Path, command: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command as a process would that has imported nothing of the user's."""

    def run(*words: str) -> tuple[int, str, str]:
        forget(set())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))
            return command(*words)

    return run


def weights(history: History) -> dict[str, Any]:
    return history.checkpoint.weights


def assert_same(first: History, second: History) -> None:
    for name, array in weights(first).items():
        np.testing.assert_array_equal(array, weights(second)[name])


# --- trained like any other ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
def test_an_own_rule_that_copies_descent_gives_its_bits(engine: str) -> None:
    if not installed(engine):
        pytest.skip(f"{engine} is not installed")
    own = assay.fit(Recipe.parse(SMALL | {"optimizer": Copied(learning_rate=0.2)}), engine=engine)
    listed = assay.fit(SMALL | {"optimizer": {"name": "descent", "learning_rate": 0.2}}, engine=engine)
    assert own.flops == listed.flops
    assert_same(own, listed)


def test_auto_picks_numpy_for_native_has_no_such_rule() -> None:
    recipe = Recipe(optimizer=Copied())
    assert choose(recipe).name == "numpy"
    if installed("native"):
        with pytest.raises(AssayError, match="has no optimizer '.*:Copied'; use engine 'numpy', 'jax' or 'torch'"):
            choose(recipe, "native")


def test_slots_that_are_the_gradient_or_one_another_are_kept_as_they_were() -> None:
    recipe = Recipe.parse(SMALL | {"optimizer": Lagging(), "precision": "float64"})
    engines = [name for name in ENGINES if name != "native" and installed(name)]
    histories = [assay.fit(recipe, engine=name) for name in engines]
    for other in histories[1:]:
        for name, array in weights(histories[0]).items():
            np.testing.assert_allclose(array, weights(other)[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
def test_a_training_that_goes_on_from_a_checkpoint_is_the_same(engine: str, tmp_path: Path) -> None:
    if not installed(engine):
        pytest.skip(f"{engine} is not installed")
    recipe = Recipe.parse(SMALL | {"optimizer": Lagging(share=0.25)})
    half = assay.fit(recipe.with_budget(iterations=15), engine=engine)
    begun = restore(save(half, tmp_path / "half.safetensors"))
    assert begun.recipe == half.recipe
    assert_same(assay.fit(recipe, engine=engine, start=begun), assay.fit(recipe, engine=engine))


def test_the_plain_form_is_the_place_of_the_class_and_is_read_back() -> None:
    recipe = Recipe(optimizer=Lagging(share=0.25))
    assert recipe.plain()["optimizer"] == {"name": f"{__name__}:Lagging", "learning_rate": 0.05, "share": 0.25}
    assert json.loads(json.dumps(recipe.plain())) == recipe.plain()
    assert Recipe.parse(recipe.plain()) == recipe  # the class is loaded, so nothing is imported
    assert hash(Recipe.parse(recipe.plain())) == hash(recipe)
    assert recipe.patched({"optimizer": {"share": 0.75}}).optimizer == Lagging(share=0.75)
    assert Recipe.parse(merged({"optimizer": Lagging(share=0.75)}, [{"seed": 3}])).optimizer == Lagging(share=0.75)
    assert Recipe.parse({"optimizer": f"{__name__}:Holder.Inner"}).optimizer == Holder.Inner()
    assert f"{__name__}:Lagging 0.05" in recipe.label()
    assert len(cohorts([recipe, Recipe(optimizer=Lagging(share=0.5)), Recipe(optimizer=Copied())])) == 2


def test_a_subclass_of_a_listed_optimizer_is_not_taken_for_it() -> None:
    recipe = Recipe(optimizer=MyAdam())
    assert recipe.plain()["optimizer"]["name"] == f"{__name__}:MyAdam"
    assert recipe.key() != Recipe(optimizer=Adam()).key()
    listed = Recipe.parse({"optimizer": {"name": "assay.parts.optimizers:Descent", "learning_rate": 0.3}})
    assert listed == Recipe(optimizer=Descent(learning_rate=0.3))  # and one of the table has its short name


def test_a_changed_rule_is_another_trial(folder: Path) -> None:
    keys: list[str] = []
    for body in ("return h.learning_rate * g, ()", "return 2 * h.learning_rate * g, ()"):
        write(folder / "my_changing.py", body=body)
        forget(set())
        sys.path.insert(0, str(folder))
        with allowing_code():
            recipe = Recipe.parse({"optimizer": "my_changing:Mine"})
        sys.path.remove(str(folder))
        keys += [
            recipe.key(),
            plan(Study.parse({"design": "one-at-a-time", "baseline": recipe.plain()})).jobs[0].trajectory,
        ]
    assert len(set(keys)) == 4
    assert class_hash(Copied) != class_hash(Holder.Inner)  # whose own text is not all there is to it


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        (
            {"name": PLACE, "learning_rat": 1},
            f"optimizer.learning_rat: optimizer '{PLACE}' has no key 'learning_rat'",
        ),
        ({"name": PLACE, "learning_rate": "a"}, "optimizer.learning_rate: got 'a'; expected a number"),
        ({"name": f"{__name__}:Lagging", "share": True}, "optimizer.share: got True; expected a number"),
        (f"{__name__}:Copid", "is third-party code"),
        ("my_module:", "optimizer: got 'my_module:'; expected the path of a class, such as 'my.module:Rule'"),
        ("a b:C", "expected the path of a class"),
        (f"{__name__}:Holder", "is third-party code"),
        ("assay.parts.optimizers:Optimizer", "has no rule; expected a static method rule(xp, w, g, slots, h)"),
        ("assay.parts.user_optimizers:UnloadedOptimizer", "has no rule"),
    ],
)
def test_mistakes_are_sentences(optimizer: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"optimizer": optimizer})
    assert sentence in str(caught.value)


def test_what_cannot_be_imported_is_said_with_the_nearest_name(folder: Path) -> None:
    write(folder / "my_rules.py", body="return g, ()")
    (folder / "my_typo.py").write_text("def f(:")
    (folder / "my_need.py").write_text("import my_missing_library")
    (folder / "my_exit.py").write_text("raise SystemExit(3)")
    (folder / "my_empty.py").write_text("")
    sys.path.insert(0, str(folder))
    for name, sentence in {
        "my_ruls:Mine": "module 'my_ruls' was not found; Python looks in",
        "my_rules.deep:Mine": "module 'my_rules.deep' was not found",
        "my_rules.py:Mine": "write 'MODULE:CLASS' without .py: 'my_rules'",
        "my_rules:Mien": "module 'my_rules' has no optimizer 'Mien'; did you mean 'Mine'? Known: Mine",
        "my_rules:Any": "'my_rules:Any' is not an optimizer; expected a class with the base assay.parts.optimizers",
        "my_typo:Mine": "module 'my_typo' cannot be imported: SyntaxError",
        "my_need:Mine": "module 'my_need' cannot be imported: ModuleNotFoundError: No module named 'my_",
        "my_exit:Mine": "module 'my_exit' cannot be imported: SystemExit: 3",
        "my_empty:Mine": "module 'my_empty' has no 'Mine', and no class with the base",
    }.items():
        with pytest.raises(RecipeError) as caught, allowing_code():
            Recipe.parse({"optimizer": name})
        assert sentence in str(caught.value)
        assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("slots: ClassVar[Any] = None", "slots is None; expected a number"),
        ("l2: float = 0.0", "a setting cannot be called 'l2'"),
        ("kind_of: str = 'fast'", "setting 'kind_of' is 'fast'; expected a number"),
        ("flag: bool = True", "setting 'flag' is True; expected a number"),
    ],
)
def test_classes_that_are_no_optimizers_are_refused(folder: Path, more: str, sentence: str) -> None:
    write(folder / "my_odd.py", body="return g, ()", more=more)
    sys.path.insert(0, str(folder))
    with pytest.raises(RecipeError, match=sentence), allowing_code():
        Recipe.parse({"optimizer": "my_odd:Mine"})


def test_a_rule_that_returns_the_new_weights_is_refused_because_it_would_train_to_nonsense(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    write(folder / "my_weights.py", slots=1, body="return w - h.learning_rate * (slots[0] + g), (g,)")
    with pytest.raises(RecipeError, match="its rule returns the new weights; expected the step"), allowing_code():
        Recipe.parse({"optimizer": "my_weights:Mine"})
    write(folder / "my_decay.py", slots=1, body="return h.learning_rate * (slots[0] + g + 0.1 * w), (g,)")
    write(folder / "my_late.py", body="raise ValueError(w)")  # reported when it trains
    with allowing_code():
        assert Recipe.parse({"optimizer": "my_decay:Mine"}).optimizer.entry == "my_decay:Mine"
        assert Recipe.parse({"optimizer": "my_late:Mine"}).optimizer.entry == "my_late:Mine"


def test_a_dataclass_is_refused_with_what_to_delete(folder: Path) -> None:
    write(folder / "my_data.py", body="return g, ()")
    path = folder / "my_data.py"
    path.write_text(
        "from dataclasses import dataclass\n" + path.read_text().replace("class Mine", "@dataclass\nclass Mine")
    )
    sys.path.insert(0, str(folder))
    with (
        pytest.raises(RecipeError, match="is a dataclass; expected a plain class .*: delete `@dataclass`"),
        allowing_code(),
    ):
        Recipe.parse({"optimizer": "my_data:Mine"})


def test_classes_that_nobody_would_find_again_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(Copied):
        pass

    with pytest.raises(RecipeError, match=r"is defined inside a function, where workers .* such as my_rules\.py"):
        Recipe(optimizer=Local())
    other = type("Copied", (Copied,), {"__module__": __name__, "__qualname__": "Copied"})
    with pytest.raises(RecipeError, match="is now another class"):
        Recipe(optimizer=other())
    monkeypatch.setattr(Copied, "__module__", "__main__")
    with pytest.raises(RecipeError, match="'Copied' is defined in a script or notebook"):
        Recipe(optimizer=Copied())


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
@pytest.mark.parametrize(
    ("body", "more", "sentence"),
    [
        ("raise KeyError('oh')", "", "its rule raised KeyError: 'oh'"),
        ("return g", "", "its rule returned .*; expected .step, slots."),
        ("return g, (g,)", "", "its rule returned 1 slots; expected 0"),
        ("return g.sum(), ()", "", r"its rule returned as step float32 of shape \(\); expected float32 of shape"),
        ("return None, ()", "", "its rule returned as step a NoneType; expected"),
        ("return g, ()", "def factors(self, t): return {'a': t[:0]}", "its factor 'a' has shape"),
        ("return g, ()", "def factors(self, t): return 1 / 0", "its factors raised ZeroDivisionError"),
    ],
)
def test_a_rule_that_fails_or_gives_another_shape_is_named(
    folder: Path, engine: str, body: str, more: str, sentence: str
) -> None:
    if not installed(engine):
        pytest.skip(f"{engine} is not installed")
    write(folder / "my_failing.py", body=body, more=more)
    sys.path.insert(0, str(folder))
    with allowing_code():
        recipe = Recipe.parse(SMALL | {"optimizer": "my_failing:Mine"})
    said = sentence.replace("float32", "float64") if engine == "numpy" else sentence
    with pytest.raises(CodeError, match=f"optimizer 'my_failing:Mine': {said}"):
        assay.fit(recipe, engine=engine)


def test_a_branch_on_a_setting_is_an_error_under_jax_and_not_silently_true(folder: Path) -> None:
    pytest.importorskip("jax")
    for condition in ("h.strength", "h.strength == 0", "h.strength < 0"):
        forget(set())
        write(folder / "my_branching.py", body=f"return (g if {condition} else -g), ()")
        sys.path.insert(0, str(folder))
        with allowing_code():
            recipe = Recipe.parse(SMALL | {"optimizer": "my_branching:Mine"})
        with pytest.raises(CodeError, match="its rule raised TracerBoolConversionError"):
            assay.fit(recipe, engine="jax")


# --- permission ------------------------------------------------------------------------------------------------------

EVIL = """
from pathlib import Path
Path("was-imported").touch()
from assay.parts.optimizers import Descent
class Rule(Descent):
    pass
"""


def test_without_permission_nothing_is_imported(folder: Path) -> None:
    (folder / "evil.py").write_text(EVIL)
    sys.path.insert(0, str(folder))
    for read in (
        lambda: Recipe.parse({"optimizer": "evil:Rule"}),
        lambda: Recipe.parse({"optimizer": {"name": "evil:Rule", "learning_rate": 1}}),
        lambda: Study.parse({"design": "one-at-a-time", "baseline": {"optimizer": "evil:Rule"}}),
        lambda: Study.parse({"axes": {"o": {"key": "optimizer", "values": ["evil:Rule", "adam"]}}}),
        lambda: Study.parse(
            {"axes": {"o": {"x": {"optimizer": "evil:Rule"}}, "r": {"key": "optimizer.momentum", "values": [1]}}}
        ),
    ):
        with pytest.raises(RecipeError, match=r"'evil:Rule' is third-party code.*give --allow-code, .*allowing_code"):
            read()
    with allowing_code(), contextlib.suppress(RecipeError):
        Recipe.stored({"optimizer": {"name": "evil:Rule", "learning_rate": 1}})  # a store may be a stranger's
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(problem_of({"optimizer": "evil:Rule"})))
        thread.start()
        thread.join()
        assert "third-party code" in found[0]  # the permission is that of the code inside `with`
    with pytest.raises(RecipeError, match="third-party code"):
        Recipe.parse({"optimizer": "evil:Rule"})
    assert not (folder / "was-imported").exists()
    with allowing_code():
        assert Recipe.parse({"optimizer": "evil:Rule"}).optimizer.learning_rate == 0.1
    assert (folder / "was-imported").exists()


def problem_of(raw: dict[str, Any]) -> str:
    try:
        Recipe.parse(raw)
    except RecipeError as error:
        return str(error)
    return ""


def test_a_lookup_of_a_loaded_class_imports_nothing() -> None:
    assert loaded_class("assay.parts.optimizers:Adam") is Adam
    assert loaded_class("my_nowhere:Adam") is None
    assert loaded_class("sys:modules.assay") is None


def test_a_checkpoint_whose_rule_is_not_loaded_is_shown_and_predicts_but_does_not_train(folder: Path) -> None:
    write(folder / "my_kept.py", slots=1, body="return h.strength * slots[0] + h.learning_rate * g, (g,)")
    sys.path.insert(0, str(folder))
    with allowing_code():
        recipe = Recipe.parse(SMALL | {"optimizer": {"name": "my_kept:Mine", "strength": 0.1}})
    history = assay.fit(recipe)
    content = to_bytes(history)
    assert from_bytes(content, source="test").recipe == recipe
    forget(set())
    (folder / "my_kept.py").write_text(EVIL)
    read = from_bytes(content, source="test")
    assert isinstance(read.recipe.optimizer, UnloadedOptimizer)
    assert read.recipe.plain() == recipe.plain()
    assert read.recipe.key() == history.recipe.key()  # the source's hash is in the checkpoint
    assert to_bytes(read) == content
    assert history.checkpoint.slots.keys() == read.checkpoint.slots.keys()
    (folder / "image.png").write_bytes(png())
    assert predict(read, [folder / "image.png"])[0].label in "0123456789"
    for attempt in (lambda: assay.fit(read.recipe, start=read), lambda: read.recipe.with_budget(iterations=40)):
        with pytest.raises(AssayError, match="third-party code"):
            attempt()
    assert not (folder / "was-imported").exists()
    write(folder / "my_kept.py", slots=1, body="return g, (g,)")  # another rule under the same name
    with allowing_code():
        changed = Recipe.parse(recipe.plain())
    with pytest.raises(RecipeError, match="optimizer: differs from the training to resume"):
        assay.fit(changed.with_budget(iterations=40), start=from_bytes(content, source="test"))


def png() -> bytes:
    import io

    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(target, "PNG")
    return target.getvalue()


# --- the command line ------------------------------------------------------------------------------------------------

BODY = "return h.strength * h.learning_rate * g, ()"
RECIPE = """
optimizer = { name = "my_rules:Mine", strength = 0.5 }
model.hidden = [4]
budget.iterations = 20
"""
STUDY = """
repeats = 2
engine = "numpy"
[baseline]
model.hidden = [4]
budget.iterations = 20
[axes.rule]
mine = { optimizer = "my_rules:Mine" }
descent = { optimizer = { name = "descent" } }
[axes.rate]
key = "optimizer.learning_rate"
values = [0.1, 0.2]
"""


def test_train_imports_with_the_flag_alone(invoke: Any, folder: Path) -> None:
    (folder / "recipe.toml").write_text(
        RECIPE.replace("my_rules:Mine", "evil:Rule").replace("strength", "learning_rate")
    )
    (folder / "evil.py").write_text(EVIL)
    code, _, err = invoke("train", "recipe.toml")
    assert code == 2
    assert "optimizer: 'evil:Rule' is third-party code" in err
    assert "--allow-code" in err
    assert invoke("train", "--set", "optimizer=evil:Rule")[0] == 2
    assert not (folder / "was-imported").exists()
    (folder / "recipe.toml").write_text(RECIPE)
    write(folder / "my_rules.py", body=BODY)
    half = ("--set", "budget.iterations=10", "--save", "half.safetensors")
    assert invoke("train", "recipe.toml", *half)[0] == 2
    code, out, err = invoke("train", "recipe.toml", "--allow-code", *half, "--json", "--store", "other.db")
    assert code == 0, err
    assert json.loads(out)["recipe"]["optimizer"]["name"] == "my_rules:Mine"
    code, out, err = invoke("train", "--start", "half.safetensors", "--set", "budget.iterations=20")
    assert (code, "third-party code" in err) == (2, True)
    more = ("--start", "half.safetensors", "--set", "budget.iterations=20", "--allow-code", "--json")
    code, out, err = invoke("train", *more)
    assert code == 0, err
    resumed = json.loads(out)
    code, out, err = invoke("train", "recipe.toml", "--allow-code", "--json", "--store", "other.db", "--again")
    assert code == 0, err
    assert json.loads(out)["test_loss"] == resumed["test_loss"]
    assert json.loads(out)["trial"] != resumed["trial"]  # that store never had the weights it started from


def test_a_failing_rule_is_a_sentence_of_train(invoke: Any, folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE)
    write(folder / "my_rules.py", body="raise ValueError('no idea')")
    code, _, err = invoke("train", "recipe.toml", "--allow-code")
    assert code == 2
    assert "error: optimizer 'my_rules:Mine': its rule raised ValueError: no idea" in err


def test_a_study_with_an_own_rule_from_its_plan_to_its_export(invoke: Any, folder: Path) -> None:
    pytest.importorskip("pyarrow")
    (folder / "mine.toml").write_text(STUDY)
    write(folder / "my_rules.py", body=BODY)
    code, _, err = invoke("run", "mine.toml", "--plan")
    assert (code, "--allow-code" in err) == (2, True)
    code, out, err = invoke("run", "mine.toml", "--allow-code", "--json")
    assert code == 0, err
    trials = json.loads(out)["trials"]
    assert [trial["outcome"] for trial in trials] == ["completed"] * 8
    losses = {(t["rule"], t["learning_rate"], t["seed"]): t["test_loss"] for t in trials}
    for rate, seed in ((0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)):
        assert losses["mine", rate, seed] == losses["descent", rate, seed]
    code, _, err = invoke("run", "mine.toml", "--allow-code")
    assert "8 stored, 0 to train" in err
    (folder / "my_rules.py").write_text(EVIL)  # from here on nothing may be imported
    key = next(trial["trial"] for trial in trials if trial["optimizer"] == "my_rules:Mine")[:12]
    assert "my_rules:Mine" in invoke("list", "optimizer=my_rules:Mine", "--csv")[1]
    code, out, err = invoke("show", key)
    assert code == 0, err
    assert "my_rules:Mine" in out
    assert "--allow-code" in out
    assert tomllib.loads(invoke("show", key, "--recipe")[1])["optimizer"]["name"] == "my_rules:Mine"
    assert invoke("show", key, "--json")[0] == 0
    assert invoke("store", "check") == (0, "assay.db: sound\n", "")
    assert invoke("store", "export", "out", "--artifacts")[0] == 0
    assert "8 trials added" in "".join(invoke("store", "import", "out", "--store", "other.db")[1:])
    assert check(Store("other.db")) == []
    assert invoke("run", "quickstart", "--plan")[0] == 0  # whose estimate reads the stored trials
    assert not (folder / "was-imported").exists()


def test_a_rule_that_raises_is_a_failed_trial_and_the_others_are_trained(invoke: Any, folder: Path) -> None:
    (folder / "mine.toml").write_text(STUDY.replace("repeats = 2", ""))
    write(folder / "my_rules.py", body="raise ValueError('no idea')")
    code, out, err = invoke("run", "mine.toml", "--allow-code", "--json")
    assert code == 0, err
    trials = json.loads(out)["trials"]
    assert sorted(trial["outcome"] for trial in trials) == ["completed", "completed", "failed", "failed"]
    key = next(trial["trial"] for trial in trials if trial["outcome"] == "failed")[:12]
    shown = json.loads(invoke("show", key, "--json")[1])["error"]
    assert "Traceback" in shown
    assert "my_rules.py" in shown
    assert "ValueError: no idea" in shown


def test_a_source_that_changes_while_a_study_runs_is_not_trained_under_the_old_key(folder: Path) -> None:
    write(folder / "my_rules.py", body=BODY)
    sys.path.insert(0, str(folder))
    with allowing_code():
        study = Study.parse({"design": "one-at-a-time", "baseline": SMALL | {"optimizer": "my_rules:Mine"}})
    write(folder / "my_rules.py", body="return 100 * g, ()")
    results = assay.run(replace(study), store=str(folder / "assay.db"))
    assert list(results.frame()["outcome"]) == ["failed"]


def test_a_study_from_python_takes_an_instance(folder: Path) -> None:
    axis = {"key": "optimizer.learning_rate", "values": [0.1, 0.2]}
    study = {"baseline": SMALL | {"optimizer": Lagging(share=0.25)}, "axes": {"rate": axis}}
    results = assay.run(study, store=str(folder / "assay.db"))
    assert list(results.frame()["outcome"]) == ["completed"] * 2
    assert set(results.frame()["optimizer"]) == {f"{__name__}:Lagging"}
