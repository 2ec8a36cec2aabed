"""What the emulated units count while they run one instruction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InstructionCounters:
    """One instruction of a submit, in stream order.

    Bytes count each byte of an image once however often the unit fetches it. MACs count what the
    unit multiplies: before first-pixel pooling drops anything, kernels beyond the last output
    channel included; ``macs_nonzero`` leaves out weights equal to the zero point. ``tokens`` are
    the weight tokens of all cores' streams, ``elements`` what a TP wrote, ``table_bytes`` the table
    it loaded first. ``reads_own_output``: bytes it read are among those it wrote.
    """

    unit: str
    address: int
    instruction_bytes: int
    coefficient_bytes: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    macs_dense: int = 0
    macs_nonzero: int = 0
    tokens: int = 0
    elements: int = 0
    table_bytes: int = 0
    reads_own_output: bool = False
