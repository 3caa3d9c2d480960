"""The laws with the optimizers of other libraries: every one that torch.optim and optax export, and loops by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.engines import choose
from assay.engines.base import Checkpoint, Cohort, Engine, fresh
from assay.errors import AssayError, CodeError, EngineError, RecipeError
from assay.execution.fit import fit
from assay.parts import foreign
from assay.parts.batches import Batches, make_batches
from assay.parts.foreign import MODULES, ForeignOptimizer, exports, fitting, table
from assay.parts.groups import WHERE
from assay.parts.user_optimizers import UnloadedOptimizer, allowing_code
from assay.recipe.cohorts import cohorts
from assay.recipe.model import Recipe
from assay.studies.plan import plan
from assay.studies.study import Study
from assay.training.checkpoints import from_bytes, to_bytes
from tests.engines import cases

pytest.importorskip("torch")
pytest.importorskip("optax")

RATES = {"optax:fromage": 1e-3, "optax:sign_sgd": 1e-3}
MATRICES_ONLY = ("torch.optim:Muon",)
ITERATIONS = 12


def names(module: str) -> list[str]:
    paths = [f"{module}:{name}" for name, fits in fitting(module).items() if not isinstance(fits, str)]
    return [path for path in paths if path not in MATRICES_ONLY]


NAMES = [name for module in MODULES for name in names(module)]


def recipe_of(optimizer: Any, **changes: Any) -> Recipe:
    return Recipe.parse(
        {
            "model": {"hidden": [6], "activation": "tanh"},
            "optimizer": optimizer,
            "schedule": {"name": "cosine", "warm_up": 3, "horizon": 30},
            "batches": {"kind": "shuffled", "size": 10},
            "budget": {"iterations": ITERATIONS},
            "seed": 3,
            **changes,
        }
    )


class Training:
    """A training by an engine's own methods."""

    def __init__(self, recipe: Recipe, *, start: Checkpoint | None = None) -> None:
        optimizer = recipe.optimizer
        self.recipe, self.network = recipe, recipe.model.network(cases.INPUTS, cases.CLASSES)
        self.engine: Engine = cases.engine(optimizer.engine if isinstance(optimizer, ForeignOptimizer) else "torch")
        cohort, splits = Cohort((recipe,), self.network), cases.data(recipe.precision)
        self.t = start.t if start else 0
        self.state = self.engine.start(cohort, start or fresh(cohort), splits)

    def batches(self, count: int) -> Batches:
        return make_batches(self.recipe.batches, (self.recipe.seed,), self.t + 1, count, cases.EXAMPLES)

    def advance(self, count: int) -> np.ndarray:
        self.state, progress = self.engine.advance(self.state, self.batches(count), np.ones(1, np.bool_))
        self.t += count
        return progress.losses[0]

    def export(self) -> Checkpoint:
        return self.engine.export(self.state)


def bits(checkpoint: Checkpoint) -> dict[str, bytes]:
    arrays = {f"w {name}": a for name, a in checkpoint.weights.items()}
    arrays |= {f"s {name}": a for name, a in checkpoint.slots.items()}
    return {name: np.ascontiguousarray(a).tobytes() for name, a in arrays.items()}


def optimizer_of(name: str) -> dict[str, Any]:
    return {"name": name, "learning_rate": RATES.get(name, 0.01)}


@pytest.mark.parametrize("name", NAMES)
def test_chunks_watching_and_resuming_from_a_file_give_the_same_bits(name: str) -> None:
    recipe = recipe_of(optimizer_of(name), precision="float32")
    whole = Training(recipe)
    losses = whole.advance(ITERATIONS)
    assert np.isfinite(losses).all()
    expected = bits(whole.export())

    watched = Training(recipe)
    for _ in range(4):
        watched.engine.evaluate(watched.state, "test")
        watched.engine.outputs(watched.state, cases.data("float32").parts["test"][0])
        watched.export()
        watched.advance(3)
    assert bits(watched.export()) == expected, "chunks and watching"

    half = Training(recipe)
    half.advance(5)
    resumed = Training(recipe, start=through_a_file(recipe, half.export()))
    np.testing.assert_array_equal(resumed.advance(ITERATIONS - 5), losses[5:])
    assert bits(resumed.export()) == expected, "resuming"


