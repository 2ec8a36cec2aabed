"""The user's samples for per-channel weights: a folder of pictures, or arrays in an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from lapilli.answers import normalisation
from lapilli.answers.inputs import read_all, read_input
from lapilli.answers.normalisation import Wish
from lapilli.arrays import load_npz
from lapilli.compiler.units.calibration import Calibration
from lapilli.errors import ModelError
from lapilli.model.graph import Graph, Tensor, Values

PICTURES: Final = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".ppm",
    ".pgm",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
)
MOST_SAMPLES: Final = 256


def read_calibration(path: str | Path, graph: Graph, content: bytes = b"") -> Calibration:
    """Samples from a folder of pictures (models with one input that is a picture), or from an .npz
    file with an array for each input, [samples, *shape], called ``input_0`` … or like the tensor.

    ``content``: the model's bytes, where there are any, for what they say of pixels. Raises
    ModelError for what does not fit the model.
    """
    found = Path(path)
    values = _pictures(found, graph, content) if found.is_dir() else _arrays(found, graph)
    count = len(next(iter(values.values()))) if values else 0
    if count == 0:
        raise ModelError(f"{path}: no sample; allowed: at least one")
    return Calibration(values, f"samples of {found.name or path}")


def _pictures(folder: Path, graph: Graph, content: bytes) -> dict[int, Values]:
    names = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file())
    if len(graph.inputs) != 1:
        raise ModelError(
            f"{folder}: {graph.name} has {len(graph.inputs)} inputs; give an .npz file with all"
        )
    tensor = graph.tensors[graph.inputs[0]]
    chosen, _ = normalisation.choose(graph, tensor, Wish(), None)
    samples = [
        read_all(graph, content, [str(name)])[0].values
        if content
        else read_input(name, tensor, chosen).values
        for name in names[:MOST_SAMPLES]
    ]
    stacked = np.stack(samples) if samples else np.zeros((0, *tensor.shape), tensor.dtype)
    return {tensor.index: stacked}


def _arrays(path: Path, graph: Graph) -> dict[int, Values]:
    arrays = load_npz(path)
    values: dict[int, Values] = {}
    for number, index in enumerate(graph.inputs):
        tensor = graph.tensors[index]
        name = next((n for n in (f"input_{number}", tensor.name) if n in arrays), None)
        if name is None:
            raise ModelError(
                f"{path}: found {', '.join(sorted(arrays)) or 'nothing'}; allowed: "
                f"input_{number} or {tensor.name!r} for input {number}"
            )
        values[index] = _fitting(arrays[name], tensor, f"{path}: {name}")[:MOST_SAMPLES]
    counts = {len(value) for value in values.values()}
    if len(counts) > 1:
        raise ModelError(
            f"{path}: {sorted(counts)} samples of the inputs; allowed: as many of each"
        )
    return values


def _fitting(array: Values, tensor: Tensor, where: str) -> Values:
    if array.shape == tensor.shape:
        array = array[None]
    if array.shape[1:] != tensor.shape or array.dtype.name != tensor.dtype:
        raise ModelError(
            f"{where}: found {array.dtype} {list(array.shape)}; allowed: {tensor.dtype} "
            f"[samples, {', '.join(map(str, tensor.shape))}]"
        )
    return array
