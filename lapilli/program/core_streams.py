"""What the header of a coefficient buffer says about the cores' streams, for the disassembler.

Nothing here raises, whatever the bytes are: what makes no sense is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.hw import coefficients_v7 as v7
from lapilli.hw import coefficients_v8 as v8
from lapilli.hw.chips import Chip
from lapilli.program.program import Bytes

BIAS_BYTES = 4


@dataclass(frozen=True)
class CoreStreams:
    """The cores' streams: ``sizes`` as the header has them, in ``unit``, and ``kernels`` of each.

    ``zero_run_bits``, V7: bits of a run length, by core. ``symbol_map``, V8: the byte length that
    each symbol of the code stands for. ``biases``, V8: what follows the streams, by output channel.
    """

    unit: str
    sizes: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    zero_run_bits: tuple[int, ...] = ()
    symbol_map: tuple[int, ...] = ()
    biases: tuple[int, ...] = ()


def core_streams(stream: Bytes, chip: Chip, channels: int) -> CoreStreams:
    """Read the buffer of an instruction with so many output channels."""
    return _READERS[chip.generation](stream, chip, channels)


def _v7(stream: Bytes, chip: Chip, channels: int) -> CoreStreams:
    """Sizes, and the first 24 bits of each stream."""
    head_bytes = (v7.ZERO_RUN_WIDTH_BITS + v7.KERNEL_COUNT_BITS) // 8
    at = -(-4 * chip.nn_cores // v7.STREAM_ALIGNMENT) * v7.STREAM_ALIGNMENT
    sizes, heads = [], []
    for core in range(chip.nn_cores):
        size = int.from_bytes(stream[4 * core : 4 * core + 4].tobytes(), "little")
        if size < head_bytes or at + size > stream.size:
            break
        sizes.append(size)
        heads.append(int.from_bytes(stream[at : at + head_bytes].tobytes(), "little"))
        at += size
    width = (1 << v7.ZERO_RUN_WIDTH_BITS) - 1
    return CoreStreams(
        "bytes",
        tuple(sizes),
        tuple(head >> v7.ZERO_RUN_WIDTH_BITS for head in heads),
        tuple(head & width for head in heads),
    )


def _v8(stream: Bytes, chip: Chip, channels: int) -> CoreStreams:
    """The whole header. The number of a core's kernels is in its code; it follows from the
    channels, too."""
    if stream.size < v8.HEADER_BYTES or channels < 1:
        return CoreStreams("bits")
    words = [int.from_bytes(stream[i : i + 4].tobytes(), "little") for i in range(0, 64, 4)]
    fields = v8.HEADER.decode(words)
    used = min(channels, chip.nn_cores, v8.STREAMS)
    at = v8.HEADER_BYTES
    sizes = []
    for core in range(used):
        bits = fields[f"stream_size_{core}"]
        at += -(-bits // (8 * v8.STREAM_ALIGNMENT)) * v8.STREAM_ALIGNMENT
        if bits == 0 or at > stream.size:
            break
        sizes.append(bits)
    each, more = divmod(channels, min(channels, chip.nn_cores))
    biases: tuple[int, ...] = ()
    if len(sizes) == used and at + BIAS_BYTES * channels == stream.size:
        behind = stream[at:].tobytes()
        biases = tuple(
            int.from_bytes(behind[i : i + BIAS_BYTES], "little", signed=True)
            for i in range(0, len(behind), BIAS_BYTES)
        )
    return CoreStreams(
        "bits",
        tuple(sizes),
        tuple(each + (core < more) for core in range(len(sizes))),
        symbol_map=tuple(fields["symbol_map"] >> 4 * i & 0xF for i in range(8)),
        biases=biases,
    )


_READERS = {7: _v7, 8: _v8}
