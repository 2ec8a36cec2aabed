"""Small wrong changes (tools/mutants.py) that no test can notice, or none should, each with why."""

from __future__ import annotations

from collections.abc import Mapping

ACCEPTED: Mapping[tuple[str, str, str], str] = {
    (
        "lapilli/emulator/convolve.py",
        "product_cost = (count / PRODUCT_ADVANTAGE + 1) * touched",
        "1 -> 2",
    ): "it chooses between two ways to the same sums, of which the other is faster then",
}
"""(file, the line, the change as it is printed): the reason."""
