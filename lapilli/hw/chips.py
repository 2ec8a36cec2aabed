"""The NPUs of the public feature databases, one frozen record each; found by name or by identity.

The sizes and feature bits are those of the Amlogic, NXP and ST databases. A figure that a database
does not state is 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Evidence(Enum):
    """How sure we are that what we compile for a chip is right."""

    RECORDED = "checked against recorded submissions"
    SAME_GENERATION = "same generation as a recorded chip, untested"


@dataclass(frozen=True)
class Chip:
    """What distinguishes one NPU from another. Sizes in bytes, depths in lines of 64 pixels."""

    name: str
    database_name: str
    description: str
    model: int
    revision: int
    product_id: int
    eco_id: int
    customer_id: int
    generation: int
    evidence: Evidence
    nn_cores: int
    mads_per_core: int
    int16_cores: int
    tp_cores: int
    tp_lite: int
    vip_sram_bytes: int
    axi_sram_bytes: int
    zero_run_bits: int
    tp_zero_run_bits: int
    input_buffer_depth: int
    accumulation_buffer_depth: int
    image_offset_bits: int
    maximum_kernel_columns: int
    maximum_kernel_rows: int
    maximum_kernel_channels: int
    table_entries: int
    table_entry_bits: int
    tp_reorder_image_size: int
    kernel_burst_bytes: int
    vip_sram_width_bytes: int
    axi_bus_width_bytes: int
    out_y_stride_bits: int
    output_lanes_per_cycle: int
    maximum_outstanding: int
    features: frozenset[str]

    def has(self, feature: str) -> bool:
        """Whether the database sets the bit named ``feature``."""
        return feature in self.features

    @property
    def first_pixel_pooling(self) -> bool:
        """The NN unit can store only even rows and columns: strides without another lowering."""
        return self.has("NN_FIRST_PIXEL_POOLING")

    @property
    def smallest_image_offset(self) -> int:
        """Most negative start of the kernel outside the image: the largest padding, negated."""
        return -(1 << (self.image_offset_bits - 1))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALL_NPUS = _names("""
    VIP_V7 NN_STRIDE_SUPPORT NN_INT8_SCALE TP_ENGINE TP_LRN TP_ROI_POOLING
    TP_MAX_POOLING_STRIDE1 TF_QUANTIZATION REG_MMU SECURITY_AHB REG_Pipe3D
