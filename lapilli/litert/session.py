"""A delegate's life with the runtime: applied to graphs, making kernels, closed at last."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from lapilli.compiler.cuts import choose
from lapilli.compiler.verdict import with_host
from lapilli.errors import Unsupported, UsageError
from lapilli.litert import choice
from lapilli.litert.backend import Backend, NpuBackend
from lapilli.litert.callbacks import TellLater, kernel_registration, structure_of
from lapilli.litert.host_kernel import HostKernel
from lapilli.litert.kernel import Kernel
from lapilli.litert.options import COMPILED, Options
from lapilli.litert.preparation import Preparation
from lapilli.litert.program_backend import ProgramBackend
from lapilli.litert.refusal import Refusal
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
from lapilli.program.device import ProcessLock

_log = logging.getLogger(__name__)
AnyKernel: TypeAlias = Kernel | HostKernel | Refusal
Maker: TypeAlias = Callable[[Partition], AnyKernel]

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
        self._cuts = options.cuts
        self.error: BaseException | None = None
        self._raises_itself = raises_itself
        self._lock = ProcessLock("the delegate")
        self._preparations: dict[int, Preparation] = {}
        self._make: Maker | None = None
        self._replacing = False
        self._anew = False
        self._places: set[int] = set()
        self._kernels = 0
        self._open = True
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
        with self._lock.held:
            return next(iter(self._preparations.values()), None)

    def applied_anew(self) -> None:
        """Another interpreter asks for the structure: what follows is its graph."""
        with self._lock.held:
            self._demand_open()
            self._preparations = {}
            self._anew = True
            # Prepare clears it. If the runtime does not come that far it tells nobody why.
            self.error = Unsupported(_NOT_PRESENTED)

    def _demand_open(self) -> None:
        if self._closed:
            raise UsageError("this Delegate was closed; make a new one")

    # --------------------------------------------------------------------- what the runtime calls

    def prepare(self, pointer: Any, structure: Any) -> None:
        """Read the graph, decide, and let the runtime replace what the NPU takes.

        What fails when inputs were resized is kept for the inferences: an error would have the
        runtime take all delegates back for good.
        """
        with self._lock.held:
            self.error, self._replacing = None, False
            place = ctypes.addressof(pointer.contents)
            again = place in self._places
            if self._anew:
                self._anew, again = False, False
            self._places.add(place)
            try:
                self._demand_open()
                self._apply(pointer, structure, again)
            except BaseException as error:
                if not again or self._replacing:
                    raise
                self._preparations[place] = Preparation(None, self._verdicts_of(place))
                operators = [operator.index for operator in read_graph(pointer).operators]
                self._replace(pointer, structure, operators, partial(self._refusal, error))
                raise TellLater(error) from None

    def _verdicts_of(self, place: int) -> tuple[Any, ...]:
        known = self._preparations.get(place)
        return () if known is None else known.verdicts

    def _apply(self, pointer: Any, structure: Any, again: bool) -> None:
        """Without regard to errors. ``again``: inputs were resized."""
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
        preparation = Preparation(
            owned(chosen.graph, taken),
            verdicts,
            outline=owned(graph, ()) if self.options.profile else None,
            dynamic=dynamic,
            again=again,
        )
        preparation.loss, preparation.compile_seconds = chosen.loss, chosen.seconds
        preparation.host_parts = tuple(plan.operators for plan in plans)
        place = ctypes.addressof(pointer.contents)
        known = self._preparations.get(place)
        before = 0 if known is None else known.operators
        self._preparations[place] = preparation
        if self.options.strict:
            choice.refuse_leftovers(graph, verdicts, [*taken, *on_host])
        if again or not self._raises_itself:
            choice.tell(graph, verdicts, taken, before)
        if taken:
            self._replace(pointer, structure, taken, partial(self._npu_kernel, preparation))
        for plan in plans:
            host = partial(self._host_kernel, graph, plan)
            self._replace(pointer, structure, plan.operators, host)

    def _choose(self, pointer: Any, graph: Graph, on_host: Sequence[int]) -> choice.Chosen:
        """What the NPU takes, and the graph that it is compiled from."""
        began = time.perf_counter()
        verdicts = self._decided(pointer, graph, self.backend.verdicts(graph), on_host)
        taken = choice.supported(graph, verdicts)
        try:
            parts = [piece.operators for piece in preview(pointer, taken)]
            found = self.backend.prepared(graph, parts)
        except Unsupported as error:
            _log.warning("per-channel weights stay on the CPU: %s", error)
            without = self.backend.without_per_channel(graph)
            verdicts = self._decided(pointer, graph, without, on_host)
            return choice.Chosen(graph, verdicts, choice.supported(graph, verdicts))
        if found.loss is not None:
            _log.info("%s", found.loss.line)
        seconds = 0.0 if found.loss is None else time.perf_counter() - began
        return choice.Chosen(found.graph, verdicts, taken, found.loss, seconds)

    def _decided(
        self, pointer: Any, graph: Graph, verdicts: Sequence[Any], on_host: Sequence[int]
    ) -> tuple[Any, ...]:
        """The verdicts, with what the host does and what does not pay refused."""
        found = with_host(graph, tuple(verdicts), on_host)
        cutter = choice.cutter_of(pointer, graph)
        if isinstance(self.backend, ProgramBackend) or not isinstance(self.backend, NpuBackend):
            return choose(graph, found, None, self._cuts, cutter).verdicts
        seen, chip = self.backend.seen(graph), self.backend.device.chip
        return choose(seen, found, chip, self._cuts, cutter).verdicts

    def _replace(self, pointer: Any, structure: Any, operators: Sequence[int], make: Maker) -> None:
        """Have the runtime ask for a kernel for each partition of ``operators``, by ``make``."""
        self._make, self._replacing = make, True
        try:
            status = pointer.contents.ReplaceNodeSubsetsWithDelegateKernels(
                pointer, kernel_registration(), int_array(operators), structure
            )
        finally:
            self._make = None
        if self.error is not None:
            raise self.error
        require(status, "replace operators by kernels")
        self._replacing = False

    def new_kernel(self, parameters: Any) -> AnyKernel:
        """For a partition of the graph being prepared; the device stays open for it. If there is
        none, ``error`` says why, and one that refuses stands in for it."""
        with self._lock.held:
            assert self._make is not None
            kernel: AnyKernel
            try:
                kernel = self._make(partition_of(parameters))
            except BaseException as error:
                self.error = error
                kernel = Refusal(self, error)
            self._kernels += 1
            return kernel

    def _npu_kernel(self, preparation: Preparation, partition: Partition) -> Kernel:
        return Kernel(self, self.backend, preparation, partition, self.options.profile)

    def _host_kernel(self, graph: Graph, plan: Plan, partition: Partition) -> HostKernel:
        return HostKernel(self, graph, plan, self.options.postprocess == COMPILED)

    def _refusal(self, error: BaseException, _partition: Partition) -> Refusal:
        return Refusal(self, error)

    def free_kernel(self, kernel: AnyKernel) -> None:
        """Free its part, then close the device behind the last kernel of a closed Delegate."""
        try:
            kernel.close()
        finally:
            with self._lock.held:
                self._kernels -= 1
                self._close_unused()

    def close(self) -> None:
        """Close the device, or have the last kernel do it."""
        with self._lock.held:
            self._closed = True
            self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and self._kernels == 0 and self._open:
            self._open = False
            self.backend.close()
