"""Single layers of recorded models, run on inputs of one's own."""

from __future__ import annotations

import numpy as np
from oracle import Instruction, locate

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.commands import INSTRUCTION_ADDRESS, LOAD_STATE, Register
from lapilli.program.recording import Recording

NN_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD")


def layers(found: list[Instruction]) -> list[list[Instruction]]:
    """Each NN instruction with the TP instructions in front that write into its input."""
    result = []
    waiting: list[Instruction] = []
    for instruction in found:
        waiting.append(instruction)
        if instruction.unit == "NN":
            result.append(waiting)
            waiting = []
    return result


def commands_of(recording: Recording, chosen: list[Instruction]) -> np.ndarray:
    """A command stream for some of the recording's instructions."""
    words: list[int] = []
    for instruction in chosen:
        register = (
            Register.PS_NN_INST_ADDR if instruction.unit == "NN" else Register.PS_TP_INST_ADDR
        )
        address = recording.buffers[instruction.buffer].address + instruction.offset
        words += LOAD_STATE.encode(address=register, count=1)
        words += INSTRUCTION_ADDRESS.encode(address=address)
    return np.array(words, np.uint32)


def run_layer(
    recording: Recording,
    device: EmulatedDevice,
    layer: list[Instruction],
    planar_inputs: list[np.ndarray],
    size: int,
) -> np.ndarray:
    """What a layer writes when its own inputs are ``planar_inputs``."""
    job = layer[-1]
    buffer, _ = locate(recording, job.fields["in_image_address"])
    reshuffles = [
        i
        for i in layer[:-1]
        if i.fields["in_tile_x_size"] > 1
        and buffer == locate(recording, i.fields["out_image_base_address"])[0]
    ]
    start = min(
        (i.fields["in_image_base_address"] for i in reshuffles),
        default=job.fields["in_image_address"],
    )
    source, offset = locate(recording, start)
    data = np.concatenate([value.reshape(-1) for value in planar_inputs])
    part = Recording(commands_of(recording, [*reshuffles, job]), recording.buffers)
    contents = replay(part, device, {source: np.concatenate([np.zeros(offset, np.uint8), data])})
    into, offset = locate(recording, job.fields["out_image_address"])
    return contents[into][offset : offset + size]
