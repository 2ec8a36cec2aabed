"""The front end's packets, the registers an NPU job writes, and the frame of a command stream.

Known from the 622 recorded streams, which hold nothing else.
"""

from __future__ import annotations

from enum import IntEnum

from lapilli.hw.bits import Field, Layout, Words


class Opcode(IntEnum):
    """Bits 31:27 of a packet's first word."""

    FILLER = 0
    LOAD_STATE = 1
    END = 2
    NOP = 3
    WAIT = 7
    LINK = 8
    STALL = 9


class Register(IntEnum):
    """State addresses."""

    PA_SYSTEM_MODE = 0x0A28
    PS_NN_INST_ADDR = 0x10A0
    PS_UNK10A4 = 0x10A4
    PS_TP_INST_ADDR = 0x10B8
    GL_PIPE_SELECT = 0x3800
    GL_EVENT = 0x3804
    GL_SEMAPHORE_TOKEN = 0x3808
    GL_FLUSH_CACHE = 0x380C
    GL_API_MODE = 0x384C
    GL_NN_CONFIG = 0x3930
    GL_SRAM_REMAP_ADDRESS = 0x3938
    GL_OCB_REMAP_START = 0x393C
    GL_OCB_REMAP_END = 0x3940
    GL_TP_CONFIG = 0x394C
    GL_UNK3950 = 0x3950


w = Words()
PACKET = Layout.of("packet", 1, [Field("payload", w[0][26:0]), Field("opcode", w[0][31:27])])
LOAD_STATE = Layout.of(
    "LOAD_STATE",
    1,
    [
        Field("address", w[0][15:0], shift=2, note="first state address"),
        Field("count", w[0][25:16], note="values that follow; 0 means 1024"),
        Field("fixed_point", w[0][26], note="values are 16.16 fixed point"),
        Field("opcode", w[0][31:27], default=Opcode.LOAD_STATE),
    ],
)
INSTRUCTION_ADDRESS = Layout.of(
    "instruction address",
    1,
    [
        Field(
            "number", w[0][7:0], note="0: wait for completion; 1: more cores of this operation come"
        ),
        Field("address", w[0][31:8], shift=8),
    ],
)
NN_CONFIG = Layout.of(
    "GL_NN_CONFIG",
    1,
    [
        Field("disable_zdpn", w[0][2]),
        Field("disable_software_tiling", w[0][3]),
        Field("small_batch", w[0][4], default=1),
        Field("ddr_burst_size", w[0][6:5]),
        Field("core_count", w[0][11:8], note="0: all cores, no power control"),
    ],
)
FLUSH_CACHE = Layout.of(
    "GL_FLUSH_CACHE",
    1,
    [
        Field("depth", w[0][0], default=1),
        Field("color", w[0][1], default=1),
        Field("texture", w[0][2]),
        Field("pe2d", w[0][3]),
        Field("texture_vs", w[0][4]),
        Field("shader_l1", w[0][5], default=1),
        Field("shader_l2", w[0][6]),
        Field("unknown_10", w[0][10], default=1),
        Field("unknown_11", w[0][11], default=1),
        Field("descriptor", w[0][13:12]),
    ],
)
del w

LEADING_FILLERS = 8
"""Zero words a stream starts with (opcode 0 takes two words and does nothing)."""
TRAILING_FILLERS = 2
FLUSHES = 2
"""How often GL_FLUSH_CACHE is written at the end of a stream."""
TP_MORE_CORES = 1
"""``number`` of every TP instruction of an operation that is not its last."""
TP_MORE_CORES_UNORDERED = 0x1F
"""The same where operations have numbers, from 1, instead of waiting for each other."""
TP_PAD_MORE_CORES = 8
"""Value of GL_UNK3950 for the instructions of a padding, RELU or ABS operation on cores before the
last; 0 for the last one and for every other operation, LOGISTIC with its table among them."""
