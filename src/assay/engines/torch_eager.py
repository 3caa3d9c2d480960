"""PyTorch as its users write it: nn.Module, torch.optim and a loop, with no code of Assay inside the iteration.

It is the baseline that engines are compared with, and not in ENGINES: it trains one trial, from its first iteration.
Data are in memory or on the device, without a DataLoader, and the optimizers use their fastest flags.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.data.targets import is_regression
from assay.engines.base import Checkpoint, Cohort, Engine, Evaluation, Progress, Splits, no_tensorfloat32
from assay.engines.torch_engine import cpu_capability, missing_device
from assay.errors import EngineError
from assay.parts.batches import Batches
from assay.parts.layers import (
    Activate,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Image,
    Layer,
    Network,
    Pool,
    Weighted,
)
from assay.parts.losses import head
from assay.parts.schedules import Constant
from assay.recipe.model import Recipe

_EVALUATION_ROWS = 1_000

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}
_OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=-1),
    "log_softmax": lambda: nn.LogSoftmax(dim=-1),
}
_ON_LABELS: dict[tuple[str, str], Callable[[Tensor, Tensor], Tensor]] = {  # (output, loss) -> on logits and labels
    ("softmax", "cross_entropy"): F.cross_entropy,
    ("log_softmax", "nll"): F.cross_entropy,
    ("identity", "logit_cross_entropy"): F.cross_entropy,
}
_ON_VALUES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # loss -> on outputs and one-hot labels
    "mse": F.mse_loss,
    "quadratic": lambda a, y: 0.5 * F.mse_loss(a, y, reduction="sum") / len(a),
    "binary_cross_entropy_with_logits": lambda a, y: F.binary_cross_entropy_with_logits(a, y, reduction="sum") / len(a),
}

_Optimizer = torch.optim.Optimizer
_OPTIMIZERS: dict[str, Callable[[Any, Any], _Optimizer]] = {
    "descent": lambda p, o: torch.optim.SGD(p, lr=o.learning_rate, fused=True),
    "momentum": lambda p, o: torch.optim.SGD(p, lr=o.learning_rate, momentum=o.momentum, fused=True),
    "nesterov": lambda p, o: torch.optim.SGD(p, lr=o.learning_rate, momentum=o.momentum, nesterov=True, fused=True),
    "adagrad": lambda p, o: torch.optim.Adagrad(p, lr=o.learning_rate, eps=o.epsilon, foreach=True),
    "rmsprop": lambda p, o: torch.optim.RMSprop(p, lr=o.learning_rate, alpha=o.decay, eps=o.epsilon, foreach=True),
    "adadelta": lambda p, o: torch.optim.Adadelta(p, lr=o.learning_rate, rho=o.decay, eps=o.epsilon, foreach=True),
    "adam": lambda p, o: torch.optim.Adam(p, lr=o.learning_rate, betas=(o.beta1, o.beta2), eps=o.epsilon, fused=True),
    "adamw": lambda p, o: torch.optim.AdamW(p, lr=o.learning_rate, betas=(o.beta1, o.beta2), eps=o.epsilon, fused=True),
}


@dataclass
class EagerState:
    """A trial in training."""

    cohort: Cohort
    model: nn.Sequential
    optimizer: _Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]  # of the model's values and the targets
    forward: Callable[[Tensor, Tensor], Tensor]  # the loss of inputs and targets
    splits: dict[str, tuple[Tensor, Tensor, Tensor]]
    """Inputs (N, D) or (N, channels, height, width), labels (N,), which are 0 in a regression, and targets: labels, or
    one-hot where the loss needs them, or the column of a regression."""
    t: int = 0
    graphs: dict[int, Any] = field(default_factory=dict[int, Any])
    """By batch size, of the loop that replays its iterations (`torch_peers`)."""


class TorchEager(Engine):
    """The plain training loop; with `compiled`, the forward pass and the loss use torch.compile."""

    name: ClassVar[str] = "torch-eager"

    def __init__(self, *, device: str = "cpu", threads: int | None = None, compiled: bool = False) -> None:
        super().__init__(device=device, threads=threads)
        self.compiled = compiled
        self.capturable = False
        """Whether the optimizer is made for a CUDA graph."""

    def instruction_level(self) -> str | None:
        return cpu_capability(self.device)

    def why_not(self, recipe: Recipe) -> str | None:
        if reason := missing_device(self.device) or no_tensorfloat32(recipe, self.device):
            return reason
        model, penalties = recipe.model, recipe.regularisation
        pairing = head(model.output, recipe.loss)
        features = [
            (pairing not in _ON_LABELS and pairing[1] not in _ON_VALUES, f"{recipe.loss} on {model.output}"),
            (":" in recipe.schedule.entry, f"schedule {recipe.schedule.entry}"),
            (recipe.optimizer.entry not in _OPTIMIZERS, f"optimizer {recipe.optimizer.entry}"),
            (penalties.l1 > 0, "l1"),
            (recipe.clips_and_penalises and recipe.clip_of == "objective", "clipping of a gradient with penalties"),
            (penalties.l2 > 0 and recipe.optimizer.entry == "adamw", "l2 together with weight decay"),
        ]
        missing = [feature for is_missing, feature in features if is_missing]
        return f"the plain loop of 'torch-eager' has no {', no '.join(missing)}" if missing else None

    def start(self, cohort: Cohort, checkpoint: Checkpoint, splits: Splits) -> EagerState:
        recipe = cohort.first
        if len(cohort.recipes) > 1 or checkpoint.t:
            raise EngineError("'torch-eager' trains one trial, from its first iteration")
        self._set_threads()
        element = torch.float64 if recipe.precision == "float64" else torch.float32
        output, loss_name = head(cohort.network.output, recipe.loss)
        on_labels = (output, loss_name) in _ON_LABELS
        model = _model(cohort.network, "identity" if on_labels else output).to(device=self.device, dtype=element)
        _fill(model, cohort.network, {name: w[0] for name, w in checkpoint.weights.items()})
        loss = _ON_LABELS[output, loss_name] if on_labels else _ON_VALUES[loss_name]

        def forward(x: Tensor, target: Tensor) -> Tensor:
            with _mixed(recipe, self.device):
                return loss(model(x), target)

        parts: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, (x, y) in splits.parts.items():
            inputs = _as_images(torch.tensor(x, dtype=element, device=self.device), cohort.network)
            if is_regression(y):
                target = torch.tensor(y[:, None], dtype=element, device=self.device)
                labels = torch.zeros(len(y), dtype=torch.int64, device=self.device)
            else:
                labels = torch.tensor(y, device=self.device)
                target = labels if on_labels else F.one_hot(labels, cohort.network.classes).to(element)
            parts[name] = inputs, labels, target
        callable_forward: Any = torch.compile(forward) if self.compiled else forward
        return EagerState(cohort, model, self._optimizer(recipe, model), loss, callable_forward, parts)

    def advance(self, state: EagerState, batches: Batches, alive: NDArray[np.bool_]) -> tuple[EagerState, Progress]:
        self._set_threads()
        recipe, model, optimizer, forward = state.cohort.first, state.model, state.optimizer, state.forward
        x, _, target = state.splits["train"]
        constant = recipe.schedule == Constant()
        factors = None if constant else recipe.schedule.factors(batches.first, batches.count)
        model.train()
        values: list[Tensor] = []
        for i, rows in enumerate(batch_rows(batches, x.device)):
            if factors is not None:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.optimizer.learning_rate * float(factors[i])
            loss = forward(x[rows], target[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            values.append(loss.detach())
        return self.finished(state, batches, values)

    @staticmethod
    def finished(state: EagerState, batches: Batches, values: list[Tensor]) -> tuple[EagerState, Progress]:
        """The state after some iterations, whose losses are `values`."""
        losses = torch.stack(values).double().cpu().numpy()[None] if values else np.empty((1, 0))
        state.t += batches.count
        bad = np.flatnonzero(~np.isfinite(losses[0]))
        broken = batches.first + int(bad[0]) if len(bad) else 0
        return state, Progress(losses, np.array([broken], np.int64))

    def evaluate(self, state: EagerState, split: str) -> Evaluation:
        self._set_threads()
        x, labels, target = state.splits[split]
        state.model.eval()
        loss = correct = 0.0
        with torch.no_grad():
            for start in range(0, len(x), _EVALUATION_ROWS):
                rows = slice(start, start + _EVALUATION_ROWS)
                with _mixed(state.cohort.first, self.device):
                    values = state.model(x[rows])
                    loss += float(state.loss(values, target[rows])) * len(values)
                correct += float((values.argmax(-1) == labels[rows]).sum())
        return Evaluation(np.array([loss / len(x)]), np.array([correct / len(x)]))

    def outputs(self, state: EagerState, x: NDArray[Any]) -> NDArray[Any]:
        self._set_threads()
        network, state.model = state.cohort.network, state.model.eval()
        element = next(state.model.parameters()).dtype
        with torch.no_grad(), _mixed(state.cohort.first, self.device):
            values = state.model(_as_images(torch.tensor(x, dtype=element, device=self.device), network))
            computed = head(network.output, state.cohort.first.loss)
            if computed in _ON_LABELS or computed[0] != network.output:
                values = _OUTPUTS[network.output]()(values)
        return values.to(element).cpu().numpy()[None]

    def export(self, state: EagerState) -> Checkpoint:
        """The weights; the state of torch's optimizer is not exported."""
        weights = _weights_of(state.model, state.cohort.network)
        return Checkpoint(state.t, {name: w[None] for name, w in weights.items()}, {})

    def warm_up(self, state: EagerState, batches: Batches) -> None:
        """Runs one iteration on a copy, so that libraries are loaded and kernels are chosen."""
        spare = self.start(state.cohort, Checkpoint(0, self.export(state).weights, {}), Splits({}))
        spare.splits = state.splits
        one = Batches(
            batches.first,
            batches.sizes[:1],
            rows=None if batches.rows is None else batches.rows[:, :1],
            starts=None if batches.starts is None else batches.starts[:, :1],
        )
        self.advance(spare, one, np.ones(1, np.bool_))
        if self.compiled:  # the copy's forward pass was compiled, and this one compiles its own
            x, _, target = state.splits["train"]
            size = int(batches.sizes[0])
            state.forward(x[:size], target[:size]).backward()
            state.optimizer.zero_grad(set_to_none=True)

    def peak_device_memory(self) -> int | None:
        if torch.device(self.device).type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self.device))

    def _optimizer(self, recipe: Recipe, model: nn.Sequential) -> _Optimizer:
        optimizer = _optimizer(recipe, model)
        if self.capturable and torch.device(self.device).type == "cuda":
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = True
        return optimizer

    def _set_threads(self) -> None:
        if self.threads:
            torch.set_num_threads(self.threads)


