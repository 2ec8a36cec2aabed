"""The kernel's interface to an NPU: ioctl numbers and structures of DRM's etnaviv driver, as data.

Source: the uAPI headers drm.h and etnaviv_drm.h of July 2024. A request number is derived from
direction, size, type and number as asm-generic/ioctl.h does it (x86, ARM, RISC-V). All fields are
in the host's byte order; user pointers are u64, except in VERSION, which has C's own types.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_char, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32
from ctypes import c_uint64 as c_u64
from dataclasses import dataclass
from enum import IntEnum, IntFlag

# ---------------------------------------------------------------------------------------- requests

TYPE = ord("d")
DRIVER_COMMANDS = 0x40
"""Commands from here on are the driver's own."""
NUMBER_BITS, TYPE_BITS, SIZE_BITS = 8, 8, 14
TYPE_SHIFT = NUMBER_BITS
SIZE_SHIFT = TYPE_SHIFT + TYPE_BITS
DIRECTION_SHIFT = SIZE_SHIFT + SIZE_BITS


class Direction(IntFlag):
    """Which way the structure is copied, from the program's view."""

    WRITE = 1
    READ = 2


class Version(Structure):
    """VERSION: the driver's version and names; called twice, first for the lengths."""

    _fields_ = (
        ("major", c_int32),
        ("minor", c_int32),
        ("patch", c_int32),
        ("name_length", c_size_t),
        ("name", c_size_t),
        ("date_length", c_size_t),
        ("date", c_size_t),
        ("description_length", c_size_t),
        ("description", c_size_t),
    )


class GemClose(Structure):
    """GEM_CLOSE: give a handle back."""

    _fields_ = (("handle", c_uint32), ("pad", c_uint32))


class Timespec(Structure):
    """A moment of CLOCK_MONOTONIC: all time-outs are absolute."""

    _fields_ = (("seconds", c_int64), ("nanoseconds", c_int64))


class GetParam(Structure):
    """GET_PARAM: one figure about core ``pipe``; ``value`` comes back."""

    _fields_ = (("pipe", c_uint32), ("param", c_uint32), ("value", c_u64))


class GemNew(Structure):
    """GEM_NEW: a buffer; ``handle`` comes back."""

    _fields_ = (("size", c_u64), ("flags", c_uint32), ("handle", c_uint32))


class GemInfo(Structure):
    """GEM_INFO: ``offset``, for mmap on the node, comes back."""

    _fields_ = (("handle", c_uint32), ("pad", c_uint32), ("offset", c_u64))


class GemCpuPrep(Structure):
    """GEM_CPU_PREP: wait until the host may read or write the buffer."""

    _fields_ = (("handle", c_uint32), ("operation", c_uint32), ("timeout", Timespec))


class GemCpuFini(Structure):
    """GEM_CPU_FINI: the host is done; ``flags`` must be 0."""

    _fields_ = (("handle", c_uint32), ("flags", c_uint32))


class SubmitRelocation(Structure):
    """An address for the kernel to patch; not with softpin."""

    _fields_ = (
        ("submit_offset", c_uint32),
        ("index", c_uint32),
        ("offset", c_u64),
        ("flags", c_uint32),
        ("pad", c_uint32),
    )


class SubmitBuffer(Structure):
    """A buffer the job uses; with softpin ``presumed`` is its address."""

    _fields_ = (("flags", c_uint32), ("handle", c_uint32), ("presumed", c_u64))


class SubmitCounter(Structure):
    """A performance counter to be read before or after the job, into 32-bit word ``read_offset`` of
    buffer ``read_index``."""

    _fields_ = (
        ("flags", c_uint32),
        ("domain", c_uint8),
        ("pad", c_uint8),
        ("signal", c_uint16),
        ("sequence", c_uint32),
        ("read_offset", c_uint32),
        ("read_index", c_uint32),
    )


