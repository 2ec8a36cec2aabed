"""Numbers for tests of the timing model: constants that divide well, a convolution, its counts."""

from __future__ import annotations

from dataclasses import replace

from lapilli.hw.chips import Chip, find_by_name
from lapilli.timing.coefficients import CoefficientStatistics
from lapilli.timing.constants import TimingConstants
from lapilli.timing.nn import Axis, NnTask
from lapilli.timing.work import Traffic, Work

CONSTANTS = TimingConstants(
    clock_hz=1e6,
    bus_bytes=4,
    on_chip_bytes=16,
    multiplier_use=0.5,
    zero_run_cycles=2,
    tp_elements=0.5,
    nn_start_cycles=100,
    tp_start_cycles=50,
)
TASK = NnTask(
    columns=Axis(size=20, tile=8, offset=-1, kernel=3, image=20),
    rows=Axis(size=10, tile=4, offset=-1, kernel=3, image=10),
    input_channels=16,
    output_channels=64,
    kernels_at_once=4,
    native_depthwise=False,
    first_pixel=False,
    kernel_sram=None,
    image_sram=None,
)
"""20 columns by 10 rows in tiles of 8 by 4, kernels of 3x3 over 16 channels, centred, nothing
cached."""
COUNTED = CoefficientStatistics(
    header_bytes=64,
    stream_bytes=1000,
    kernels=8,
    weights=(50, 60),
    tokens=(70, 90),
    zero_run_bits=5,
    useful=100,
)
"""Eight kernels a core; the second core has most to do."""


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def plain_work(**more: object) -> Work:
    """Of an instruction that moves 400 bytes."""
    given = Work("NN", Traffic(136, 64, 100, 100))
    return replace(given, **more)  # type: ignore[arg-type]
