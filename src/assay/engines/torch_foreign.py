"""Optimizers of torch.optim and packages like it in the torch engine: parameters in torch's layout, state as arrays.

The library's optimizer moves parameters that share the memory of a trial's weights. Matrices and kernels have torch's
layout, (outputs, inputs, ...), contiguous, because optimizers such as Muon depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.engines.base import Checkpoint, Cohort, fresh
from assay.engines.torch_trial import TorchTrial
from assay.errors import CodeError
from assay.parts.foreign import ForeignOptimizer, exempt_module
from assay.parts.groups import GroupMember, members_of
from assay.parts.module_networks import ModuleNetwork
from assay.recipe.model import Recipe

_TO_TORCH = {2: (1, 0), 4: (3, 2, 0, 1)}
"""Dimensions of an array of weights -> the order of its axes in torch."""
_TO_OURS = {2: (1, 0), 4: (2, 3, 1, 0)}
_WEIGHTS, _STATE, _NUMBER, _GROUP, _MARK = "weights/", "state/", "number/", "group/", "iteration"
"""The names of slots: the weights that are trained, where others are evaluated; tensors and numbers of a parameter's
state; numbers of the group that the optimizer has changed; how many iterations the state has seen."""


@dataclass(frozen=True, eq=False)
class ForeignSnapshot:
    """Copies of everything that an iteration changes, as in a checkpoint."""

    w: Tensor
    arrays: dict[str, NDArray[Any]]
    running: dict[str, Tensor]


class ForeignTrial(TorchTrial):
    """A trial whose optimizer is another library's; `w` and `g` hold the arrays in torch's layout."""

    checked: ClassVar[bool] = True

    def __init__(self, cohort: Cohort, number: int, checkpoint: Checkpoint, device: torch.device) -> None:
        self.buffers = cohort.network.buffers
        self.as_torch = isinstance(cohort.network, ModuleNetwork)
        """Whether the arrays have torch's layout already."""
        super().__init__(cohort, number, Checkpoint(checkpoint.t, checkpoint.weights, {}), device)
        own = self.recipe.optimizer
        assert isinstance(own, ForeignOptimizer)  # else it is a TorchTrial
        self.own = own
        shapes = {name: tuple(self.shapes[name]) for name in self.order}
        self.members = members_of(own, shapes, of_module=self.as_torch)
        for member in self.members:
            if self.checked and not exempt_module(member.own.entry):
                _check_contract(member.own)
        self.seen = 0
        self.parameters = {name: view.requires_grad_() for name, view in self._own_views(self.w).items()}
        for name, view in self._own_views(self.g).items():
            self.parameters[name].grad = view
        self.optimizers: list[Any] = [self._built(member) for member in self.members]
        self._ratios = [
            [_ratio(group, member.own.learning_rate) for group in optimizer.param_groups]
            for member, optimizer in zip(self.members, self.optimizers, strict=True)
        ]
        self._initial = [_numbers(group) for group in self._groups()]
        self.has_modes = any(map(_has_modes, self.optimizers))
        self._train()
        if checkpoint.slots:
            self._load({name: array[0, number] for name, array in checkpoint.slots.items()})

    def _built(self, member: GroupMember) -> Any:
        hint = "" if len(self.members) > 1 else " for all arrays (groups give each optimizer its own)"
        with self._errors(member.own, f"cannot be made{hint}"):
            return member.own.built([self.parameters[name] for name in member.names])

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    # --- the layout ---

    def flat(self, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
        if self.as_torch:
            return super().flat(arrays)
        return np.concatenate([_in_order(arrays[name], _TO_TORCH).ravel() for name in self.order])

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        own = self._own_views(vector)
        if self.as_torch:
            return own
        return {name: a.permute(_TO_OURS[a.ndim]) if a.ndim in _TO_OURS else a for name, a in own.items()}

    def _own_views(self, vector: Tensor) -> dict[str, Tensor]:
        """The arrays in a vector in torch's layout, as views that share its memory."""
        views: dict[str, Tensor] = {}
        start = 0
        for name in self.order:
            shape = self.shapes[name]
            order = range(len(shape)) if self.as_torch else _TO_TORCH.get(len(shape), range(len(shape)))
            own = [shape[axis] for axis in order]
            views[name] = vector.detach()[start : start + math.prod(shape)].view(own)
            start += math.prod(shape)
        return views

    def own_view(self, name: str) -> Tensor:
        """An array of the weights in torch's layout."""
        return self._own_views(self.w)[name]

    # --- one step ---

    def step(self, learning_rate: float) -> None:
        """Moves the weights by one step of the library's optimizer at this learning rate."""
        for member, optimizer, ratios in zip(self.members, self.optimizers, self._ratios, strict=True):
            for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
                group["lr"] = learning_rate * member.ratio * ratio
            with self._errors(member.own, "failed in its step"):
                optimizer.step()
        self.seen += 1

    @contextmanager
    def _errors(self, own: ForeignOptimizer, what: str) -> Generator[None]:
        """Turns what the library raises into a CodeError that names the optimizer."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            message = (str(error).splitlines() or [""])[0]
            raise CodeError(f"optimizer {own.entry!r} {what}: {type(error).__name__}: {message}") from error

    def _train(self) -> None:
        for optimizer in self.optimizers:
            if _has_modes(optimizer):
                optimizer.train()

    # --- evaluation ---

    @contextmanager
    def shown(self) -> Generator[None]:
        """Inside, the weights are those to evaluate; afterwards everything has the bits that it had before."""
        if not self.has_modes:
            yield
            return
        before = self.snapshot()
        for optimizer in self.optimizers:
            if _has_modes(optimizer):
                optimizer.eval()
        try:
            yield
        finally:
            self._train()
            self.restore(before)

    # --- the state as arrays ---

    def snapshot(self) -> Any:
        running = {name: array.clone() for name, array in self.running.items()}
        return ForeignSnapshot(self.w.detach().clone(), self.arrays(), running)

    def restore(self, snapshot: Any) -> None:
        with torch.no_grad():
            self.w.copy_(snapshot.w)
        for name, array in snapshot.running.items():
            self.running[name].copy_(array)
        for optimizer in self.optimizers:
            optimizer.state.clear()
        for group, numbers in zip(self._groups(), self._initial, strict=True):
            group.update(numbers)
        self._train()
        self._load(snapshot.arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The optimizer's state as arrays by name. Raises: CodeError if a value is neither a tensor nor a number."""
        arrays: dict[str, NDArray[Any]] = {_MARK: np.asarray(self.seen, np.int64)}
        for name, parameter in self.parameters.items():
            for key, value in self._state_of(name).get(parameter, {}).items():
                if isinstance(value, Tensor):
                    arrays[f"{_STATE}{name}/{key}"] = value.detach().cpu().numpy().copy()
                elif value is not None:
                    arrays[f"{_NUMBER}{name}/{key}"] = self._number(key, value)
        for i, (group, initial) in enumerate(zip(self._groups(), self._initial, strict=True)):
            for key, value in group.items():
                if key not in ("params", "lr") and (key not in initial or value is not initial[key]):
                    if isinstance(value, int | float) and initial.get(key) == value:
                        continue
                    arrays[f"{_GROUP}{i}/{key}"] = self._number(key, value)
        return arrays

    def _state_of(self, name: str) -> Any:
        """The state of the optimizer that trains a parameter."""
        return next(o.state for m, o in zip(self.members, self.optimizers, strict=True) if name in m.names)

    def _number(self, key: str, value: Any) -> NDArray[Any]:
        if not isinstance(value, int | float):
            raise CodeError(
                f"optimizer {self.own.entry!r} keeps {key!r} as a {type(value).__name__}; a checkpoint holds tensors "
                "and numbers only, so that its training cannot be resumed or stored"
            )
        return np.asarray(value)

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Takes over a state that `arrays` gave. Raises: CodeError if it is not one of this optimizer."""
        if _MARK not in arrays:
            raise CodeError(f"the state to resume from is not one of optimizer {self.own.entry!r}")
        self.seen = int(arrays[_MARK])
        for name, array in arrays.items():
            if name.startswith(_WEIGHTS):
                with torch.no_grad():
                    parameter = self.parameters[name.removeprefix(_WEIGHTS)]
                    parameter.copy_(torch.as_tensor(np.array(array)))
            elif name.startswith((_STATE, _NUMBER)):
                kind, parameter_name, key = name.split("/")
                of_parameter = self._state_of(parameter_name)[self.parameters[parameter_name]]
                is_tensor = f"{kind}/" == _STATE
                of_parameter[key] = self._tensor(parameter_name, array) if is_tensor else array.item()
            elif name.startswith(_GROUP):
                _, i, key = name.split("/")
                self._groups()[int(i)][key] = array.item()

    def _tensor(self, name: str, array: NDArray[Any]) -> Tensor:
        """A tensor of the state, where the optimizer keeps it: counts stay on the processor."""
        device = self.w.device if array.ndim else torch.device("cpu")
        return torch.tensor(np.array(array), device=device)

    def slots_to_store(self) -> dict[str, NDArray[Any]]:
        """The state, and the weights that are trained where others are evaluated."""
        slots = self.arrays()
        if self.has_modes:
            views = self._own_views(self.w)
            slots |= {f"{_WEIGHTS}{name}": view.cpu().numpy().copy() for name, view in views.items()}
        return slots


# --- what third-party code must do ----------------------------------------------------------------------------------


_CHECKED = 12
"""Steps that a third-party optimizer takes to be checked: one that rectifies a variance may rest in the first five."""


class _UncheckedTrial(ForeignTrial):
    checked: ClassVar[bool] = False


@cache
def _check_contract(own: ForeignOptimizer) -> None:
    """Trains a few steps with a third-party optimizer on numbers of its own.

    Raises: CodeError if it leaves a parameter as it is, changes its type, or gives other bits when it is resumed.
    """
    recipe = Recipe.parse({"model": {"hidden": [3]}, "optimizer": "descent", "seed": 1}).model_copy(
        update={"optimizer": own}
    )
    network = recipe.model.network(4, 2)
    start = fresh(Cohort((recipe,), network))
    trial = _UncheckedTrial(Cohort((recipe,), network), 0, start, torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in trial.parameters.items()}
    _steps(trial, first=1, count=_CHECKED)
    for name, parameter in trial.parameters.items():
        if parameter.dtype != before[name].dtype:
            raise CodeError(
                f"optimizer {own.entry!r} turned a parameter of type {before[name].dtype} into {parameter.dtype}; "
                "its step must change parameters in place"
            )
        if torch.equal(parameter, before[name]) or not torch.equal(trial.own_view(name), parameter):
            raise CodeError(
                f"optimizer {own.entry!r} did not change the parameter of shape {tuple(parameter.shape)} in {_CHECKED} "
                "steps although it has a gradient; its step must change every parameter in place"
            )
    weights = {name: view.cpu().numpy()[None].copy() for name, view in trial.views(trial.w).items()}
    slots = {name: array[None, None] for name, array in trial.slots_to_store().items()}
    resumed = _UncheckedTrial(Cohort((recipe,), network), 0, Checkpoint(_CHECKED, weights, slots), torch.device("cpu"))
    _steps(trial, first=_CHECKED + 1, count=2)
    _steps(resumed, first=_CHECKED + 1, count=2)
    if not torch.equal(trial.w, resumed.w):
        raise CodeError(
            f"optimizer {own.entry!r} cannot be resumed: with its `state` and `param_groups` alone it takes other "
            "steps; it must keep there all that changes from step to step"
        )


def _steps(trial: ForeignTrial, *, first: int, count: int) -> None:
    for t in range(first, first + count):
        values = np.cos(np.arange(len(trial.g)) * t + 0.5)
        trial.g.copy_(torch.as_tensor(values, dtype=trial.g.dtype))
        trial.step(0.1)


def _ratio(group: dict[str, Any], rate: float) -> float:
    """The rate of a group over that of its optimizer: 1, but for groups that a user's function makes."""
    own = float(group["lr"])
    return 1.0 if own == rate else own / rate


def _has_modes(optimizer: Any) -> bool:
    """Whether an optimizer is switched between the weights that it trains and those to evaluate."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "lr")}


def _in_order(array: NDArray[Any], order: dict[int, tuple[int, ...]]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(order[array.ndim]) if array.ndim in order else array)


def trial_of(cohort: Cohort, number: int, checkpoint: Checkpoint, device: torch.device) -> TorchTrial:
    """A trial of a cohort, with its own optimizer or one of another library."""
    foreign = isinstance(cohort.recipes[number].optimizer, ForeignOptimizer)
    return (ForeignTrial if foreign else TorchTrial)(cohort, number, checkpoint, device)
