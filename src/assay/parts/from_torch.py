"""A plain `torch.nn.Sequential` as a model of Assay's own layers, which every engine trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from assay.errors import AssayError
from assay.parts.module_networks import torch_library

Table = dict[str, Any]

_FUNCTIONS = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "SiLU": "silu"}
_OUTPUTS = {"LogSoftmax": "log_softmax", "Softmax": "softmax", "Sigmoid": "sigmoid"}


def layers_of(sequential: Any) -> dict[str, Any]:
    """The model of a plain `torch.nn.Sequential` in Assay's own layers, so that every engine trains it.

    The last `Linear` is left out, because a model adds one with as many units as there are classes; a `Softmax`,
    `LogSoftmax` or `Sigmoid` after it becomes the model's `output`. Weights are not taken over: `initial` is
    "kaiming_uniform", which is how torch draws them. Images are flattened with their channels last.

    Args:
        sequential: `Linear`, `Conv2d`, `MaxPool2d`, `AvgPool2d`, `BatchNorm1d` and `BatchNorm2d`, `Flatten`, `Dropout`,
            activations, and `Sequential` of these.

    Returns:
        The table of the model, with its `layers`: the `model` of a recipe, or of `assay.fit`.

    Raises:
        AssayError: Modules that do not convert, all of them by name.

    Examples:
        >>> from torch import nn
        >>> model = layers_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
        >>> model["layers"]
        [{'kind': 'flatten'}, {'kind': 'dense', 'units': 16, 'activation': 'relu'}]
    """
    nn = torch_library().nn
    if not isinstance(sequential, nn.Sequential):
        kind = type(sequential).__name__
        raise AssayError(
            f"layers_of: got a {kind}; expected a torch.nn.Sequential; assay.fit(model=...) trains any module"
        )
    modules = list(_flat(sequential, nn, ""))
    output = None
    if len(modules) > 1 and type(modules[-1][1]).__name__ in _OUTPUTS and type(modules[-2][1]) is nn.Linear:
        output = modules.pop()
    problems: list[str] = []
    if output is not None and getattr(output[1], "dim", 1) not in (1, -1):
        problems.append(f"{output[0]}: {output[1]!r}: expected dim=1")
    if not modules or type(modules[-1][1]) is not nn.Linear:
        problems.append("its last layer is no Linear, with which every model of Assay ends")
    elif why := _unlike(modules[-1][1], bias=True):
        problems.append(f"{modules[-1][0]}: {modules[-1][1]!r}: {why}")
    layers, converters = list[Table](), _converters()
    for name, module in modules[:-1]:
        try:
            layer = converters.get(type(module), _unknown)(module)
        except _MisfitError as error:
            problems.append(f"{name}: {module!r}: {error}")
            continue
        _append(layers, layer)
    if problems:
        raise AssayError("layers_of: these do not convert:\n  - " + "\n  - ".join(problems))
    table: Table = {"name": "sequential", "layers": layers, "initial": "kaiming_uniform"}
    return table if output is None else table | {"output": _OUTPUTS[type(output[1]).__name__]}


class _MisfitError(Exception):
    """A module that Assay has no layer for."""


def _flat(sequential: Any, nn: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The modules in order with their names, those of inner Sequentials among them."""
    for name, module in sequential.named_children():
        if type(module) is nn.Sequential:
            yield from _flat(module, nn, f"{prefix}{name}.")
        elif type(module) is not nn.Identity:
            yield prefix + name, module


def _append(layers: list[Table], layer: Table) -> None:
    """Adds a layer; an activation goes into the layer before it where that has none."""
    before = layers[-1] if layers else {}
    if layer["kind"] == "activation" and before.get("kind") in ("dense", "conv2d") and "activation" not in before:
        before["activation"] = layer["function"]
    else:
        layers.append(layer)


