"""What an instruction has to do, before any of it has a time: bytes, weights, elements."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal


@dataclass(frozen=True)
class Traffic:
    """Bytes an instruction moves beyond the on-chip memory, by what they are."""

    instruction: int
    coefficients: int
    input: int
    output: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.instruction + self.coefficients + self.input + self.output


@dataclass(frozen=True)
class Work:
    """One instruction's, of either unit.

    ``cached_input``: bytes read of an image cached on chip.
    ``rows``: rows of pixels every weight is applied to, a row of a tile at a time. ``weights``: for
    each core weights that are applied, at ``weight_cycles`` each and row if no cycle is lost;
    ``zero_tokens``: for each core tokens that code zero points only. ``zero_run_bits``: width of
    their runs. ``stored_bytes``: header and streams of the coefficients as they lie in memory;
    ``dense_weights``: how many weights they stand for. ``elements``: what a TP moves;
    ``busiest``: share of its operation's elements that the TP core with most of them moves;
    ``first``: it is the operation's first instruction.
    ``macs_useful``: MACs that reach the output with weights unlike the zero point.
    ``kernel_sram``, ``image_sram``: bytes [start, end) of the on-chip memory in use, or None.
    """

    unit: Literal["NN", "TP"]
    traffic: Traffic
    cached_input: int = 0
    rows: int = 0
    weights: tuple[int, ...] = ()
    weight_cycles: Fraction = Fraction(0)
    zero_tokens: tuple[int, ...] = ()
    zero_run_bits: int = 0
    stored_bytes: int = 0
    dense_weights: int = 0
    elements: int = 0
    busiest: Fraction = Fraction(1)
    first: bool = True
    macs_dense: int = 0
    macs_useful: int = 0
    tiles: int = 0
    superblocks: int = 0
    kernel_sram: tuple[int, int] | None = None
    image_sram: tuple[int, int] | None = None
