"""The command stream of a part packet by packet, for the disassembler. Nothing here raises."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.hw import commands
from lapilli.hw.commands import Opcode, Register
from lapilli.program.places import place_of
from lapilli.program.program import Part


@dataclass(frozen=True)
class Packet:
    """One packet of the command stream, or one of the registers it loads. ``offset``: bytes."""

    offset: int
    name: str
    register: str
    value: int | None
    note: str


def packets(part: Part) -> tuple[Packet, ...]:
    """The command stream packet by packet; a LOAD_STATE of n registers gives n entries."""
    words = part.commands.tolist()
    starts = {(job.buffer, job.offset): i for i, job in enumerate(part.jobs)}
    found: list[Packet] = []
    at = 0
    while at < len(words):
        fields = commands.PACKET.decode([words[at]])
        if fields["opcode"] == Opcode.LOAD_STATE:
            at = _load_state(part, starts, words, at, found)
        else:
            found.append(_plain_packet(words, at, fields["opcode"], fields["payload"]))
            at += 2
    return tuple(found)


def _plain_packet(words: list[int], at: int, opcode: int, payload: int) -> Packet:
    names = {int(member): member.name for member in Opcode}
    name = names.get(opcode, f"OPCODE_{opcode}")
    value = words[at + 1] if at + 1 < len(words) else None
    note = {
        Opcode.FILLER: "does nothing" if payload == 0 else f"payload {payload:#x}",
        Opcode.END: "ends the stream",
        Opcode.NOP: "does nothing",
        Opcode.WAIT: f"waits {payload} cycles",
        Opcode.LINK: f"goes on at {0 if value is None else value:#x}",
        Opcode.STALL: "waits for a semaphore",
    }
    return Packet(4 * at, name, "", value, note.get(Opcode(opcode), "") if opcode in names else "")


def _load_state(
    part: Part,
    starts: dict[tuple[int, int], int],
    words: list[int],
    at: int,
    found: list[Packet],
) -> int:
    """Append one packet for each register loaded; the position behind, which is even."""
    fields = commands.LOAD_STATE.decode([words[at]])
    count = fields["count"] or 1 << commands.LOAD_STATE.fields["count"].width
    names = {int(member): member.name for member in Register}
    for i in range(count):
        address = fields["address"] + 4 * i
        register = names.get(address, f"{address:#06x}")
        if at + 1 + i >= len(words):
            found.append(Packet(4 * at, "LOAD_STATE", register, None, "truncated"))
            break
        value = words[at + 1 + i]
        note = _register_note(part, starts, address, value)
        found.append(Packet(4 * (at + 1 + i if i else at), "LOAD_STATE", register, value, note))
    return at + (count + 2) // 2 * 2


def _register_note(part: Part, starts: dict[tuple[int, int], int], address: int, value: int) -> str:
    """What writing ``value`` to a register does."""
    if address in (Register.PS_NN_INST_ADDR, Register.PS_TP_INST_ADDR):
        return _start_note(part, starts, value)
    if address == Register.GL_NN_CONFIG:
        fields = commands.NN_CONFIG.decode([value])
        cores = fields["core_count"] or "all"
        more = [name for name, set_ in fields.items() if set_ and name != "core_count"]
        return f"{cores} cores" + "".join(f", {name}" for name in more)
    if address == Register.GL_FLUSH_CACHE:
        flushed = [n for n, set_ in commands.FLUSH_CACHE.decode([value]).items() if set_]
        return "flushes " + ", ".join(flushed)
    if address == Register.GL_UNK3950:
        known = "set for padding, RELU and ABS on all but the last core"
        return f"unknown; {known}" if value else "unknown"
    return _NOTES.get(address, "") if value == 0 else ""


_NOTES: dict[int, str] = {
    Register.GL_OCB_REMAP_START: "no on-chip window",
    Register.GL_OCB_REMAP_END: "no on-chip window",
    Register.GL_TP_CONFIG: "no options",
    Register.PS_UNK10A4: "ends an operation",
}
"""What a zero means. PS_UNK10A4's meaning is a guess from where it is written."""


def _start_note(part: Part, starts: dict[tuple[int, int], int], value: int) -> str:
    fields = commands.INSTRUCTION_ADDRESS.decode([value])
    place = place_of(part, fields["address"])
    number = None if place is None else starts.get((place.buffer, place.offset))
    if number is None:
        return f"starts what lies at {place}" if place else "starts what lies in no buffer"
    job = part.jobs[number]
    after = ", more cores follow" if fields["number"] == commands.TP_MORE_CORES else ""
    return f"starts job {number}: {job.kind}{after}"