def _unlike(module: Any, **expected: Any) -> str:
    """The first attribute of a module that is not as expected, in words; "" if all are."""
    for name, value in expected.items():
        own = getattr(module, name)
        own = own is not None if name == "bias" else own
        if own != value:
            return f"expected {name}={value!r}"
    return ""


def _like(module: Any, **expected: Any) -> None:
    if why := _unlike(module, **expected):
        raise _MisfitError(why)


def _side(value: Any, name: str) -> int:
    """A size that is the same in both directions."""
    sides: tuple[Any, ...] = value if isinstance(value, tuple) else (value, value)
    if len(set(sides)) != 1:
        raise _MisfitError(f"expected the same {name} in both directions")
    return int(sides[0])


def _unknown(module: Any) -> Table:
    name = type(module).__name__
    if name in _OUTPUTS:
        raise _MisfitError("is an output function; expected it after the last Linear")
    raise _MisfitError("Assay has no such layer; assay.fit(model=...) trains the module itself, on engine torch")


def _dense(module: Any) -> Table:
    _like(module, bias=True)
    return {"kind": "dense", "units": int(module.out_features)}


def _convolution(module: Any) -> Table:
    _like(module, bias=True, groups=1, padding_mode="zeros")
    if _side(module.dilation, "dilation") != 1:
        raise _MisfitError("expected dilation=1")
    kernel, stride, padding = _side(module.kernel_size, "kernel"), _side(module.stride, "stride"), module.padding
    if padding == "same":
        if kernel % 2 == 0:
            raise _MisfitError("expected an odd kernel with padding='same'")
        padding = (kernel - 1) // 2
    padding = 0 if padding == "valid" else _side(padding, "padding")
    table = {"kind": "conv2d", "channels": int(module.out_channels), "kernel": kernel}
    return table | ({"stride": stride} if stride != 1 else {}) | ({"padding": padding} if padding else {})


def _pool(module: Any) -> Table:
    is_max = type(module).__name__ == "MaxPool2d"
    _like(module, ceil_mode=False, **({} if is_max else {"divisor_override": None}))
    if _side(module.padding, "padding") or (is_max and _side(module.dilation, "dilation") != 1):
        raise _MisfitError("expected no padding and dilation=1")
    size, stride = _side(module.kernel_size, "size"), _side(module.stride, "stride")
    table = {"kind": "max_pool" if is_max else "average_pool", "size": size}
    return table | ({"stride": stride} if stride != size else {})


def _normalisation(module: Any) -> Table:
    _like(module, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True)
    return {"kind": "batch_norm"}


def _flatten(module: Any) -> Table:
    _like(module, start_dim=1, end_dim=-1)
    return {"kind": "flatten"}


def _dropout(module: Any) -> Table:
    if not 0 <= module.p < 1:
        raise _MisfitError("expected p < 1")
    return {"kind": "dropout", "rate": float(module.p)}


def _activation(module: Any) -> Table:
    name = type(module).__name__
    if name in _FUNCTIONS:
        return {"kind": "activation", "function": _FUNCTIONS[name]}
    match name:
        case "LeakyReLU":
            _like(module, negative_slope=0.01)
        case "ELU":
            _like(module, alpha=1.0)
        case "Softplus":
            _like(module, beta=1.0)
        case _:
            _like(module, approximate="tanh")
    return {"kind": "activation", "function": {"LeakyReLU": "leaky_relu"}.get(name, name.lower())}


def _converters() -> dict[Any, Callable[[Any], Table]]:
    nn = torch_library().nn
    activations = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.GELU)
    return {
        nn.Linear: _dense,
        nn.Conv2d: _convolution,
        nn.MaxPool2d: _pool,
        nn.AvgPool2d: _pool,
        nn.BatchNorm1d: _normalisation,
        nn.BatchNorm2d: _normalisation,
        nn.Flatten: _flatten,
        nn.Dropout: _dropout,
        **dict.fromkeys(activations, _activation),
    }
