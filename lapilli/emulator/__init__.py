"""The emulated NPU: a Device that reads bytes as the chip does, and counts what it did.

Files in the order a submit passes them: ``machine`` (the Device), ``memory`` (addresses),
``front_end`` (command packets), ``generations`` (what differs between chips), then ``nn`` (with
``tiles``, ``coefficients_v7`` or ``coefficients_v8``, and ``convolve``) or ``tp`` (with
``tp_order`` and ``tables``). ``counters`` holds what was counted, ``cache`` what later submits need
not do again, ``checks`` the field rules both units have, ``accelerate`` the use of numba where it
is installed.

It knows the hardware from ``lapilli.hw`` and nothing of the compiler: that the two agree means
something only while neither looks at the other.
"""

from __future__ import annotations

from lapilli.emulator.counters import InstructionCounters
from lapilli.emulator.machine import EmulatedDevice

__all__ = ["EmulatedDevice", "InstructionCounters"]
