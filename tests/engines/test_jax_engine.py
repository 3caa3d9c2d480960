"""What is special to the jax engine: it compiles before the clock runs, and never for another number."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.engines import load
from assay.engines.base import Cohort, Splits, fresh
from assay.parts.batches import Batches, make_batches
from assay.recipe.model import Recipe
from tests.engines.cases import CLASSES, EXAMPLES, INPUTS, Run, data, engine

pytest.importorskip("jax")


def recipe(**patch: Any) -> Recipe:
    base = {"model": {"hidden": [6]}, "batches": {"size": 10}, "optimizer": "adam", "precision": "float32"}
    return Recipe.parse(base | patch)


def test_nothing_is_compiled_after_the_warm_up_whatever_the_numbers() -> None:
    run = Run.of("jax", recipe())
    engine: Any = run.engine
    engine.warm_up(run.state, make_batches(run.cohort.first.batches, run.cohort.seeds, 1, 7, 97))
    compiled = engine.compilations
    first = 1
    for count in (1, 3, 64, 100, 1500):  # any log interval
        run.go(first, count)
        first += count
        for split in data("float32").parts:
            engine.evaluate(run.state, split)
    assert engine.compilations == compiled
    others = [
        recipe(optimizer={"name": "adam", "learning_rate": 0.01, "beta1": 0.8}),
        recipe(seed=9),
        recipe(schedule={"name": "cosine", "horizon": 50}),
        recipe(regularisation={"l2": 0.1}),
    ]
    for other in others:
        again = Run.of("jax", other)
        again.go(1, 20)
        again.engine.evaluate(again.state, "test")
    assert engine.compilations == compiled


def test_float32_stays_float32() -> None:
    run = Run.of("jax", recipe())
    run.go(1, 5)
    checkpoint = run.export()
    assert {w.dtype for w in checkpoint.weights.values()} == {np.dtype(np.float32)}
    assert {s.dtype for s in checkpoint.slots.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("iterations", [1, 50])
def test_hyperparameters_keep_their_precision_in_float32(iterations: int) -> None:
    """1 - 0.999 in float32 is wrong by 1.3e-5, and so would be the second moment; rounding leaves 1.3e-6 at most.

    The judge is the numpy engine: in this one's float64 the same mistake would be on both sides and not show.
    """
    patch = {"model": {"hidden": [6], "activation": "sigmoid"}}
    mine, judge = Run.of("jax", recipe(**patch)), Run.of("numpy", recipe(precision="float64", **patch))
    mine.go(1, iterations)
    judge.go(1, iterations)
    for name, slots in judge.export().slots.items():
        second = slots[1]
        plain = second > 1e-3 * second.max()  # a gradient that nearly cancels has lost digits before it is squared
        assert plain.sum() > plain.size / 4
        np.testing.assert_allclose(mine.export().slots[name][1][plain], second[plain], rtol=4e-6, err_msg=name)


def test_the_process_keeps_its_own_setting_of_64_bits() -> None:
    import jax

    run = Run.of("jax", recipe(precision="float64"))
    run.go(1, 2)
    assert jax.numpy.ones(1).dtype == np.float32


def test_a_device_that_is_not_there() -> None:
    reason = load("jax", device="cuda:5").why_not(recipe())
    assert reason is not None
    assert "jax sees" in reason


# --- what the laws do not reach --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "single", "window", "shuffled", "replacement"])
def test_the_backend_itself_compiles_nothing_after_the_warm_up(kind: str) -> None:
    """Seen from jax's own events, so that a stray operation outside the programs is caught too."""
    import jax.monitoring

    mine = recipe(batches={"kind": kind} if kind in ("full", "single") else {"kind": kind, "size": 10})
    run = Run.of("jax", mine)
    run.engine.warm_up(run.state, make_batches(mine.batches, run.cohort.seeds, 1, 3, EXAMPLES))
    seen: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if "compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for first, count in ((1, 1), (2, 40), (42, 1100)):
            run.go(first, count)
            run.engine.evaluate(run.state, "train")
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert seen == []


