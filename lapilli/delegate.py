"""The LiteRT delegate: stock LiteRT runs a model, this runs on the NPU what the NPU supports.

    Interpreter(model_path, experimental_delegates=[lapilli.Delegate(device="emulator:a311d")])

The interpreter asks a delegate for one thing, the address of a ``TfLiteDelegate``. That structure
is made here with ctypes; the functions in it are the four callbacks at the end of this file.

Who keeps whom alive: the structure's ``data_`` and each kernel's ``user_data`` are addresses of
Python objects. The runtime owns one reference to each kernel, from ``init`` to ``free``, and a
kernel owns the session with structure and device. So objects may be deleted in any order.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lapilli import tflite_c
from lapilli.errors import DeviceError, ModelError, Unsupported, UsageError
from lapilli.graph import (
    Activation,
    Addition,
    Constant,
    Convolution,
    Graph,
    Operator,
    Options,
    Padding,
    Quantization,
    Tensor,
)

_log = logging.getLogger(__name__)

SCHEDULES = ("best", "reference")
_OPTIONS = "device (str), schedule ('best' or 'reference'), strict (bool), min_partition (int >= 1)"
# LiteRT formats a message into 1024 bytes and then insists on valid UTF-8.
_MESSAGE_BYTES = 900
_ACTIVATIONS = {
    tflite_c.FusedActivation.NONE: Activation.NONE,
    tflite_c.FusedActivation.RELU: Activation.RELU,
    tflite_c.FusedActivation.RELU6: Activation.RELU6,
    tflite_c.FusedActivation.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
}
_PADDINGS = {
    tflite_c.PaddingKind.SAME: Padding.SAME,
    tflite_c.PaddingKind.VALID: Padding.VALID,
}


class Verdict(Protocol):
    """Whether the NPU takes an operator, and why."""

    @property
    def supported(self) -> bool:
        """The NPU can run it."""

    @property
    def reason(self) -> str:
        """What a user reads if it can't."""


class Loaded(Protocol):
    """A compiled part on a device; tensors by their index in the model."""

    def write(self, tensor: int, values: NDArray[Any]) -> None:
        """Copy an input's values to the device."""

    def execute(self) -> None:
        """Run and wait."""

    def read(self, tensor: int, values: NDArray[Any]) -> None:
        """Copy an output from the device into ``values``."""

    def close(self) -> None:
        """Free the part's memory on the device."""


class Backend(Protocol):
    """What the delegate needs of compiler and device; tests put another one in."""

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """One verdict for each of ``graph.operators``."""

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """A part that does the operators with the given ``Operator.index``."""

    def load(self, part: Any) -> Loaded:
        """Put a part on the device."""

    def close(self) -> None:
        """Close the device."""


class _Npu:
    """The backend with the real compiler and a device, which is opened here."""

    def __init__(self, device: str, schedule: str) -> None:
        # Imported late: whoever only reads ``Delegate``'s options needs neither.
        from lapilli.device.open import open_device

        self._schedule = schedule
        self._device = open_device(device)

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        from lapilli.partition import verdicts

        return verdicts(graph, self._device.chip)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        from lapilli.compile import compile_part

        return compile_part(
            graph,
            operators,
            self._device.chip,
            schedule=self._schedule,
            inputs=inputs,
            outputs=outputs,
        )

    def load(self, part: Any) -> Loaded:
        from lapilli.runner import LoadedPart

        return LoadedPart(self._device, part)

    def close(self) -> None:
        self._device.close()


# --- From the runtime's structures to a Graph -----------------------------------------------------


def _values(array: Any, element: Any = ctypes.c_int) -> tuple[Any, ...]:
    """The elements of a TfLiteIntArray or TfLiteFloatArray, () for a null pointer."""
    if not array:
        return ()
    start = ctypes.addressof(array.contents) + ctypes.sizeof(ctypes.c_int)
    return tuple((element * array.contents.size).from_address(start))


def _int_array(values: Sequence[int]) -> Any:
    """A TfLiteIntArray that lives as long as the returned pointer."""
    memory = (ctypes.c_int * (len(values) + 1))(len(values), *values)
    return ctypes.cast(memory, ctypes.POINTER(tflite_c.TfLiteIntArray))


