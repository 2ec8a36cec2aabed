"""What LiteRT tells a delegate about a model: its structures read into a ``Graph``.

The runtime has checked the model when it calls a delegate: operators' tensors exist and their
shapes fit. What it gives us by address is read here and nowhere else.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from lapilli.errors import DeviceError, ModelError
from lapilli.litert import tflite_c
from lapilli.litert.runtime_options import LAYOUTS
from lapilli.model.custom import options_of
from lapilli.model.graph import (
    Constant,
    Convolution,
    Graph,
    Operator,
    Options,
    Quantization,
    Tensor,
)
from lapilli.model.options import CUSTOM_WITH_OPTIONS
from lapilli.model.tensors import SPARSE

_MEMORY = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_WRITABLE = 0x200
_LIBC = ctypes.CDLL(None)
_LIBC.malloc.argtypes = [ctypes.c_size_t]
_LIBC.malloc.restype = ctypes.c_void_p


def values_of(array: Any, element: Any = ctypes.c_int) -> tuple[Any, ...]:
    """The elements of a TfLiteIntArray or TfLiteFloatArray, () for a null pointer."""
    if not array:
        return ()
    start = ctypes.addressof(array.contents) + ctypes.sizeof(ctypes.c_int)
    size = array.contents.size
    # Not by ctypes' array types: each length makes a type, which only the garbage collector frees.
    data = ctypes.string_at(start, size * ctypes.sizeof(element))
    return struct.unpack(f"{size}{element._type_}", data)


def int_array(values: Sequence[int]) -> Any:
    """A TfLiteIntArray that lives as long as the returned pointer."""
    # Not by ctypes.cast, whose result is part of a cycle that only the garbage collector frees.
    memory = bytearray(struct.pack(f"{len(values) + 1}i", len(values), *values))
    return ctypes.pointer(tflite_c.TfLiteIntArray.from_buffer(memory))


def tensor_at(context: Any, index: int) -> Any:
    """The TfLiteTensor with this index.

    Raises DeviceError if what lies there is none. We would sooner refuse a future runtime with
    another layout than follow a pointer that is none, hence only numbers are looked at.
    """
    tensor = context.tensors[index]
    if not (
        0 <= tensor.type < 64
        and 0 <= tensor.allocation_type < 32
        and tensor.buffer_handle >= tflite_c.NULL_BUFFER_HANDLE
        and 0 <= tensor.quantization.type < 16
    ):
        raise DeviceError(
            f"tensor {index} as this LiteRT describes it makes no sense (type {tensor.type}, "
            f"allocation {tensor.allocation_type}, buffer {tensor.buffer_handle}): its structures "
            "are not those of the supported versions, ai-edge-litert 1.0.1 to 2.3 and "
            "tflite-runtime 2.14"
        )
    return tensor


def _quantization(tensor: Any) -> Quantization | None:
    """The affine quantisation, or the older per-tensor parameters, or None."""
    stored = tensor.quantization
    if stored.type == tflite_c.QuantizationType.AFFINE and stored.params:
        affine = tflite_c.TfLiteAffineQuantization.from_address(stored.params)
        scales = values_of(affine.scale, ctypes.c_float)
        zero_points = values_of(affine.zero_point) or (0,)
        if scales:
            if len(zero_points) == 1:
                # The interpreter can be asked to keep equal zero points only once.
                zero_points *= len(scales)
            return Quantization(scales, zero_points, affine.quantized_dimension)
    if tensor.params.scale:
        return Quantization((tensor.params.scale,), (tensor.params.zero_point,))
    return None


def _type_name(number: int) -> str:
    """NumPy's name of a TfLiteType, or TFLite's."""
    if number < len(tflite_c.TYPE_NAMES):
        return tflite_c.TYPE_NAMES[number]
    return f"unknown_{number}"


def view(address: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The runtime's memory as an array; valid as long as that memory is."""
    kind = np.dtype(dtype)
    memory = _MEMORY(address, math.prod(shape) * kind.itemsize, _WRITABLE)
    return np.ndarray(shape, kind, memory)


