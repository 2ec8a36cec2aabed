"""An NPU made of numpy for the delegate, models for it, and interpreters."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.compiler.units.requantise import Requantised
from lapilli.litert import runtime as litert
from lapilli.model.graph import Activation, Convolution, Graph, Operator, Padding

if all(importlib.util.find_spec(name) is None for name, _ in litert.RUNTIMES):
    pytest.skip("no TensorFlow Lite runtime", allow_module_level=True)

Array = NDArray[Any]
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")


@dataclass(frozen=True)
class FakeVerdict:
    supported: bool
    reason: str = ""


@dataclass(frozen=True)
class FakePart:
    graph: Graph
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def real(graph: Graph, tensor: int, stored: Array) -> Array:
    """Real values of stored ones."""
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    values: Array = quantization.scale * (stored.astype(np.float64) - quantization.zero_point)
    return values


def stored(graph: Graph, tensor: int, values: Array) -> Array:
    """Real values as uint8."""
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    scaled = values / quantization.scale + quantization.zero_point
    result: Array = np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)
    return result


def convolve(graph: Graph, operator: Operator, image: Array, options: Convolution) -> Array:
    """CONV_2D or DEPTHWISE_CONV_2D with multiplier 1, in real numbers."""
    data = graph.tensors[operator.inputs[1]].data
    assert data is not None
    kernel = real(graph, operator.inputs[1], data)
    result_shape = graph.tensors[operator.outputs[0]].shape
    window = kernel.shape[1:3]
    strides = (options.stride_rows, options.stride_columns)
    margins = [(0, 0)] * 4
    if options.padding is Padding.SAME:
        for axis in (1, 2):
            size, stride, extent = window[axis - 1], strides[axis - 1], image.shape[axis]
            total = max(0, (result_shape[axis] - 1) * stride + size - extent)
            margins[axis] = (total // 2, total - total // 2)
    padded = np.pad(image, margins)
    result: Array = np.zeros(result_shape)
    for row, column in itertools.product(range(window[0]), range(window[1])):
        pixels = padded[
            :,
            row : row + (result_shape[1] - 1) * strides[0] + 1 : strides[0],
            column : column + (result_shape[2] - 1) * strides[1] + 1 : strides[1],
        ]
        taps = kernel[:, row, column]
        result += pixels @ taps.T if operator.kind == "CONV_2D" else pixels * taps[0]
    bias = graph.tensors[operator.inputs[2]].data
    assert bias is not None
    result += real(graph, operator.inputs[2], bias)
    return result


class FakeLoaded:
    def __init__(self, backend: FakeBackend, part: FakePart) -> None:
        self.backend, self.part, self.open = backend, part, True
        self.values: dict[int, Array] = {}
        self.addresses: dict[int, int] = {}
        """Where tensors were read from, or written to, last."""
        self.written: list[int] = []

    def write(self, tensor: int, values: Array, /) -> None:
        self.written.append(tensor)
        self.addresses[tensor] = values.ctypes.data
        self.values[tensor] = values.copy()

    def execute(self) -> None:
        assert self.open
        assert self.backend.open
        if self.backend.execute_error is not None:
            raise self.backend.execute_error
        with self.backend.lock:
            self.backend.executions += 1
        graph = self.part.graph
        for operator in self.part.operators:
            reals = [real(graph, t, self.values[t]) for t in operator.inputs if t in self.values]
            if isinstance(operator.options, Convolution):
                result = convolve(graph, operator, reals[0], operator.options)
            else:
                result = reals[0] + reals[1]
            if operator.options is not None and operator.options.activation is Activation.RELU:
                result = np.maximum(result, 0)
            output = operator.outputs[0]
            self.values[output] = stored(graph, output, result)

    def read(self, tensor: int, out: Array, /) -> object:
        self.addresses[tensor] = out.ctypes.data
        out[...] = self.values[tensor]
        return None

    def close(self) -> None:
        assert self.open, "closed twice"
        self.open = False


class FakeBackend:
    """Takes ``kinds``, or what ``choose`` says."""

    def __init__(
        self, kinds: Sequence[str] = KINDS, choose: Callable[[Operator], bool] | None = None
    ) -> None:
        self.choose = choose or (lambda operator: operator.kind in kinds)
        self.verdict_error: BaseException | None = None
        self.compile_error: BaseException | None = None
        self.execute_error: BaseException | None = None
        self.graphs: list[Graph] = []
        self.loaded: list[FakeLoaded] = []
        self.executions = 0
        self.open = True
        self.lock = threading.Lock()

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        if self.verdict_error is not None:
            raise self.verdict_error
        # The real constants go when the interpreter goes; keep what is ours.
        owned = [dataclasses.replace(t, data=None) for t in graph.tensors]
        self.graphs.append(dataclasses.replace(graph, tensors=tuple(owned)))
        return [
            FakeVerdict(True) if self.choose(o) else FakeVerdict(False, f"no {o.kind} here")
            for o in graph.operators
        ]

    def without_per_channel(self, graph: Graph) -> Sequence[FakeVerdict]:
        return self.verdicts(graph)

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        return Requantised(graph, None)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> FakePart:
        if self.compile_error is not None:
            raise self.compile_error
        known = {operator.index: operator for operator in graph.operators}
        chosen = tuple(known[index] for index in operators)
        return FakePart(graph, chosen, tuple(inputs), tuple(outputs))

    def load(self, part: FakePart) -> FakeLoaded:
        assert self.open
        self.loaded.append(FakeLoaded(self, part))
        return self.loaded[-1]

    def close(self) -> None:
        assert self.open, "closed twice"
        self.open = False


class OneImage(FakeBackend):
    """Takes a batch of 1, as the NPU does."""

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        found = super().verdicts(graph)
        if graph.tensors[graph.inputs[0]].shape[0] == 1:
            return found
        return [FakeVerdict(False, "only a batch of 1") for _ in found]


def small_model(size: int = 8) -> bytes:
    """conv 0, depthwise 1, SOFTMAX 2 (which stays on the CPU), conv 3, add 4 of 2 and 3."""
    random = np.random.default_rng(5)
    model = ModelBuilder()

    def numbers(*shape: int) -> Array:
        return random.integers(0, 256, shape).astype(np.uint8)

    def bias() -> Array:
        return random.integers(-500, 500, 4)

    x = model.input((1, size, size, 3), 0.02, 128)
    first = model.conv(
        x, numbers(4, 3, 3, 3), bias(), 0.01, 120, 0.05, 100, stride=2, activation="RELU"
    )
    second = model.depthwise(first, numbers(1, 3, 3, 4), bias(), 0.01, 130, 0.06, 120)
    third = model.tensor((1, size // 2, size // 2, 4), 1 / 256, 0, name="softmax")
    model.operator("SOFTMAX", [second], [third], ("SoftmaxOptions", {"Beta": 1.0}))
    fourth = model.conv(third, numbers(4, 1, 1, 4), bias(), 0.01, 120, 0.02, 90, padding="VALID")
    return model.build([model.add(fourth, third, 0.03, 90)])


def new_interpreter(model: bytes, *delegates: Any, **arguments: Any) -> Any:
    interpreter = litert.interpreter_class()(
        model_content=model, experimental_delegates=list(delegates) or None, **arguments
    )
    interpreter.allocate_tensors()
    return interpreter


def image_for(interpreter: Any, seed: int = 0) -> Array:
    details = interpreter.get_input_details()[0]
    pixels: Array = np.random.default_rng(seed).integers(0, 256, details["shape"]).astype(np.uint8)
    return pixels


def run(interpreter: Any, image: Array | None = None) -> Array:
    values = image_for(interpreter) if image is None else image
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


def assert_close(result: Array, expected: Array, tolerance: int = 2) -> None:
    """Rounding differs by 1 an operator."""
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= tolerance


def delegated_outputs(interpreter: Any) -> list[list[int]]:
    """Output tensors of each node that is a delegate's, in the order of their making."""
    nodes = interpreter._get_ops_details()
    return [list(node["outputs"]) for node in nodes if node["op_name"] == "DELEGATE"]


def assert_same_graph(ours: Graph, read: Graph) -> None:
    """The runtime appends temporary tensors, and it works out shapes that the file leaves open."""
    assert ours.operators == read.operators
    assert set(ours.outputs) == set(read.outputs)
    for mine, theirs in zip(ours.tensors, read.tensors, strict=False):
        assert (mine.index, mine.name, mine.dtype) == (theirs.index, theirs.name, theirs.dtype)
        assert mine.shape == theirs.shape or theirs.shape == ()
        assert mine.quantization == theirs.quantization, mine
        assert (mine.data is None) == (theirs.data is None), mine
        if mine.data is not None and theirs.data is not None:
            assert np.array_equal(mine.data, theirs.data)


class GraphComparison(FakeBackend):
    """Compares the graph with the one read from the file."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(kinds=())
        self.graph = graph

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        assert_same_graph(graph, self.graph)
        return super().verdicts(graph)
