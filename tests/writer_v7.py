"""A second scalar writer of V7 coefficient buffers, made from the description of the streams: one
weight at a time, kernels as the emulated NN unit has them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from lapilli.emulator.kernels import KernelShape


class BitWriter:
    """Puts values least significant bit first, with runs of zero points as tokens."""

    def __init__(self, run_bits: int, zero_point: int) -> None:
        self.bits: list[int] = []
        self.run_bits = run_bits
        self.zero_point = zero_point
        self.run = 0

    def put(self, value: int, width: int) -> None:
        self.bits += [value >> i & 1 for i in range(width)]

    def weight(self, value: int) -> None:
        if self.run_bits == 0:
            self.put(value, 8)
        elif value == self.zero_point and self.run < (1 << self.run_bits) - 1:
            self.run += 1
        else:
            self.put(self.run, self.run_bits)
            self.put(value, 8)
            self.run = 0

    def flush(self) -> None:
        if self.run:
            self.put(self.run - 1, self.run_bits)
            self.put(self.zero_point, 8)
            self.run = 0

    def item(self, value: int) -> None:
        self.flush()
        self.put(value & 0xFFFFFFFF, 32)

    def bytes(self) -> bytes:
        self.flush()
        bits = self.bits + [0] * (-len(self.bits) % 512)
        return np.packbits(bits, bitorder="little").tobytes()


@dataclass(frozen=True)
class Case:
    """Weights [kernel][channel][row][column], a bias and a plane for each kernel."""

    weights: np.ndarray
    bias: np.ndarray
    plane: np.ndarray
    cores: int
    kernels_per_core: int
    run_bits: int
    zero_point: int

    @property
    def shape(self) -> KernelShape:
        _, channels, rows, columns = self.weights.shape
        return KernelShape(channels, rows, columns, self.kernels_per_core, self.zero_point)


def places(rows: int, columns: int) -> list[tuple[int, int]]:
    """Row pairs; the first three columns of both rows, then the others."""
    order = []
    for top in range(0, rows, 2):
        pair = [r for r in (top, top + 1) if r < rows]
        order += [(r, q) for r in pair for q in range(min(columns, 3))]
        order += [(r, q) for r in pair for q in range(3, columns)]
    return order


def write_superblock(case: Case, writer: BitWriter, kernels: list[int]) -> None:
    _, channels, rows, columns = case.weights.shape
    if rows == columns == 1:
        steps = [
            [(z, 0, 0) for z in range(first, min(first + 6, channels))]
            for first in range(0, channels, 6)
        ]
    else:
        steps = [[(z, r, q) for r, q in places(rows, columns)] for z in range(channels)]
    for number, step in enumerate(steps):
        for k in kernels:
            for i, (z, r, q) in enumerate(step):
                writer.weight(int(case.weights[k, z, r, q]))
                if number == 0 and i == 0:
                    writer.item(int(case.bias[k]))
            if number == len(steps) - 1:
                writer.item(int(case.plane[k]))


def write(case: Case) -> bytes:
    """A coefficient buffer; kernels go to the cores in order, as many to each."""
    count = len(case.weights) // case.cores
    streams = []
    for core in range(case.cores):
        writer = BitWriter(case.run_bits, case.zero_point)
        writer.put(case.run_bits, 8)
        writer.put(count, 16)
        own = list(range(core * count, (core + 1) * count))
        for first in range(0, count, case.kernels_per_core):
            write_superblock(case, writer, own[first : first + case.kernels_per_core])
        streams.append(writer.bytes())
    header = struct.pack(f"<{case.cores}I", *(len(s) for s in streams)).ljust(64, b"\0")
    return header + b"".join(streams)
