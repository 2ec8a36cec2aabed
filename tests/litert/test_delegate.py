"""The delegate in stock LiteRT. Compiler and device are numpy here, except in the last group.

Runs with any runtime that ``lapilli.litert.runtime`` finds; ``tools/check_runtimes.py`` tries all
versions.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import itertools
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from numpy.typing import NDArray
from shared_data import shared_data

from lapilli.errors import DeviceError, Unsupported, UsageError
from lapilli.litert import runtime as litert
from lapilli.litert.delegate import Delegate
from lapilli.model.graph import Activation, Addition, Convolution, Graph, Operator, Padding

if all(importlib.util.find_spec(name) is None for name, _ in litert.RUNTIMES):
    pytest.skip("no TensorFlow Lite runtime", allow_module_level=True)

Array = NDArray[Any]
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")


# --- An NPU made of numpy ---


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
        self.written: list[int] = []

    def write(self, tensor: int, values: Array, /) -> None:
        self.written.append(tensor)
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

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> FakePart:
        if self.compile_error is not None:
            raise self.compile_error
        chosen = tuple(graph.operators[i] for i in operators)
        return FakePart(graph, chosen, tuple(inputs), tuple(outputs))

    def load(self, part: FakePart) -> FakeLoaded:
        assert self.open
        self.loaded.append(FakeLoaded(self, part))
        return self.loaded[-1]

    def close(self) -> None:
        assert self.open, "closed twice"
        self.open = False


# --- Models ---


def small_model(size: int = 8) -> bytes:
    """conv 0, depthwise 1, LOGISTIC 2 (which stays on the CPU), conv 3, add 4 of 2 and 3."""
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
    third = model.tensor((1, size // 2, size // 2, 4), 1 / 256, 0, name="logistic")
    model.operator("LOGISTIC", [second], [third])
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


# --- What runs where ---


def test_supported_operators_run_on_the_npu_and_the_rest_on_the_cpu() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    result = run(interpreter)
    assert delegate.partitions == ((0, 1), (3, 4))
    assert [verdict.supported for verdict in delegate.verdicts] == [True, True, False, True, True]
    assert delegate.verdicts[2].reason == "no LOGISTIC here"
    assert backend.executions == 2
    assert_close(result, run(new_interpreter(small_model())))
    assert len(np.unique(result)) > 8  # a picture, not a constant
    assert delegate.parts == tuple(loaded.part for loaded in backend.loaded)
    assert delegate.compile_seconds > 0
    assert delegate.error is None


def test_everything_on_the_npu() -> None:
    delegate = Delegate(_backend=FakeBackend(), strict=True)
    model = ModelBuilder()
    x = model.input((1, 4, 4, 2), 0.1, 3)
    data = model.build([model.add(x, x, 0.2, 3)])
    interpreter = new_interpreter(data, delegate)
    assert_close(run(interpreter), run(new_interpreter(data)), 1)
    details = interpreter.get_output_details()[0]
    assert delegate.partitions == ((0,),)
    assert delegated_outputs(interpreter) == [[details["index"]]]
    assert details["name"] == "tensor1"


def test_nothing_on_the_npu() -> None:
    backend = FakeBackend(kinds=())
    delegate = Delegate(_backend=backend)
    result = run(new_interpreter(small_model(), delegate))
    assert (delegate.partitions, delegate.parts, backend.executions) == ((), (), 0)
    assert np.array_equal(result, run(new_interpreter(small_model())))


def test_the_default_cpu_delegate_comes_second_and_gets_what_is_left() -> None:
    delegate = Delegate(_backend=FakeBackend())
    interpreter = new_interpreter(small_model(), delegate)
    (first,), (second,) = (part.outputs for part in delegate.parts)
    (logistic,) = delegate.parts[1].inputs
    outputs = delegated_outputs(interpreter)
    assert outputs[:2] == [[first], [second]]
    assert outputs[2:] in ([], [[logistic]])  # tflite-runtime's XNNPACK takes no uint8


def test_constants_are_not_copied_at_each_invocation() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    run(interpreter)
    first, second = backend.loaded
    assert [len(first.written), len(second.written)] == [1, 1]
    assert tuple(first.written) == first.part.inputs
    assert tuple(second.written) == second.part.inputs


def test_a_tensor_inside_a_partition_that_is_a_model_output_comes_back() -> None:
    random = np.random.default_rng(1)
    model = ModelBuilder()
    x = model.input((1, 4, 4, 3), 0.02, 128)
    kernels = random.integers(0, 256, (3, 1, 1, 3)).astype(np.uint8)
    first = model.conv(x, kernels, np.zeros(3), 0.01, 120, 0.05, 100)
    second = model.conv(first, kernels, np.zeros(3), 0.01, 120, 0.05, 100)
    data = model.build([second, first])
    backend = FakeBackend()
    interpreter = new_interpreter(data, Delegate(_backend=backend))
    expected = new_interpreter(data)
    run(interpreter), run(expected)
    assert set(backend.graphs[0].outputs) == {first, second}
    for details in interpreter.get_output_details():
        index = details["index"]
        assert_close(interpreter.get_tensor(index), expected.get_tensor(index))


def test_small_partitions_can_be_left_to_the_cpu() -> None:
    chosen = FakeBackend(choose=lambda operator: operator.index in (0, 1, 3))
    delegate = Delegate(_backend=chosen, min_partition=2)
    run(new_interpreter(small_model(), delegate))
    assert delegate.partitions == ((0, 1),)
    delegate = Delegate(_backend=FakeBackend(), min_partition=3)
    run(new_interpreter(small_model(), delegate))
    assert delegate.partitions == ()


def test_preserve_all_tensors_still_works() -> None:
    arguments = {"experimental_preserve_all_tensors": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions warn that it takes memory
        interpreter = new_interpreter(small_model(), Delegate(_backend=FakeBackend()), **arguments)
    assert_close(run(interpreter), run(new_interpreter(small_model())))


# --- The graph ---


def test_the_graph_is_the_models() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    graph = backend.graphs[0]
    assert [operator.kind for operator in graph.operators] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "CONV_2D", "ADD"
    ]  # fmt: skip
    assert graph.operators[0].options == Convolution(Padding.SAME, 2, 2, activation=Activation.RELU)
    assert graph.operators[3].options == Convolution(Padding.VALID, 1, 1)
    assert graph.operators[4].options == Addition()
    assert graph.inputs == (interpreter.get_input_details()[0]["index"],)
    assert graph.outputs == (interpreter.get_output_details()[0]["index"],)
    part: FakePart = delegate.parts[0]
    weights = part.graph.tensors[part.operators[0].inputs[1]].data
    assert weights is not None
    assert weights.shape == (4, 3, 3, 3)
    assert not weights.flags.writeable
    del interpreter, delegate
    gc.collect()
    assert weights.sum() > 0  # a copy: the model's memory is gone


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


class Reader(FakeBackend):
    """Compares the graph with the one read from the file."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(kinds=())
        self.graph = graph

    def verdicts(self, graph: Graph) -> Sequence[FakeVerdict]:
        assert_same_graph(graph, self.graph)
        return super().verdicts(graph)