def _constant(tensor: Any, shape: tuple[int, ...], dtype: str) -> Constant | None:
    """A read-only view of a constant's values, None for anything else."""
    if tensor.allocation_type != tflite_c.AllocationType.MMAP_READ_ONLY or not tensor.data:
        return None
    if dtype not in tflite_c.NUMPY_TYPES or tensor.sparsity:
        values = view(tensor.data, (tensor.bytes,), "uint8")
    else:
        values = view(tensor.data, shape, dtype)
    if values.nbytes != tensor.bytes:
        raise ModelError(
            f"tensor {_name(tensor)!r}: {tensor.bytes} bytes of data for shape {shape} of {dtype}, "
            f"which takes {values.nbytes}"
        )
    values.flags.writeable = False
    return values


def _name(tensor: Any) -> str:
    """A tensor's name; files may hold any bytes."""
    return (tensor.name or b"").decode("utf-8", "replace")


def _read_tensor(context: Any, index: int) -> Tensor:
    """A tensor of the runtime as one of ours."""
    tensor = tensor_at(context, index)
    shape = values_of(tensor.dims)
    dtype = _type_name(tensor.type)
    if tensor.sparsity:
        dtype = f"{SPARSE} {dtype}"
    return Tensor(
        index=index,
        name=_name(tensor),
        shape=shape,
        dtype=dtype,
        quantization=_quantization(tensor),
        data=_constant(tensor, shape, dtype),
    )


def _options(context: Any, node: Any, kind: str) -> Options:
    """The options of an operator, None for kinds without any we know."""
    if kind in CUSTOM_WITH_OPTIONS:
        start, size = node.custom_initial_data, node.custom_initial_data_size
        return options_of(kind, ctypes.string_at(start, size) if start and size > 0 else b"")
    if kind not in LAYOUTS or not node.builtin_data:
        return None
    options = LAYOUTS[kind].read(node.builtin_data)
    if isinstance(options, Convolution) and kind == "DEPTHWISE_CONV_2D":
        inputs = values_of(node.inputs)
        return replace(options, depth_multiplier=_depth_multiplier(context, inputs))
    return options


