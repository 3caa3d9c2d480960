"""Random numbers, batches, schedules, initial weights, models and the count of operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.parts.batches import (
    BATCHES,
    Full,
    Ordered,
    Replacement,
    Shuffled,
    Single,
    Window,
    examples_seen,
    iterations_per_epoch,
    make_batches,
)
from assay.parts.initials import INITIALS, initial_weights
from assay.parts.layers import Conv2d, Dense, Network
from assay.parts.models import MLP, MODELS, flops_forward, flops_training
from assay.parts.optimizers import Adam, Descent
from assay.parts.schedules import SCHEDULES, Constant, Cosine, Exponential, Linear, Step
from assay.rng import Stream, stream

# --- random numbers --------------------------------------------------------------------------------------------------


def test_streams_are_golden() -> None:
    """Raw Philox words of named streams: should this fail, every stored result would belong to other batches."""
    assert [int(w) for w in stream(1, "batches").words(3)] == [
        18291020451678359771,
        12536044963666708505,
        16331850087333687490,
    ]
    assert stream(7, "weights", 2).words(1)[0] == 3851768654500056637


@given(start=st.integers(0, 10**12), count=st.integers(1, 50), cut=st.integers(0, 50))
def test_streams_are_read_at_any_place(start: int, count: int, cut: int) -> None:
    source, cut = stream(3, "anything"), min(cut, count)
    parts = [source.words(cut, start=start), source.words(count - cut, start=start + cut)]
    np.testing.assert_array_equal(np.concatenate(parts), source.words(count, start=start))


def test_streams_of_other_names_are_other_numbers() -> None:
    keys = {stream(seed, purpose, index).key for seed in range(5) for purpose in "ab" for index in range(5)}
    assert len(keys) == 50


def test_the_distributions_are_what_they_say() -> None:
    source = stream(11, "distribution")
    assert stats.kstest(source.uniform(50_000), "uniform").pvalue > 0.01
    assert stats.kstest(source.normal(50_000), "norm").pvalue > 0.01
    assert stats.chisquare(np.bincount(source.integers(97, 97_000), minlength=97)).pvalue > 0.01
    first = [stream(seed, "permutation").permutation(5)[0] for seed in range(2000)]
    assert stats.chisquare(np.bincount(first)).pvalue > 0.01
    assert len(source.normal(7)) == 7


# --- batches ---------------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(list(BATCHES))


def kind(name: str, size: int) -> Any:
    return BATCHES[name]() if name in ("full", "single") else BATCHES[name](size=size)


@given(KINDS, st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.integers(1, 60), st.integers(0, 60))
@settings(deadline=None)
def test_batch_i_depends_on_seed_and_i_alone(name: str, n: int, size: int, first: int, count: int, cut: int) -> None:
    batches, cut = kind(name, min(size, n)), min(max(cut, 1), count)
    whole = batches.make(5, first, count, n)
    parts = [batches.make(5, first, cut, n)] + ([batches.make(5, first + cut, count - cut, n)] if count > cut else [])
    np.testing.assert_array_equal(np.concatenate([p.sizes for p in parts]), whole.sizes)
    for field in ("rows", "starts"):
        if getattr(whole, field) is not None:
            joined = np.concatenate([getattr(p, field) for p in parts], axis=1)
            np.testing.assert_array_equal(joined, getattr(whole, field))
    assert examples_seen(batches, count, n) == batches.make(5, 1, count, n).sizes.sum()


@pytest.mark.parametrize("count", [0, 1, 2, 1437, 60_000, (1 << 20) + 1])
def test_a_permutation_is_the_order_of_its_words(count: int) -> None:
    made = stream(7, "shuffle", count)
    np.testing.assert_array_equal(made.permutation(count), np.argsort(made.words(count), kind="stable"))


def test_words_that_differ_in_their_lowest_bits_alone_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([1 << 40 | 3, 5, 1 << 40 | 1, 1 << 63, 1 << 40 | 3, 0], np.uint64)
    monkeypatch.setattr(Stream, "words", lambda self, count: words.copy())
    np.testing.assert_array_equal(stream(1, "shuffle").permutation(6), [5, 1, 2, 0, 4, 3])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_an_epoch_of_shuffled_batches_is_a_permutation(n: int, size: int, epoch: int) -> None:
    batches = Shuffled(size=min(size, n))
    length = int(iterations_per_epoch(batches, n))
    made = batches.make(1, epoch * length + 1, length, n)
    assert made.rows is not None
    seen = np.concatenate([row[:size] for row, size in zip(made.rows[0], made.sizes, strict=True)])
    assert sorted(seen) == list(range(n))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 100), st.integers(0, 3))
def test_sequential_batches_are_those_of_shuffled_ones_in_the_order_of_the_data(
    n: int, size: int, first: int, seed: int
) -> None:
    size = min(size, n)
    made, shuffled = (kind(name, size).make(seed, first, 30, n) for name in ("sequential", "shuffled"))
    assert made.rows is not None
    assert shuffled.rows is not None
    np.testing.assert_array_equal(made.sizes, shuffled.sizes)
    assert made.rows.shape == shuffled.rows.shape
    assert made.rows.dtype == shuffled.rows.dtype
    expected = [list(range(n))[start : start + size] for start in range(0, n, size)]
    for i, (row, count) in enumerate(zip(made.rows[0], made.sizes, strict=True)):
        assert row[:count].tolist() == expected[(first - 1 + i) % len(expected)]
    assert ((made.rows >= 0) & (made.rows < n)).all()


def test_sequential_batches_do_not_depend_on_the_seed() -> None:
    made = make_batches(Ordered(size=4), (1, 2, 3), 1, 5, 10)
    assert made.rows is not None
    assert len(made.rows) == 1


def test_windows_reach_from_the_first_example_to_the_last() -> None:
    made = Window(size=3).make(1, 1, 2000, 10)
    assert made.starts is not None
    assert set(made.starts[0].tolist()) == set(range(8))
    assert stats.chisquare(np.bincount(made.starts[0])).pvalue > 0.01


@pytest.mark.parametrize("batches", [Single(), Replacement(size=5)])
def test_examples_are_drawn_uniformly(batches: Single | Replacement) -> None:
    made = batches.make(1, 1, 20_000, 10)
    assert made.rows is not None
    assert stats.chisquare(np.bincount(made.rows.ravel(), minlength=10)).pvalue > 0.01


def test_epochs_are_shuffled_differently() -> None:
    made = Shuffled(size=10).make(1, 1, 20, 50)
    assert made.rows is not None
    epochs = made.rows[0].reshape(4, 50)
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4


def test_a_cohort_shares_its_batches_where_seeds_are_equal() -> None:
    same, other = (make_batches(Shuffled(size=4), seeds, 1, 6, 10).rows for seeds in ((1, 1), (1, 2)))
    assert same is not None
    assert other is not None
    assert (len(same), len(other)) == (1, 2)
    np.testing.assert_array_equal(other[:1], same)
    assert make_batches(Full(), (1, 2), 1, 3, 10).rows is None


# --- schedules -------------------------------------------------------------------------------------------------------


def test_schedules_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    scheduler = torch.optim.lr_scheduler
    pairs: list[tuple[Any, Any]] = [
        (Step(every=7, factor=0.3), lambda o: scheduler.StepLR(o, 7, 0.3)),
        (Exponential(every=1, factor=0.93), lambda o: scheduler.ExponentialLR(o, 0.93)),
        (Cosine(horizon=40, final=0.0), lambda o: scheduler.CosineAnnealingLR(o, 40)),
        (Linear(horizon=40, final=0.25), lambda o: scheduler.LinearLR(o, 1.0, 0.25, 40)),
        (Constant(warm_up=10), lambda o: scheduler.LinearLR(o, 0.1, 1.0, 9)),
    ]
    for mine, theirs in pairs:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = theirs(optimizer)
        expected = []
        for _ in range(40):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        np.testing.assert_allclose(mine.factors(1, 40), expected, rtol=1e-10, atol=1e-12)


def test_schedules_are_those_of_optax() -> None:
    optax = pytest.importorskip("optax")
    pairs: list[tuple[Any, Any]] = [
        (Constant(), optax.constant_schedule(1.0)),
        (Exponential(every=9, factor=0.3), optax.exponential_decay(1.0, 9, 0.3)),
        (Step(every=9, factor=0.3), optax.exponential_decay(1.0, 9, 0.3, staircase=True)),
        (Cosine(horizon=30, final=0.1), optax.cosine_decay_schedule(1.0, 30, alpha=0.1)),
        (Linear(horizon=30, final=0.1), optax.linear_schedule(1.0, 0.1, 30)),
    ]
    for mine, theirs in pairs:
        expected = [float(theirs(step)) for step in range(50)]  # in float32
        np.testing.assert_allclose(mine.factors(1, 50), expected, rtol=2e-6, err_msg=mine.name)
        warm = type(mine)(**mine.settings() | {"warm_up": 8})
        joined = optax.join_schedules([optax.linear_schedule(1 / 8, 1.0, 7), theirs], [8])
        np.testing.assert_allclose(warm.factors(1, 50), [float(joined(step)) for step in range(50)], rtol=2e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_read_at_any_place_and_end_where_they_say(name: str) -> None:
    settings = {"every": 5} if "every" in SCHEDULES[name].model_fields else {}
    settings |= {"horizon": 30} if "horizon" in SCHEDULES[name].model_fields else {}
    schedule = SCHEDULES[name](**settings, warm_up=4)
    whole = schedule.factors(1, 100)
    np.testing.assert_array_equal(np.concatenate([schedule.factors(1, 33), schedule.factors(34, 67)]), whole)
    np.testing.assert_allclose(whole[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    if hasattr(schedule, "final"):
        np.testing.assert_array_equal(whole[40:], whole[-1])


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), [("4LS", 13_274), ("3LS", 51_370), ("2LR", 25_450)])
def test_the_models_of_the_articles_have_their_weights(name: str, parameters: int) -> None:
    network = MODELS[name]().network(784, 10)
    assert network.parameters == parameters
    assert sum(int(np.prod(shape)) for shape in network.shapes.values()) == parameters


@pytest.mark.parametrize("name", MODELS)
def test_a_named_model_is_the_network_of_its_spelling(name: str) -> None:
    model = MODELS[name]() if name != "sequential" else MODELS[name](layers=("flatten",))
    spelling = model.canonical()
    assert spelling["name"] in ("mlp", "sequential")
    assert MODELS[spelling["name"]](**spelling).network((28, 28), 10) == model.network((28, 28), 10)


@pytest.mark.parametrize("initial", INITIALS)
def test_initial_weights_have_their_distribution(initial: str) -> None:
    network = MLP(hidden=(300,)).network(200, 5)
    weights = initial_weights(network, initial, 3)
    w, b = weights["0.weight"].ravel(), weights["0.bias"]
    expected = DISTRIBUTIONS[initial]
    assert stats.kstest(w, expected.cdf).pvalue > 0.01
    assert w.std() == pytest.approx(expected.std(), rel=0.01)
    if initial in ("standard_normal", "scaled_normal"):
        assert stats.kstest(b, "norm").pvalue > 0.01
    elif initial == "kaiming_uniform":
        assert stats.kstest(b, expected.cdf).pvalue > 0.01
    else:
        assert (b == 0).all()


def uniform(bound: float) -> Any:
    return stats.uniform(-bound, 2 * bound)


def truncated(variance: float) -> Any:
    """A normal cut at two standard deviations, widened so that its variance is that one: as JAX and Keras have it."""
    cut = stats.truncnorm(-2, 2)
    return stats.truncnorm(-2, 2, scale=np.sqrt(variance / cut.var()))


DISTRIBUTIONS = {  # of the weights of a layer with 200 inputs and 300 units
    "glorot_uniform": uniform(np.sqrt(6 / 500)),
    "kaiming_uniform": uniform(1 / np.sqrt(200)),
    "standard_normal": stats.norm(),
    "scaled_normal": stats.norm(scale=np.sqrt(1 / 200)),
    "lecun": truncated(1 / 200),
    "he_normal": truncated(2 / 200),
    "glorot_normal": truncated(2 / 500),
}


@pytest.mark.parametrize(("initial", "name"), [("lecun", "lecun_normal"), ("he_normal",) * 2, ("glorot_normal",) * 2])
def test_normal_initial_weights_are_those_of_jax(initial: str, name: str) -> None:
    jax = pytest.importorskip("jax")
    theirs = np.asarray(getattr(jax.nn.initializers, name)()(jax.random.key(1), (200, 300))).ravel()
    ours = initial_weights(MLP(hidden=(300,)).network(200, 5), initial, 3)["0.weight"].ravel()
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=1e-3)


@pytest.mark.parametrize(("initial", "name"), [("he_normal", "kaiming_normal_"), ("glorot_normal", "xavier_normal_")])
@pytest.mark.parametrize("convolution", [False, True])
def test_normal_initial_weights_have_the_variance_of_torch(initial: str, name: str, convolution: bool) -> None:
    torch = pytest.importorskip("torch")
    shape = (300, 20, 5, 5) if convolution else (300, 200)
    settings = {"nonlinearity": "relu"} if name == "kaiming_normal_" else {}
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), generator=torch.Generator().manual_seed(1), **settings)
    layer = Conv2d((9, 9, 20), 300, 5) if convolution else Dense(200, 300)
    ours, biases = INITIALS[initial](stream(3, "weights"), layer)
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.01)
    assert not biases.any()


def test_a_scaled_normal_network_is_a_standard_normal_one_over_the_root_of_its_inputs() -> None:
    network = MLP(hidden=(30,)).network(20, 5)
    scaled, standard = (initial_weights(network, name, 3) for name in ("scaled_normal", "standard_normal"))
    for layer, inputs in (("0", 20), ("1", 30)):
        np.testing.assert_allclose(scaled[f"{layer}.weight"], standard[f"{layer}.weight"] / np.sqrt(inputs))
        np.testing.assert_array_equal(scaled[f"{layer}.bias"], standard[f"{layer}.bias"])


def test_layers_of_one_shape_begin_alike_in_other_networks() -> None:
    small, large = (initial_weights(MLP(hidden=h).network(9, 3), "glorot_uniform", 1) for h in ((4,), (4, 4)))
    np.testing.assert_array_equal(small["0.weight"], large["0.weight"])


def test_kaiming_uniform_is_what_torch_does() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(400, 300)
    mine = initial_weights(MLP(hidden=(300,)).network(400, 5), "kaiming_uniform", 1)
    assert float(layer.weight.detach().abs().max()) == pytest.approx(np.abs(mine["0.weight"]).max(), rel=1e-3)
    assert float(layer.weight.detach().std()) == pytest.approx(mine["0.weight"].std(), rel=0.02)


def test_operations_are_counted_by_hand() -> None:
    network = MLP(hidden=(3,), activation="relu", output="identity").network(4, 2)
    forward = 2 * 4 * 3 + 3 + 2 * 3 * 2  # products with biases, relu, products with biases
    assert flops_forward(network) == forward
    backward = (2 * 4 * 3 + 3) + 3 + (2 * 3 * 2 + 2 + 2 * 3 * 2)  # first layer, relu, last layer with its input
    head = 2 * (3 + 2)  # mse: value and gradient for each class
    parameters = 4 * 3 + 3 + 3 * 2 + 2
    count = flops_training(network, "mse", Descent(), iterations=5, examples=50)
    assert count == 50 * (forward + backward + head) + 5 * 2 * parameters
    more = flops_training(network, "mse", Adam(), iterations=5, examples=50)
    assert more - count == 5 * 12 * parameters


def test_a_network_without_hidden_layers() -> None:
    network: Network = MLP(hidden=()).network(4, 2)
    assert network.parameters == 10