MODELS = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v2_1.0_224_quant",
    "tf2_mobilenet_v2_1.0_224_ptq",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "movenet_single_pose_lightning_ptq",
    "ssdlite_mobiledet_coco_qat_postprocess",
)


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_is_what_the_file_says(name: str) -> None:
    tflite = pytest.importorskip("lapilli.model.tflite")
    path = shared_data() / "models" / f"{name}.tflite"
    backend = Reader(tflite.parse(path.read_bytes(), path.name))
    new_interpreter(path.read_bytes(), Delegate(_backend=backend))
    assert len(backend.graphs) == 1


# --- Options ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"devise": "auto"}, "unknown option 'devise'; options are device (str), schedule"),
        ({"schedule": "fast"}, "schedule is one of best, reference, not 'fast'"),
        ({"strict": "yes"}, "strict is True or False, not 'yes'"),
        ({"min_partition": 0}, "min_partition is an integer of 1 or more, not 0"),
        ({"min_partition": "2"}, "min_partition is an integer of 1 or more, not '2'"),
        ({"device": 3}, "device is a name such as 'emulator:a311d' or 'auto', not 3"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(options: Mapping[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as raised:
        Delegate(_backend=FakeBackend(), **options)
    assert isinstance(raised.value, UsageError)


def test_strict_refuses_a_model_with_operators_for_the_cpu() -> None:
    delegate = Delegate(_backend=FakeBackend(), strict=True)
    text = r"strict: 1 of 5 operators .* CPU; operator 2 \(LOGISTIC\): no LOGISTIC here"
    with pytest.raises(RuntimeError, match=text):
        new_interpreter(small_model(), delegate)
    assert isinstance(delegate.error, Unsupported)
    assert [verdict.supported for verdict in delegate.verdicts].index(False) == 2
    assert delegate.partitions == ()


def test_strict_counts_partitions_that_are_too_small() -> None:
    backend = FakeBackend(choose=lambda operator: True)
    delegate = Delegate(_backend=backend, strict=True, min_partition=6)
    with pytest.raises(RuntimeError, match="its partition is smaller than min_partition"):
        new_interpreter(small_model(), delegate)


# --- Errors ---


def test_an_error_while_judging_reaches_the_user() -> None:
    backend = FakeBackend()
    backend.verdict_error = KeyError("a bug")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError, match="lapilli: KeyError: 'a bug'"):
        new_interpreter(small_model(), delegate)
    assert delegate.error is backend.verdict_error


def test_an_error_while_compiling_reaches_the_user() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("operator 1: 100 % of %s and %n do not fit")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError, match="lapilli: operator 1: 100 % of %s and %n do not fit"):
        new_interpreter(small_model(), delegate)
    assert delegate.error is backend.compile_error
    assert (delegate.partitions, delegate.parts) == ((), ())
    assert len(delegate.verdicts) == 5


@pytest.mark.parametrize(
    "error", [DeviceError("the device went away"), MemoryError(), KeyboardInterrupt()]
)
def test_an_error_at_run_time_reaches_the_user(error: BaseException) -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    expected = run(interpreter)
    backend.execute_error = error
    text = "lapilli: the device went away" if isinstance(error, DeviceError) else "lapilli: "
    with pytest.raises(RuntimeError, match=text):
        run(interpreter)
    assert delegate.error is error
    backend.execute_error = None
    assert np.array_equal(run(interpreter), expected)


def test_a_long_message_is_cut_at_a_whole_character() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("é\0%" * 1000)
    with pytest.raises(RuntimeError, match="lapilli: é\ufffd%é\ufffd%"):
        new_interpreter(small_model(), Delegate(_backend=backend))


def test_no_traceback_keeps_the_graph_alive() -> None:
    backend = FakeBackend()
    backend.compile_error = Unsupported("no")
    delegate = Delegate(_backend=backend)
    with pytest.raises(RuntimeError):
        new_interpreter(small_model(), delegate)
    assert delegate.error is not None
    assert delegate.error.__traceback__ is None


def test_a_graph_with_dynamic_tensors_is_refused_with_the_reason() -> None:
    model = ModelBuilder()
    x = model.input((1, 4, 4, 2), 0.1, 3)
    shape = model.input((2,), None, dtype="int32")
    result = model.tensor((1, 32), 0.2, 3)
    model.operator("RESHAPE", [model.add(x, x, 0.2, 3), shape], [result])
    delegate = Delegate(_backend=FakeBackend())
    # The runtime decides this before it calls us, and its error has no text.
    with pytest.raises(RuntimeError):
        new_interpreter(model.build([result]), delegate)
    assert isinstance(delegate.error, Unsupported)
    assert "dynamic-sized tensors" in str(delegate.error)


# --- Resizing ---


def test_resized_inputs_are_compiled_anew() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    reference = new_interpreter(small_model())
    for size in (12, 8, 16):
        for one in (interpreter, reference):
            one.resize_tensor_input(one.get_input_details()[0]["index"], [1, size, size, 3])
            one.allocate_tensors()
        before = backend.executions
        assert_close(run(interpreter), run(reference))
        assert backend.executions == before + 2
        assert delegate.partitions == ((0, 1), (3, 4))
        assert delegate.parts[0].graph.tensors[0].shape == (1, size, size, 3)
    assert [loaded.open for loaded in backend.loaded].count(True) == 2


def test_resizing_before_the_first_allocation() -> None:
    backend = FakeBackend()
    arguments = {"experimental_delegates": [Delegate(_backend=backend)]}
    interpreter = litert.interpreter_class()(model_content=small_model(), **arguments)
    reference = litert.interpreter_class()(model_content=small_model())
    for one in (interpreter, reference):
        one.resize_tensor_input(one.get_input_details()[0]["index"], [2, 12, 8, 3])
        one.allocate_tensors()
    assert_close(run(interpreter), run(reference))
    assert backend.executions == 2


def test_a_resize_that_can_not_be_compiled_is_an_error() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    backend.compile_error = Unsupported("too wide")
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, 80, 80, 3])
    with pytest.raises(RuntimeError, match="too wide"):
        interpreter.allocate_tensors()
    assert delegate.partitions == ()
    assert delegate.error is backend.compile_error


