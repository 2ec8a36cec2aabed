"""What a pixel is worth in an input: asked for, said by the model, or assumed and then said.

Bytes of a quantised input are the picture's bytes, as label_image has it: the input's scale was
chosen so that its range is that of the training's pixels. A float input has no such range. Its
model's metadata may name mean and deviation; else the QUANTIZE operator behind it tells the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import UsageError
from lapilli.model.graph import Graph, Quantization, Tensor

Floats = tuple[float, ...]

LARGEST_BYTE = 255.0
NEAR = 0.04
"""How far the ends of a calibrated range may lie from a usual one's, in parts of its width."""
KEEPS_VALUES = frozenset(
    {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "RESIZE_BILINEAR",
     "RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE", "SLICE"}
)  # fmt: skip
"""What may lie between a float input and its QUANTIZE without changing what a pixel is worth."""
MOST_STEPS = 16
"""Operators looked at behind an input."""


@dataclass(frozen=True)
class Normalisation:
    """Real value = (pixel - mean) / deviation; one of each, or one a channel.

    ``quantization``: of an 8-bit input, to which real values are rounded.
    """

    mean: Floats = (127.5,)
    deviation: Floats = (127.5,)
    quantization: Quantization | None = None

    def apply(self, pixels: NDArray[np.float32], dtype: str) -> NDArray[np.generic]:
        """Pixels [rows, columns, channels] as values of the input's type."""
        mean, deviation = (np.asarray(v, np.float32) for v in (self.mean, self.deviation))
        real: NDArray[np.float32] = (pixels - mean) / deviation
        if dtype == "float32":
            return real
        limits = np.iinfo(dtype)
        if self.quantization is None:
            raise UsageError(f"an input of {dtype} without a scale has no mean and deviation")
        steps = np.rint(real / np.float32(self.quantization.scale)) + self.quantization.zero_point
        values: NDArray[np.generic] = np.clip(steps, limits.min, limits.max).astype(dtype)
        return values

    def __str__(self) -> str:
        low, high = (
            [(edge - m) / d for m, d in zip(self.mean, self.deviation, strict=True)]
            for edge in (0.0, LARGEST_BYTE)
        )
        shown = (", ".join(f"{value:.4g}" for value in dict.fromkeys(ends)) for ends in (low, high))
        return " to ".join(shown)


