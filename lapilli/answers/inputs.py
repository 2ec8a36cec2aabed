"""A model's inputs: from pictures and .npy files, or made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lapilli.answers import images, normalisation
from lapilli.answers.normalisation import Normalisation, Wish, matched
from lapilli.arrays import load_npy, same_layout
from lapilli.errors import ModelError, Unsupported, UsageError
from lapilli.model import metadata
from lapilli.model.graph import Graph, Tensor, Values

PICTURE_DTYPES = ("uint8", "int8", "float32")
INDEX_INPUTS = {"GATHER": (1, 0), "EMBEDDING_LOOKUP": (0, 1), "GATHER_ND": (1, 0)}
"""Kind of operator -> which of its inputs has indices, and which has what they count in."""


@dataclass(frozen=True)
class Input:
    """An input tensor's values; ``picture_size`` is (width, height) of the picture they were made
    of, None for an .npy file. ``notes``: what was assumed."""

    values: Values
    picture_size: tuple[int, int] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureWish:
    """What the user asks of pictures; ``most_pixels``: None for what suits the input."""

    normalisation: Wish = field(default_factory=Wish)
    most_pixels: int | None = None


def read_all(
    graph: Graph, content: bytes, paths: Sequence[str], wish: PictureWish | None = None
) -> list[Input]:
    """One input for each path, in the order of the graph's inputs; ``content`` are the model's
    bytes. Raises UsageError for another number of paths, ModelError for what doesn't fit."""
    tensors = [graph.tensors[index] for index in graph.inputs]
    if len(paths) != len(tensors):
        wanted = ", ".join(f"{t.name} ({t.dtype} {list(t.shape)})" for t in tensors)
        noun = "input" if len(tensors) == 1 else "inputs"
        times = "time" if len(paths) == 1 else "times"
        raise UsageError(
            f"{graph.name} has {len(tensors)} {noun}: {wanted}; --input was given "
            f"{len(paths)} {times}"
        )
    wish = wish or PictureWish()
    said = metadata.read(content).inputs
    found = []
    for number, (path, tensor) in enumerate(zip(paths, tensors, strict=True)):
        if is_array(path):
            found.append(read_input(path, tensor))
            continue
        _check_picture(path, tensor)
        told = said[number] if number < len(said) else None
        chosen, note = normalisation.choose(
            graph,
            tensor,
            wish.normalisation,
            matched(told.mean, told.deviation)
            if told is not None and len(told.mean) in (1, tensor.shape[-1])
            else None,
        )
        read = read_input(path, tensor, chosen, wish.most_pixels)
        notes = (*read.notes, note) if note else read.notes
        found.append(Input(read.values, read.picture_size, notes))
    return found


def is_array(path: str | Path) -> bool:
    """Whether a path is that of an .npy file."""
    return str(path).lower().endswith(".npy")


def load_input(path: str | Path, tensor: Tensor) -> Values:
    """An input tensor from an .npy file or a picture; raises ModelError if it does not fit."""
    return read_input(path, tensor).values


def read_input(
    path: str | Path,
    tensor: Tensor,
    wanted: Normalisation | None = None,
    most_pixels: int | None = None,
) -> Input:
    """The same, with the picture's size and notes; ``wanted``: what pixels are worth."""
    if is_array(path):
        return Input(_load_array(path, tensor), None)
    _check_picture(path, tensor)
    limit = images.limit_for(tensor.shape) if most_pixels is None else most_pixels
    picture = images.read_picture(path, tensor.shape[3], limit)
    size = (picture.pixels.shape[1], picture.pixels.shape[0])
    values = images.to_input(picture.pixels, tensor.shape, tensor.dtype, wanted)
    return Input(values, size, tuple(f"{path}: {note}" for note in picture.notes))