@pytest.mark.parametrize("poison", [np.inf, np.nan])
def test_rows_after_the_end_of_a_short_batch_contribute_nothing(poison: float) -> None:
    """The padding of a short batch names example 0; a broken example 0 must not reach a batch that lacks it."""
    x, y = data("float64").parts["train"]
    x = x.copy()
    x[0] = poison
    mine = recipe(precision="float64", optimizer="descent")
    cohort = Cohort((mine,), mine.model.network(INPUTS, CLASSES))
    sizes = np.array([3], np.int32)
    padded = np.array([[[5, 6, 7, 0, 0]]], np.int32)
    found, ends = engine("jax"), []
    for rows in (padded, padded[:, :, :3]):
        state = found.start(cohort, fresh(cohort), Splits({"train": (x, y)}))
        state, progress = found.advance(state, Batches(1, sizes, rows=rows), np.array([True]))
        ends.append((progress.losses, found.export(state).weights))
        assert progress.broken[0] == 0
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-15)
    for name, w in ends[0][1].items():
        np.testing.assert_allclose(w, ends[1][1][name], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("named", ["by the user", "by assay", "where no folder can be"])
def test_where_programs_are_kept(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    config: Any = jax.config
    keys = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {key: getattr(config, key) for key in keys}
    (tmp_path / "file").write_text("not a folder")
    own = str(tmp_path / "own") if named == "by the user" else None
    expected = {"by the user": own, "by assay": str(tmp_path / "jax"), "where no folder can be": None}[named]
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file" if expected is None else tmp_path))
    try:
        config.update("jax_compilation_cache_dir", own)
        load("jax")
        assert config.jax_compilation_cache_dir == expected
    finally:
        for key, value in before.items():
            config.update(key, value)


def test_processes_that_begin_with_the_same_program_compile_it_once(tmp_path: Path) -> None:
    """The second one waits until the first has finished or takes too long; another program does not wait."""
    import jax

    from assay.engines.jax_cache import one_at_a_time

    config: Any = jax.config
    before, order = config.jax_compilation_cache_dir, []

    def compile_in_another(program: str, longest: float = 60.0) -> threading.Thread:
        def work() -> None:
            with one_at_a_time(program, longest=longest):
                order.append(program)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    try:
        config.update("jax_compilation_cache_dir", str(tmp_path))
        with one_at_a_time("a"):
            same, other = compile_in_another("a"), compile_in_another("b")
            other.join(20)
            compile_in_another("a", longest=0.05).join(20)
            order.append("first ends")
        same.join(20)
        assert order == ["b", "a", "first ends", "a"]
        config.update("jax_compilation_cache_dir", None)
        with one_at_a_time("a"):  # without a cache nothing would be gained
            compile_in_another("a").join(20)
        assert order[4:] == ["a"]
    finally:
        config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), OSError(errno.ENOTSUP, "no flock")])
def test_a_cache_on_a_file_system_without_locks_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    import jax

    from assay.engines import jax_cache

    def refused(*_: Any) -> None:
        raise error

    config: Any = jax.config
    before = config.jax_compilation_cache_dir
    monkeypatch.setattr(jax_cache.fcntl, "flock", refused)
    monkeypatch.setattr(jax_cache, "sleep", lambda seconds: pytest.fail("it waits"))
    try:
        config.update("jax_compilation_cache_dir", str(tmp_path))
        with jax_cache.one_at_a_time("a"):
            pass
    finally:
        config.update("jax_compilation_cache_dir", before)


def test_a_lock_of_another_user_in_a_shared_cache_does_not_fail_a_training(tmp_path: Path) -> None:
    import jax

    from assay.engines.jax_cache import one_at_a_time

    config: Any = jax.config
    before = config.jax_compilation_cache_dir
    for number in range(64):
        (
            tmp_path / f"compiling-{number:02d}.lock"
        ).mkdir()  # like a file of another user, cannot be opened, by root too
    try:
        config.update("jax_compilation_cache_dir", str(tmp_path))
        compiled = []
        with one_at_a_time("a"):
            compiled.append("a")
        assert compiled == ["a"]
    finally:
        config.update("jax_compilation_cache_dir", before)


def test_every_program_is_compiled_under_the_lock_of_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.engines import jax_engine

    texts: list[str] = []
    own = jax_engine.one_at_a_time
    monkeypatch.setattr(jax_engine, "one_at_a_time", lambda text: (texts.append(text), own(text))[1])
    for _ in range(2):
        monkeypatch.setattr(jax_engine, "_PROGRAMS", {})
        Run.of("jax", recipe()).go(1, 2)
    assert len(texts) == 2
    assert texts[0] == texts[1]  # the text of a form is the same in each process
    assert "stablehlo" in texts[0]


def test_engines_of_one_process_share_their_programs() -> None:
    """A second engine of the process finds what the first one compiled."""
    run = Run.of("jax", recipe())
    run.go(1, 2)
    second: Any = load("jax", threads=run.engine.threads)
    state = second.start(run.cohort, run.export(), data("float32"))
    second.advance(state, make_batches(run.cohort.first.batches, run.cohort.seeds, 3, 4, EXAMPLES), np.array([True]))
    assert second.compilations == 0