def through_a_file(recipe: Recipe, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint as a file has it."""
    classes = tuple(map(str, range(cases.CLASSES)))
    shape = {"shape": (cases.INPUTS,), "inputs": cases.INPUTS, "classes": classes}
    history = replace(of_digits(), recipe=recipe, checkpoint=checkpoint, **shape)
    return from_bytes(to_bytes(history), source="test").checkpoint


@cache
def of_digits() -> Any:
    return fit({"model": {"hidden": []}, "budget": {"iterations": 1}}, engine="numpy")


def test_every_exported_optimizer_is_in_the_table() -> None:
    for module in MODULES:
        table = fitting(module)
        assert table.keys() == exports(module).keys()
        for name, fits in table.items():
            assert not isinstance(fits, str) or fits.startswith(f"optimizer '{module}:{name}' ")
    assert "closure" in str(fitting("torch.optim")["LBFGS"])
    assert "sparse" in str(fitting("torch.optim")["SparseAdam"])


# --- by hand ---------------------------------------------------------------------------------------------------------


def batches_of(training: Training) -> list[tuple[np.ndarray, np.ndarray]]:
    batches, (x, y) = training.batches(ITERATIONS), cases.data("float64").parts["train"]
    assert batches.rows is not None
    return [(x[batches.rows[0, i, :n]], y[batches.rows[0, i, :n]]) for i, n in enumerate(batches.sizes)]


TORCH_LOOPS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "Adam": {"betas": (0.8, 0.99)},
    "NAdam": {"weight_decay": 0.1, "decoupled_weight_decay": True},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Adafactor": {},
}


@pytest.mark.parametrize("name", TORCH_LOOPS)
def test_a_training_equals_a_loop_that_a_user_of_torch_writes(name: str) -> None:
    import torch

    settings = TORCH_LOOPS[name]
    optimizer = {"name": f"torch.optim:{name}", "lr": 0.02, **settings}
    training = Training(recipe_of(optimizer, precision="float64", schedule="constant"))
    start = training.export().weights

    model: Any = torch.nn.Sequential(
        torch.nn.Linear(cases.INPUTS, 6), torch.nn.Tanh(), torch.nn.Linear(6, cases.CLASSES), torch.nn.LogSoftmax(-1)
    ).double()
    with torch.no_grad():
        for number, layer in enumerate((model[0], model[2])):
            layer.weight.copy_(torch.tensor(start[f"{number}.weight"][0].T.copy()))
            layer.bias.copy_(torch.tensor(start[f"{number}.bias"][0]))
    own = getattr(torch.optim, name)(model.parameters(), lr=0.02, **settings)
    for x, y in batches_of(training):
        own.zero_grad()
        torch.nn.functional.nll_loss(model(torch.tensor(x)), torch.tensor(y)).backward()
        own.step()
    training.advance(ITERATIONS)
    weights = training.export().weights
    for number, layer in enumerate((model[0], model[2])):
        expected = layer.weight.detach().numpy().T
        np.testing.assert_allclose(weights[f"{number}.weight"][0], expected, rtol=1e-11, atol=1e-12)
        assert np.abs(expected - start[f"{number}.weight"][0]).max() > 1e-3


@pytest.mark.parametrize("name", ["lion", "adamw", "contrib.schedule_free_adamw"])
def test_a_training_equals_a_loop_that_a_user_of_optax_writes(name: str) -> None:
    import jax
    import jax.numpy as jnp
    import optax
    import optax.contrib

    module, _, function = f"optax.{name}".rpartition(".")
    training = Training(
        recipe_of({"name": f"{module}:{function}", "lr": 0.02}, precision="float64", schedule="constant")
    )
    start = training.export().weights

    def loss(params: Any, x: Any, y: Any) -> Any:
        a = jnp.tanh(x @ params["0.weight"] + params["0.bias"]) @ params["1.weight"] + params["1.bias"]
        return -jax.nn.log_softmax(a)[jnp.arange(len(y)), y].mean()

    with jax.enable_x64(True):
        make = getattr(optax.contrib if "contrib" in module else optax, function)
        own = make(0.02)
        params = {key: jnp.array(a[0]) for key, a in start.items()}
        state = own.init(params)
        for x, y in batches_of(training):
            updates, state = own.update(jax.grad(loss)(params, x, y), state, params)
            params = optax.apply_updates(params, updates)
        if "schedule_free" in name:
            params = optax.contrib.schedule_free_eval_params(state, params)
        params = {key: np.array(a) for key, a in params.items()}
    training.advance(ITERATIONS)
    for key, a in training.export().weights.items():
        np.testing.assert_allclose(a[0], params[key], rtol=1e-10, atol=1e-12)


def test_other_engines_refuse_and_auto_follows() -> None:
    for name, engine in [("torch.optim:NAdam", "torch"), ("optax:lion", "jax")]:
        recipe = recipe_of({"name": name, "lr": 0.01})
        assert choose(recipe).name == engine
        for other in {"numpy", "native", "jax", "torch"} - {engine}:
            with pytest.raises(EngineError, match=f"trains on engine '{engine}' only; use engine '{engine}'"):
                choose(recipe, other)


SCHEDULE_FREE = """
import torch

class Averaged(torch.optim.Optimizer):
    '''SGD that evaluates at the mean of its iterates.'''
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, dict(lr=lr, k=0, train_mode=False))

    @torch.no_grad()
    def _swap(self, mode):
        for group in self.param_groups:
            if group['train_mode'] != mode:
                for p in group['params']:
                    if 'mean' in self.state[p]:
                        kept = p.clone()
                        p.copy_(self.state[p]['mean'])
                        self.state[p]['mean'] = kept
                group['train_mode'] = mode

    def eval(self):
        self._swap(False)

    def train(self):
        self._swap(True)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            assert group['train_mode']
            group['k'] += 1
            for p in group['params']:
                p.sub_(p.grad, alpha=group['lr'])
                mean = self.state[p].setdefault('mean', torch.zeros_like(p))
                mean.lerp_(p, 1 / group['k'])


