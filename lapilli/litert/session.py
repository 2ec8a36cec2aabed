"""A delegate's life with the runtime: applied to graphs, making kernels, closed at last."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lapilli.compiler.verdict import with_host
from lapilli.errors import Unsupported, UsageError
from lapilli.litert import choice
from lapilli.litert.backend import Backend
from lapilli.litert.callbacks import kernel_registration, structure_of
from lapilli.litert.host_kernel import HostKernel
from lapilli.litert.kernel import Kernel
from lapilli.litert.options import COMPILED, Options
from lapilli.litert.preparation import Preparation
from lapilli.litert.program_backend import ProgramBackend
from lapilli.litert.runtime_graph import (
    Partition,
    forget_marks,
    int_array,
    owned,
    partition_of,
    preview,
    read_graph,
    require,
)
from lapilli.litert.tflite_c import DelegateFlags
from lapilli.model.graph import Graph
from lapilli.model.settle import settled_anew
from lapilli.postprocess.plan import Plan

_log = logging.getLogger(__name__)

_NOT_PRESENTED = (
    "LiteRT did not apply the delegate. It refuses to where a tensor's shape is known only at run "
    "time (dynamic-sized tensors): give such a model fixed shapes, or run it without the delegate"
)


class Session:
    """Backend, options and results of one Delegate, and the structure the runtime points to.

    It lives as long as the Delegate or a kernel does. ``main``: what is known of the model's main
    graph, the first a runtime presents.
    """

    def __init__(self, backend: Backend, options: Options, raises_itself: bool = False) -> None:
        """``raises_itself``: whoever made it raises if the NPU has nothing to do."""
        self.backend = backend
        self.options = options
        self.error: BaseException | None = None
        self._raises_itself = raises_itself
        self._lock = threading.RLock()
        self._preparations: dict[int, Preparation] = {}
        self._make: Callable[[Partition], Kernel | HostKernel] | None = None
        self._kernels = 0
        self._closed = False
        self._for_fixed_shapes = structure_of(self)
        self._for_dynamic_tensors = structure_of(self, DelegateFlags.ALLOW_DYNAMIC_TENSORS)

    def address(self, dynamic: bool) -> int:
        """Of the TfLiteDelegate, for a graph with ``dynamic`` tensors or without.

        Without: the runtime works out all shapes before it asks; at a resize it takes kernels back
        and asks anew. With: kernels stay, and follow the shapes that they are prepared with.
        """
        structure = self._for_dynamic_tensors if dynamic else self._for_fixed_shapes
        return ctypes.addressof(structure)

    @property
    def main(self) -> Preparation | None:
        """None until the delegate was applied."""
        with self._lock:
            return next(iter(self._preparations.values()), None)

    def applied_anew(self) -> None:
        """Another interpreter asks for the structure: what follows is its graph."""
        with self._lock:
            self._demand_open()
            self._preparations = {}
            # Prepare clears it. If the runtime does not come that far it tells nobody why.
            self.error = Unsupported(_NOT_PRESENTED)

    def _demand_open(self) -> None:
        if self._closed:
            raise UsageError("this Delegate was closed; make a new one")

    # --------------------------------------------------------------------- what the runtime calls

    def prepare(self, pointer: Any, structure: Any) -> None:
        """Read the graph, decide, and let the runtime replace what the NPU takes."""
        with self._lock:
            self._demand_open()
            self.error = None
            dynamic = bool(structure.contents.flags & DelegateFlags.ALLOW_DYNAMIC_TENSORS)
            graph = read_graph(pointer)
            forget_marks(pointer.contents, graph)
            unsure: frozenset[int] = frozenset()
            if dynamic:
                graph, unsure = settled_anew(graph, {})
            claimed = self.backend.operators if isinstance(self.backend, ProgramBackend) else ()
            wanted = self.options.postprocess
            plans = choice.for_the_host(pointer, graph, claimed, unsure) if wanted else ()
            on_host = [index for plan in plans for index in plan.operators]
            chosen = self._choose(pointer, graph, on_host)
            verdicts, taken = chosen.verdicts, chosen.operators
            outline = owned(graph, ()) if self.options.profile else None
            kept = owned(chosen.graph, taken)
            preparation = Preparation(kept, verdicts, outline=outline, dynamic=dynamic)
            preparation.loss, preparation.compile_seconds = chosen.loss, chosen.seconds
            preparation.host_parts = tuple(plan.operators for plan in plans)
            before = self._preparations.get(ctypes.addressof(pointer.contents))
            self._preparations[ctypes.addressof(pointer.contents)] = preparation
            if self.options.strict:
                choice.refuse_leftovers(graph, verdicts, [*taken, *on_host])
            if before is not None or not self._raises_itself:
                choice.tell(graph, verdicts, taken, 0 if before is None else before.operators)
            if taken:
                npu = partial(self._npu_kernel, preparation)
                self._replace(pointer, structure, preparation, taken, npu)
            for plan in plans:
                host = partial(self._host_kernel, graph, plan)
                self._replace(pointer, structure, preparation, plan.operators, host)

    def _choose(self, pointer: Any, graph: Graph, on_host: Sequence[int]) -> choice.Chosen:
        """What the NPU takes, and the graph that it is compiled from."""
        began = time.perf_counter()
        verdicts = with_host(graph, tuple(self.backend.verdicts(graph)), on_host)
        taken = self._taken(pointer, graph, verdicts)
        try:
            parts = [piece.operators for piece in preview(pointer, taken)]
            found = self.backend.prepared(graph, parts)
        except Unsupported as error:
            _log.warning("per-channel weights stay on the CPU: %s", error)
            verdicts = with_host(graph, tuple(self.backend.without_per_channel(graph)), on_host)
            return choice.Chosen(graph, verdicts, self._taken(pointer, graph, verdicts))
        if found.loss is not None:
            _log.info("%s", found.loss.line)
        seconds = 0.0 if found.loss is None else time.perf_counter() - began
        return choice.Chosen(found.graph, verdicts, taken, found.loss, seconds)

    def _taken(self, pointer: Any, graph: Graph, verdicts: Sequence[Any]) -> list[int]:
        supported = choice.supported(graph, verdicts)
        return choice.worth_taking(pointer, supported, self.options.min_partition)

    def _replace(
        self,
        pointer: Any,
        structure: Any,
        preparation: Preparation,
        operators: Sequence[int],
        make: Callable[[Partition], Kernel | HostKernel],
    ) -> None:
        """Have the runtime ask for a kernel for each partition of ``operators``, by ``make``."""
        self._make = make
        try:
            status = pointer.contents.ReplaceNodeSubsetsWithDelegateKernels(
                pointer, kernel_registration(), int_array(operators), structure
            )
        finally:
            self._make = None
        if self.error is not None:
            preparation.parts.clear()
            raise self.error
        require(status, "replace operators by kernels")

    def new_kernel(self, parameters: Any) -> Kernel | HostKernel:
        """For a partition of the graph being prepared; the device stays open for it."""
        with self._lock:
            assert self._make is not None
            kernel = self._make(partition_of(parameters))
            self._kernels += 1
            return kernel

    def _npu_kernel(self, preparation: Preparation, partition: Partition) -> Kernel:
        return Kernel(self, self.backend, preparation, partition, self.options.profile)

    def _host_kernel(self, graph: Graph, plan: Plan, partition: Partition) -> HostKernel:
        return HostKernel(self, graph, plan, self.options.postprocess == COMPILED)

    def free_kernel(self, kernel: Kernel | HostKernel) -> None:
        """Free its part, then close the device behind the last kernel of a closed Delegate."""
        try:
            kernel.close()
        finally:
            with self._lock:
                self._kernels -= 1
                if self._closed and self._kernels == 0:
                    self.backend.close()

    def close(self) -> None:
        """Close the device, or have the last kernel do it."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._kernels == 0:
                    self.backend.close()
