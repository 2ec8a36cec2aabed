"""Small wrong changes (tools/mutants.py) that no test can notice, or none should, each with why."""

from __future__ import annotations

from collections.abc import Mapping

ACCEPTED: Mapping[tuple[str, str, str], str] = {
    (
        "lapilli/emulator/convolve.py",
        "slots = max(int(slots_of.max()), 1)",
        "1 -> 2",
    ): "the same sums with a plane of zeros more",
}
"""(file, the line, the change as it is printed): the reason."""
