"""What is counted of an instruction."""

from __future__ import annotations

import numpy as np
from oracle import instructions, load_recording
from tp_job import copy, run_counted

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice
from lapilli.hw.chips import find_by_name


def test_what_a_copy_counts() -> None:
    image = np.arange(12, dtype=np.uint8)
    _, counted = run_counted(copy(1, 3, 4), image, 12)
    assert (counted.unit, counted.elements, counted.input_bytes, counted.output_bytes) == (
        *("TP", 12, 12, 12),
    )
    rest = (counted.coefficient_bytes, counted.macs_dense, counted.macs_nonzero, counted.tokens)
    assert rest == (0, 0, 0, 0)
    assert counted.table_bytes == 0 and not counted.reads_own_output


def test_what_a_convolution_counts() -> None:
    """As its fields say; no elements that are moved, no table."""
    chip = find_by_name("a311d")
    assert chip is not None
    recording, _ = load_recording("ops/mobiledet76")
    with EmulatedDevice(chip) as device:
        replay(recording, device)
        counts = device.last_counters
    made = instructions(recording)
    assert [count.unit for count in counts] == [each.unit for each in made]
    (counted,) = [count for count in counts if count.unit == "NN"]
    (fields,) = [each.fields for each in made if each.unit == "NN"]
    pixels = fields["out_image_x_size"] * fields["out_image_y_size"]
    weights = fields["kernel_x_size"] * fields["kernel_y_size"] * fields["kernel_z_size"]
    assert counted.macs_dense == pixels * weights * fields["out_image_z_size"]
    assert counted.output_bytes == pixels * fields["out_image_z_size"]
    image = fields["in_image_x_size"] * fields["in_image_y_size"] * fields["kernel_z_size"]
    assert counted.input_bytes == image
    assert 0 < counted.macs_nonzero < counted.macs_dense
    assert counted.coefficient_bytes > 0 and counted.tokens > 0
    assert (counted.elements, counted.table_bytes, counted.reads_own_output) == (0, 0, False)