def _depth_multiplier(context: Any, inputs: Sequence[int]) -> int:
    """By the shapes, as TFLite has it since 2.1: files exist in which the option says 0."""
    shapes = [values_of(tensor_at(context, index).dims) for index in inputs[:2] if index >= 0]
    if [len(shape) for shape in shapes] != [4, 4] or shapes[0][3] < 1:
        return 1
    return int(shapes[1][3] // shapes[0][3])


def _kind(registration: Any) -> str:
    """TFLite's name of an operator, with its own name for a custom one."""
    code = registration.builtin_code
    if code == tflite_c.BuiltinOperator.CUSTOM:
        name = (registration.custom_name or b"").decode("utf-8", "replace")
        return f"CUSTOM:{name}"
    for name, value in vars(tflite.BuiltinOperator).items():
        if value == code and isinstance(value, int):
            return str(name)
    return f"UNKNOWN_{code}"


def _read_operator(pointer: Any, context: Any, index: int) -> Operator:
    """The operator with a node index; for an untouched graph that is its index in the .tflite."""
    node = ctypes.POINTER(tflite_c.TfLiteNode)()
    registration = ctypes.POINTER(tflite_c.TfLiteRegistration)()
    status = context.GetNodeAndRegistration(
        pointer, index, ctypes.byref(node), ctypes.byref(registration)
    )
    require(status, f"describe operator {index}")
    kind = _kind(registration.contents)
    try:
        options = _options(context, node.contents, kind)
    except ModelError as error:
        raise ModelError(f"operator {index} ({kind}): {error}") from error
    return Operator(
        index=index,
        kind=kind,
        inputs=values_of(node.contents.inputs),
        outputs=values_of(node.contents.outputs),
        options=options,
        version=registration.contents.version,
    )


def read_graph(pointer: Any) -> Graph:
    """The graph the runtime is about to run. Constants are views of the model it holds."""
    context = pointer.contents
    plan = ctypes.POINTER(tflite_c.TfLiteIntArray)()
    require(context.GetExecutionPlan(pointer, ctypes.byref(plan)), "tell the execution plan")
    operators = tuple(_read_operator(pointer, context, index) for index in values_of(plan))
    tensors = tuple(_read_tensor(context, index) for index in range(context.tensors_size))
    made = {tensor for operator in operators for tensor in operator.outputs}
    used = {tensor for operator in operators for tensor in operator.inputs if tensor >= 0}
    # The runtime does not tell a delegate what the model's outputs are, but with the whole graph
    # as one partition they are what it gives out.
    whole = preview(pointer, [operator.index for operator in operators])
    outputs = whole[0].outputs if len(whole) == 1 else tuple(sorted(made - used))
    return Graph(
        name="the model given to LiteRT",
        tensors=tensors,
        operators=operators,
        inputs=tuple(sorted(t for t in used - made if tensors[t].data is None)),
        outputs=outputs,
    )


def forget_marks(context: Any, graph: Graph) -> None:
    """Take from tensors the mark of a delegate that no longer makes them. A runtime that takes
    delegates back, for a resize, leaves the marks, and the next delegate trips over them: "tensor->
    delegate == nullptr || tensor->delegate == delegate was not true"."""
    made = {
        t for operator in graph.operators if operator.kind == "DELEGATE" for t in operator.outputs
    }
    for index in range(context.tensors_size):
        if index not in made:
            context.tensors[index].delegate = None


def owned(graph: Graph, operators: Sequence[int]) -> Graph:
    """The graph with only the constants these operators use, copied: a compiled part may outlive
    the model in the interpreter's memory."""
    chosen = set(operators)
    used = {t for operator in graph.operators if operator.index in chosen for t in operator.inputs}
    return replace(
        graph,
        tensors=tuple(_owned_tensor(tensor, tensor.index in used) for tensor in graph.tensors),
    )


def _owned_tensor(tensor: Tensor, used: bool) -> Tensor:
    """The tensor with a copy of its constant, or without it."""
    if tensor.data is None:
        return tensor
    if not used:
        return replace(tensor, data=None)
    data = tensor.data.copy()
    data.flags.writeable = False
    return replace(tensor, data=data)


@dataclass(frozen=True)
class Partition:
    """Operators the runtime would merge into one kernel, and the tensors across its border."""

    operators: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def partition_of(parameters: Any) -> Partition:
    """From TfLiteDelegateParams."""
    return Partition(
        operators=values_of(parameters.nodes_to_replace),
        inputs=values_of(parameters.input_tensors),
        outputs=values_of(parameters.output_tensors),
    )


def require(status: int, what: str) -> None:
    """DeviceError unless the runtime did what it was asked to."""
    if status != tflite_c.Status.OK:
        raise DeviceError(f"LiteRT could not {what} (status {status})")


def resize(context: Any, index: int, shape: Sequence[int]) -> None:
    """Give a tensor that a kernel of ours writes its shape, while the runtime prepares."""
    # The runtime frees it, with free(3).
    size = ctypes.sizeof(ctypes.c_int) * (len(shape) + 1)
    address = _LIBC.malloc(size)
    if not address:
        raise DeviceError(f"no memory for {size} bytes")
    ctypes.memmove(address, struct.pack(f"{len(shape) + 1}i", len(shape), *shape), size)
    array = tflite_c.TfLiteIntArray.from_address(address)
    status = context.ResizeTensor(
        ctypes.byref(context), ctypes.byref(context.tensors[index]), ctypes.byref(array)
    )
    require(status, f"give tensor {index} the shape {list(shape)}")


def preview(pointer: Any, operators: Sequence[int]) -> list[Partition]:
    """How the runtime would cut the graph if we took these operators."""
    if not operators:
        return []
    found = ctypes.POINTER(tflite_c.TfLiteDelegateParams)()
    count = ctypes.c_int()
    status = pointer.contents.PreviewDelegatePartitioning(
        pointer, int_array(operators), ctypes.byref(found), ctypes.byref(count)
    )
    require(status, "preview the partitions")
    return [partition_of(found[i]) for i in range(count.value)]
