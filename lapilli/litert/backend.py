"""What the delegate needs of compiler and device, and the real ones as ``NpuBackend``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from lapilli.compiler.stages import compile_part
from lapilli.compiler.verdict import judge_all
from lapilli.device.counters import Counters
from lapilli.device.runner import LoadedPart
from lapilli.model.graph import Graph
from lapilli.program.device import Device


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


class NpuBackend:
    """The compiler, and an open ``device``, which is closed with it. ``count``: have the kernel's
    performance counters read around each job."""

    def __init__(self, device: Device, schedule: str, count: bool = False) -> None:
        self.device = device
        self.schedule = schedule
        self._count = count

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """Those of the device's chip."""
        return judge_all(graph, self.device.chip)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """For the device's chip, in the order given."""
        positions = {operator.index: i for i, operator in enumerate(graph.operators)}
        return compile_part(
            graph,
            [positions[index] for index in operators],
            self.device.chip,
            schedule=self.schedule,
            inputs=inputs,
            outputs=outputs,
        )

    def load(self, part: Any) -> Loaded:
        """On the device."""
        return LoadedPart(self.device, part, count=self._count)

    def close(self) -> None:
        """The device."""
        self.device.close()
