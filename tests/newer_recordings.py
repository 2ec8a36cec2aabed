"""Recordings of the newest driver: which there are, their graph inputs and outputs in memory.

Single operators and small networks of both chips, int8 among them. The driver hands signed tensors
over as unsigned ones, every byte plus 128.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from oracle import Instruction, instructions, locate
from shared_data import shared_data

from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import INSTRUCTION_ADDRESS, Register
from lapilli.hw.nn import LAYOUTS
from lapilli.program import recording
from lapilli.program.recording import Recording

NO_DATA = "no-test-data"
TWIN = "tw_"
"""uint8 models with the weights and scales of an int8 one."""
SIGN = 0x80


def newer() -> Path:
    """The folder; skips or fails the test where there is none."""
    return shared_data() / "newer"


def names(chip: str, kind: str = "operators") -> list[str]:
    """Every recording of a chip; a stand-in while tests are collected without data."""
    try:
        folder = newer() / "recordings" / chip / kind
    except (pytest.skip.Exception, pytest.fail.Exception):
        return [NO_DATA]
    return sorted(path.stem for path in folder.glob("*.npz"))


def load(name: str, chip: str, kind: str = "operators") -> tuple[Recording, Path]:
    """A recording and its model."""
    folder = newer()
    path = folder / "recordings" / chip / kind / f"{name}.npz"
    return recording.load(path), folder / "models" / f"{name}.tflite"


@cache
def results() -> dict[str, dict[str, dict[str, list[list[int]]]]]:
    """Model -> chip -> ``differ``: for each output [values that differ, values, largest]."""
    found: dict[str, dict[str, dict[str, list[list[int]]]]] = json.loads(
        (newer() / "results.json").read_text(encoding="utf-8")
    )
    return found


def is_right(name: str, chip: str) -> bool:
    """Whether the recorded bytes, executed by somebody else, gave LiteRT's values within 1."""
    outputs = results()[name][chip].get("differ")
    return outputs is not None and all(largest <= 1 for _, _, largest in outputs)


def as_stored(values: np.ndarray) -> np.ndarray:
    """A tensor's bytes as the driver hands them over."""
    stored = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return stored ^ SIGN if values.dtype == np.int8 else stored


