"""The NN instruction: 34 words that make the NN cores do one convolution.

What the unit computes, for output channel k, row y and column x before pooling::

    accumulator = bias[k]
    for z, ky, kx in every input channel and kernel position:
        accumulator += input(z, y + ky + in_image_y_offset, x + kx + in_image_x_offset)
                       * (weight[k][z][ky][kx] - coef_zero_point)
    output = clamp(round(accumulator * multiplier) + out_zero_point, 0, 255)

``input`` is the stored byte, and ``in_image_border_const`` outside the image. With first-pixel
pooling only even rows and columns are stored. Weights and biases come from the coefficient stream
at ``kernel_address``. Tiles, superblocks and the on-chip memory change the time, not the result.

Bit positions were measured on compiled structures and checked against recorded submissions: no
recorded instruction has a bit set that is not declared here.
"""

from __future__ import annotations

from enum import IntEnum

from lapilli.hw.bits import Field, Layout, Words

WORDS = 34
ALIGNMENT = 256
"""Instructions start at multiples of this: the low address bits carry a job number."""
COEFFICIENT_ALIGNMENT = 64
"""Coefficient buffers likewise: the instruction has no bits for the rest of ``kernel_address``."""


class Pooling(IntEnum):
    """Field ``pooling``."""

    NONE = 0
    MAX = 1
    AVERAGE = 2
    FIRST_PIXEL = 3


class Caching(IntEnum):
    """Fields ``image_caching_mode`` and ``kernel_caching_mode``."""

    NONE = 0
    FULL = 1
    PARTIAL = 2


w = Words()

