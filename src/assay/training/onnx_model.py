"""A trained network as an ONNX model that takes raw examples and returns probabilities."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError, EngineError, to_install
from assay.parts.layers import Activate, BatchNorm, Conv2d, Dense, Dropout, Flatten, Network, Pool
from assay.rng import stream
from assay.system.files import home_expanded, write_atomically
from assay.training.history import History
from assay.training.torch_weights import modules, network_of

_OPSET, _IR = 17, 8  # of 2022, which every runtime of today reads
_TOLERANCE = 1e-5
_CHECKED = 64  # examples
_SIMPLE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "elu": "Elu"}


class _Graph:
    """Nodes that are added one after the other, each taking the output of the last."""

    def __init__(self, onnx: Any, first: str) -> None:
        self.onnx, self.last = onnx, first
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **settings: Any) -> str:
        """Adds a node on the last output, or on the given inputs; returns its output."""
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs) or [self.last], [name], **settings))
        self.last = name
        return name

    def with_constant(self, kind: str, values: Any, **settings: Any) -> str:
        return self.add(kind, self.last, self.constant(values), **settings)


def write_onnx(history: History, path: str | Path) -> Path:
    """Writes the network as ONNX, after onnxruntime has given the same probabilities to 1e-5.

    The model takes `examples`, raw ones as the data set has them, float32 (N, *shape). It returns
    `probabilities` (N, C) and `label` (N,), the number of the most likely class.

    Raises:
        EngineError: onnx or onnxruntime is not installed.
        AssayError: The weights were not kept or are of a regression, or the probabilities differ.
    """
    if history.recipe.is_regression:
        raise AssayError("an ONNX model is of a classifier, and these weights are of a regression; write .safetensors")
    try:
        import onnx
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise EngineError(f"exporting to ONNX needs {error.name}: {to_install('onnx')}") from None
    path = home_expanded(path)
    content: bytes = model_of(history, onnx).SerializeToString()
    _check(history, content, onnxruntime)
    write_atomically(path, content)
    return path


def model_of(history: History, onnx: Any) -> Any:
    """The model, unchecked. Raises: AssayError."""
    network = network_of(history)
    if history.scale is None:
        raise AssayError("these weights do not say what raw values are divided by; train them again")
    graph = _Graph(onnx, "examples")
    _scaling(graph, history, network)
    _layers(graph, history, network)
    _probabilities(graph, network.output)
    graph.add("ArgMax", output="label", axis=1, keepdims=0)
    helper, kinds = onnx.helper, onnx.TensorProto
    made = helper.make_graph(
        graph.nodes,
        "assay",
        [helper.make_tensor_value_info("examples", kinds.FLOAT, ["N", *history.shape])],
        [
            helper.make_tensor_value_info("probabilities", kinds.FLOAT, ["N", len(history.classes)]),
            helper.make_tensor_value_info("label", kinds.INT64, ["N"]),
        ],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="assay")
    model.ir_version = _IR
    helper.set_model_props(model, {"classes": json.dumps(list(history.classes)), "recipe": history.recipe.label()})
    return model


def _scaling(graph: _Graph, history: History, network: Network) -> None:
    """The input scaling, in float64 as in training."""
    graph.with_constant("Reshape", np.array([-1, network.inputs]))
    graph.add("Cast", to=graph.onnx.TensorProto.DOUBLE)
    graph.with_constant("Div", np.array([history.scale], np.float64))
    mean, deviation = (np.array([value], np.float64) for value in history.scaling)
    if history.recipe.input == "standardise-each":
        x = graph.last
        centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[1], keepdims=1))
        square = graph.add("Mul", centred, centred)
        spread = graph.add("Sqrt", graph.add("ReduceMean", square, axes=[1], keepdims=1))
        graph.add("Div", centred, spread)
    elif history.features is not None:
        constant = history.features.constant
        graph.with_constant("Sub", history.features.mean)
        graph.with_constant("Mul", np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, history.features.deviation)))
    else:
        graph.with_constant("Sub", mean)
        graph.with_constant("Div", deviation)
    graph.add("Cast", to=graph.onnx.TensorProto.FLOAT)
    if network.image is not None:
        graph.with_constant("Reshape", np.array([-1, *network.image]))
        graph.add("Transpose", perm=[0, 3, 1, 2])


def _layers(graph: _Graph, history: History, network: Network) -> None:
    arrays = iter(modules(network))
    for layer in network.layers:
        module = next(arrays)
        w = {a.name: _float32(a.to_torch(history.checkpoint.weights[a.ours][0])) for a in module.arrays}
        match layer:
            case Dense():
                graph.add("Gemm", graph.last, graph.constant(w["weight"]), graph.constant(w["bias"]), transB=1)
            case Conv2d():
                inputs = (graph.last, graph.constant(w["weight"]), graph.constant(w["bias"]))
                sides: dict[str, Any] = {
                    "strides": [layer.stride] * 2,
                    "pads": [layer.padding] * 4,
                    "kernel_shape": [layer.kernel] * 2,
                }
                graph.add("Conv", *inputs, **sides)
            case BatchNorm():
                inputs = [graph.constant(w[name]) for name in ("weight", "bias", "running_mean", "running_var")]
                graph.add("BatchNormalization", graph.last, *inputs, epsilon=layer.epsilon)
            case Pool():
                kind = "MaxPool" if layer.kind == "max" else "AveragePool"
                graph.add(kind, kernel_shape=[layer.size] * 2, strides=[layer.stride] * 2)
            case Flatten():
                graph.add("Flatten", axis=1)
            case Activate():
                _activation(graph, layer.function)
            case Dropout():
                pass


def _activation(graph: _Graph, name: str) -> None:
    z = graph.last
    if name in _SIMPLE:
        graph.add(_SIMPLE[name])
    elif name == "leaky_relu":
        graph.add("LeakyRelu", alpha=0.01)
    elif name == "silu":
        graph.add("Mul", z, graph.add("Sigmoid"))
    elif name == "gelu":  # the tanh form, which ONNX has no operator for in this version
        cube = graph.add(
            "Mul", graph.add("Mul", z, graph.add("Mul", z, z)), graph.constant(np.array([0.044715], np.float32))
        )
        inner = graph.add(
            "Mul", graph.add("Add", z, cube), graph.constant(np.array([math.sqrt(2 / math.pi)], np.float32))
        )
        one = graph.add("Add", graph.add("Tanh", inner), graph.constant(np.array([1.0], np.float32)))
        graph.add("Mul", graph.add("Mul", z, one), graph.constant(np.array([0.5], np.float32)))
    elif name != "identity":
        raise AssayError(f"activation {name!r} has no ONNX form")


def _probabilities(graph: _Graph, output: str) -> None:
    """The outputs as probabilities, as `History.predict` gives them."""
    if output != "sigmoid":
        graph.add("Softmax", output="probabilities", axis=1)
        return
    a = graph.add("Sigmoid")
    total = graph.add("ReduceSum", a, graph.constant(np.array([1])), keepdims=1)
    least = graph.constant(np.array([np.finfo(np.float32).tiny]))
    graph.add("Div", a, graph.add("Max", total, least), output="probabilities")


def _float32(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


def _check(history: History, content: bytes, onnxruntime: Any) -> None:
    """Compares with `History.predict` on drawn examples of the training's range. Raises: AssayError."""
    assert history.scale is not None  # checked with the model
    scale = history.scale
    x = stream(0, "onnx-check").uniform(_CHECKED * history.inputs).reshape(_CHECKED, *history.shape)
    if history.features is not None:  # around what the training had, in every unit
        mean, deviation = history.features.mean, history.features.deviation
        x = ((x.reshape(_CHECKED, -1) - 0.5) * 4 * deviation + mean).reshape(x.shape)
    x = (x * scale).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    got = session.run(["probabilities"], {"examples": x})[0]
    expected = history.predict(x, probabilities=True, scale=scale)
    difference = float(np.abs(got - expected).max())
    if not difference <= _TOLERANCE:
        raise AssayError(
            f"the ONNX model gives probabilities that differ by {difference:.2g}, more than {_TOLERANCE:g}, so it was "
            "not written; weights this large are beyond float32"
        )