def test_allocating_again_does_not_compile_again() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    expected = run(interpreter)
    interpreter.allocate_tensors()
    assert np.array_equal(run(interpreter), expected)
    assert len(backend.loaded) == 2


# --- Several at once ---


def test_two_models_with_one_delegate() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    first = new_interpreter(small_model(), delegate)
    second = new_interpreter(small_model(12), delegate)
    assert delegate.parts[0].graph.tensors[0].shape == (1, 12, 12, 3)
    assert_close(run(first), run(new_interpreter(small_model())))
    assert_close(run(second), run(new_interpreter(small_model(12))))
    del first
    gc.collect()
    assert_close(run(second), run(new_interpreter(small_model(12))))
    assert [loaded.open for loaded in backend.loaded] == [False, False, True, True]


def test_a_delegate_that_failed_can_be_used_again() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    backend.compile_error = Unsupported("no")
    with pytest.raises(RuntimeError):
        new_interpreter(small_model(), delegate)
    backend.compile_error = None
    assert_close(run(new_interpreter(small_model(), delegate)), run(new_interpreter(small_model())))
    assert delegate.error is None


@pytest.mark.parametrize("shared", [True, False])
def test_two_threads(shared: bool) -> None:
    backend = FakeBackend()
    common = Delegate(_backend=backend)
    expected = [run(new_interpreter(small_model()), image) for image in images()]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            delegate = common if shared else Delegate(_backend=FakeBackend())
            for _ in range(3):
                interpreter = new_interpreter(small_model(), delegate)
                for image, values in zip(images(), expected, strict=True):
                    assert_close(run(interpreter, image), values)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_several_delegates_in_one_interpreter() -> None:
    first, second = Delegate(_backend=FakeBackend(kinds=("ADD",))), Delegate(_backend=FakeBackend())
    assert_close(
        run(new_interpreter(small_model(), first, second)), run(new_interpreter(small_model()))
    )
    assert (first.partitions, second.partitions) == (((4,),), ((0, 1), (3,)))