class GemSubmit(Structure):
    """GEM_SUBMIT: a command stream with everything it uses; ``fence`` comes back."""

    _fields_ = (
        ("fence", c_uint32),
        ("pipe", c_uint32),
        ("exec_state", c_uint32),
        ("buffer_count", c_uint32),
        ("relocation_count", c_uint32),
        ("stream_size", c_uint32),
        ("buffers", c_u64),
        ("relocations", c_u64),
        ("stream", c_u64),
        ("flags", c_uint32),
        ("fence_fd", c_int32),
        ("counters", c_u64),
        ("counter_count", c_uint32),
        ("pad", c_uint32),
    )


class WaitFence(Structure):
    """WAIT_FENCE: until a submit is done."""

    _fields_ = (
        ("pipe", c_uint32),
        ("fence", c_uint32),
        ("flags", c_uint32),
        ("pad", c_uint32),
        ("timeout", Timespec),
    )


class GemUserptr(Structure):
    """GEM_USERPTR: a buffer of the program's own memory."""

    _fields_ = (
        ("user_pointer", c_u64),
        ("user_size", c_u64),
        ("flags", c_uint32),
        ("handle", c_uint32),
    )


class GemWait(Structure):
    """GEM_WAIT: until no job uses a buffer."""

    _fields_ = (
        ("pipe", c_uint32),
        ("handle", c_uint32),
        ("flags", c_uint32),
        ("pad", c_uint32),
        ("timeout", Timespec),
    )


class CounterDomain(Structure):
    """PM_QUERY_DOM: domain number ``iteration``, which becomes the next one's, or the end mark."""

    _fields_ = (
        ("pipe", c_uint32),
        ("iteration", c_uint8),
        ("id", c_uint8),
        ("signal_count", c_uint16),
        ("name", c_char * 64),
    )


class CounterSignal(Structure):
    """PM_QUERY_SIG: likewise for the signals of a domain."""

    _fields_ = (
        ("pipe", c_uint32),
        ("domain", c_uint8),
        ("pad", c_uint8),
        ("iteration", c_uint16),
        ("id", c_uint16),
        ("name", c_char * 64),
    )


@dataclass(frozen=True)
class Ioctl:
    """One command. ``structure`` is what its argument points to."""

    name: str
    number: int
    direction: Direction
    structure: type[Structure]

    @property
    def request(self) -> int:
        """The number that goes into ioctl(2)."""
        return (
            self.direction << DIRECTION_SHIFT
            | ctypes.sizeof(self.structure) << SIZE_SHIFT
            | TYPE << TYPE_SHIFT
            | self.number
        )


_W, _RW = Direction.WRITE, Direction.READ | Direction.WRITE
VERSION = Ioctl("VERSION", 0x00, _RW, Version)
GEM_CLOSE = Ioctl("GEM_CLOSE", 0x09, _W, GemClose)
GET_PARAM = Ioctl("GET_PARAM", DRIVER_COMMANDS + 0x0, _RW, GetParam)
GEM_NEW = Ioctl("GEM_NEW", DRIVER_COMMANDS + 0x2, _RW, GemNew)
GEM_INFO = Ioctl("GEM_INFO", DRIVER_COMMANDS + 0x3, _RW, GemInfo)
GEM_CPU_PREP = Ioctl("GEM_CPU_PREP", DRIVER_COMMANDS + 0x4, _W, GemCpuPrep)
GEM_CPU_FINI = Ioctl("GEM_CPU_FINI", DRIVER_COMMANDS + 0x5, _W, GemCpuFini)
GEM_SUBMIT = Ioctl("GEM_SUBMIT", DRIVER_COMMANDS + 0x6, _RW, GemSubmit)
WAIT_FENCE = Ioctl("WAIT_FENCE", DRIVER_COMMANDS + 0x7, _W, WaitFence)
GEM_USERPTR = Ioctl("GEM_USERPTR", DRIVER_COMMANDS + 0x8, _RW, GemUserptr)
GEM_WAIT = Ioctl("GEM_WAIT", DRIVER_COMMANDS + 0x9, _W, GemWait)
PM_QUERY_DOM = Ioctl("PM_QUERY_DOM", DRIVER_COMMANDS + 0xA, _RW, CounterDomain)
PM_QUERY_SIG = Ioctl("PM_QUERY_SIG", DRIVER_COMMANDS + 0xB, _RW, CounterSignal)

