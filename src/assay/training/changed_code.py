"""Stored weights of a user's module whose source is another one than in training: whether they still fit it, and the
sentence that goes with their predictions. Training never comes here: a changed source is another trial."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import replace

from assay.data.dataset import Dataset
from assay.data.prepare import prepare
from assay.engines import load as load_engine
from assay.engines.base import Cohort, Splits
from assay.errors import CodeError, DataError, listed
from assay.parts.module_networks import ModuleNetwork
from assay.parts.modules import ForeignModel
from assay.training.history import History

_TOLERANCE = 1e-3
"""Relative: another device, or another cut into batches, changes a loss by less."""

_checked: tuple[weakref.ref[History], str, str] | None = None  # the last history, the code and its sentence


class ChangedCodeWarning(UserWarning):
    """Predictions are of a user's module whose source has changed since the weights were trained."""


def with_code_as_it_is_now(history: History, data: Dataset | None) -> History:
    """The history to predict with: where the source of its user's module has changed, with the source as it is now.

    Warns with `ChangedCodeWarning` then, and says whether the loss on the test set is the one that is stored.

    `data`: the data set of the training; None where it is not on this machine.

    Raises: CodeError if the module may not be imported, or its arrays are not those of the weights.
    """
    global _checked
    model = history.recipe.model
    if not isinstance(model, ForeignModel) or (now := model.as_it_is_now()) is model:
        return history
    usable = replace(history, recipe=history.recipe.model_copy(update={"model": now}))
    if _checked is None or _checked[0]() is not history or _checked[1] != now.code:
        _check_arrays(usable, model)
        _checked = weakref.ref(history), now.code, _sentence(usable, model, data)
    warnings.warn(_checked[2], ChangedCodeWarning, stacklevel=2)
    return usable


def _check_arrays(history: History, trained: ForeignModel) -> None:
    """Raises: CodeError unless the module has the arrays of the weights, by name and shape."""
    network = history.recipe.model.network(history.shape, len(history.classes))
    assert isinstance(network, ModuleNetwork)
    try:
        own: Mapping[str, tuple[int, ...]] = {**network.shapes, **network.buffers}
    except CodeError as error:
        raise CodeError(f"{_changed(history, trained)}: {error}; restore the file, or train again") from error
    stored = {name: array.shape[1:] for name, array in history.checkpoint.weights.items()}
    differences = [f"it has no {name!r}, which is in the weights" for name in sorted(stored.keys() - own.keys())]
    differences += [f"the weights have no {name!r}, which it has" for name in sorted(own.keys() - stored.keys())]
    differences += [
        f"{name!r} is {own[name]} in it and {stored[name]} in the weights"
        for name in sorted(own.keys() & stored.keys())
        if own[name] != stored[name]
    ]
    if differences:
        more = f", and {len(differences) - 1:,} more" if len(differences) > 1 else ""
        raise CodeError(
            f"{_changed(history, trained)}, and the model has other arrays now: {differences[0]}{more}; restore the "
            "file, or train again"
        )


def _sentence(history: History, trained: ForeignModel, data: Dataset | None) -> str:
    return (
        f"{_changed(history, trained)}; the arrays have the same names and shapes, and these predictions are those of "
        f"the code as it is now; {_compared(history, data)}"
    )


def _changed(history: History, trained: ForeignModel) -> str:
    """That the source has changed, as the begin of a sentence."""
    now = history.recipe.model
    assert isinstance(now, ForeignModel)
    return (
        f"model {now.name!r}: {listed(now.files)} (or a package that it uses) changed since training "
        f"(code {trained.code[:8]} then, {now.code[:8]} now)"
    )


def _compared(history: History, data: Dataset | None) -> str:
    """Whether the weights give the loss on the test set that is stored with them, as the end of a sentence."""
    stored = next((p.test_loss for p in history.points if p.iteration == history.checkpoint.t), None)
    if stored is None or not math.isfinite(stored):
        return "no loss is stored to compare with"
    if data is None:
        return f"the data set {history.recipe.data.name!r} is not here as it was, so that the loss was not compared"
    try:
        loss = _test_loss(history, data)
    except (CodeError, DataError) as error:
        return f"the loss could not be compared: {error}"
    if math.isclose(loss, stored, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE * _TOLERANCE):
        return f"the loss on the test set is the stored one, {stored:.4g}"
    return f"the loss on the test set is {loss:.4g}, where {stored:.4g} was stored: the code computes something else"


def _test_loss(history: History, data: Dataset) -> float:
    recipe, model = history.recipe, history.recipe.model
    assert isinstance(model, ForeignModel)
    engine, network = load_engine(model.library.engine), model.network(history.shape, len(history.classes))
    parts = prepare(data, recipe.preparation)
    splits = Splits({"test": (parts.x_test, parts.y_test)})
    state = engine.start(Cohort((recipe,), network), history.checkpoint, splits)
    return float(engine.evaluate(state, "test").loss[0])
