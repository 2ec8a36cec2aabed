"""Coefficient buffers of V8 as the emulator reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from coefficients_v8 import Source

from lapilli.emulator.coefficients_v8 import decode, find_streams
from lapilli.emulator.kernels import Coefficients, KernelShape
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.hw.chips import find_by_name

found_chip = find_by_name("imx8mp")
assert found_chip is not None
CHIP = found_chip


def shape_of(source: Source) -> KernelShape:
    """What an instruction says about the kernels."""
    count, planes, rows, columns = source.weights.shape
    return KernelShape(
        count if source.depthwise else planes,
        rows,
        columns,
        source.kernels_per_core,
        source.zero_point,
        count,
        source.depthwise,
    )


def read(data: bytes, shape: KernelShape, nn_cores: int = 6) -> Coefficients:
    """Decode a buffer that lies somewhere in memory."""
    chip = replace(CHIP, nn_cores=nn_cores)
    space = AddressSpace()
    buffer = space.alloc(len(data), None)
    buffer.data[:] = np.frombuffer(data, np.uint8)
    streams = find_streams(ListedMemory(space, [buffer]), buffer.address, shape, chip)
    return decode(streams, shape, chip)


def dense(coefficients: Coefficients) -> np.ndarray:
    """[output channel][input channel][row][column]"""
    shape = coefficients.shape
    size = shape.channels * shape.taps
    if coefficients.dense is not None:
        full = coefficients.dense
    else:
        assert coefficients.listed is not None
        kernel, weight, value = coefficients.listed
        full = np.zeros((len(coefficients.bias), size))
        full[kernel, weight] = value
    return full.reshape(-1, shape.channels, shape.rows, shape.columns)


def differences_of(source: Source) -> np.ndarray:
    """Weights less their zero point, depthwise ones with all input channels."""
    values = source.weights.astype(int) - source.zero_point
    if not source.depthwise:
        return values
    each = np.arange(source.channels)
    full = np.zeros((source.channels, source.channels, *values.shape[2:]))
    full[each, each] = values[:, 0]
    return full