def _tensor_at(context: Any, index: int) -> Any:
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
        scales = _values(affine.scale, ctypes.c_float)
        zero_points = _values(affine.zero_point) or (0,)
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
    return f"TYPE_{number}"


def _view(address: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The runtime's memory as an array; valid as long as that memory is."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    memory = (ctypes.c_ubyte * (count * kind.itemsize)).from_address(address)
    return np.frombuffer(memory, kind).reshape(shape)


def _constant(tensor: Any, shape: tuple[int, ...], dtype: str) -> Constant | None:
    """A read-only view of a constant's values, None for anything else."""
    if tensor.allocation_type != tflite_c.AllocationType.MMAP_READ_ONLY or not tensor.data:
        return None
    if not dtype.islower():
        return None
    values = _view(tensor.data, shape, dtype)
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
    tensor = _tensor_at(context, index)
    shape = _values(tensor.dims)
    dtype = _type_name(tensor.type)
    return Tensor(
        index=index,
        name=_name(tensor),
        shape=shape,
        dtype=dtype,
        quantization=_quantization(tensor),
        data=_constant(tensor, shape, dtype),
    )


def _padding(value: int) -> Padding:
    if value not in _PADDINGS:
        raise ModelError(f"padding {value}; allowed are 1 (SAME) and 2 (VALID)")
    return _PADDINGS[tflite_c.PaddingKind(value)]


def _activation(value: int) -> Activation:
    return _ACTIVATIONS.get(value, Activation.OTHER)  # type: ignore[call-overload, no-any-return]


def _options(code: int, address: int | None) -> Options:
    """The options of an operator from its builtin data, None for kinds without any we know."""
    if not address:
        return None
    if code == tflite_c.BuiltinOperator.ADD:
        return Addition(_activation(tflite_c.TfLiteAddParams.from_address(address).activation))
    multiplier = 1
    data: Any
    if code == tflite_c.BuiltinOperator.CONV_2D:
        data = tflite_c.TfLiteConvParams.from_address(address)
    elif code == tflite_c.BuiltinOperator.DEPTHWISE_CONV_2D:
        data = tflite_c.TfLiteDepthwiseConvParams.from_address(address)
        multiplier = data.depth_multiplier
    else:
        return None
    return Convolution(
        padding=_padding(data.padding),
        stride_rows=data.stride_height,
        stride_columns=data.stride_width,
        dilation_rows=data.dilation_height_factor,
        dilation_columns=data.dilation_width_factor,
        activation=_activation(data.activation),
        depth_multiplier=multiplier,
    )


def _kind(registration: Any) -> str:
    """TFLite's name of an operator, with its own name for a custom one."""
    import tflite  # the schema package, not our reader

    code = registration.builtin_code
    if code == tflite_c.BuiltinOperator.CUSTOM:
        name = (registration.custom_name or b"").decode("utf-8", "replace")
        return f"CUSTOM {name}".rstrip()
    for name, value in vars(tflite.BuiltinOperator).items():
        if value == code and name.isupper():
            return name
    return f"BUILTIN_{code}"


def _read_operator(pointer: Any, context: Any, index: int) -> Operator:
    """The operator with a node index; for an untouched graph that is its index in the .tflite."""
    node = ctypes.POINTER(tflite_c.TfLiteNode)()
    registration = ctypes.POINTER(tflite_c.TfLiteRegistration)()
    status = context.GetNodeAndRegistration(
        pointer, index, ctypes.byref(node), ctypes.byref(registration)
    )
    _require(status, f"describe operator {index}")
    kind = _kind(registration.contents)
    try:
        options = _options(registration.contents.builtin_code, node.contents.builtin_data)
    except ModelError as error:
        raise ModelError(f"operator {index} ({kind}): {error}") from error
    return Operator(
        index=index,
        kind=kind,
        inputs=_values(node.contents.inputs),
        outputs=_values(node.contents.outputs),
        options=options,
        version=registration.contents.version,
    )


def _read_graph(pointer: Any) -> Graph:
    """The graph the runtime is about to run. Constants are views of the model it holds."""
    context = pointer.contents
    plan = ctypes.POINTER(tflite_c.TfLiteIntArray)()
    _require(context.GetExecutionPlan(pointer, ctypes.byref(plan)), "tell the execution plan")
    operators = tuple(_read_operator(pointer, context, index) for index in _values(plan))
    tensors = tuple(_read_tensor(context, index) for index in range(context.tensors_size))
    made = {tensor for operator in operators for tensor in operator.outputs}
    used = {tensor for operator in operators for tensor in operator.inputs if tensor >= 0}
    # The runtime does not tell a delegate what the model's outputs are, but with the whole graph
    # as one partition they are what it gives out.
    whole = _partitions(pointer, [operator.index for operator in operators])
    outputs = whole[0].outputs if len(whole) == 1 else tuple(sorted(made - used))
    return Graph(
        name="the model given to LiteRT",
        tensors=tensors,
        operators=operators,
        inputs=tuple(sorted(t for t in used - made if tensors[t].data is None)),
        outputs=outputs,
    )


def _owned(graph: Graph, operators: Sequence[int]) -> Graph:
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


# --- Choosing what to take ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Partition:
    """Operators the runtime would merge into one kernel, and the tensors across its border."""

    operators: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def _partition(parameters: Any) -> _Partition:
    """From TfLiteDelegateParams."""
    return _Partition(
        operators=_values(parameters.nodes_to_replace),
        inputs=_values(parameters.input_tensors),
        outputs=_values(parameters.output_tensors),
    )


def _require(status: int, what: str) -> None:
    """DeviceError unless the runtime did what it was asked to."""
    if status != tflite_c.Status.OK:
        raise DeviceError(f"LiteRT could not {what} (status {status})")


def _partitions(pointer: Any, operators: Sequence[int]) -> list[_Partition]:
    """How the runtime would cut the graph if we took these operators."""
    if not operators:
        return []
    found = ctypes.POINTER(tflite_c.TfLiteDelegateParams)()
    count = ctypes.c_int()
    status = pointer.contents.PreviewDelegatePartitioning(
        pointer, _int_array(operators), ctypes.byref(found), ctypes.byref(count)
    )
    _require(status, "preview the partitions")
    return [_partition(found[i]) for i in range(count.value)]


def _worth_taking(pointer: Any, operators: Sequence[int], minimum: int) -> list[int]:
    """The operators whose partitions have ``minimum`` operators or more."""
    chosen = list(operators)
    while minimum > 1 and chosen:
        partitions = _partitions(pointer, chosen)
        kept = [i for p in partitions if len(p.operators) >= minimum for i in p.operators]
        if len(kept) == len(chosen):
            break
        # What is given up joins the CPU's operators, which can shift the other cuts: look again.
        chosen = sorted(kept)
    return chosen


def _refuse_leftovers(graph: Graph, verdicts: Sequence[Verdict], taken: Iterable[int]) -> None:
    """For ``strict``: Unsupported that names every operator left, with the reason."""
    on_npu = set(taken)
    left = [
        f"operator {operator.index} ({operator.kind}): "
        + ("its partition is smaller than min_partition" if verdict.supported else verdict.reason)
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
        if operator.index not in on_npu
    ]
    if left:
        raise Unsupported(
            f"strict: {len(left)} of {len(graph.operators)} operators would stay on the CPU; "
            + "; ".join(left)
        )


# --- What lives as long as the runtime may call us ------------------------------------------------


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that we keep: their frames hold views of the runtime's
    memory, and the graph."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _message(error: BaseException) -> bytes:
    """The reason as a C format string without conversions, short enough for the runtime."""
    from lapilli.errors import LapilliError

    text = str(error) if isinstance(error, LapilliError) else f"{type(error).__name__}: {error}"
    encoded = f"lapilli: {text}".replace("\0", " ").encode("utf-8", "replace")
    if len(encoded) > _MESSAGE_BYTES:
        encoded = encoded[:_MESSAGE_BYTES].decode("utf-8", "ignore").encode() + b" ..."
    return encoded.replace(b"%", b"%%") + b"\n"


@dataclass
class _Preparation:
    """One graph the delegate was applied to; each partition is entered by its kernel."""

    graph: Graph
    verdicts: tuple[Verdict, ...]
    parts: dict[tuple[int, ...], Any] = field(default_factory=dict)
    compile_seconds: float = 0.0


class _Session:
    """Device, options and results of one Delegate, and the structure the runtime points to."""

    def __init__(self, backend: Backend, strict: bool, min_partition: int) -> None:
        self.backend = backend
        self.strict = strict
        self.min_partition = min_partition
        self.lock = threading.RLock()
        self.error: BaseException | None = None
        self.preparations: dict[int, _Preparation] = {}
        self.current: _Preparation | None = None
        self._kernels = 0
        self._closed = False
        # By address, for Prepare: a session that owned itself would never be freed.
        self.structure = tflite_c.TfLiteDelegate(data_=id(self), Prepare=_PREPARE_DELEGATE)

    def applied_anew(self) -> None:
        """Another interpreter asks for the structure: what follows is its graph."""
        with self.lock:
            if self._closed:
                raise UsageError("this Delegate was closed; make a new one")
            self.preparations = {}
            self.error = None

    def prepare(self, pointer: Any) -> None:
        """Read the graph, decide, and let the runtime replace what the NPU takes."""
        with self.lock:
            if self._closed:
                raise UsageError("this Delegate was closed; make a new one")
            self.error = None
            graph = _read_graph(pointer)
            verdicts = tuple(self.backend.verdicts(graph))
            supported = [
                operator.index
                for operator, verdict in zip(graph.operators, verdicts, strict=True)
                if verdict.supported
            ]
            taken = _worth_taking(pointer, supported, self.min_partition)
            if self.strict:
                _refuse_leftovers(graph, verdicts, taken)
            preparation = _Preparation(_owned(graph, taken), verdicts)
            self.preparations[ctypes.addressof(pointer.contents)] = preparation
            _log.info("%d of %d operators go to the NPU", len(taken), len(graph.operators))
            if taken:
                self._replace(pointer, preparation, taken)

    def _replace(self, pointer: Any, preparation: _Preparation, operators: Sequence[int]) -> None:
        """Have the runtime call ``init`` for each partition of ``operators``."""
        registration = tflite_c.TfLiteRegistration(
            init=_INIT_KERNEL,
            free=_FREE_KERNEL,
            prepare=_PREPARE_KERNEL,
            invoke=_INVOKE_KERNEL,
            builtin_code=tflite_c.BuiltinOperator.DELEGATE,
            custom_name=_KERNEL_NAME,
            version=1,
        )
        self.current = preparation
        try:
            status = pointer.contents.ReplaceNodeSubsetsWithDelegateKernels(
                pointer, registration, _int_array(operators), ctypes.byref(self.structure)
            )
        finally:
            self.current = None
        if self.error is not None:
            raise self.error
        _require(status, "replace operators by NPU partitions")

    def main(self) -> _Preparation | None:
        """What is known of the model's main graph, the first a runtime presents."""
        with self.lock:
            return next(iter(self.preparations.values()), None)

    def kernel_made(self) -> None:
        """The device has to stay open for one more."""
        with self.lock:
            self._kernels += 1

    def kernel_freed(self) -> None:
        """Close the device behind the last kernel of a closed Delegate."""
        with self.lock:
            self._kernels -= 1
            if self._closed and self._kernels == 0:
                self.backend.close()

    def close(self) -> None:
        """Close the device, or have the last kernel do it."""
        with self.lock:
            if not self._closed:
                self._closed = True
                if self._kernels == 0:
                    self.backend.close()


@dataclass
class _Border:
    """A tensor that goes in or out at each invocation, and the view of it as of the last one."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    address: int | None = None
    values: NDArray[Any] | None = None

    def current(self, context: Any) -> NDArray[Any]:
        """The tensor's memory now; a new view only if it moved."""
        tensor = context.tensors[self.index]
        if tensor.data != self.address or self.values is None:
            if not tensor.data:
                raise DeviceError(f"tensor {self.index} has no memory")
            self.values = _view(tensor.data, self.shape, self.dtype)
            self.address = tensor.data
        return self.values


class _Kernel:
    """One partition in one interpreter."""

    def __init__(self, session: _Session, preparation: _Preparation, partition: _Partition) -> None:
        self.session = session
        self._preparation = preparation
        self._partition = partition
        tensors = preparation.graph.tensors
        self._inputs = [
            _Border(i, tensors[i].shape, tensors[i].dtype)
            for i in partition.inputs
            if tensors[i].data is None
        ]
        self._outputs = [_Border(i, tensors[i].shape, tensors[i].dtype) for i in partition.outputs]
        self._loaded: Loaded | None = None
        # The parts of a graph are listed in the order of its partitions, compiled or not.
        preparation.parts[partition.operators] = None
        session.kernel_made()

    def prepare(self, context: Any) -> None:
        """Compile and load, the first time; later only see that the shapes still hold.

        A resize does not come here: the runtime takes all delegates back and applies them anew.
        """
        for border in (*self._inputs, *self._outputs):
            shape = _values(_tensor_at(context, border.index).dims)
            if shape != border.shape:
                raise Unsupported(
                    f"tensor {border.index} was {border.shape} when its operators were taken and "
                    f"is {shape} now; resize before allocate_tensors()"
                )
        if self._loaded is None:
            self._compile()

    def _compile(self) -> None:
        session, preparation, partition = self.session, self._preparation, self._partition
        start = time.perf_counter()
        part = session.backend.compile(
            preparation.graph,
            partition.operators,
            tuple(border.index for border in self._inputs),
            partition.outputs,
        )
        preparation.compile_seconds += time.perf_counter() - start
        self._loaded = session.backend.load(part)
        preparation.parts[partition.operators] = part

    def invoke(self, context: Any) -> None:
        """Inputs to the device, run, outputs back."""
        loaded = self._loaded
        if loaded is None:
            raise DeviceError("invoked without having been prepared")
        for border in self._inputs:
            loaded.write(border.index, border.current(context))
        loaded.execute()
        for border in self._outputs:
            loaded.read(border.index, border.current(context))

    def close(self) -> None:
        """Free the part, then the hold on the device."""
        loaded, self._loaded = self._loaded, None
        try:
            if loaded is not None:
                loaded.close()
        finally:
            self.session.kernel_freed()


# --- What the runtime calls -----------------------------------------------------------------------
#
# Nothing may be raised into C: every callback ends in a status. Their names for the C side, the
# constants below, never change and are never freed, so there is no moment at which the runtime
# holds an address of code that is gone.


def _attempt(pointer: Any, session: _Session | None, action: Callable[[], object]) -> int:
    """Do it; an error goes to the runtime's log and the session, and becomes kTfLiteError."""
    try:
        action()
    except BaseException as error:  # also KeyboardInterrupt: there is C code between us and it
        _log.debug("failed in a delegate callback", exc_info=True)
        if session is not None:
            session.error = error
        pointer.contents.ReportError(pointer, _message(error))
        _forget_frames(error)
        return tflite_c.Status.ERROR
    return tflite_c.Status.OK


def _object_at(address: int) -> Any:
    """The Python object with this id, which somebody keeps alive."""
    return ctypes.cast(address, ctypes.py_object).value


def _prepare_delegate(pointer: Any, delegate: Any) -> int:
    session: _Session = _object_at(delegate.contents.data_)
    return _attempt(pointer, session, lambda: session.prepare(pointer))


def _init_kernel(pointer: Any, parameters: Any, _length: int) -> int | None:
    session: _Session = _object_at(parameters.contents.delegate.contents.data_)
    made: list[_Kernel] = []

    def make() -> None:
        assert session.current is not None
        made.append(_Kernel(session, session.current, _partition(parameters.contents)))

    if _attempt(pointer, session, make) != tflite_c.Status.OK:
        return None
    _INCREASE(made[0])
    return id(made[0])


def _prepare_kernel(pointer: Any, node: Any) -> int:
    address = node.contents.user_data
    if not address:  # init failed and has said why
        return tflite_c.Status.ERROR
    kernel: _Kernel = _object_at(address)
    return _attempt(pointer, kernel.session, lambda: kernel.prepare(pointer.contents))


def _invoke_kernel(pointer: Any, node: Any) -> int:
    kernel: _Kernel = _object_at(node.contents.user_data)
    return _attempt(pointer, kernel.session, lambda: kernel.invoke(pointer.contents))


def _free_kernel(_pointer: Any, address: int | None, *, kept: Mapping[str, Any] = {}) -> None:
    """Runs also while Python shuts down, when this module's names may be gone already."""
    if not address:
        return
    kernel = kept["cast"](address, kept["py_object"]).value
    try:
        kernel.close()
    except BaseException as error:
        kernel.session.error = error
    finally:
        kept["decrease"](kernel)


_INCREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))
_DECREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_DecRef", ctypes.pythonapi))
