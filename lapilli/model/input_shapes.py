"""Other shapes for a model's inputs: a new list of extents behind the file, to which the tensor's
table points. All else follows, here and in the runtime, when shapes are worked out."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Final

from lapilli.errors import UsageError
from lapilli.model.flatbuffer import UINT32, Field, File, Table, shown
from lapilli.model.limits import LARGEST_EXTENT, MOST_DIMENSIONS
from lapilli.model.operators import read_indices

_SUBGRAPHS: Final = Field(2, "subgraphs")
_TENSORS: Final = Field(0, "tensors")
_INPUTS: Final = Field(1, "inputs")
_NAME: Final = Field(3, "name")
_SHAPE: Final = Field(0, "shape")

Shapes = Mapping[str, tuple[int, ...]]


def with_input_shapes(data: bytes, shapes: Shapes, source: str) -> bytes:
    """The model's bytes with inputs, by name or by their number, of these shapes. ``data`` as it is
    if there are none. Raises UsageError for an input that is not there, or that shares its
    name, ModelError for a damaged model."""
    if not shapes:
        return data
    file = File(data, source)
    model = Table(file, int(UINT32.unpack_from(data, 0)[0]), "model")
    main = next(iter(model.elements(_SUBGRAPHS, "subgraph")), None)
    if main is None:
        model.fail("no subgraph", "at least one")
    tensors = list(main.elements(_TENSORS, "tensor"))
    inputs = read_indices(main, _INPUTS, len(tensors), optional=False)
    by_name = {str(number): tensors[index] for number, index in enumerate(inputs)}
    names = [tensors[index].text(_NAME) for index in inputs]
    by_name |= {name: tensors[index] for name, index in zip(names, inputs, strict=True)}
    changed = bytearray(data)
    for name, shape in shapes.items():
        if name not in by_name:
            known = ", ".join(map(shown, names))
            raise UsageError(f"--shape: {source} has no input {name!r}; its inputs are {known}")
        if names.count(name) > 1:
            raise UsageError(
                f"--shape: {source} has {names.count(name)} inputs called {name!r}; give their "
                f"numbers, 0 to {len(names) - 1}"
            )
        _check(name, shape)
        table = by_name[name]
        place = table.locate(_SHAPE, 4)
        if place == 0:
            raise UsageError(f"--shape: the file has no place for a shape of input {name!r}")
        changed += bytes(-len(changed) % 4)
        UINT32.pack_into(changed, place, len(changed) - place)
        changed += struct.pack(f"<I{len(shape)}i", len(shape), *shape)
    return bytes(changed)


def _check(name: str, shape: tuple[int, ...]) -> None:
    if not 0 < len(shape) <= MOST_DIMENSIONS or min(shape) < 1 or math.prod(shape) > LARGEST_EXTENT:
        raise UsageError(
            f"--shape {name}={','.join(map(str, shape))}: allowed are 1 to {MOST_DIMENSIONS} "
            f"extents of 1 and above, up to {LARGEST_EXTENT} elements"
        )
