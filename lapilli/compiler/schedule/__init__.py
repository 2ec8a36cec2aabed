"""Choosing tiles, superblocks and on-chip memory ranges for jobs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tiling:
    """Output pixels the unit works on at a time, and in how many groups a core does its kernels."""

    columns: int
    rows: int
    superblocks: int


@dataclass(frozen=True)
class OnChipMemory:
    """Caching modes, patterns and ranges (bytes from the start of the VIP SRAM) of an NN job, named
    as the instruction's fields."""

    kernel_caching_mode: int
    image_caching_mode: int
    kernel_pattern_msb: int
    kernel_pattern_low: int
    kernel_pattern_high: int
    kernel_cache_start_address: int
    kernel_cache_end_address: int
    image_cache_start_address: int
    image_cache_end_address: int