""")
"""Bits set for every NPU of the databases."""

CHIPS: tuple[Chip, ...] = (
    Chip(
        name="vip9000nano-di-8302",
        database_name="vip9000nano-di",
        description="vip9000nano-di revision 0x8302",
        model=0x9000,
        revision=0x8302,
        product_id=0x05090009,
        eco_id=0x8000000,
        customer_id=0xE8,
        generation=8,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=1,
        tp_lite=0,
        vip_sram_bytes=1048576,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=9,
        accumulation_buffer_depth=32,
        image_offset_bits=5,
        maximum_kernel_columns=15,
        maximum_kernel_rows=15,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=512,
        kernel_burst_bytes=256,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=16,
        output_lanes_per_cycle=32,
        maximum_outstanding=64,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY DEPTHWISE_SUPPORT_16BIT_FORMAT
            IMAGE_PARTIAL_CACHE NN_ASYMMETRIC_INT8 NN_COEF_DECOMPRESS_PERF2X NN_COMPRESSION_BYPASSS
            NN_DEPTHWISE_SUPPORT NN_FIRST_PIXEL_POOLING NN_FLOAT_POST_MULT
            NN_HW_LIMITATION_NATIVE_KER_1x2_2x1 NN_INT16_ALU NN_KERNEL_1x1_NO_PAD_FIX NN_LEAKY_RELU
            NN_NATIVE_STRIDE_TWO NN_NONZERO_BORDER NN_NO_Z_LOCATION_OFFSET NN_PER_CHANNEL_QUANT
            NN_PER_CHANNEL_QUANT_ASYM NN_POST_OUT_SUPPORT_FP16 NN_PRELU
            NN_SLICE_PADDING_TO_64BYTE_ALIGN NN_SMALLBATCH_PHASE1 NN_SUPPORT_CONV_1D NN_TENSOR_ADD
            NN_TRANSPOSE NN_WRITE_WITHOUT_USC NN_XYDP0 NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX
            SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3 TP_BFLOAT16
            TP_COEF_COMPRESSION_ENHANCEMENT TP_REAL_INT16 TP_REORDER TP_REORDER_FIX
            TP_SMALLBATCH_PHASE1 USE_VIPSRAM_FOR_KERNEL_STREAMING XY_OFFSET_LIMITATION_FIX ZRL_8BIT
        """),
    ),
    Chip(
        name="vipnano-qi-7004-eco0",
        database_name="vipnano-qi",
        description="vipnano-qi revision 0x7004",
        model=0x8000,
        revision=0x7004,
        product_id=0x45080009,
        eco_id=0x0,
        customer_id=0x7D,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=4,
        tp_lite=0,
        vip_sram_bytes=524288,
        axi_sram_bytes=1048576,
        zero_run_bits=5,
        tp_zero_run_bits=8,
        input_buffer_depth=12,
        accumulation_buffer_depth=64,
        image_offset_bits=3,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=16,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COMPUTE_ONLY KERNEL_PER_CORE_LESS_THAN_THIRD_COEF_BUFF_DEPTH_FIX NN_INT16_ALU
            SWTILING_PHASE1 TP_SIMPLE_INT16
        """),
    ),
    Chip(
        name="vipnano-qi-7004",
        database_name="vipnano-qi",
        description="vipnano-qi revision 0x7004",
        model=0x8000,
        revision=0x7004,
        product_id=0x45080009,
        eco_id=0x1,
        customer_id=0x7D,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=4,
        tp_lite=0,
        vip_sram_bytes=524288,
        axi_sram_bytes=1048576,
        zero_run_bits=5,
        tp_zero_run_bits=8,
        input_buffer_depth=12,
        accumulation_buffer_depth=64,
        image_offset_bits=3,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=16,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COMPUTE_ONLY KERNEL_PER_CORE_LESS_THAN_THIRD_COEF_BUFF_DEPTH_FIX NN_INT16_ALU
            SWTILING_PHASE1 TP_REORDER TP_REORDER_FIX TP_SIMPLE_INT16
        """),
    ),
    Chip(
        name="a311d",
        database_name="vipnano-qi",
        description="Amlogic A311D (Khadas VIM3, Libre Computer Alta)",
        model=0x8000,
        revision=0x7120,
        product_id=0x45080009,
        eco_id=0x0,
        customer_id=0x88,
        generation=7,
        evidence=Evidence.RECORDED,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=4,
        tp_lite=0,
        vip_sram_bytes=524288,
        axi_sram_bytes=1048576,
        zero_run_bits=5,
        tp_zero_run_bits=8,
        input_buffer_depth=12,
        accumulation_buffer_depth=64,
        image_offset_bits=4,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=16,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COMPUTE_ONLY KERNEL_PER_CORE_LESS_THAN_THIRD_COEF_BUFF_DEPTH_FIX NN_FIRST_PIXEL_POOLING
            NN_INT16_ALU NN_XYDP6 NN_ZDP3 SWTILING_PHASE1 SWTILING_PHASE2 TP_REAL_INT16 TP_REORDER
            TP_REORDER_FIX
        """),
    ),
    Chip(
        name="vip9000nano-si-8101",
        database_name="vip9000nano-si",
        description="vip9000nano-si revision 0x8101",
        model=0x9000,
        revision=0x8101,
        product_id=0x05090009,
        eco_id=0x4000000,
        customer_id=0xB9,
        generation=8,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=4,
        mads_per_core=64,
        int16_cores=4,
        tp_cores=1,
        tp_lite=7,
        vip_sram_bytes=524288,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=9,
        accumulation_buffer_depth=32,
        image_offset_bits=5,
        maximum_kernel_columns=15,
        maximum_kernel_rows=15,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=512,
        kernel_burst_bytes=256,
        vip_sram_width_bytes=16,
        axi_bus_width_bytes=16,
        out_y_stride_bits=16,
        output_lanes_per_cycle=16,
        maximum_outstanding=64,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY NN_COEF_DECOMPRESS_PERF2X NN_DEPTHWISE_SUPPORT
            NN_FIRST_PIXEL_POOLING NN_HW_LIMITATION_NATIVE_KER_1x2_2x1 NN_INT16_ALU NN_MIRROR_BORDER
            NN_NO_Z_LOCATION_OFFSET NN_SLICE_PADDING_TO_64BYTE_ALIGN NN_SMALLBATCH_PHASE1
            NN_TRANSPOSE NN_WRITE_WITHOUT_USC NN_XYDP0 NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX
            SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3 TP_COEF_COMPRESSION_ENHANCEMENT
            TP_REAL_INT16 TP_REORDER TP_REORDER_FIX TP_SMALLBATCH_PHASE1 XY_OFFSET_LIMITATION_FIX
            ZRL_8BIT
        """),
    ),
    Chip(
        name="vip9000nano-di-8102",
        database_name="vip9000nano-di",
        description="vip9000nano-di revision 0x8102",
        model=0x9000,
        revision=0x8102,
        product_id=0x05090009,
        eco_id=0x8000000,
        customer_id=0xBE,
        generation=8,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=3,
        tp_lite=0,
        vip_sram_bytes=1048576,
        axi_sram_bytes=253952,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=9,
        accumulation_buffer_depth=32,
        image_offset_bits=5,
        maximum_kernel_columns=15,
        maximum_kernel_rows=15,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=512,
        kernel_burst_bytes=256,
        vip_sram_width_bytes=16,
        axi_bus_width_bytes=16,
        out_y_stride_bits=16,
        output_lanes_per_cycle=16,
        maximum_outstanding=64,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY NN_COEF_DECOMPRESS_PERF2X NN_DEPTHWISE_SUPPORT
            NN_FIRST_PIXEL_POOLING NN_HW_LIMITATION_NATIVE_KER_1x2_2x1 NN_INT16_ALU NN_MIRROR_BORDER
            NN_NO_Z_LOCATION_OFFSET NN_SLICE_PADDING_TO_64BYTE_ALIGN NN_SMALLBATCH_PHASE1
            NN_TRANSPOSE NN_WRITE_WITHOUT_USC NN_XYDP0 NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX
            SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3 TP_COEF_COMPRESSION_ENHANCEMENT
            TP_REAL_INT16 TP_REORDER TP_REORDER_FIX TP_SMALLBATCH_PHASE1 XY_OFFSET_LIMITATION_FIX
            ZRL_8BIT
        """),
    ),
    Chip(
        name="vipnano-qi-7131",
        database_name="vipnano-qi",
        description="vipnano-qi revision 0x7131",
        model=0x8000,
        revision=0x7131,
        product_id=0x05000009,
        eco_id=0x8000000,
        customer_id=0xA1,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=8,
        mads_per_core=64,
        int16_cores=8,
        tp_cores=6,
        tp_lite=0,
        vip_sram_bytes=1048576,
        axi_sram_bytes=4452352,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=12,
        accumulation_buffer_depth=64,
        image_offset_bits=4,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY
            KERNEL_PER_CORE_LESS_THAN_THIRD_COEF_BUFF_DEPTH_FIX NN_COEF_DECOMPRESS_PERF2X
            NN_FIRST_PIXEL_POOLING NN_INT16_ALU NN_MIRROR_BORDER NN_XYDP6 NN_ZDP3
            NN_ZDP3_NO_COMPRESS_FIX SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3 TP_REAL_INT16
            TP_REORDER TP_REORDER_FIX TP_SMALLBATCH_PHASE1 ZRL_8BIT
        """),
    ),
    Chip(
        name="vippico-7131",
        database_name="vippico_v3",
        description="vippico_v3 revision 0x7131",
        model=0x8000,
        revision=0x7131,
        product_id=0x08000001,
        eco_id=0x2000000,
        customer_id=0x99,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=2,
        mads_per_core=64,
        int16_cores=0,
        tp_cores=1,
        tp_lite=7,
        vip_sram_bytes=524288,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=6,
        accumulation_buffer_depth=64,
        image_offset_bits=4,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY
            KERNEL_PER_CORE_LESS_THAN_THIRD_COEF_BUFF_DEPTH_FIX NN_FIRST_PIXEL_POOLING NN_XYDP6
            NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3
            TP_REAL_INT16 TP_REORDER TP_REORDER_FIX TP_SMALLBATCH_PHASE1 ZRL_7BIT ZRL_8BIT
        """),
    ),
    Chip(
        name="imx8mp",
        database_name="vipnano-si+",
        description="NXP i.MX 8M Plus (Verdin iMX8M Plus)",
        model=0x8000,
        revision=0x8002,
        product_id=0x05080009,
        eco_id=0x6000000,
        customer_id=0x9F,
        generation=8,
        evidence=Evidence.RECORDED,
        nn_cores=6,
        mads_per_core=64,
        int16_cores=6,
        tp_cores=3,
        tp_lite=0,
        vip_sram_bytes=262144,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=9,
        accumulation_buffer_depth=32,
        image_offset_bits=5,
        maximum_kernel_columns=15,
        maximum_kernel_rows=15,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=512,
        kernel_burst_bytes=256,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=16,
        output_lanes_per_cycle=16,
        maximum_outstanding=64,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY NN_COEF_DECOMPRESS_PERF2X NN_DEPTHWISE_SUPPORT
            NN_FIRST_PIXEL_POOLING NN_HW_LIMITATION_NATIVE_KER_1x2_2x1 NN_INT16_ALU
            NN_NONZERO_BORDER NN_NO_Z_LOCATION_OFFSET NN_POST_OUT_SUPPORT_FP16 NN_WRITE_WITHOUT_USC
            NN_XYDP0 NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3
            TP_COEF_COMPRESSION_ENHANCEMENT TP_REAL_INT16 TP_REORDER TP_REORDER_FIX
            TP_SMALLBATCH_PHASE1 XY_OFFSET_LIMITATION_FIX ZRL_8BIT
        """),
    ),
    Chip(
        name="imx8mp-a0",
        database_name="vipnano-si+",
        description="NXP i.MX 8M Plus, customer id 0xa0",
        model=0x8000,
        revision=0x8002,
        product_id=0x05080009,
        eco_id=0x6000000,
        customer_id=0xA0,
        generation=8,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=6,
        mads_per_core=64,
        int16_cores=6,
        tp_cores=3,
        tp_lite=0,
        vip_sram_bytes=262144,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=9,
        accumulation_buffer_depth=32,
        image_offset_bits=5,
        maximum_kernel_columns=15,
        maximum_kernel_rows=15,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=512,
        kernel_burst_bytes=256,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=16,
        output_lanes_per_cycle=16,
        maximum_outstanding=64,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT COMPUTE_ONLY NN_COEF_DECOMPRESS_PERF2X NN_DEPTHWISE_SUPPORT
            NN_FIRST_PIXEL_POOLING NN_HW_LIMITATION_NATIVE_KER_1x2_2x1 NN_INT16_ALU
            NN_NONZERO_BORDER NN_NO_Z_LOCATION_OFFSET NN_POST_OUT_SUPPORT_FP16 NN_WRITE_WITHOUT_USC
            NN_XYDP0 NN_ZDP3 NN_ZDP3_NO_COMPRESS_FIX SWTILING_PHASE1 SWTILING_PHASE2 SWTILING_PHASE3
            TP_COEF_COMPRESSION_ENHANCEMENT TP_REAL_INT16 TP_REORDER TP_REORDER_FIX
            TP_SMALLBATCH_PHASE1 XY_OFFSET_LIMITATION_FIX ZRL_8BIT
        """),
    ),
    Chip(
        name="gcnano-6204",
        database_name="GCNANOULTRA31_VIP2",
        description="ST, model 0x7000",
        model=0x7000,
        revision=0x6204,
        product_id=0x00070007,
        eco_id=0x0,
        customer_id=0x13,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=2,
        mads_per_core=64,
        int16_cores=0,
        tp_cores=1,
        tp_lite=7,
        vip_sram_bytes=512,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=6,
        accumulation_buffer_depth=64,
        image_offset_bits=4,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=0,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT NN_FIRST_PIXEL_POOLING NN_XYDP6 NN_ZDP3
            NN_ZDP3_NO_COMPRESS_FIX TP_REAL_INT16 TP_REORDER TP_REORDER_FIX ZRL_7BIT ZRL_8BIT
        """),
    ),
    Chip(
        name="stm32mp2",
        database_name="GCNANOULTRA31_VIP2",
        description="ST STM32MP2",
        model=0x8000,
        revision=0x6205,
        product_id=0x00080003,
        eco_id=0x0,
        customer_id=0x15,
        generation=7,
        evidence=Evidence.SAME_GENERATION,
        nn_cores=2,
        mads_per_core=64,
        int16_cores=2,
        tp_cores=1,
        tp_lite=7,
        vip_sram_bytes=131072,
        axi_sram_bytes=0,
        zero_run_bits=8,
        tp_zero_run_bits=8,
        input_buffer_depth=6,
        accumulation_buffer_depth=64,
        image_offset_bits=4,
        maximum_kernel_columns=11,
        maximum_kernel_rows=11,
        maximum_kernel_channels=0xFFFFF,
        table_entries=1024,
        table_entry_bits=16,
        tp_reorder_image_size=384,
        kernel_burst_bytes=64,
        vip_sram_width_bytes=32,
        axi_bus_width_bytes=16,
        out_y_stride_bits=0,
        output_lanes_per_cycle=8,
        maximum_outstanding=32,
        features=ALL_NPUS
        | _names("""
            COEF_COMPRESSION_ENHANCEMENT NN_FIRST_PIXEL_POOLING NN_INT16_ALU NN_XYDP6 NN_ZDP3
            NN_ZDP3_NO_COMPRESS_FIX SWTILING_PHASE1 SWTILING_PHASE3 TP_REAL_INT16 TP_REORDER
            TP_REORDER_FIX ZRL_7BIT ZRL_8BIT
        """),
    ),
)


def find_by_name(name: str, chips: Iterable[Chip] = CHIPS) -> Chip | None:
    """The chip called ``name``, or None."""
    return next((chip for chip in chips if chip.name == name.lower()), None)


def find_by_identity(
    model: int, revision: int, product_id: int, eco_id: int, customer_id: int
) -> Chip | None:
    """The chip that reports these identity registers, or None.

    The databases list NPUs as informal entries: the last four bits of the revision don't count.
    """
    wanted = (model, revision & 0xFFF0, product_id, eco_id, customer_id)
    for chip in CHIPS:
        found = (chip.model, chip.revision & 0xFFF0, chip.product_id, chip.eco_id)
        if (*found, chip.customer_id) == wanted:
            return chip
    return None
