"""The TP instruction: 31 words that make one tensor processor move (and map) the bytes of an image.

Read stream: for each z plane, for each tile of the window (x fastest), for each row of the tile,
for each column: one element, clipped to the window. Planes that are over-fetched come before the
first and behind the last and lie outside the image, as does what the window has beyond its columns
and rows. An element outside the image is the border constant, counted from the input zero point.
An image of 0 planes has no elements: recorded where a table operation has fewer planes than cores.

Value: ``clamp(byte - in_zp + out_zp)``, and ``clamp(table(byte - in_zp) * multiplier + out_zp)``
with a table (``tables.py``), which an instruction loads for itself: recorded ones have all four of
``alu_pwl_enable``, ``alu_load_pwl_lut``, ``alu_load_pwl_lut_global_mem``, ``alu_pwl_sign_support``
set or none, and a multiplier other than 1 only with them.

Write: seven nested counters, loop 0 fastest; the address is ``out_image_base_address`` plus the sum
of index times increment. Loop 6 has no count. A count of 0 never wraps. ``out_loop_n_reset``: at
the end of a tile row (n = 1), tile (2) or plane (3) loops 0..n-1 start again and loop n+1 steps,
unless counting has just done that.

Bit positions: compiled structures, 1486 recorded instructions of an older driver (transposes,
space to depth, padding) and those of a newer one (these, all paddings up to 2 and tables). Names
are the open driver's. Not in any recording: steps other than the tile, other border constants than
0, over-fetch above 1, zero points that differ without a table, and all that has its default.
"""

from __future__ import annotations

from lapilli.hw.bits import Field, Layout, Words

WORDS = 31
ALIGNMENT = 256

w = Words()

TP = Layout.of(
    "TP instruction",
    WORDS,
    [
        Field("in_image_x_size", w[0][15:0]),
        Field("in_image_y_size", w[1][15:0]),
        Field("in_image_z_size", w[1][31:16]),
        Field("in_image_stride", w[2][15:0], note="bytes between rows"),
        Field("in_image_slice", w[3].all, note="bytes between z planes"),
        Field("in_window_x_start", w[4][15:0], signed=True),
        Field("in_window_y_start", w[4][31:16], signed=True),
        Field("in_window_x_end", w[5][15:0], note="inclusive"),
        Field("in_window_y_end", w[5][31:16], note="inclusive"),
        Field("in_tile_sequence", w[6][1:0]),
        Field("in_tile_global_mem", w[6][2]),
        Field("in_image_global_mem", w[6][3], default=1),
        Field("alu_i2f_enable", w[6][4], default=1),
        Field("alu_square_enable", w[6][5]),
        Field("alu_horz_processing", w[6][8:6]),
        Field("alu_horz_proc_count", w[6][14:9]),
        Field("alu_horz_proc_stride", w[6][15]),
        Field("alu_vert_processing", w[6][17:16]),
        Field("alu_vert_proc_count", w[6][24:19]),
        Field("alu_vert_proc_stride", w[6][25]),
        Field("alu_nms_enable", w[6][26]),
        Field("alu_pwl_enable", w[6][27], note="values go through a table"),
        Field("alu_mult_enable", w[6][28]),
        Field("alu_f2i_enable", w[6][29], default=1),
        Field("alu_load_pwl_lut", w[6][30], note="load a table first"),
        Field("alu_load_pwl_lut_global_mem", w[6][31], note="the table lies in memory"),
        Field("in_tile_list_address", w[7].all),
        Field("in_tile_x_size", w[8][15:0], default=1),
        Field("in_tile_y_size", w[8][31:16]),
        Field("in_tile_x_inc", w[9][15:0], default=1),
        Field("in_tile_y_inc", w[9][31:16]),
        Field("in_image_base_address", w[10].all, address=True),
        Field("alu_load_pwl_lut_address", w[11].all, address=True, note="table"),
        Field("out_tile_skip_at_border", w[12][0]),
        Field("out_image_global_mem", w[12][1], default=1),
        Field("out_loop_1_reset", w[12][2]),
        Field("out_loop_2_reset", w[12][3]),
        Field("out_loop_3_reset", w[12][4]),
        Field("out_brick_mode", w[12][5]),
        Field("alu_z_filter_mode", w[12][6]),
        Field("in_window_z_start_overfetch", w[12][9:8], note="border planes before the first"),
        Field("in_window_z_end_overfetch", w[12][12:11], note="border planes behind the last"),
        Field("alu_square_preshift", w[12][17:14]),
        Field("in_image_data_type", w[12][20:18]),
        Field("out_image_data_type", w[12][23:21]),
        Field("alu_pwl_sign_support", w[12][28], note="half of the table is for negative values"),
        Field("alu_relu_enable", w[12][29]),
        Field("no_flush", w[12][30], note="1 on all but the last of an operation's cores"),
        Field("last", w[12][31], default=1),
        Field("out_image_base_address", w[13].all, address=True),
        Field("out_loop_0_inc", w[14].all, default=1),
        Field("out_loop_1_inc", w[15].all),
        Field("out_loop_0_count", w[16][15:0]),
        Field("out_loop_1_count", w[16][31:16]),
        Field("out_loop_2_inc", w[17].all),
        Field("out_loop_3_inc", w[18].all),
        Field("out_loop_2_count", w[19][15:0]),
        Field("out_loop_3_count", w[19][31:16], default=1),
        Field("out_loop_4_inc", w[20].all),
        Field("out_loop_5_inc", w[21].all),
        Field("out_loop_4_count", w[22][15:0], default=1),
        Field("out_loop_5_count", w[22][31:16], default=1),
        Field("out_loop_6_inc", w[23].all, note="has no count"),
        Field("alu_filter_pwl_swap", w[24][0]),
        Field("flat_rounding_mode", w[24][2:1], default=1),
        Field("integer_rounding_mode", w[24][4:3], default=1),
        Field("alu_input_preshift", w[24][9:5]),
        Field(
            "alu_output_postshift",
            w[24][14:10],
            w[24][27:26],
            signed=True,
            note="right shift behind the table",
        ),
        Field("alu_reorder_bits_used", w[24][18:15]),
        Field("alu_reorder_loop_2_mode", w[24][19]),
        Field("in_image_border_mode", w[24][25:24], note="0: constant"),
        Field("in_image_circular_buf_size", w[25].all),
        Field("in_image_circular_buf_end_address_plus_1", w[26].all, default=0x03FFFFFF),
        Field("out_image_circular_buf_size", w[27].all),
        Field("out_image_circular_buf_end_address_plus_1", w[28].all, default=0x03FFFFFF),
        Field("in_image_border_const", w[29][15:0], note="added to the input zero point"),
        Field("coef_zp", w[29][23:16]),
        Field("in_zp", w[29][31:24]),
        Field("out_zp", w[30][7:0]),
        Field(
            "alu_output_post_multiplier",
            w[30][22:8],
            note="fraction of the multiplier: (2^15 + m) / 2^15",
        ),
    ],
)
del w

TABLE_FLAGS = (
    "alu_pwl_enable",
    "alu_load_pwl_lut",
    "alu_load_pwl_lut_global_mem",
    "alu_pwl_sign_support",
)
"""What an instruction with a table sets."""
