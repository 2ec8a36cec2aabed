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
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from lapilli.errors import DeviceError, LapilliError, Unsupported, UsageError
from lapilli.litert import tflite_c
from lapilli.litert.node_times import NodeTimes
from lapilli.litert.runtime_graph import (
    Partition,
    int_array,
    owned,
    partition_of,
    preview,
    read_graph,
    require,
    tensor_at,
    values_of,
    view,
)
from lapilli.model.graph import Graph

if TYPE_CHECKING:
    from lapilli.device.counters import Counters
    from lapilli.profile.events import JobRecord, Profile

_log = logging.getLogger(__name__)

SCHEDULES = ("best", "reference")
_OPTIONS = (
    "device (str), schedule ('best' or 'reference'), strict (bool), min_partition (int >= 1), "
    "profile (bool)"
)
# LiteRT formats a message into 1024 bytes and then insists on valid UTF-8.
_MESSAGE_BYTES = 900
_NOT_PRESENTED = (
    "LiteRT did not apply the delegate. It refuses to where a tensor's shape is known only at run "
    "time (dynamic-sized tensors): give such a model fixed shapes, or run it without the delegate"
)


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

    def write(self, tensor: int, values: NDArray[Any], /) -> None:
        """Copy an input's values to the device."""

    def execute(self) -> None:
        """Run and wait."""

    def read(self, tensor: int, out: NDArray[Any], /) -> object:
        """Copy an output from the device into ``out``."""

    def close(self) -> None:
        """Free the part's memory on the device."""


@runtime_checkable
class Counted(Protocol):
    """A part whose jobs the kernel's performance counters may watch."""

    def counters(self) -> Counters | None:
        """What the last job counted."""

    def why_uncounted(self) -> str:
        """Why the counters can't be had."""


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

    def __init__(self, device: str, schedule: str, count: bool = False) -> None:
        # Imported late: whoever only reads ``Delegate``'s options needs neither.
        from lapilli.device.open import open_device

        self._schedule = schedule
        self._count = count
        self._device = open_device(device)

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        from lapilli.compiler.support import judge_all

        return judge_all(graph, self._device.chip)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        from lapilli.compiler.stages import compile_part

        positions = {operator.index: i for i, operator in enumerate(graph.operators)}
        return compile_part(
            graph,
            [positions[index] for index in operators],
            self._device.chip,
            schedule=self._schedule,
            inputs=inputs,
            outputs=outputs,
        )

    def load(self, part: Any) -> Loaded:
        from lapilli.device.runner import LoadedPart

        return LoadedPart(self._device, part, count=self._count)

    def profile(
        self,
        graph: Graph,
        parts: Sequence[Any],
        nodes: Sequence[NodeTimes],
        known: tuple[JobRecord, ...] | None,
    ) -> Profile:
        """Where the time of one inference goes; ``known``: the jobs of an earlier profile."""
        from lapilli.profile.measure import Subject, measured_between, profile_graph

        device = self._device
        subject = Subject(graph.name, "model", device.name, self._schedule)
        measured = measured_between(nodes, device.name)
        # The emulator has decoded all coefficients; a board tells nothing of the kind.
        decoded = getattr(device, "counts", None)
        return profile_graph(graph, device.chip, parts, subject, measured, known, decoded)

    def close(self) -> None:
        self._device.close()


# --- Choosing what to take ------------------------------------------------------------------------


def _worth_taking(pointer: Any, operators: Sequence[int], minimum: int) -> list[int]:
    """The operators whose partitions have ``minimum`` operators or more."""
    chosen = list(operators)
    while minimum > 1 and chosen:
        partitions = preview(pointer, chosen)
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
    text = str(error) if isinstance(error, LapilliError) else f"{type(error).__name__}: {error}"
    encoded = f"lapilli: {text}".replace("\0", " ").encode("utf-8", "replace")
    if len(encoded) > _MESSAGE_BYTES:
        encoded = encoded[:_MESSAGE_BYTES].decode("utf-8", "ignore").encode() + b" ..."
    return encoded.replace(b"%", b"%%") + b"\n"


