"""What a schedule asks of lowering and of the ways."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.compiler.program_size import MOST_BYTES


@dataclass(frozen=True)
class LoweringOptions:
    """``as_recorded``: emit layout changes that move no byte (images of one pixel), fill up cores
    with kernels of zero bytes (what the recorded driver reads from fresh memory) and add with its
    weights. Otherwise: no idle moves, kernels of zero points, which cost next to nothing, and the
    closest weights. ``zero_runs``: code runs of zero weights. ``most_bytes``: what the program may
    need at most (``program_size``)."""

    as_recorded: bool = True
    zero_runs: bool = True
    most_bytes: int = MOST_BYTES