class Idle(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, dict(lr=lr))

    def step(self, closure=None):
        pass


class Forgetful(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, dict(lr=lr))
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for p in group['params']:
                p.sub_(p.grad, alpha=group['lr'] / self.count)


class Halving(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group['params']:
                p.data = p.data.half()
"""


@pytest.fixture
def third_party(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of third-party optimizers."""
    name = "third_party_optimizers"
    (tmp_path / f"{name}.py").write_text(SCHEDULE_FREE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_schedule_free_optimizer_is_evaluated_at_its_mean_and_keeps_the_laws(third_party: str) -> None:
    with pytest.raises(RecipeError, match="third-party code, which is imported only if allowed"):
        recipe_of({"name": f"{third_party}:Averaged", "lr": 0.1})
    with allowing_code():
        recipe = recipe_of({"name": f"{third_party}:Averaged", "lr": 0.1}, precision="float64", schedule="constant")
        descent = recipe_of({"name": "torch.optim:SGD", "lr": 0.1}, precision="float64", schedule="constant")
    whole, plain = Training(recipe), Training(descent)
    mean: dict[str, Any] = {}
    for k in range(1, ITERATIONS + 1):
        whole.advance(1)
        whole.engine.evaluate(whole.state, "test")
        plain.advance(1)
        for name, a in plain.export().weights.items():
            mean[name] = mean.get(name, 0.0) + (a - mean.get(name, 0.0)) / k
    exported = whole.export()
    for name, a in exported.weights.items():
        np.testing.assert_allclose(a, mean[name], rtol=1e-12, atol=1e-12)
    once = Training(recipe)
    once.advance(ITERATIONS)
    assert bits(once.export()) == bits(exported)
    with allowing_code():
        resumed = Training(recipe, start=through_a_file(recipe, exported))
    assert bits(resumed.export()) == bits(exported)
    shown = Training(recipe.patched({"optimizer": "descent"}), start=Checkpoint(0, exported.weights, {}))
    assert shown.engine.evaluate(shown.state, "test").loss == whole.engine.evaluate(whole.state, "test").loss


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Idle", "did not change the parameter of shape .* although it has a gradient"),
        ("Forgetful", "cannot be resumed"),
        ("Halving", "turned a parameter of type torch.float32 into torch.float16"),
    ],
)
def test_an_optimizer_that_breaks_the_contract_is_refused(third_party: str, name: str, sentence: str) -> None:
    with allowing_code():
        recipe = recipe_of({"name": f"{third_party}:{name}"})
    with pytest.raises(CodeError, match=sentence):
        Training(recipe)


