"""What goes into a model: an .npy file, a picture, or random values as an input tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapilli.answers import images
from lapilli.errors import ModelError, Unsupported
from lapilli.model.graph import Graph, Tensor, Values


@dataclass(frozen=True)
class Input:
    """An input tensor's values; ``picture_size`` is (width, height) of the picture they were made
    of, None for an .npy file."""

    values: Values
    picture_size: tuple[int, int] | None


def load_input(path: str | Path, tensor: Tensor) -> Values:
    """An input tensor from an .npy file or a picture; raises ModelError if it does not fit."""
    return read_input(path, tensor).values


def read_input(path: str | Path, tensor: Tensor) -> Input:
    """The same, with the picture's size."""
    if str(path).endswith(".npy"):
        return Input(_load_array(path, tensor), None)
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or tensor.dtype not in ("uint8", "int8", "float32"):
        raise ModelError(
            f"{path}: input {tensor.name} is {tensor.dtype} of shape {list(shape)}, "
            "not a picture; give an .npy file"
        )
    pixels = images.load_picture(path, shape[3])
    size = (pixels.shape[1], pixels.shape[0])
    return Input(images.to_input(pixels, shape, tensor.dtype), size)


def _load_array(path: str | Path, tensor: Tensor) -> Values:
    try:
        with open(path, "rb") as file:
            values: Values = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise ModelError(f"{path}: not an .npy file of plain numbers ({error})") from error
    if not isinstance(values, np.ndarray):
        raise ModelError(f"{path}: holds several arrays; give one .npy file an input")
    if values.dtype.name != tensor.dtype or values.size != tensor.size:
        raise ModelError(
            f"{path}: {values.dtype} of shape {list(values.shape)}, but input "
            f"{tensor.name} takes {tensor.dtype} of shape {list(tensor.shape)}"
        )
    return values.reshape(tensor.shape)


def random_inputs(graph: Graph, seed: int = 0) -> list[Values]:
    """Values of 0 to 255 for integers, wrapped into their type, and -1 to 1 for floats. For seed 0
    and uint8 they are the inputs of the recordings."""
    random = np.random.default_rng(seed)
    found: list[Values] = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        try:
            dtype = np.dtype(tensor.dtype)
        except TypeError as error:
            raise Unsupported(
                f"input {tensor.name}: no random values of type {tensor.dtype}; "
                "give values with --input"
            ) from error
        if dtype.kind == "f":
            found.append(random.uniform(-1, 1, tensor.shape).astype(dtype))
        else:
            limit = 2 if dtype.kind == "b" else 256
            found.append(random.integers(0, limit, tensor.shape).astype(dtype))
    return found