@dataclass
class _Preparation:
    """One graph the delegate was applied to; each partition is entered by its kernel.

    ``graph`` is dropped, with its copies of the constants, once everything is compiled. With
    ``profile`` its ``outline`` stays, ``nodes`` has the times of the last inference's nodes, and
    ``jobs`` what was read of the command streams, which stay the same.
    """

    graph: Graph | None
    verdicts: tuple[Verdict, ...]
    parts: dict[tuple[int, ...], Any] = field(default_factory=dict)
    compile_seconds: float = 0.0
    outline: Graph | None = None
    nodes: tuple[NodeTimes, ...] = ()
    jobs: tuple[JobRecord, ...] | None = None

    def note(self, node: NodeTimes) -> None:
        """Keep a node's times; one that ran before begins another inference."""
        if any(node.operators == known.operators for known in self.nodes):
            self.nodes = ()
        self.nodes = (*self.nodes, node)


class _Session:
    """Device, options and results of one Delegate, and the structure the runtime points to."""

    def __init__(
        self, backend: Backend, strict: bool, min_partition: int, profile: bool = False
    ) -> None:
        self.backend = backend
        self.strict = strict
        self.min_partition = min_partition
        self.profile = profile
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
            # Prepare clears it. If the runtime does not come that far it tells nobody why.
            self.error = Unsupported(_NOT_PRESENTED)

    def prepare(self, pointer: Any) -> None:
        """Read the graph, decide, and let the runtime replace what the NPU takes."""
        with self.lock:
            if self._closed:
                raise UsageError("this Delegate was closed; make a new one")
            self.error = None
            graph = read_graph(pointer)
            verdicts = tuple(self.backend.verdicts(graph))
            supported = [
                operator.index
                for operator, verdict in zip(graph.operators, verdicts, strict=True)
                if verdict.supported
            ]
            taken = _worth_taking(pointer, supported, self.min_partition)
            preparation = _Preparation(owned(graph, taken), verdicts)
            if self.profile:
                from lapilli.profile.outline import outline

                preparation.outline = outline(graph)
            self.preparations[ctypes.addressof(pointer.contents)] = preparation
            if self.strict:
                _refuse_leftovers(graph, verdicts, taken)
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
                pointer, registration, int_array(operators), ctypes.byref(self.structure)
            )
        finally:
            self.current = None
        if self.error is not None:
            preparation.parts.clear()
            raise self.error
        require(status, "replace operators by NPU partitions")

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
            self.values = view(tensor.data, self.shape, self.dtype)
            self.address = tensor.data
        return self.values


class _Kernel:
    """One partition in one interpreter."""

    def __init__(self, session: _Session, preparation: _Preparation, partition: Partition) -> None:
        self.session = session
        self._preparation = preparation
        self._partition = partition
        assert preparation.graph is not None
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
        try:
            for border in (*self._inputs, *self._outputs):
                shape = values_of(tensor_at(context, border.index).dims)
                if shape != border.shape:
                    raise Unsupported(
                        f"tensor {border.index} was {border.shape} when its operators were taken "
                        f"and is {shape} now; resize inputs before allocate_tensors()"
                    )
            if self._loaded is None:
                self._compile()
        except BaseException:
            # The runtime now gives the whole graph back to the CPU.
            self._preparation.parts.clear()
            raise

    def _compile(self) -> None:
        session, preparation, partition = self.session, self._preparation, self._partition
        assert preparation.graph is not None
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
        if None not in preparation.parts.values():
            preparation.graph = None

    def invoke(self, context: Any) -> None:
        """Inputs to the device, run, outputs back."""
        loaded = self._loaded
        if loaded is None:
            raise DeviceError("invoked without having been prepared")
        start = time.perf_counter()
        for border in self._inputs:
            loaded.write(border.index, border.current(context))
        written = time.perf_counter()
        loaded.execute()
        executed = time.perf_counter()
        for border in self._outputs:
            loaded.read(border.index, border.current(context))
        if self.session.profile:
            copied = end = time.perf_counter()
            counters, uncounted = None, ""
            if isinstance(loaded, Counted):
                counters, uncounted = loaded.counters(), loaded.why_uncounted()
                end = time.perf_counter()
            times = (start, written, executed, end, end - copied)
            self._preparation.note(
                NodeTimes(self._partition.operators, *times, counters, uncounted)
            )

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
# Nothing may be raised into C: every callback ends in a status. The ctypes functions for them, the
# constants below, are made once and never freed, so there is no moment at which the runtime holds
# an address of code that is gone.