def _check_picture(path: str | Path, tensor: Tensor) -> None:
    """ModelError unless the tensor can be a picture."""
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or tensor.dtype not in PICTURE_DTYPES or 0 in shape:
        raise ModelError(
            f"{path}: input {tensor.name} is {tensor.dtype} of shape {list(shape)}, "
            "not a picture; give an .npy file"
        )
    if (
        shape[3] not in images.MODES
        and shape[1] in images.MODES
        and min(shape[2:]) > max(images.MODES)
    ):
        raise ModelError(
            f"{path}: input {tensor.name} has shape {list(shape)}: channels before rows and "
            f"columns, it seems; pictures go into [1, rows, columns, channels], so give an .npy "
            "file"
        )


def _load_array(path: str | Path, tensor: Tensor) -> Values:
    wanted = np.dtype(tensor.dtype).itemsize * tensor.size if _is_numpy(tensor.dtype) else 0
    # A little more, so that a wrong file is told by its shape.
    values: Values = load_npy(path, max(2 * wanted, 1 << 24))
    if values.dtype.name != tensor.dtype or not same_layout(values.shape, tensor.shape):
        raise ModelError(
            f"{path}: {values.dtype} of shape {list(values.shape)}, but input "
            f"{tensor.name} takes {tensor.dtype} of shape {list(tensor.shape)}"
            f"{_hint(values.shape, tensor.shape)}"
        )
    return values.reshape(tensor.shape)


def _is_numpy(dtype: str) -> bool:
    try:
        np.dtype(dtype)
    except TypeError:
        return False
    return True


def _hint(found: Sequence[int], wanted: Sequence[int]) -> str:
    """What may be the matter with a shape."""
    if len(wanted) != 4:
        return ""
    _, rows, columns, channels = wanted
    for order, text in (
        ((channels, rows, columns), "channels come first in the file: numpy.moveaxis(x, -3, -1)"),
        ((columns, rows, channels), "rows and columns are exchanged: numpy.swapaxes(x, -3, -2)"),
    ):
        if same_layout(found, order):
            return f"; {text} mends it"
    return ""


# ------------------------------------------------------------------------------------------ made up


def random_inputs(graph: Graph, seed: int = 0) -> list[Values]:
    """Values of 0 to 255 for 8 and 16 bits, wrapped into their type, -1 to 1 for floats, and 0 or 1
    for larger integers, which are mostly indices; 0 where an index can't be 1. For seed 0 and uint8
    they are the inputs of the recordings."""
    random = np.random.default_rng(seed)
    found: list[Values] = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if not _is_numpy(tensor.dtype):
            raise Unsupported(
                f"input {tensor.name}: no random values of type {tensor.dtype}; "
                "give values with --input"
            )
        dtype = np.dtype(tensor.dtype)
        if dtype.kind == "f":
            found.append(random.uniform(-1, 1, tensor.shape).astype(dtype))
        else:
            found.append(random.integers(0, _limit(graph, tensor), tensor.shape).astype(dtype))
    return found


def _limit(graph: Graph, tensor: Tensor) -> int:
    """One more than the largest random value of an input of integers."""
    rows = [
        graph.tensors[operator.inputs[counted]].shape
        for operator in graph.operators
        if operator.kind in INDEX_INPUTS
        for index, counted in [INDEX_INPUTS[operator.kind]]
        if len(operator.inputs) > max(index, counted) and operator.inputs[index] == tensor.index
    ]
    if np.dtype(tensor.dtype).itemsize <= 2 and tensor.dtype != "bool" and not rows:
        return 256
    return max(1, min(2, *(min(shape, default=1) for shape in rows))) if rows else 2


@contextmanager
def blaming_made_up(graph: Graph, made_up: bool) -> Iterator[None]:
    """A ModelError from an inference with made-up integers says that these may be why."""
    try:
        yield
    except ModelError as error:
        integers = [
            f"{tensor.name} ({tensor.dtype})"
            for tensor in (graph.tensors[i] for i in graph.inputs)
            if tensor.dtype.startswith(("int", "uint", "bool"))
            and not (tensor.dtype in ("uint8", "int8") and tensor.quantization is not None)
        ]
        if not made_up or not integers:
            raise
        raise ModelError(
            f"{error}; the inputs were made up, and the values of {', '.join(integers)} may be "
            "what it refuses: give real ones with --input"
        ) from error