def _mixed(recipe: Recipe, device: str) -> Any:
    if recipe.precision == "bfloat16":
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    return nullcontext()


def _model(network: Network, output: str) -> nn.Sequential:
    """The network as a module with an output function, images (B, channels, height, width)."""
    layers = [_module(layer) for layer in network.layers]
    return nn.Sequential(*layers, *([] if output == "identity" else [_OUTPUTS[output]()]))


def _module(layer: Layer) -> nn.Module:
    match layer:
        case Dense():
            return nn.Linear(layer.inputs, layer.units)
        case Conv2d():
            return nn.Conv2d(layer.image[2], layer.channels, layer.kernel, layer.stride, layer.padding)
        case Pool():
            return (nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d)(layer.size, layer.stride)
        case BatchNorm():
            norm = nn.BatchNorm1d if layer.places == 1 else nn.BatchNorm2d
            return norm(layer.channels, layer.epsilon, layer.momentum)
        case Flatten():
            return nn.Flatten()
        case Activate():
            return _ACTIVATIONS[layer.function]()
        case Dropout():
            return nn.Dropout(layer.rate)


def _as_images(x: Tensor, network: Network) -> Tensor:
    """Inputs (N, D) as (N, channels, height, width) if the network takes images."""
    return x if network.image is None else x.view(len(x), *network.image).permute(0, 3, 1, 2).contiguous()