def input_contents(source: Recording, inputs: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Graph inputs by buffer: one each, or one after another where the operator wants them so."""
    buffers = [i for i, buffer in enumerate(source.buffers) if buffer.role == "input"]
    stored = [as_stored(value) for value in inputs]
    if len(buffers) == 1:
        return {buffers[0]: np.concatenate(stored)}
    assert len(buffers) == len(stored)
    return dict(zip(buffers, stored, strict=True))


@dataclass(frozen=True)
class Operation:
    """Instructions that run together, one a core: where they read and write."""

    instructions: tuple[Instruction, ...]

    def _least(self, *fields: str) -> int:
        return min(
            instruction.fields[name]
            for instruction in self.instructions
            for name in fields
            if name in instruction.fields
        )

    @property
    def source(self) -> int:
        """First address read."""
        return self._least("in_image_address", "in_image_base_address")

    @property
    def target(self) -> int:
        """First address written."""
        return self._least("out_image_address", "out_image_base_address")


def operations(source: Recording, chip: str) -> Iterator[Operation]:
    """In stream order."""
    found = find_by_name(chip)
    assert found is not None
    together: list[Instruction] = []
    numbers = _numbers(source)
    for instruction in instructions(source, LAYOUTS[found.generation]):
        together.append(instruction)
        if next(numbers) == 0:
            yield Operation(tuple(together))
            together = []
    assert not together


def _numbers(source: Recording) -> Iterator[int]:
    """The number beside each instruction's address; every packet of a driver's stream is a pair."""
    words = source.commands.tolist()
    for head, value in zip(words[::2], words[1::2], strict=True):
        register = 4 * (head & 0xFFFF)
        if head >> 16 == 0x0801 and register in (
            Register.PS_NN_INST_ADDR,
            Register.PS_TP_INST_ADDR,
        ):
            yield INSTRUCTION_ADDRESS.decode([value])["number"]


def output_places(source: Recording, chip: str) -> list[tuple[int, int]]:
    """(buffer, offset) of what operations write and no later one reads, in stream order."""
    listed = list(operations(source, chip))
    places = []
    for i, operation in enumerate(listed):
        later = {_page(source, other.source) for other in listed[i + 1 :]}
        if _page(source, operation.target) not in later:
            places.append(locate(source, operation.target))
    return places


def _page(source: Recording, address: int) -> int:
    return locate(source, address)[0]


# ------------------------------------------------------------------------------------------ faults

SIGNED = "int8 weights on V7: the raw signed byte is written where byte ^ 0x80 belongs"
STRAY = "additions on V7: the bias is taken from memory beyond the driver's own"
AS_ADD = "subtractions on V7: the words of an addition are submitted"
FLAT = (
    "fully connected on V7: a kernel's weights stand in flat order, but the job is a convolution, "
    "whose order is patches of 2 rows by 3 columns, or groups of six channels"
)
ACTIVATION = "the fused activation of ADD, SUB and FULLY_CONNECTED is ignored"
TWICE = "one tensor as both operands: the second place overwrites the first"
LAYOUT = "a subtraction between layers loses its operands' layouts"
SHARED = "SPLIT and CONCATENATION share a tensor"
HALVES = "SPLIT of a graph input cuts its NHWC bytes in halves"
RESHAPED = "RESHAPE leaves the bytes in planar order"
SCALES = "per-channel weights of a fully connected layer get the first channel's scale"
DILATED = "the dilation is not read (operator version 1)"
WIDE = "SAME with a kernel above 5: the offsets end at -2"
ODD = "SAME depthwise with stride 2 and an odd side: wrong offset"
ROWS = "PAD by two rows, or of a single row: never more than one plane is over-fetched"
ONE_BY_ONE = (
    "1x1 kernels on V7, from a fused RELU6 or a 2x2 kernel with stride 2, are written channel by "
    "channel, but read in groups of six"
)
SQUARE = "a fully connected layer over several pixels declares the channels of one"
BOTH = ("a311d", "imx8mp")
V7 = ("a311d",)
WRONG: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("add*relu*", BOTH, ACTIVATION),
    ("subrelu*", BOTH, ACTIVATION),
    ("fcrelu*", BOTH, ACTIVATION),
    ("*self_*", BOTH, TWICE),
    ("subnet_*", BOTH, LAYOUT),
    ("csp_*", BOTH, SHARED),
    ("splitin_*", BOTH, HALVES),
    ("reshape*", BOTH, RESHAPED),
    ("fcpc_*", BOTH, SCALES),
    ("fc4x4_*", BOTH, SQUARE),
    ("dilated_*", BOTH, DILATED),
    ("c7x7_*", BOTH, WIDE),
    ("d3x3odd_*", BOTH, ODD),
    ("pad2222_*", BOTH, ROWS),
    ("padrow_*", BOTH, ROWS),
    ("sub*", V7, AS_ADD),
    ("add*", V7, STRAY),
    ("c1x1*relu6_*", V7, ONE_BY_ONE),
    ("c2x2s2_*", V7, ONE_BY_ONE),
    ("fc9x6_?8", V7, ""),
    ("fc17x8_?8", V7, ""),
    ("fc*", V7, FLAT),
)
"""Where the recorded driver is wrong: names, chips and the reason; the first that fits counts, an
empty one says that it is right. Twins stand without their prefix."""
WITHOUT_WEIGHTS = ("abs*", "concatin_*", "logistic*", "pad[0-9crtw]*", "relu*")
"""int8 models that are right on V7, unless the table says otherwise."""
MODELS_REFUSED = {
    ("a311d", "mobilenet_v1_0.25_128_quant.part0"): ONE_BY_ONE,
    ("a311d", "mobilenet_v2_1.0_224_quant.part0"): ONE_BY_ONE,
}


def why_wrong(name: str, chip: str) -> str:
    """Why a recording gives other values than LiteRT; empty if it gives the same."""
    plain = name.removeprefix(TWIN)
    found = (why for names, chips, why in WRONG if chip in chips and fnmatch(plain, names))
    reason = next(found, "")
    signed = name == plain and name.endswith("_i8") and chip == "a311d"
    if not reason and signed and not any(fnmatch(name, like) for like in WITHOUT_WEIGHTS):
        return SIGNED
    return reason
