"""Tensors of a file: constants are views of it, types keep their names."""

from __future__ import annotations

import numpy as np
from models import ModelBuilder
from small_model import two_convolutions

from lapilli.model import tflite


def test_constants_are_read_only_views_wherever_they_lie() -> None:
    builder, output = two_convolutions()
    original = builder.build([output])
    root = int.from_bytes(original[:4], "little")
    expected = None
    for shift in range(16):
        # Every other offset in the file is relative.
        data = (root + shift).to_bytes(4, "little") + original[4:8] + bytes(shift) + original[8:]
        start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        constants = [t.data for t in tflite.parse(data, "small").tensors if t.data is not None]
        expected = expected or [constant.tolist() for constant in constants]
        assert [constant.tolist() for constant in constants] == expected
        for constant in constants:
            position = constant.__array_interface__["data"][0] - start
            assert 0 <= position < len(data)
            assert not constant.flags.writeable


def test_types_without_a_numpy_name_keep_tflites_and_their_raw_bytes() -> None:
    builder = ModelBuilder()
    values = np.arange(3, dtype=np.uint8)
    kernel = builder.tensor((5,), data=values)
    builder.tensors[kernel].dtype = 17  # older tflite packages lack the name
    text = builder.tensor((1,), dtype="string", data=values)
    read = tflite.parse(builder.build([kernel, text]), "small")
    assert [tensor.dtype for tensor in read.tensors] == ["int4", "string"]
    for tensor in read.tensors:
        assert tensor.data is not None
        assert tensor.data.tolist() == [0, 1, 2]
