"""What the delegate needs of compiler and device, and the real ones as ``NpuBackend``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from lapilli.answers.calibration import read_calibration
from lapilli.cache.programs import part_of
from lapilli.cache.store import Store
from lapilli.cache.units import requantised_of
from lapilli.compiler.per_channel import PerChannel
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, SearchOptions
from lapilli.compiler.stages import DEFAULT_OPTIONS
from lapilli.compiler.units.calibration import Calibration
from lapilli.compiler.units.options import unit_options
from lapilli.compiler.units.requantise import Requantised
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

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        """The graph that the parts, lists of ``Operator.index``, are compiled from: with one scale
        a layer. Unsupported where that can't be had."""

    def without_per_channel(self, graph: Graph) -> Sequence[Verdict]:
        """The verdicts where ``prepared`` raises Unsupported."""

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
    performance counters read around each job; ``store``: where compiled parts are kept;
    ``per_channel``, ``calibration``: as ``Delegate``. UsageError for levers that the chip has not
    in ``search``."""

    def __init__(
        self,
        device: Device,
        schedule: str,
        count: bool = False,
        store: Store | None = None,
        per_channel: str = "fast",
        calibration: str | Path | None = None,
        search: SearchOptions = DEFAULT_SEARCH,
    ) -> None:
        self.device = device
        self.schedule = schedule
        self.kept = 0
        """Parts that came from the cache."""
        self._count = count
        self._store = store
        self._units = unit_options(per_channel)
        self._calibration = calibration
        self._options = DEFAULT_OPTIONS.searched(search.check(device.chip))

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """Those of the device's chip."""
        return judge_all(self.seen(graph), self.device.chip)

    def seen(self, graph: Graph) -> Graph:
        """As the rules see it."""
        return PerChannel(self._units).seen(graph)

    def without_per_channel(self, graph: Graph) -> Sequence[Verdict]:
        """Those where ``prepared`` is not to be had."""
        return judge_all(graph, self.device.chip)

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        """By statistics on the samples given, or made up."""
        places = [positions_of(graph, part) for part in parts]
        calibration = Calibration()
        if self._calibration is not None:
            calibration = read_calibration(self._calibration, graph)
        wish = PerChannel(self._units, calibration)
        return requantised_of(self._store, graph, places, wish)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """For the device's chip, in the order given."""
        positions = positions_of(graph, operators)
        chip = self.device.chip
        part, kept = part_of(
            self._store, graph, positions, chip, self.schedule, inputs, outputs, self._options
        )
        self.kept += kept
        return part

    def load(self, part: Any) -> Loaded:
        """On the device."""
        return LoadedPart(self.device, part, count=self._count)

    def close(self) -> None:
        """The device."""
        self.device.close()


def positions_of(graph: Graph, operators: Sequence[int]) -> list[int]:
    """Where operators with these indices are in ``graph.operators``."""
    return [graph.positions[index] for index in operators]