def _attempt(pointer: Any, session: _Session, action: Callable[[], object]) -> int:
    """Do it; an error goes to the runtime's log and the session, and becomes kTfLiteError."""
    try:
        action()
    except BaseException as error:  # also KeyboardInterrupt: there is C code between us and it
        _log.debug("failed in a delegate callback", exc_info=True)
        session.error = error
        pointer.contents.ReportError(pointer, _message(error))
        _forget_frames(error)
        return tflite_c.Status.ERROR
    return tflite_c.Status.OK


def _object_at(address: int) -> Any:
    """The Python object with this id, which somebody keeps alive."""
    return ctypes.py_object.from_buffer(ctypes.c_void_p(address)).value


def _session_of(delegate: Any) -> _Session:
    session: _Session = _object_at(delegate.contents.data_)
    return session


def _prepare_delegate(pointer: Any, delegate: Any) -> int:
    session = _session_of(delegate)
    return _attempt(pointer, session, lambda: session.prepare(pointer))


def _init_kernel(_pointer: Any, parameters: Any, _length: int) -> int | None:
    """A kernel, owned by the runtime. Init can't fail in C, so ``_replace`` raises the error."""
    session = _session_of(parameters.contents.delegate)
    try:
        assert session.current is not None
        kernel = _Kernel(session, session.current, partition_of(parameters.contents))
    except BaseException as error:
        session.error = error
        return None
    _INCREASE(kernel)
    return id(kernel)


def _prepare_kernel(pointer: Any, node: Any) -> int:
    kernel: _Kernel = _object_at(node.contents.user_data)
    return _attempt(pointer, kernel.session, lambda: kernel.prepare(pointer.contents))


def _invoke_kernel(pointer: Any, node: Any) -> int:
    kernel: _Kernel = _object_at(node.contents.user_data)
    return _attempt(pointer, kernel.session, lambda: kernel.invoke(pointer.contents))


_INCREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))
_DECREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_DecRef", ctypes.pythonapi))


def _free_kernel(
    _pointer: Any,
    address: int | None,
    # An interpreter may be deleted while Python shuts down and has cleared this module's names.
    py_object: Any = ctypes.py_object,
    c_void_p: Any = ctypes.c_void_p,
    decrease: Any = _DECREASE,
) -> None:
    if not address:
        return
    kernel = py_object.from_buffer(c_void_p(address)).value
    try:
        kernel.close()
    except BaseException as error:
        kernel.session.error = error
    finally:
        decrease(kernel)


_PREPARE_DELEGATE = tflite_c.DelegatePrepareFunction(_prepare_delegate)
_INIT_KERNEL = tflite_c.KernelInitFunction(_init_kernel)
_PREPARE_KERNEL = tflite_c.KernelFunction(_prepare_kernel)
_INVOKE_KERNEL = tflite_c.KernelFunction(_invoke_kernel)
_FREE_KERNEL = tflite_c.KernelFreeFunction(_free_kernel)
for _function in (_PREPARE_DELEGATE, _INIT_KERNEL, _PREPARE_KERNEL, _INVOKE_KERNEL, _FREE_KERNEL):
    _INCREASE(_function)
_KERNEL_NAME = b"lapilli"


# --- What the user sees ---------------------------------------------------------------------------


def _check_options(
    device: object,
    schedule: object,
    strict: object,
    min_partition: object,
    profile: object,
    unknown: Iterable[str],
) -> None:
    """UsageError for an option that does not exist or a value that is not allowed."""
    for name in unknown:
        raise UsageError(f"unknown option {name!r}; options are {_OPTIONS}")
    if not isinstance(device, str):
        raise UsageError(f"device is a name such as 'emulator:a311d' or 'auto', not {device!r}")
    if schedule not in SCHEDULES:
        raise UsageError(f"schedule is one of {', '.join(SCHEDULES)}, not {schedule!r}")
    if not isinstance(strict, bool):
        raise UsageError(f"strict is True or False, not {strict!r}")
    if isinstance(min_partition, bool) or not isinstance(min_partition, int) or min_partition < 1:
        raise UsageError(f"min_partition is an integer of 1 or more, not {min_partition!r}")
    if not isinstance(profile, bool):
        raise UsageError(f"profile is True or False, not {profile!r}")