def _weighted(model: nn.Sequential, network: Network) -> list[tuple[Weighted, Any, Image | None]]:
    """The layers that have weights, in order, with their modules, and for a dense layer the flattened image."""
    layers: list[tuple[Weighted, Any, Image | None]] = []
    image: Image | None = network.image
    flattened: Image | None = None
    for layer, module in zip(network.layers, model, strict=False):
        if isinstance(layer, Weighted):
            layers.append((layer, module, flattened if isinstance(layer, Dense) else None))
            flattened = None if isinstance(layer, Dense) else flattened
        if isinstance(layer, Conv2d | Pool):
            image = layer.out
        elif isinstance(layer, Flatten):
            flattened = image
    return layers


def _arrays(layer: Weighted, module: Any, image: Image | None) -> dict[str, Tensor]:
    """The arrays of a layer in Assay's layout, as views of the module's: channels are last in Assay, first in torch."""
    if isinstance(layer, BatchNorm):
        return {
            "scale": module.weight,
            "bias": module.bias,
            "mean": module.running_mean,
            "variance": module.running_var,
        }
    if isinstance(layer, Conv2d):
        return {"weight": module.weight.permute(2, 3, 1, 0), "bias": module.bias}
    if image is None:
        return {"weight": module.weight.T, "bias": module.bias}
    height, width, channels = image
    return {"weight": module.weight.view(-1, channels, height, width).permute(2, 3, 1, 0), "bias": module.bias}


