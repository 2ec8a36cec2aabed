"""One partition in one interpreter: compiled when the runtime prepares it, run when it invokes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from numpy.typing import NDArray

from lapilli.errors import DeviceError, LapilliError
from lapilli.litert.backend import Backend, Counted, Loaded
from lapilli.litert.callbacks import DelegateCalls, TellLater
from lapilli.litert.following import Followed, followed
from lapilli.litert.node_times import NodeTimes
from lapilli.litert.preparation import Preparation
from lapilli.litert.runtime_graph import Partition, resize, tensor_at, values_of, view
from lapilli.model.graph import Graph
from lapilli.model.shapes import Shape

Shapes: TypeAlias = tuple[Shape, ...]
MOST_KEPT: Final = 3
"""Parts that stay on the device, for shapes that inputs had before."""


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
        values = self.values
        if tensor.data != self.address or values is None:
            if not tensor.data:
                raise DeviceError(f"tensor {self.index} has no memory")
            values = self.values = view(tensor.data, self.shape, self.dtype)
            self.address = tensor.data
        if tensor.bytes != values.nbytes:
            raise DeviceError(
                f"tensor {self.index} has {tensor.bytes} bytes, not the {values.nbytes} that its "
                "operators were prepared for; allocate tensors again"
            )
        return values


@dataclass(frozen=True, eq=False)
class Ready:
    """A part on the device, and the tensors across its border, for one set of input shapes. If it
    takes ``one`` image of a batch at a time, it runs for each of them."""

    loaded: Loaded
    inputs: tuple[Border, ...]
    outputs: tuple[Border, ...]
    one: Followed

    def run(self, context: Any) -> tuple[float, float]:
        """Inputs to the device, run, outputs back. When the last inputs were written, and when the
        device was done with them."""
        ins = [(border.index, border.current(context)) for border in self.inputs]
        outs = [(border.index, border.current(context)) for border in self.outputs]
        batch, images = self.one.batch, self.one.images
        written = executed = 0.0
        for image in range(1 if batch is None else batch):
            for index, values in ins:
                self.loaded.write(index, values[image : image + 1] if index in images else values)
            written = time.perf_counter()
            self.loaded.execute()
            executed = time.perf_counter()
            for index, values in outs:
                self.loaded.read(index, values if batch is None else values[image : image + 1])
        return written, executed


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
        self._inputs = tuple(i for i in partition.inputs if tensors[i].data is None)
        self._shapes = tuple(tensors[i].shape for i in self._inputs)
        self._ready: Ready | None = None
        self._failure: BaseException | None = None
        self._others: dict[Shapes, Ready] = {}
        preparation.expect(partition.operators)

    def prepare(self, context: Any) -> None:
        """Compile and load for the shapes that the inputs have now, and give the outputs theirs.

        Without dynamic tensors there is one set of shapes: at a resize the runtime takes all
        delegates back and applies them anew. With them it comes here whenever shapes change.
        """
        self._failure = None
        try:
            shapes = tuple(values_of(tensor_at(context, i).dims) for i in self._inputs)
            ready = self._ready
            if ready is None or shapes != self._shapes:
                ready = self._get_ready(shapes)
            for border in ready.outputs:
                if values_of(tensor_at(context, border.index).dims) != border.shape:
                    resize(context, border.index, border.shape)
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        """Raises, unless the runtime has to learn of it."""
        self._failure = error
        if self._preparation.dynamic:
            return  # The kernels stay, and are prepared again for other shapes.
        if isinstance(error, LapilliError) or not self._preparation.again:
            self._preparation.parts.clear()
        if self._preparation.again:
            # An error would have the runtime give the whole graph back to the CPU for good.
            raise TellLater(error) from None

    def _get_ready(self, shapes: Shapes) -> Ready:
        """For inputs of these shapes, as before if they were there lately."""
        before, self._ready = self._ready, None
        if before is not None:
            self._others[self._shapes] = before
        self._shapes = shapes
        ready = self._others.pop(shapes, None) or self._compiled(shapes)
        self._ready = ready
        while len(self._others) > MOST_KEPT:
            self._others.pop(next(iter(self._others))).loaded.close()
        return ready

    def _compiled(self, shapes: Shapes) -> Ready:
        preparation, partition = self._preparation, self._partition
        assert preparation.graph is not None
        start = time.perf_counter()
        given = dict(zip(self._inputs, shapes, strict=True))
        one = followed(self._backend, preparation.graph, partition.operators, given)
        graph = one.graph
        part = self._backend.compile(graph, partition.operators, self._inputs, partition.outputs)
        preparation.compile_seconds += time.perf_counter() - start
        preparation.account(partition.operators, part)
        loaded = self._backend.load(part)
        preparation.compiled(partition.operators, part)
        tensors = graph.tensors
        outputs = [
            tensors[i].shape if one.batch is None else (one.batch, *tensors[i].shape[1:])
            for i in partition.outputs
        ]
        return Ready(
            loaded,
            _borders(self._inputs, shapes, graph),
            _borders(partition.outputs, outputs, graph),
            one,
        )

    def invoke(self, context: Any) -> None:
        """Inputs to the device, run, outputs back."""
        ready = self._ready
        if ready is None:
            if isinstance(self._failure, LapilliError):
                raise self._failure
            # A signal came while it was prepared.
            ready = self._get_ready(self._shapes)
        loaded = ready.loaded
        start = time.perf_counter()
        written, executed = ready.run(context)
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
        """Free the parts."""
        ready, self._ready = self._ready, None
        kept = [*self._others.values(), *([ready] if ready is not None else [])]
        self._others = {}
        for each in kept:
            each.loaded.close()


def _borders(indices: Sequence[int], shapes: Sequence[Shape], graph: Graph) -> tuple[Border, ...]:
    return tuple(
        Border(index, shape, graph.tensors[index].dtype)
        for index, shape in zip(indices, shapes, strict=True)
    )
