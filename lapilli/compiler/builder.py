"""What the operators' lowering functions write to: where each tensor lies, and the steps so far.

Images inside a part are planar (one channel after another); tensors that cross its border are NHWC.
The builder knows where each tensor lies in which layout and inserts moves where a layout, or a
place, is missing. A tensor's place is a view: it may be part of a larger storage or be another
tensor's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import moves
from lapilli.compiler.intents import Step
from lapilli.compiler.jobs import ImageSize, Storage, TpInstruction, TpJob, View
from lapilli.compiler.options import LoweringOptions
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator, Quantization


@dataclass
class Place:
    """Where a tensor lies; a layout that has not been made is None."""

    size: ImageSize
    zero_point: int
    nhwc: View | None = None
    planar: View | None = None


@dataclass
class Builder:
    """State of one lowering run. ``graph`` is the part: its operators, inputs and outputs."""

    graph: Graph
    chip: Chip
    options: LoweringOptions
    steps: list[Step] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    placed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Storage -> (storage that holds it, byte offset there)."""
    fixed: set[int] = field(default_factory=set)
    """Storages that lie in others, or have others behind them: they can't be put elsewhere."""
    places: dict[int, Place] = field(default_factory=dict)
    _whole: dict[int, View] = field(default_factory=dict)
    _tables: dict[bytes, View] = field(default_factory=dict)

    # ------------------------------------------------------------------------------- the model's

    def quantization(self, tensor: int) -> Quantization:
        """What a tensor's bytes stand for; the rules see to it that it has one."""
        quantization = self.graph.tensors[tensor].quantization
        assert quantization is not None
        return quantization

    def place(self, tensor: int) -> Place:
        """The place of a tensor, made on first mention."""
        if tensor not in self.places:
            found = self.graph.tensors[tensor]
            rows, columns, channels = ((1,) * (4 - len(found.shape)) + found.shape)[1:]
            size = ImageSize(columns, rows, channels)
            self.places[tensor] = Place(size, self.quantization(tensor).zero_point)
        return self.places[tensor]

    # --------------------------------------------------------------------------------- storages

    def store(
        self,
        size: int,
        role: str = "tensor",
        slack: int = 0,
        data: NDArray[np.uint8] | None = None,
    ) -> View:
        """A new storage of ``size`` bytes and ``slack`` more behind them. ``data``: content that
        it has before the first run."""
        self.storages.append(Storage(role, size + slack, data))
        view = View(len(self.storages) - 1, 0, size)
        self._whole[view.storage] = view
        return view

    def store_table(self, data: NDArray[np.uint8]) -> View:
        """A look-up table in memory; one for all jobs that want the same, as the recorded driver
        does not have it."""
        key = data.tobytes()
        if key not in self._tables or self.options.as_recorded:
            self._tables[key] = self.store(data.size, "table", data=data)
        return self._tables[key]

    def store_planes(self, size: ImageSize) -> View:
        """A new storage for the planes of an NN job's output, with slack for those of the kernels
        that only fill up the last cores."""
        cores = min(size.channels, self.chip.nn_cores)
        filled = -(-size.channels // cores) * cores
        return self.store(size.plane * size.channels, slack=size.plane * (filled - size.channels))

    def movable(self, view: View) -> bool:
        """The view is all of its storage, and where that lies is still open."""
        return view.storage not in self.fixed and view == self._whole[view.storage]

    def put(self, part: View, whole: View, offset: int, operator: Operator) -> View:
        """Let ``part`` lie at ``offset`` of ``whole``; if it can't, a copy of it. Returns where its
        bytes are then, as a view of the storage they were written to."""
        if not self.movable(part):
            part = self.copy(operator, part)
        self.fixed.add(part.storage)
        if offset + part.size > whole.size:
            self.fixed.add(whole.storage)
        self.placed[part.storage] = (whole.storage, whole.offset + offset)
        return part

    def beside(self, first: View, second: View, operator: Operator) -> tuple[View, View]:
        """Views of both operands of which the second follows the first in one storage; operands
        that can't be placed so are copied."""
        if not self.movable(first) or first.storage == second.storage:
            first = self.copy(operator, first)
        return first, self.put(second, first, first.size, operator)

    # ------------------------------------------------------------------------------------ moves

    def move(
        self,
        operator: int,
        kind: str,
        source: View,
        size: int,
        instructions: tuple[TpInstruction, ...],
        role: str = "tensor",
        table: View | None = None,
        image: ImageSize | None = None,
    ) -> View:
        """Append a TP job that makes a new storage of ``size`` bytes; ``operator``: the index in
        the .tflite that it is done for; ``image``: what it changes the layout of, if it does."""
        target = self.store(size, role)
        self.steps.append(TpJob(operator, kind, source, target, instructions, table, image))
        return target

    def copy(self, operator: Operator, source: View) -> View:
        """The same bytes in a storage of their own."""
        return self.move(operator.index, "copy", source, source.size, moves.copy(source.size))

    def same_bytes(self, size: ImageSize) -> bool:
        """NHWC and planar are the same bytes, and no move is wanted either."""
        return size.channels == 1 or (size.plane == 1 and not self.options.as_recorded)

    def planar(self, tensor: int, operator: int) -> View:
        """The tensor with one channel after another."""
        place = self.place(tensor)
        if place.planar is None:
            assert place.nhwc is not None
            if self.same_bytes(place.size):
                place.planar = place.nhwc
            else:
                instructions = moves.to_planar(place.size, place.zero_point)
                source = place.nhwc
                place.planar = self.move(
                    operator, "transpose", source, source.size, instructions, image=place.size
                )
        return place.planar

    def nhwc(self, tensor: int, operator: int) -> View:
        """The tensor as the host wants it."""
        place = self.place(tensor)
        if place.nhwc is None:
            assert place.planar is not None
            if self.same_bytes(place.size):
                place.nhwc = place.planar
            else:
                instructions = moves.from_planar(place.size, place.zero_point)
                source = place.planar
                place.nhwc = self.move(
                    *(operator, "detranspose", source, source.size, instructions, "output"),
                    image=place.size,
                )
        return place.nhwc