IOCTLS = (
    VERSION,
    GEM_CLOSE,
    GET_PARAM,
    GEM_NEW,
    GEM_INFO,
    GEM_CPU_PREP,
    GEM_CPU_FINI,
    GEM_SUBMIT,
    WAIT_FENCE,
    GEM_USERPTR,
    GEM_WAIT,
    PM_QUERY_DOM,
    PM_QUERY_SIG,
)
"""All that an NPU needs; every one is allowed on a render node."""

# --------------------------------------------------------------------------------- values of fields


class Param(IntEnum):
    """``param`` of GET_PARAM."""

    MODEL = 0x01
    REVISION = 0x02
    FEATURES_0 = 0x03
    STREAM_COUNT = 0x10
    REGISTER_MAX = 0x11
    THREAD_COUNT = 0x12
    VERTEX_CACHE_SIZE = 0x13
    SHADER_CORE_COUNT = 0x14
    PIXEL_PIPES = 0x15
    VERTEX_OUTPUT_BUFFER_SIZE = 0x16
    BUFFER_SIZE = 0x17
    INSTRUCTION_COUNT = 0x18
    NUM_CONSTANTS = 0x19
    NUM_VARYINGS = 0x1A
    SOFTPIN_START_ADDR = 0x1B
    PRODUCT_ID = 0x1C
    CUSTOMER_ID = 0x1D
    ECO_ID = 0x1E


FEATURE_WORDS = 13
"""FEATURES_0 and the twelve after it."""
IDENTITY_VERSION = (1, 4)
"""First driver version with product, customer and eco id."""
NO_SOFTPIN = (1 << 64) - 1
"""SOFTPIN_START_ADDR of a core whose MMU can't: not MMUv2."""


class BufferFlags(IntFlag):
    """``flags`` of GEM_NEW."""

    CACHED = 0x10000
    WRITE_COMBINE = 0x20000
    UNCACHED = 0x40000
    FORCE_MMU = 0x100000


CACHE_MASK = 0xF0000
CACHE_MODES = (BufferFlags.CACHED, BufferFlags.WRITE_COMBINE, BufferFlags.UNCACHED)


class Access(IntFlag):
    """``operation`` of GEM_CPU_PREP."""

    READ = 1
    WRITE = 2
    NO_WAIT = 4


class UserptrFlags(IntFlag):
    """``flags`` of GEM_USERPTR."""

    READ = 1
    WRITE = 2


class SubmitBufferFlags(IntFlag):
    """``flags`` of a buffer of a submit."""

    READ = 1
    WRITE = 2


class CounterFlags(IntFlag):
    """``flags`` of a counter of a submit."""

    BEFORE = 1
    AFTER = 2


class SubmitFlags(IntFlag):
    """``flags`` of GEM_SUBMIT."""

    NO_IMPLICIT_SYNC = 1
    FENCE_FD_IN = 2
    FENCE_FD_OUT = 4
    SOFTPIN = 8


class WaitFlags(IntFlag):
    """``flags`` of WAIT_FENCE and GEM_WAIT."""

    NON_BLOCKING = 1


class ExecState(IntEnum):
    """``exec_state`` of GEM_SUBMIT; an NPU is driven as 3D."""

    PIPE_3D = 0
    PIPE_2D = 1
    PIPE_VG = 2


# ------------------------------------------------------------------------------------------- bounds

DRIVER_NAME = "etnaviv"
MAXIMUM_PIPES = 4
PAGE = 4096
SOFTPIN_START = 0x400000
"""First address a program may use; the kernel's command buffers lie below."""
ADDRESS_END = 1 << 32
MAXIMUM_SUBMIT_ITEMS = 128 * 1024
"""Each of stream bytes, buffers and relocations."""
MAXIMUM_COUNTERS = 128
LAST_DOMAIN = 0xFF
LAST_SIGNAL = 0xFFFF
JOB_TIMEOUT_SECONDS = 0.5
"""After this without progress the kernel resets the core and drops the job; the fence then passes
as if all were well."""