class Delegate:
    """Give it to LiteRT: ``Interpreter(model, experimental_delegates=[Delegate(device=...)])``.

    ``device``: ``emulator:<chip>``, a render node, or ``auto`` for the board's NPU.
    ``schedule``: ``best``, or ``reference`` for the one that is compared with recordings.
    ``strict``: fail if any operator would stay on the CPU.
    ``min_partition``: leave runs of fewer operators to the CPU.
    ``profile``: note when NPU nodes begin and end, for ``last_profile``; on a board also what the
    kernel's performance counters count.

    Raises UsageError (a ValueError) for bad options, DeviceError if the device can't be opened.
    What goes wrong later makes the interpreter raise, with the reason in its text and in ``error``.
    (A graph with dynamic-sized tensors LiteRT refuses with an empty text: see ``error`` then.)

    One Delegate may serve several interpreters; ``partitions``, ``verdicts``, ``parts`` and
    ``compile_seconds`` are about the one made last, and of a model with several subgraphs about the
    first. The runtime applies the delegate again when inputs are resized, which compiles again; if
    ``allocate_tensors()`` raises then, the runtime has given that interpreter's whole graph back to
    the CPU (``partitions`` is empty), where further calls of it would run.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        schedule: str = "best",
        strict: bool = False,
        min_partition: int = 1,
        profile: bool = False,
        _backend: Backend | None = None,
        **unknown: object,
    ) -> None:
        _check_options(device, schedule, strict, min_partition, profile, unknown)
        if tflite_c.POINTER_BYTES != 8:
            raise DeviceError("the delegate needs a 64-bit Python")
        backend = _Npu(device, schedule, profile) if _backend is None else _backend
        self._session = _Session(backend, strict, min_partition, profile)
        self._finalizer = weakref.finalize(self, self._session.close)

    def _get_native_delegate_pointer(self) -> int:
        """Address of the TfLiteDelegate; the name is what LiteRT's interpreter calls."""
        self._session.applied_anew()
        return ctypes.addressof(self._session.structure)

    def close(self) -> None:
        """Close the device, as soon as no interpreter uses it any more. Deleting does the same."""
        self._finalizer()

    @property
    def partitions(self) -> tuple[tuple[int, ...], ...]:
        """Operators on the NPU, by their index in the .tflite, one tuple for each NPU node."""
        main = self._session.main()
        return () if main is None else tuple(main.parts)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """For each operator of the model whether the NPU takes it, and why not."""
        main = self._session.main()
        return () if main is None else main.verdicts

    @property
    def parts(self) -> tuple[Any, ...]:
        """The compiled part of each of ``partitions``."""
        main = self._session.main()
        return () if main is None else tuple(main.parts.values())

    @property
    def compile_seconds(self) -> float:
        """Time that compiling took, without loading."""
        main = self._session.main()
        return 0.0 if main is None else main.compile_seconds

    @property
    def last_nodes(self) -> tuple[NodeTimes, ...]:
        """With ``profile``: when the NPU nodes of the last inference began and ended."""
        main = self._session.main()
        return () if main is None else main.nodes

    @property
    def last_profile(self) -> Profile | None:
        """With ``profile``: where the time of the last inference went, worked out when asked for.
        None before the first. CPU operators before the first NPU node and behind the last have no
        time in it: the runtime does not call us there."""
        main, backend = self._session.main(), self._session.backend
        if main is None or main.outline is None or not isinstance(backend, _Npu):
            return None
        if not main.nodes or not main.parts:
            return None
        parts = tuple(main.parts.values())
        found = backend.profile(main.outline, parts, main.nodes, main.jobs)
        main.jobs = found.jobs
        return found

    @property
    def error(self) -> BaseException | None:
        """What went wrong last, None if nothing did since the delegate was last applied."""
        return self._session.error