def test_a_model_with_several_subgraphs_reports_the_first() -> None:
    model = ModelBuilder()
    model.subgraphs = 2
    x = model.input((1, 4, 4, 2), 0.1, 3)
    data = model.build([model.add(x, x, 0.2, 3)])
    delegate = Delegate(_backend=FakeBackend())
    assert_close(run(new_interpreter(data, delegate)), run(new_interpreter(data)))
    assert delegate.partitions == ((0,),)


def test_without_clustering_every_operator_is_a_partition() -> None:
    delegate = Delegate(_backend=FakeBackend())
    try:
        interpreter = new_interpreter(
            small_model(), delegate, experimental_disable_delegate_clustering=True
        )
    except TypeError:
        pytest.skip("this runtime has no such argument")
    assert_close(run(interpreter), run(new_interpreter(small_model())))
    assert sorted(sum(delegate.partitions, ())) == [0, 1, 3, 4]


def images() -> list[Array]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8) for _ in range(4)]


# --- Finding the runtime ---


def test_the_runtime_says_which_it_is() -> None:
    name, version = litert.runtime_version().split()
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert version[0].isdigit()


def test_without_a_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "RUNTIMES", (("no_such_runtime", "no-such-runtime"),))
    for function in (litert.interpreter_class, litert.runtime_version):
        with pytest.raises(DeviceError, match=r"pip install 'lapilli\[litert\]'") as raised:
            function()
        assert raised.value.exit_code == 5