MINUS_ONE_TO_ONE = Normalisation()
"""label_image's default."""
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and deviation of ImageNet's colours, as PyTorch's models have them."""
USUAL = (
    MINUS_ONE_TO_ONE,
    Normalisation((0.0,), (LARGEST_BYTE,)),
    Normalisation((0.0,), (1.0,)),
    Normalisation((128.0,), (1.0,)),
    IMAGENET,
)


@dataclass(frozen=True)
class Wish:
    """What the user asks for. ``mean`` and ``deviation``: one value, or one a channel; one of them
    alone leaves the other at 0 or 1. ``low`` and ``high``: what pixels 0 and 255 become."""

    mean: Floats | None = None
    deviation: Floats | None = None
    input_range: tuple[float, float] | None = None

    def normalisation(self, channels: int) -> Normalisation | None:
        """For an input of so many channels; None if nothing was asked for. Raises UsageError."""
        if self.input_range is not None:
            if self.mean is not None or self.deviation is not None:
                raise UsageError(
                    "--input-range says the same as --mean and --std: give one of them"
                )
            return of_range(*self.input_range)
        if self.mean is None and self.deviation is None:
            return None
        mean, deviation = self.mean or (0.0,), self.deviation or (1.0,)
        for name, values in (("--mean", mean), ("--std", deviation)):
            if len(values) not in (1, channels):
                raise UsageError(
                    f"{name} has {len(values)} values; allowed: 1, or one for each of the input's "
                    f"{channels} channels"
                )
        if not all(map(math.isfinite, mean)) or not all(0 < d < math.inf for d in deviation):
            raise UsageError("--mean takes finite numbers, --std numbers above 0")
        return matched(mean, deviation)


def matched(mean: Floats, deviation: Floats) -> Normalisation:
    """With as many means as deviations."""
    count = max(len(mean), len(deviation))
    return Normalisation(
        mean if len(mean) == count else mean * count,
        deviation if len(deviation) == count else deviation * count,
    )


def of_range(low: float, high: float) -> Normalisation:
    """Pixel 0 becomes ``low``, 255 ``high``. Raises UsageError."""
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise UsageError(f"--input-range {low:g} {high:g}: allowed are two finite, unequal numbers")
    deviation = LARGEST_BYTE / (high - low)
    return Normalisation((-low * deviation,), (deviation,))


def choose(
    graph: Graph, tensor: Tensor, wish: Wish, said: Normalisation | None
) -> tuple[Normalisation | None, str]:
    """How pixels become values of ``tensor``, and a note on what was assumed, or ''.

    ``said``: what the model's metadata say. None: bytes as they are. Raises UsageError.
    """
    asked = wish.normalisation(tensor.shape[-1])
    if tensor.dtype != "float32":
        return _quantised(tensor, asked, said)
    if asked is not None:
        return asked, ""
    behind = _quantize_behind(graph, tensor.index)
    if said is not None:
        if behind is None or _near(*behind, said):
            return said, ""
        return said, (
            f"pixels of input {tensor.name} become {said}, as the model's metadata say; its "
            f"QUANTIZE takes {behind[0]:.4g} to {behind[1]:.4g} (--input-range changes it)"
        )
    if behind is None:
        return MINUS_ONE_TO_ONE, (
            f"input {tensor.name} takes floats and the model does not say which range pixels have; "
            f"taken: {MINUS_ONE_TO_ONE} (--input-range, --mean and --std change it)"
        )
    found = _usual(*behind, tensor.shape[-1])
    if found is not None:
        note = "" if found is not IMAGENET else "ImageNet's mean and deviation"
    else:
        found = of_range(*behind)
        note = "no usual range"
    if note:
        note = (
            f"input {tensor.name} takes floats of {behind[0]:.4g} to {behind[1]:.4g} by its "
            f"QUANTIZE: {note}; pixels become {found} (--input-range, --mean and --std change it)"
        )
    return found, note


def _quantised(
    tensor: Tensor, asked: Normalisation | None, said: Normalisation | None
) -> tuple[Normalisation | None, str]:
    """Of an 8-bit input: bytes as they are, unless asked otherwise."""
    scales = tensor.quantization
    if asked is not None:
        if scales is None or scales.per_channel or not scales.scale > 0:
            raise UsageError(
                f"input {tensor.name} is {tensor.dtype} without a scale: --input-range, --mean and "
                "--std don't apply"
            )
        return Normalisation(asked.mean, asked.deviation, scales), ""
    if said is None or scales is None or scales.per_channel or not scales.scale > 0:
        return None, ""
    limits = np.iinfo(tensor.dtype)
    ends = [(end - scales.zero_point) * scales.scale for end in (limits.min, limits.max)]
    if _near(ends[0], ends[1], said):
        return None, ""
    return None, (
        f"the model's metadata say that pixels of input {tensor.name} become {said}, its scale "
        f"says {ends[0]:.4g} to {ends[1]:.4g}; bytes are taken as they are (--mean and --std "
        "change it)"
    )


def _quantize_behind(graph: Graph, tensor: int) -> tuple[float, float] | None:
    """Range of the 8 bits that a float input becomes, None if something else happens to it."""
    for _ in range(MOST_STEPS):
        users = [o for o in graph.operators if tensor in o.inputs]
        kinds = {o.kind for o in users}
        if not users or len(kinds) > 1:
            return None
        made = graph.tensors[users[0].outputs[0]]
        if kinds == {"QUANTIZE"}:
            return _range(made)
        if not kinds <= KEEPS_VALUES:
            return None
        tensor = made.index
    return None


def _range(tensor: Tensor) -> tuple[float, float] | None:
    scales = tensor.quantization
    if tensor.dtype not in ("uint8", "int8") or scales is None or not scales.scale > 0:
        return None
    limits = np.iinfo(tensor.dtype)
    low, high = ((end - scales.zero_point) * scales.scale for end in (limits.min, limits.max))
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _usual(low: float, high: float, channels: int) -> Normalisation | None:
    """The usual normalisation with that range, or None."""
    fitting = (n for n in USUAL if len(n.mean) in (1, channels) and _near(low, high, n))
    return next(fitting, None)


def _near(low: float, high: float, normalisation: Normalisation) -> bool:
    """Whether pixels have about that range."""
    first = min(-m / d for m, d in _pairs(normalisation))
    last = max((LARGEST_BYTE - m) / d for m, d in _pairs(normalisation))
    room = NEAR * abs(last - first)
    return abs(first - low) <= room and abs(last - high) <= room


def _pairs(normalisation: Normalisation) -> Sequence[tuple[float, float]]:
    return list(zip(normalisation.mean, normalisation.deviation, strict=True))