def test_a_torch_py_in_the_current_folder_is_not_run(tmp_path: Any) -> None:
    for name in ("torch", "optax"):
        (tmp_path / f"{name}.py").write_text("print('executed')")
        code = (
            "import sys; sys.path.insert(0, ''); import assay\n"
            f"try:\n    assay.Recipe.parse({{'optimizer': '{name}{'.optim:Adam' if name == 'torch' else ':adam'}'}})\n"
            "except assay.AssayError as error:\n    print(error)"
        )
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "executed" not in run.stdout
        assert f"'{name}' is here" in run.stdout
        assert "not the installed package" in run.stdout


def test_mistakes_are_all_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of({"name": "torch.optim:NAdam", "lrr": 1.0, "eps": "x", "betas": [0.9, "y"]})
    text = str(caught.value)
    assert "optimizer.eps: got 'x'; expected a number" in text
    assert "optimizer 'torch.optim:NAdam' has no key 'lrr'" in text
    assert "optimizer.betas.1: got 'y'; expected a number" in text
    for name, sentence in {
        "torch.optim:NAdm": "did you mean 'NAdam'?",
        "optax:lions": "did you mean 'lion'?",
        "torch.hub:load": "third-party code",
        "torch.optim:LBFGS": "needs a closure",
    }.items():
        with pytest.raises(RecipeError, match=sentence):
            recipe_of(name)
    with pytest.raises(RecipeError, match="another name of optimizer.learning_rate"):
        recipe_of({"name": "torch.optim:NAdam", "lr": 1.0, "learning_rate": 1.0})
    with pytest.raises(RecipeError, match="refuses its arguments: Invalid beta parameter"):
        recipe_of({"name": "torch.optim:NAdam", "betas": [1.5, 0.9]})
    with pytest.raises(RecipeError, match="optimizer.learning_rate: is missing"):
        recipe_of("optax:lion")


def test_the_key_has_the_version_without_a_build_tag_and_one_learning_rate() -> None:
    a = recipe_of({"name": "torch.optim:NAdam", "lr": 0.01})
    b = recipe_of({"name": "torch.optim:NAdam", "learning_rate": 0.01})
    assert a.key() == b.key()
    assert a.canonical()["optimizer"]["code"] == f"torch {metadata.version('torch').partition('+')[0]}"
    assert "lr" not in a.plain()["optimizer"]
    assert Recipe.parse(a.plain()).key() == a.key()
    stored = Recipe.stored(a.plain(), code=a.canonical()["optimizer"]["code"])
    assert stored.key() == a.key()


def test_the_documentation_has_the_table_of_the_installed_versions() -> None:
    text = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text()
    versions = [f"{name} {metadata.version(name).partition('+')[0]}" for name in ("torch", "optax")]
    if " and ".join(versions) not in text:
        pytest.skip("the page is that of other versions")
    assert table() in text


def test_recipes_that_differ_in_an_argument_of_a_library_are_no_cohort() -> None:
    recipes = [
        recipe_of({"name": "optax:lion", "lr": rate, "b1": b1}) for rate, b1 in [(0.1, 0.9), (0.2, 0.9), (0.1, 0.8)]
    ]
    assert [len(group) for group in cohorts(recipes)] == [2, 1]


