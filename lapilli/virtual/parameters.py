"""What GET_PARAM answers about an NPU.

Source: the kernel's identity table, which lists the A311D's and the i.MX 8M Plus's NPU with the
same figures; the other chips of our table are given them as well.
"""

from __future__ import annotations

from lapilli.hw import drm
from lapilli.hw.chips import Chip
from lapilli.hw.drm import Param

FEATURES = (
    0xE0287CAC,
    0xC1799EFF,
    0xFEFBFADB,
    0xEB9D6FBF,
    0xEDFFFCED,
    0xD30DAFC7,
    0x7B5AC333,
    0xFC8EE200,
    0x03FFFA6F,
    0x00FE0EF0,
    0x0088003C,
    0x108048C0,
    0x00000010,
)
FIGURES = {
    Param.STREAM_COUNT: 8,
    Param.REGISTER_MAX: 64,
    Param.THREAD_COUNT: 256,
    Param.VERTEX_CACHE_SIZE: 16,
    Param.SHADER_CORE_COUNT: 1,
    Param.PIXEL_PIPES: 1,
    Param.VERTEX_OUTPUT_BUFFER_SIZE: 1024,
    Param.BUFFER_SIZE: 0,
    Param.INSTRUCTION_COUNT: 512,
    Param.NUM_CONSTANTS: 320,
    Param.NUM_VARYINGS: 16,
}


def parameters_of(chip: Chip, version: tuple[int, int, int], softpin: bool) -> dict[int, int]:
    """All parameters that a driver of ``version`` knows, by number."""
    values: dict[int, int] = {Param.MODEL: chip.model, Param.REVISION: chip.revision}
    values |= {Param.FEATURES_0 + i: word for i, word in enumerate(FEATURES)}
    values.update((int(number), value) for number, value in FIGURES.items())
    values[Param.SOFTPIN_START_ADDR] = drm.SOFTPIN_START if softpin else drm.NO_SOFTPIN
    if version[:2] >= drm.IDENTITY_VERSION:
        values[Param.PRODUCT_ID] = chip.product_id
        values[Param.CUSTOMER_ID] = chip.customer_id
        values[Param.ECO_ID] = chip.eco_id
    return values
