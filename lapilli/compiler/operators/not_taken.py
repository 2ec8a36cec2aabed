"""What to do about operators that the NPU does not take, where something is known."""

from __future__ import annotations

REMEDIES = {
    "FULLY_CONNECTED": "Write it as a 1x1 CONV_2D over a 1x1 image.",
}
