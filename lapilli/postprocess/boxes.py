"""Box encodings and anchors -> boxes, as LiteRT's ``DecodeCenterSizeBoxes`` rounds them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import ModelError
from lapilli.postprocess.options import DetectionOptions

Indices = NDArray[np.intp]
Edges = NDArray[np.float32]
"""[2, boxes]: top and left, or bottom and right."""
Decode = Callable[[Indices], tuple[Edges, Edges]]
"""Low and high edges of the anchors' boxes with these indices."""


def _exponential(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """e to the power of each, by the C library: NumPy's own differs from it in the last bit."""
    try:
        return np.array([math.exp(value) for value in values.ravel().tolist()]).reshape(
            values.shape
        )
    except OverflowError:
        with np.errstate(over="ignore"):
            return np.exp(values)


def _scales(options: DetectionOptions) -> NDArray[np.float64]:
    """[4, 1]: y, x, h, w."""
    return np.array([[options.y_scale], [options.x_scale], [options.h_scale], [options.w_scale]])


def _prepared(encodings: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, n] encodings -> shares of the anchor: offset of the centre, half the size."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = encodings / scales
        shares[2:] = 0.5 * _exponential(shares[2:])
    return shares


def share_table(values: NDArray[np.float32], options: DetectionOptions) -> NDArray[np.float64]:
    """[1024]: what a byte stands for as y, as x, as h and as w; ``values`` are its real values."""
    encodings = np.broadcast_to(values.astype(np.float64), (4, 256))
    return _prepared(encodings, _scales(options)).ravel()


def edges(shares: NDArray[np.float64], anchors: NDArray[np.float64]) -> tuple[Edges, Edges]:
    """Low and high edges, from [4, n] shares and [4, n] anchors (y, x, h, w)."""
    centre = (shares[:2] * anchors[2:] + anchors[:2]).astype(np.float32)
    half = (shares[2:] * anchors[2:]).astype(np.float32)
    return centre - half, centre + half


_COLUMNS = np.arange(4, dtype=np.intp)[:, None] * 256


def quantised_decoder(
    encodings: NDArray[np.uint8], table: NDArray[np.float64], anchors: NDArray[np.float64]
) -> Decode:
    """``encodings``: [boxes, 4 or more] bytes; ``anchors``: [4, boxes]."""

    def decode(indices: Indices) -> tuple[Edges, Edges]:
        chosen = encodings.take(indices, axis=0)[:, :4].T + _COLUMNS
        return edges(table.take(chosen), anchors.take(indices, axis=1))

    return decode


def float_decoder(
    encodings: NDArray[np.float32], options: DetectionOptions, anchors: NDArray[np.float64]
) -> Decode:
    """``encodings``: [boxes, 4 or more]; ``anchors``: [4, boxes]."""
    scales = _scales(options)

    def decode(indices: Indices) -> tuple[Edges, Edges]:
        chosen = encodings.take(indices, axis=0)[:, :4].T.astype(np.float64)
        return edges(_prepared(chosen, scales), anchors.take(indices, axis=1))

    return decode


def negative_anchors(anchors: NDArray[np.float64]) -> Indices:
    """Anchors whose boxes can come out inside out: those of negative height or width."""
    return np.flatnonzero((anchors[2:] < 0).any(axis=0))


def check_inside_out(decode: Decode, suspects: Indices) -> None:
    """Raises ModelError, as LiteRT fails, if a box has its bottom above its top, or its right edge
    left of its left one."""
    if len(suspects):
        low, high = decode(suspects)
        wrong = np.flatnonzero((low > high).any(axis=0))
        if len(wrong):
            raise ModelError(
                f"box {suspects[wrong[0]]} is inside out: its anchor has a negative height or width"
            )