def _fill(model: nn.Sequential, network: Network, weights: dict[str, NDArray[Any]]) -> None:
    with torch.no_grad():
        for i, (layer, module, image) in enumerate(_weighted(model, network)):
            for name, array in _arrays(layer, module, image).items():
                array.copy_(torch.tensor(weights[f"{i}.{name}"]).view(array.shape))


def _weights_of(model: nn.Sequential, network: Network) -> dict[str, NDArray[Any]]:
    return {
        f"{i}.{name}": array.detach().cpu().numpy().reshape(network.arrays[f"{i}.{name}"]).copy()
        for i, (layer, module, image) in enumerate(_weighted(model, network))
        for name, array in _arrays(layer, module, image).items()
    }


def _optimizer(recipe: Recipe, model: nn.Sequential) -> _Optimizer:
    """torch's optimizer; penalties and weight decay apply to biases only if the recipe says so."""
    decay = recipe.optimizer.settings().get("weight_decay", recipe.regularisation.l2)
    products = [module for module in model if isinstance(module, nn.Linear | nn.Conv2d)]
    norms = [module for module in model if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    groups: list[dict[str, Any]] = [
        {"params": [m.weight for m in products], "weight_decay": decay},
        {
            "params": [*(m.weight for m in norms), *(m.bias for m in [*products, *norms])],
            "weight_decay": decay if recipe.regularisation.biases and recipe.regularisation.l2 else 0.0,
        },
    ]
    return _OPTIMIZERS[recipe.optimizer.entry](groups, recipe.optimizer)


def batch_rows(batches: Batches, device: torch.device) -> list[Any]:
    """An index for each batch: a slice if its rows are contiguous, else their numbers."""
    sizes = batches.sizes.tolist()
    if batches.starts is not None:
        return [slice(s, s + n) for s, n in zip(batches.starts[0].tolist(), sizes, strict=True)]
    if batches.rows is None:
        return [slice(None)] * len(sizes)
    if batches.rows.shape[2] == 1:
        return [slice(r, r + 1) for r in batches.rows[0, :, 0].tolist()]
    rows = torch.tensor(batches.rows[0], dtype=torch.int64, device=device)
    return [rows[i, :n] for i, n in enumerate(sizes)]
