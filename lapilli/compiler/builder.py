"""What the operators' lowering functions write to: where each tensor lies, and the steps so far.

Images inside a part are planar (one channel after another); tensors that cross its border are NHWC.
The builder knows where each tensor lies in which layout and inserts moves where a layout, or a
place, is missing. A tensor's place is a view: it may be part of a larger storage or be another
tensor's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import copies, moves
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.intents import Step
from lapilli.compiler.jobs import ImageSize, Storage, TpInstruction, TpJob, View
from lapilli.compiler.options import LoweringOptions
from lapilli.hw.chips import Chip
from lapilli.model.geometry import image_extents
from lapilli.model.graph import Constant, Graph, Operator, Quantization


@dataclass
class Place:
    """Where a tensor lies; a layout that has not been made is None.

    ``reshaped``: the planes of an image of another size, which hold the tensor's elements in NHWC
    order once they are moved back.
    """

    size: ImageSize
    zero_point: int
    nhwc: View | None = None
    planar: View | None = None
    reshaped: tuple[View, ImageSize] | None = None


def _joined(parts: Sequence[View]) -> list[View]:
    """The same bytes in as few views as possible: neighbours in a storage become one."""
    found: list[View] = []
    for part in parts:
        last = found[-1] if found else None
        if last and (last.storage, last.offset + last.size) == (part.storage, part.offset):
            found[-1] = View(last.storage, last.offset, last.size + part.size)
        else:
            found.append(part)
    return found


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
    _held: dict[int, list[int]] = field(default_factory=dict)
    """Storage -> those that were put in it."""
    _writes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Storage -> the first and the last of the steps so far that write to it."""
    _looked_at: int = 0
    """Steps that ``_writes`` knows of."""
    _moved: dict[tuple[str, View, ImageSize], View] = field(default_factory=dict)
    """Layouts that were made of bytes, so that none is made twice."""

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
            rows, columns, channels = image_extents(found.shape)
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

    def _stored(self, constant: Constant) -> View:
        """A constant's bytes in memory, which stay where they are."""
        data = np.ascontiguousarray(constant, np.uint8).reshape(-1)
        view = self.store(data.size, "table", data=data)
        self.fixed.add(view.storage)
        return view

    def movable(self, view: View) -> bool:
        """The view is all of its storage, and where that lies is still open."""
        return view.storage not in self.fixed and view == self._whole[view.storage]

    def slack(self, view: View) -> int:
        """Bytes behind a storage's view that its producer may write too."""
        return self.storages[view.storage].size - self._whole[view.storage].size

    def lay(self, parts: Sequence[View], operator: Operator) -> View:
        """A new storage in which the parts lie one behind the other. Parts are written there by
        whoever makes them where that is possible, else copied."""
        joined = _joined(parts)
        ends = list(accumulate(part.size for part in joined))
        puttable = [self._puttable(joined, ends, number) for number in range(len(joined))]
        reach = max(
            end + (self.slack(part) if put else 0)
            for part, end, put in zip(joined, ends, puttable, strict=True)
        )
        whole = self.store(ends[-1], slack=reach - ends[-1])
        for part, end, put in zip(joined, ends, puttable, strict=True):
            # Asked once more: a part that comes twice can be put once.
            if put and self.movable(part):
                self.put(part, whole, end - part.size, operator)
            else:
                pieces = copies.linear(part.size, self.chip.tp_cores)
                target = View(whole.storage, end - part.size, part.size)
                self.copy_pieces(operator, part, target, pieces)
        return whole

    def _puttable(self, parts: Sequence[View], ends: Sequence[int], number: int) -> bool:
        """Nothing is lost if a part is put in front of those behind it: what its producer may
        write too is written by others later. Jobs are done in the order of the steps."""
        part, reach = parts[number], ends[number] + self.slack(parts[number])
        if not self.movable(part) or self.storages[part.storage].role == "input":
            return False
        behind = range(number + 1, len(parts))
        followers = [parts[i] for i in behind if ends[i] - parts[i].size < reach]
        last = self._written(part)[1]
        # Those that can't be moved are copied here, behind all steps so far.
        return all(self._written(other)[0] > last or not self.movable(other) for other in followers)

    def _written(self, view: View) -> tuple[int, int]:
        """The first and the last step that write to a view's storage, or to one that lies there."""
        for number in range(self._looked_at, len(self.steps)):
            storage = self.steps[number].target.storage
            self._writes[storage] = (self._writes.get(storage, (number, 0))[0], number)
        self._looked_at = len(self.steps)
        found: list[int] = []
        family = [view.storage]
        while family:
            storage = family.pop()
            found += self._writes.get(storage, ())
            family += self._held.get(storage, ())
        return min(found, default=-1), max(found, default=-1)

    def put(self, part: View, whole: View, offset: int, operator: Operator) -> View:
        """Let ``part`` lie at ``offset`` of ``whole``; if it can't, a copy of it. Returns where its
        bytes are then, as a view of the storage they were written to."""
        if not self.movable(part):
            part = self.copy(operator, part)
        self.fixed.add(part.storage)
        self._held.setdefault(whole.storage, []).append(part.storage)
        if offset + part.size > whole.size:
            self.fixed.add(whole.storage)
        self.placed[part.storage] = (whole.storage, whole.offset + offset)
        return part

    def beside(self, first: View, second: View, operator: Operator) -> tuple[View, View]:
        """Views of both operands of which the second follows the first in one storage; operands
        that can't be placed so are copied."""
        if not self.movable(first) or first.storage == second.storage:
            first = self.copy(operator, first)
        elif self._overwrites(first, second):
            second = self.copy(operator, second)
        return first, self.put(second, first, first.size, operator)

    def _overwrites(self, first: View, second: View) -> bool:
        """Kernels that only fill up the last cores may write behind ``first``, after ``second`` was
        written, which is to lie there. On V8 the recorded driver lays operands so, and boards give
        the right values; of V7 no recording has it."""
        if self.chip.generation != 7 or not self.slack(first):
            return False
        return self._written(first)[1] > self._written(second)[0]

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

    def copy_pieces(
        self, operator: Operator, source: View, target: View, pieces: Sequence[Piece]
    ) -> None:
        """Append TP jobs that copy pieces of one storage to another: a single piece on all cores,
        several ones on a core each."""
        cores = self.chip.tp_cores
        if len(pieces) == 1:
            jobs = [copies.shared_out(pieces[0], cores)]
        else:
            firsts = range(0, len(pieces), cores)
            jobs = [copies.together(pieces[first : first + cores]) for first in firsts]
        self.steps += [TpJob(operator.index, "copy", source, target, job) for job in jobs]

    def copy(self, operator: Operator, source: View) -> View:
        """The same bytes in a storage of their own."""
        return self.move(operator.index, "copy", source, source.size, moves.copy(source.size))

    def same_bytes(self, size: ImageSize) -> bool:
        """NHWC and planar are the same bytes, and no move is wanted either."""
        return size.channels == 1 or (size.plane == 1 and not self.options.as_recorded)

    def planar(self, tensor: int, operator: int) -> View:
        """The tensor with one channel after another."""
        place, constant = self.place(tensor), self.graph.tensors[tensor].data
        if constant is not None and place.planar is None:
            place.planar = self._stored(constant.reshape(-1, place.size.channels).T)
        return self.planar_of(place, operator)

    def planar_of(self, place: Place, operator: int) -> View:
        """The same of a place."""
        if place.planar is None:
            place.planar = self.to_planar(self.nhwc_of(place, operator), place, operator)
        return place.planar

    def to_planar(self, source: View, place: Place, operator: int) -> View:
        """NHWC bytes of an image of ``place``'s size as planes."""
        if self.same_bytes(place.size):
            return source
        made = "transpose", source, place.size
        if made not in self._moved:
            instructions = moves.to_planar(place.size, place.zero_point)
            self._moved[made] = self.move(
                operator, *made[:2], source.size, instructions, image=place.size
            )
        return self._moved[made]

    def nhwc(self, tensor: int, operator: int) -> View:
        """The tensor as the host wants it."""
        place, constant = self.place(tensor), self.graph.tensors[tensor].data
        if constant is not None and place.nhwc is None:
            place.nhwc = self._stored(constant)
        return self.nhwc_of(place, operator)

    def nhwc_of(self, place: Place, operator: int) -> View:
        """The same of a place."""
        if place.nhwc is None:
            if place.planar is not None:
                source, size = place.planar, place.size
            else:
                assert place.reshaped is not None
                source, size = place.reshaped
            place.nhwc = self.from_planar(source, size, place.zero_point, operator)
        return place.nhwc

    def from_planar(self, source: View, size: ImageSize, zero_point: int, operator: int) -> View:
        """Planes of an image of ``size`` as NHWC bytes."""
        if self.same_bytes(size):
            return source
        made = "detranspose", source, size
        if made not in self._moved:
            instructions = moves.from_planar(size, zero_point)
            self._moved[made] = self.move(
                operator, *made[:2], source.size, instructions, "output", image=size
            )
        return self._moved[made]
