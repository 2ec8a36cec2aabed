"""A small model whose jobs use runs of zeros, several superblocks and the on-chip memory."""

from __future__ import annotations

from functools import cache

import numpy as np
from models import ModelBuilder

from lapilli.compiler.stages import CompileOptions, compile_model
from lapilli.device.runner import LoadedPart
from lapilli.emulator import EmulatedDevice
from lapilli.program.program import Part, Program


@cache
def small_model() -> bytes:
    """Depthwise with many zeros between, 1x1 with several superblocks, and 12 channels at last."""
    random = np.random.default_rng(5)
    builder = ModelBuilder()
    image = builder.input((1, 40, 40, 48), scale=0.02, zero_point=120)

    def values(*sizes: int) -> np.ndarray:
        return random.integers(1, 255, sizes, dtype=np.uint8)

    first = builder.depthwise(image, values(1, 3, 3, 48), None, 0.01, 128, 0.1, 3)
    second = builder.conv(first, values(256, 1, 1, 48), None, 0.01, 128, 0.1, 3)
    return builder.build([builder.conv(second, values(12, 1, 1, 256), None, 0.01, 128, 0.5, 3)])


def small_program(options: CompileOptions | None = None) -> Program:
    return compile_model(small_model(), "a311d", "reference", options or CompileOptions())


def run(device: EmulatedDevice, part: Part) -> list[np.ndarray]:
    """The part's outputs for an input that is the same every time."""
    random = np.random.default_rng(0)
    loaded = LoadedPart(device, part)
    try:
        for binding in part.inputs:
            loaded.write(binding.tensor, random.integers(0, 256, binding.shape, dtype=np.uint8))
        loaded.execute()
        return [loaded.read(binding.tensor).copy() for binding in part.outputs]
    finally:
        loaded.close()
