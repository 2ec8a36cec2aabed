"""One partition in one interpreter: compiled when the runtime prepares it, run when it invokes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lapilli.errors import DeviceError, Unsupported
from lapilli.litert.backend import Backend, Counted, Loaded
from lapilli.litert.callbacks import DelegateCalls
from lapilli.litert.node_times import NodeTimes
from lapilli.litert.preparation import Preparation
from lapilli.litert.runtime_graph import Partition, tensor_at, values_of, view


@dataclass
class Border:
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


class Kernel:
    """Runs ``partition`` of the graph in ``preparation`` by ``backend``. ``profile``: note when
    each run began and ended."""

    def __init__(
        self,
        owner: DelegateCalls,
        backend: Backend,
        preparation: Preparation,
        partition: Partition,
        profile: bool,
    ) -> None:
        self.owner = owner
        self._backend = backend
        self._preparation = preparation
        self._partition = partition
        self._profile = profile
        assert preparation.graph is not None
        tensors = preparation.graph.tensors
        self._inputs = [
            Border(i, tensors[i].shape, tensors[i].dtype)
            for i in partition.inputs
            if tensors[i].data is None
        ]
        self._outputs = [Border(i, tensors[i].shape, tensors[i].dtype) for i in partition.outputs]
        self._loaded: Loaded | None = None
        # The parts of a graph are listed in the order of its partitions, compiled or not.
        preparation.parts[partition.operators] = None

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
        preparation, partition = self._preparation, self._partition
        assert preparation.graph is not None
        start = time.perf_counter()
        part = self._backend.compile(
            preparation.graph,
            partition.operators,
            tuple(border.index for border in self._inputs),
            partition.outputs,
        )
        preparation.compile_seconds += time.perf_counter() - start
        self._loaded = self._backend.load(part)
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
        if self._profile:
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
        """Free the part."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()
