"""What LiteRT says about a recorded model, and how a recording's buffers are read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from shared_data import shared_data

from lapilli.hw.bits import Layout
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Opcode, Register
from lapilli.hw.nn import NN_V7
from lapilli.hw.tp import TP
from lapilli.program.recording import Recording, load

NO_DATA = "no-test-data"
"""Stands for the recordings where there are none; ``shared_data`` then skips or fails the test."""


def recording_names(*folders: str, chip: str = "a311d") -> list[str]:
    """``folder/name`` of every recording for the chip in the folders."""
    try:
        root = shared_data() / "recordings" / chip
    except (pytest.skip.Exception, pytest.fail.Exception):
        return [NO_DATA]
    return [
        f"{folder}/{path.stem}"
        for folder in folders
        for path in sorted((root / folder).glob("*.npz"))
    ]


def load_recording(name: str, chip: str = "a311d") -> tuple[Recording, Path]:
    """A recording and its model, by ``folder/name``."""
    root = shared_data()
    return load(root / "recordings" / chip / f"{name}.npz"), root / "models" / f"{name}.tflite"


def recorded_inputs(model: Path) -> list[np.ndarray]:
    """The inputs the recordings were made with, in LiteRT's order."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, size=detail["shape"]).astype(detail["dtype"])
        for detail in Interpreter(str(model)).get_input_details()
    ]


def run_litert(
    model: Path, inputs: list[np.ndarray], reference: bool = False, keep_tensors: bool = False
) -> Interpreter:
    """An interpreter that has run ``inputs``: XNNPACK, or the reference kernels."""
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that kept tensors take memory
        interpreter = Interpreter(
            str(model),
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=keep_tensors,
            num_threads=1,
        )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter


def outputs_of(interpreter: Interpreter) -> list[np.ndarray]:
    """Its output tensors."""
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


@dataclass(frozen=True)
class Instruction:
    """One recorded instruction: which unit, where its words are, its fields."""

    unit: str
    buffer: int
    offset: int
    fields: dict[str, int]


def instructions(recording: Recording, nn: Layout = NN_V7) -> list[Instruction]:
    """A recording's instructions in stream order; ``nn`` is how those of the NN unit are read."""
    found, words, at = [], recording.commands.tolist(), 0
    while at < len(words):
        packet = LOAD_STATE.decode([words[at]])
        if packet["opcode"] != Opcode.LOAD_STATE:
            at += 2
            continue
        for i in range(packet["count"]):
            register, value = packet["address"] + 4 * i, words[at + 1 + i]
            if register in (Register.PS_NN_INST_ADDR, Register.PS_TP_INST_ADDR):
                layout = nn if register == Register.PS_NN_INST_ADDR else TP
                found.append(_instruction(recording, layout, value))
        at += (1 + packet["count"] + 1) // 2 * 2
    return found


def _instruction(recording: Recording, layout: Layout, value: int) -> Instruction:
    address = INSTRUCTION_ADDRESS.fields["address"].get([value])
    buffer, offset = locate(recording, address)
    count = 4 * layout.size
    data = np.zeros(count, np.uint8)
    part = recording.buffers[buffer].data[offset : offset + count]
    data[: len(part)] = part
    words = data.view("<u4").tolist()
    return Instruction("TP" if layout is TP else "NN", buffer, offset, layout.decode(words))


def locate(recording: Recording, address: int) -> tuple[int, int]:
    """Buffer index and offset of an address."""
    for index, buffer in enumerate(recording.buffers):
        if buffer.address <= address < buffer.address + buffer.size:
            return index, address - buffer.address
    raise AssertionError(f"{address:#x} is in no buffer of the recording")


def input_contents(recording: Recording, inputs: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Graph inputs where the recorded driver put them: one after another in the first buffer."""
    first = next(i for i, b in enumerate(recording.buffers) if b.role == "input")
    return {first: np.concatenate([value.reshape(-1).view(np.uint8) for value in inputs])}


def last_output(recording: Recording, contents: dict[int, np.ndarray], size: int) -> np.ndarray:
    """The bytes the last operation wrote (all its cores, so from its lowest address on)."""
    last = instructions(recording)[-1]
    name = "out_image_address" if last.unit == "NN" else "out_image_base_address"
    buffer, _ = locate(recording, last.fields[name])
    same = [
        locate(recording, i.fields[name]) for i in instructions(recording) if i.unit == last.unit
    ]
    offset = min(offset for index, offset in same if index == buffer)
    return contents[buffer][offset : offset + size]


def first_nn_output(recording: Recording, contents: dict[int, np.ndarray], size: int) -> np.ndarray:
    """What the first NN instruction wrote."""
    job = next(i for i in instructions(recording) if i.unit == "NN")
    buffer, offset = locate(recording, job.fields["out_image_address"])
    return contents[buffer][offset : offset + size]


def operator_output(
    recording: Recording, contents: dict[int, np.ndarray], inputs: int, size: int
) -> np.ndarray:
    """The operator's result. The driver adds two graph inputs as NHWC bytes and then transposes
    the sum for nothing: there it is what the NN unit wrote."""
    if inputs == 2:
        return first_nn_output(recording, contents, size)
    return last_output(recording, contents, size)
