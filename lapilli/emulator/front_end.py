"""The front end: walks the packets of a command stream and yields the register writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapilli.errors import Fault, Refused
from lapilli.hw.bits import Layout
from lapilli.hw.commands import (
    FLUSH_CACHE,
    INSTRUCTION_ADDRESS,
    LOAD_STATE,
    NN_CONFIG,
    PACKET,
    TP_PAD_MORE_CORES,
    Opcode,
    Register,
)
from lapilli.program.program import Words

MAXIMUM_JOB_NUMBER = 0x1F
ALLOWED_VALUES: dict[Register, tuple[int, ...]] = {
    Register.PA_SYSTEM_MODE: (0x11,),
    Register.GL_API_MODE: (2,),
    Register.GL_OCB_REMAP_START: (0,),
    Register.GL_OCB_REMAP_END: (0,),
    Register.GL_TP_CONFIG: (0,),
    Register.GL_UNK3950: (0, TP_PAD_MORE_CORES),
    Register.PS_UNK10A4: tuple(range(MAXIMUM_JOB_NUMBER + 1)),
}
"""Registers with a known set of values."""
LAYOUTS: dict[Register, Layout] = {
    Register.GL_NN_CONFIG: NN_CONFIG,
    Register.GL_FLUSH_CACHE: FLUSH_CACHE,
    Register.PS_NN_INST_ADDR: INSTRUCTION_ADDRESS,
    Register.PS_TP_INST_ADDR: INSTRUCTION_ADDRESS,
}
"""Registers with fields."""
STARTS = {Register.PS_NN_INST_ADDR: "NN", Register.PS_TP_INST_ADDR: "TP"}
"""Registers that start an instruction when written, and the unit that runs it."""


@dataclass(frozen=True)
class Start:
    """An instruction to run: where the stream says so, which unit, its address and job number."""

    word: int
    unit: str
    address: int
    number: int


def walk(commands: Words, nn_cores: int) -> Iterator[Start]:
    """The instructions a stream starts, in order; raises Fault naming the word."""
    words = commands.tolist()
    at = 0
    while at < len(words):
        word = words[at]
        opcode = PACKET.decode([word])["opcode"]
        if opcode == Opcode.LOAD_STATE:
            at, writes = _load_state(words, at)
            for where, address, value in writes:
                start = _write(where, address, value, nn_cores)
                if start is not None:
                    yield start
            continue
        if opcode == Opcode.END:
            return
        if opcode == Opcode.FILLER and any(words[at : at + 2]):
            found = " ".join(f"{w:#010x}" for w in words[at : at + 2])
            raise Refused(f"command word {at}: {found} is no packet; a filler is two zero words")
        if opcode not in (Opcode.FILLER, Opcode.NOP, Opcode.WAIT):
            raise Refused(
                f"command word {at}: {word:#010x} has opcode {opcode}; a job's stream "
                "holds LOAD_STATE, NOP, WAIT, END and zero words"
            )
        at += 2


def _load_state(words: list[int], at: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Index of the next packet, and (word, register address, value) of each write."""
    packet = LOAD_STATE.decode([words[at]])
    count = packet["count"] or 1 << LOAD_STATE.fields["count"].width
    if packet["fixed_point"]:
        raise Refused(
            f"command word {at}: {words[at]:#010x} is a LOAD_STATE of fixed point values; "
            "the NPU's registers take integers"
        )
    if at + 1 + count > len(words):
        raise Fault(
            f"command word {at}: LOAD_STATE of {count} values, but the stream ends after "
            f"{len(words) - at - 1}"
        )
    first = packet["address"]
    writes = [(at + 1 + i, first + 4 * i, words[at + 1 + i]) for i in range(count)]
    return at + 1 + count + (1 + count) % 2, writes


def _write(at: int, address: int, value: int, nn_cores: int) -> Start | None:
    """Check one register write; the instruction it starts, if it does."""
    try:
        register = Register(address)
    except ValueError:
        raise Refused(
            f"command word {at}: writes register {address:#06x}, which no NPU job is known to use"
        ) from None
    if register in ALLOWED_VALUES:
        if value not in ALLOWED_VALUES[register]:
            allowed = ", ".join(f"{v:#x}" for v in ALLOWED_VALUES[register])
            raise Refused(f"command word {at}: {register.name} = {value:#x}; allowed is {allowed}")
        return None
    if register not in LAYOUTS:
        raise Refused(f"command word {at}: writes {register.name}, which is the kernel driver's")
    fields = LAYOUTS[register].decode([value])
    for _, bits in LAYOUTS[register].stray_bits([value]):
        raise Refused(
            f"command word {at}: {register.name} = {value:#x}; bits {bits:#x} are unknown"
        )
    if register == Register.GL_NN_CONFIG and fields["core_count"] > nn_cores:
        raise Refused(
            f"command word {at}: core_count = {fields['core_count']}; "
            f"the chip has {nn_cores} NN cores"
        )
    if register not in STARTS:
        return None
    if fields["number"] > MAXIMUM_JOB_NUMBER:
        raise Refused(
            f"command word {at}: {register.name} = {value:#x} has number "
            f"{fields['number']}; allowed is 0 to {MAXIMUM_JOB_NUMBER}, and instructions "
            f"start at multiples of {1 << INSTRUCTION_ADDRESS.fields['address'].shift}"
        )
    return Start(at, STARTS[register], fields["address"], fields["number"])