def test_a_stored_training_predicts_and_resumes_without_its_library_being_asked() -> None:
    recipe = recipe_of({"name": "torch.optim:NAdam"}, data="digits")
    history = fit(recipe)
    again = from_bytes(to_bytes(history), source="test")
    x = np.zeros((2, 64))
    np.testing.assert_array_equal(again.predict(x), history.predict(x))
    longer = recipe.patched({"budget": {"iterations": 2 * ITERATIONS}})
    resumed, whole = fit(longer, start=again), fit(longer)
    assert bits(resumed.checkpoint) == bits(whole.checkpoint)
    with pytest.raises(AssayError, match="kept no optimizer state"):
        fit(longer, start=replace(again, checkpoint=replace(again.checkpoint, slots={})))


# --- parameter groups -------------------------------------------------------------------------------------------------

MUON = {
    "groups": [
        {"where": "matrices", "name": "torch.optim:Muon", "lr": 0.02},
        {"where": "rest", "name": "torch.optim:AdamW", "lr": 0.003, "weight_decay": 0.0},
    ]
}
OPTAX = {
    "groups": [
        {"where": "hidden weights", "name": "optax.contrib:schedule_free_sgd", "lr": 0.02},
        {"where": "biases", "name": "optax:lion", "lr": 0.003},
        {"where": "rest", "name": "optax:adamw", "lr": 0.001},
    ]
}


@pytest.mark.parametrize("groups", [MUON, OPTAX], ids=["torch", "optax"])
def test_groups_keep_the_laws(groups: dict[str, Any]) -> None:
    recipe = recipe_of(groups, precision="float32")
    assert Recipe.parse(recipe.plain()).key() == recipe.key()
    whole, watched = Training(recipe), Training(recipe)
    losses = whole.advance(ITERATIONS)
    for _ in range(4):
        watched.engine.evaluate(watched.state, "test")
        watched.advance(3)
    half = Training(recipe)
    half.advance(5)
    resumed = Training(recipe, start=through_a_file(recipe, half.export()))
    np.testing.assert_array_equal(resumed.advance(ITERATIONS - 5), losses[5:])
    assert bits(whole.export()) == bits(watched.export()) == bits(resumed.export())


def test_muon_on_matrices_and_adamw_on_the_rest_equal_a_loop_by_hand() -> None:
    import torch

    training = Training(recipe_of(MUON, precision="float32"))
    start, factors = training.export().weights, training.recipe.schedule.factors(1, ITERATIONS)
    model: Any = torch.nn.Sequential(
        torch.nn.Linear(cases.INPUTS, 6), torch.nn.Tanh(), torch.nn.Linear(6, cases.CLASSES), torch.nn.LogSoftmax(-1)
    )
    layers: tuple[Any, ...] = (model[0], model[2])
    with torch.no_grad():
        for number, layer in enumerate(layers):
            layer.weight.copy_(torch.tensor(start[f"{number}.weight"][0].T.copy()))
            layer.bias.copy_(torch.tensor(start[f"{number}.bias"][0]))
    own = [
        (0.02, torch.optim.Muon([layer.weight for layer in layers], lr=0.02)),
        (0.003, torch.optim.AdamW([layer.bias for layer in layers], lr=0.003, weight_decay=0.0)),
    ]
    for (x, y), factor in zip(batches_of(training), factors, strict=True):
        model.zero_grad()
        torch.nn.functional.nll_loss(model(torch.tensor(x, dtype=torch.float32)), torch.tensor(y)).backward()
        for rate, optimizer in own:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
    training.advance(ITERATIONS)
    weights = training.export().weights
    for number, layer in enumerate(layers):
        # Muon rounds to bfloat16 inside, so that the last bits of a product decide about steps of 1e-3 of their size
        np.testing.assert_allclose(weights[f"{number}.weight"][0], layer.weight.detach().numpy().T, atol=2e-3)
        np.testing.assert_allclose(weights[f"{number}.bias"][0], layer.bias.detach().numpy(), atol=2e-3)
        assert np.abs(layer.weight.detach().numpy().T - start[f"{number}.weight"][0]).max() > 2e-2


