"""How the VIP SRAM is shared between kernels and image."""

from __future__ import annotations

KERNEL_START = 0x800
"""First byte that holds kernels."""
KERNEL_END_MINIMUM = 0xA00
ALIGNMENT = 128
