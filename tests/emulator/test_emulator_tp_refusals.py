"""What the emulated TP does not do: it names the field, and says what is allowed."""

from __future__ import annotations

import pytest
from tp_job import Fields, bytes_of, run, transpose

from lapilli.errors import Fault


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alu_mult_enable": 1}, r"alu_mult_enable = 0x1 \(word 6 bit 28\); only 0x0 is emulated"),
        ({"alu_nms_enable": 1}, "alu_nms_enable"),
        ({"in_tile_list_address": 64}, "in_tile_list_address"),
        ({"in_image_data_type": 2}, "in_image_data_type"),
        ({"out_brick_mode": 1}, "out_brick_mode"),
        ({"in_image_border_mode": 1}, "in_image_border_mode"),
        ({"in_tile_x_inc": 0}, "in_tile_x_inc = 0 .* allowed is 1 to 65535"),
        ({"in_image_y_size": 0}, "in_image_y_size = 0"),
        ({"in_image_border_const": 256}, "in_image_border_const = 256 .* allowed is 0 to 255"),
        ({"in_window_x_start": 9}, "in_window_x_end = 3 .* the window may not be empty"),
        ({"in_image_slice": 1 << 20}, "leave the buffer of 24 bytes"),
        ({"out_loop_1_inc": 1 << 20}, "leave the buffer of 24 bytes"),
        ({"out_loop_1_inc": (1 << 32) - 8}, "output image .*: address .* is in"),
        ({"in_window_x_end": 60000, "in_window_y_end": 60000}, "at most 24 are written"),
    ],
)
def test_what_is_not_emulated_or_impossible_is_a_fault(change: Fields, text: str) -> None:
    with pytest.raises(Fault, match=text):
        run(transpose(2, 3, 4) | change, bytes_of(2, 3, 4), 24)