def test_mistakes_in_groups_are_all_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of(
            {
                "groups": [
                    {"where": "matrises", "name": "torch.optim:Muon"},
                    {"where": "rest", "name": "torch.optim:SGDD"},
                ]
            }
        )
    assert "groups.0: unknown where 'matrises'; did you mean 'matrices'?" in str(caught.value)
    assert "groups.1: module 'torch.optim' has no optimizer 'SGDD'; did you mean 'SGD'?" in str(caught.value)
    sgd = {"name": "torch.optim:SGD", "lr": 0.1}
    for groups, sentence in [
        ([("biases", sgd), ("rest", {"name": "optax:sgd", "lr": 0.1})], "expected one library"),
        ([("biases", sgd)], "a list of two or more tables"),
        ([("biases", sgd), ("biases", sgd)], "is that of an earlier group too"),
        ([("biases", {**sgd, "mom": 1}), ("rest", sgd)], "has no key 'mom'"),
        ([("biases", {"name": "adam"}), ("rest", sgd)], "an optimizer of another library"),
    ]:
        with pytest.raises(RecipeError, match=sentence):
            recipe_of({"groups": [{"where": where, **table} for where, table in groups]})
    with pytest.raises(RecipeError, match="'learning_rate' is next to groups"):
        recipe_of({**MUON, "learning_rate": 0.1})
    for wheres, sentence in [
        (("biases", "scales"), "no group takes '0.weight'"),
        (("scales", "rest"), "takes nothing"),
    ]:
        groups = {"groups": [{"where": where, **sgd} for where in wheres]}
        with pytest.raises(CodeError, match=sentence):
            Training(recipe_of(groups))
        study = {"design": "one-at-a-time", "baseline": {"data": "digits", "optimizer": groups}}
        with pytest.raises(RecipeError, match=sentence):  # before anything is trained
            plan(Study.parse(study))
    both = {"where": "rest", **sgd, "lr": 0.1, "learning_rate": 0.2, "momentun": 0.9}
    with pytest.raises(RecipeError) as caught:
        recipe_of({"groups": [{"where": "biases", **sgd}, both]})
    assert "groups.1: lr: is another name of learning_rate" in str(caught.value)
    assert "has no key 'momentun'; did you mean 'momentum'?" in str(caught.value)


def test_the_plan_counts_the_state_of_another_library_among_the_weights_that_are_kept() -> None:
    study = {"design": "one-at-a-time", "baseline": {"data": "digits", "optimizer": "torch.optim:AdamW"}}
    planned = next(iter(plan(Study.parse(study)).trials.values()))
    recipe = planned.recipe.model_copy(update={"budget": planned.recipe.budget.model_copy(update={"epochs": 1})})
    checkpoint = fit(recipe).checkpoint
    stored = sum(array.nbytes for array in (*checkpoint.weights.values(), *checkpoint.slots.values()))
    assert stored <= planned.weights_bytes < 2 * stored  # four arrays are assumed, and Adam has two


def test_the_documentation_has_every_place_of_groups() -> None:
    text = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text()
    assert "\n".join(f"| `{name}` | {about} |" for name, (about, _) in WHERE.items()) in text


@pytest.mark.parametrize("optimizer", [*map(optimizer_of, NAMES), MUON, OPTAX], ids=[*NAMES, "muon", "groups"])
def test_a_stored_recipe_is_shown_with_its_key_where_its_library_is_not_loaded(
    optimizer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(optimizer)
    plain, code = recipe.plain(), recipe.canonical()["optimizer"]["code"]
    monkeypatch.setattr(foreign, "_made", {})
    stored = Recipe.stored(plain, code=code)
    assert isinstance(stored.optimizer, UnloadedOptimizer)
    assert (stored.plain(), stored.canonical(), stored.key()) == (plain, recipe.canonical(), recipe.key())
    assert stored.label() == recipe.label()
    with pytest.raises(CodeError):
        choose(stored)