# --- Lifetime ---


def test_the_delegate_goes_first() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    gc.collect()
    run(interpreter)
    assert backend.open
    del interpreter
    gc.collect()
    assert not backend.open
    assert not any(loaded.open for loaded in backend.loaded)


def test_the_interpreter_goes_first() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    del interpreter
    gc.collect()
    assert backend.open
    assert not any(loaded.open for loaded in backend.loaded)
    assert delegate.partitions == ((0, 1), (3, 4))
    del delegate
    gc.collect()
    assert not backend.open


def test_a_view_of_a_tensor_outlives_both() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    view = interpreter.tensor(interpreter.get_output_details()[0]["index"])()
    expected = view.copy()
    del interpreter, delegate
    gc.collect()
    assert np.array_equal(view, expected)
    assert backend.open  # the runtime behind the view still holds the kernels
    del view
    gc.collect()
    assert not backend.open


def test_a_closed_delegate_keeps_its_device_for_the_interpreters_it_has() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    delegate.close()
    delegate.close()
    run(interpreter)
    with pytest.raises(UsageError, match="was closed"):
        new_interpreter(small_model(), delegate)
    del interpreter
    gc.collect()
    assert not backend.open


def resident_kilobytes() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4


def test_a_hundred_cycles_do_not_leak() -> None:
    model = small_model(64)

    def cycle() -> None:
        backend = FakeBackend()
        interpreter = new_interpreter(model, Delegate(_backend=backend))
        run(interpreter)
        del interpreter
        gc.collect()
        assert not backend.open

    for _ in range(20):
        cycle()
    before = resident_kilobytes()
    for _ in range(100):
        cycle()
    assert resident_kilobytes() - before < 2000


@pytest.mark.parametrize(
    "ending", ["pass", "sys.exit(0)", "cycle = [interpreter]; cycle += [cycle]"]
)
def test_python_ends_while_an_interpreter_lives(ending: str) -> None:
    script = f"""
        import sys
        from test_delegate import Delegate, FakeBackend, new_interpreter, run, small_model
        interpreter = new_interpreter(small_model(), Delegate(_backend=FakeBackend()))
        run(interpreter)
        view = interpreter.tensor(0)()
        {ending}
    """
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in ("Traceback", "Exception ignored", "ctypes", "Error"):
        assert word not in done.stderr


# --- With the real compiler and the emulator ---


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("emulator:a311e", UsageError, "unknown device 'emulator:a311e'"),
        ("/dev/dri/no_such_node", DeviceError, "no such device node"),
    ],
)
def test_a_wrong_device_fails_at_once(device: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Delegate(device=device)


# Small ones of each kind: convolutions of 1 and 3, with stride, depthwise, an addition.
OPERATORS = ("conv2d", "mb12", "mb13", "mb14", "mb24", "mb26")


@pytest.mark.parametrize("schedule", ["reference", "best"])
@pytest.mark.parametrize("name", OPERATORS)
def test_single_operators_give_the_cpus_values(name: str, schedule: str) -> None:
    pytest.importorskip("lapilli.emulator.machine")
    model = (shared_data() / "models" / "ops" / f"{name}.tflite").read_bytes()
    delegate = Delegate(device="emulator:a311d", schedule=schedule, strict=True)
    result = run(new_interpreter(model, delegate))
    assert delegate.partitions == ((0,),)
    assert_close(result, run(new_interpreter(model)), 1)


def test_a_partitioned_model_on_the_emulator() -> None:
    pytest.importorskip("lapilli.emulator.machine")
    delegate = Delegate(device="emulator:a311d")
    result = run(new_interpreter(small_model(), delegate))
    assert any(verdict.supported for verdict in delegate.verdicts)
    assert not all(verdict.supported for verdict in delegate.verdicts)
    assert_close(result, run(new_interpreter(small_model())))