NN_V7 = Layout.of(
    "NN instruction (V7)",
    WORDS,
    [
        Field("layer_type", w[0][0], note="0 convolution, 1 fully connected"),
        Field("no_z_offset", w[0][1], note="1: plane k is stored at k; 0: at the stream's offset"),
        Field("kernel_x_size", w[0][5:2], note="kernel columns"),
        Field("kernel_z_size", w[0][19:6], w[5][31:26], note="input channels of a kernel"),
        Field("kernels_per_core", w[0][26:20], note="of one superblock"),
        Field("pooling", w[0][28:27], note="0 none, 1 max, 2 average, 3 first pixel"),
        Field("pooling_xy_size", w[0][29], default=1, note="0: 2x2, 1: none or 3x3"),
        Field("prelu", w[0][30]),
        Field("nn_layer_flush", w[0][31], default=1),
        Field("kernel_data_type", w[1][1:0], w[15][19], note="0: bytes"),
        Field("in_image_data_type", w[1][3:2], w[15][20], note="0: bytes"),
        Field("out_image_data_type", w[1][5:4], w[15][21], note="0: bytes"),
        Field("in_image_x_size", w[1][18:6], note="columns"),
        Field("in_image_y_size", w[1][31:19], note="rows"),
        Field("in_image_x_offset", w[2][2:0], w[4][16], signed=True, note="minus the left padding"),
        Field("in_image_y_offset", w[2][5:3], w[4][17], signed=True, note="minus the top padding"),
        Field("brick_mode", w[2][7]),
        Field("brick_distance", w[2][23:8]),
        Field("relu", w[2][24], note="clamp at out_zero_point from below (assumed)"),
        Field(
            "post_multiplier",
            w[2][26],
            w[15][27:22],
            w[17][31:24],
            note="fraction of the multiplier: (2^15 + m) / 2^15",
        ),
        Field("post_shift", w[2][31:27], w[15][29:28], note="right shift of the product"),
        Field("no_flush", w[3][3]),
        Field("out_image_x_size", w[3][18:6], note="columns before pooling"),
        Field("out_image_y_size", w[3][31:19], note="rows before pooling"),
        Field("out_image_z_size", w[4][13:0], note="output channels"),
        Field("rounding_mode", w[4][15:14], default=1, note="1: nearest"),
        Field("out_image_tile_x_size", w[4][24:18]),
        Field("out_image_tile_y_size", w[4][31:25]),
        Field("kernel_address", w[5][25:0], shift=6, address=True, note="coefficient buffer"),
        Field("in_image_address", w[6].all, address=True),
        Field("out_image_address", w[7].all, address=True),
        Field("image_caching_mode", w[8][1:0], note="0 none, 1 full, 2 partial"),
        Field("kernel_caching_mode", w[8][3:2], note="0 none, 1 full, 2 partial"),
        Field("partial_cache_data_unit", w[8][5:4]),
        Field("kernel_pattern_msb", w[8][11:6], note="caching pattern: length less one (a guess)"),
        Field("kernel_y_size", w[8][15:12], note="kernel rows"),
        Field("out_image_y_stride", w[8][31:16], note="rows from one plane to the next"),
        Field(
            "kernel_pattern_low", w[9].all, note="which kernels of a group stay cached (a guess)"
        ),
        Field("kernel_pattern_high", w[10].all),
        Field("kernel_cache_start_address", w[11].all, note="bytes from the start of the VIP SRAM"),
        Field("kernel_cache_end_address", w[12].all, note="bytes from the start of the VIP SRAM"),
        Field("image_cache_start_address", w[13].all, note="bytes from the start of the VIP SRAM"),
        Field("image_cache_end_address", w[14].all, note="bytes from the start of the VIP SRAM"),
        Field("in_image_border_mode", w[15][1:0], note="0: constant"),
        Field("in_image_border_const", w[15][17:2], note="what lies outside the image"),
        Field("in_image_x_stride", w[16][15:0], note="bytes from one row to the next"),
        Field("in_image_y_stride", w[16][31:16], note="rows from one plane to the next"),
        Field("out_image_x_stride", w[17][15:0], note="bytes from one row to the next"),
        Field("out_image_circular_buf_size", w[18][25:0], shift=6),
        Field("per_channel_post_mul", w[18][26]),
        Field(
            "out_image_circular_buf_end_addr_plus_1", w[19][25:0], shift=6, default=0x3FFFFFF << 6
        ),
        Field("in_image_circular_buf_size", w[20][25:0], shift=6),
        Field(
            "in_image_circular_buf_end_addr_plus_1", w[21][25:0], shift=6, default=0x3FFFFFF << 6
        ),
        Field("coef_zero_point", w[22][7:0]),
        Field("out_zero_point", w[22][15:8]),
        Field("kernel_direct_stream_from_VIP_sram", w[22][16]),
        Field("depthwise", w[22][17], note="the operator is depthwise; V7 computes it densely"),
        Field("word_28", w[28].all, default=0x03FFFFFF, note="unknown, always this value"),
        Field("clamp_high", w[29].all, default=0x7F800000, note="+inf as float (a guess)"),
        Field("clamp_low", w[30].all, default=0xFF800000, note="-inf as float (a guess)"),
    ],
)
"""A311D and relatives."""

NN_V8 = NN_V7.redeclare(
    "NN instruction (V8)",
    Field("no_z_offset", w[0][1], default=1),
    Field("no_flush", w[3][3], default=1),
    Field(
        "in_image_x_offset",
        w[2][2:0],
        w[4][16],
        w[18][29],
        signed=True,
        note="minus the left padding",
    ),
    Field(
        "in_image_y_offset",
        w[2][5:3],
        w[4][17],
        w[18][30],
        signed=True,
        note="minus the top padding",
    ),
    Field(
        "post_multiplier",
        w[2][26],
        w[15][27:22],
        w[17][31:24],
        w[22][25:18],
        note="fraction of the multiplier: (2^23 + m) / 2^23",
    ),
)
"""i.MX 8M Plus: what moved or grew."""
del w

LAYOUTS = {7: NN_V7, 8: NN_V8}
"""By generation."""
COUNTED_FRACTION_BITS = {7: 15, 8: 0}
"""By generation: how many of the multiplier's fraction bits ``post_shift`` counts, so that an
accumulator is multiplied by ``(1 + fraction) * 2**(counted bits - post_shift)``."""
