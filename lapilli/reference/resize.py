"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR. Source: TFLite's ``reference/resize_bilinear.h``
and ``resize_nearest_neighbor.h``."""

from __future__ import annotations

import numpy as np

from lapilli.errors import Unsupported
from lapilli.reference.arithmetic import Array, Integers, type_range
from lapilli.reference.convolution import images_of
from lapilli.reference.node import Node

_FRACTION_BITS = 10


def _scale(source: int, target: int, align_corners: bool) -> np.float32:
    if align_corners and target > 1:
        return np.float32(source - 1) / np.float32(target - 1)
    return np.float32(source) / np.float32(target)


def nearest_places(
    source: int, target: int, align_corners: bool, half_pixel_centers: bool
) -> Integers:
    """Of which row (or column) each one of ``target`` is a copy."""
    scale = _scale(source, target, align_corners)
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    real = (np.arange(target, dtype=np.float32) + offset) * scale
    whole = np.floor(real + np.float32(0.5)) if align_corners else np.floor(real)
    places: Integers = np.clip(whole.astype(np.int64), 0, source - 1)
    return places


def nearest(node: Node, align_corners: bool, half_pixel_centers: bool) -> tuple[Array, ...]:
    """RESIZE_NEAREST_NEIGHBOR."""
    source, target = node.tensor(0).shape, node.outputs[0].shape
    places = [
        nearest_places(source[axis], target[axis], align_corners, half_pixel_centers)
        for axis in (1, 2)
    ]
    images = images_of(node.value(0))
    picked = images[:, places[0]][:, :, places[1]]
    return (picked.reshape(node.samples, *target),)


def bilinear(node: Node, align_corners: bool, half_pixel_centers: bool) -> tuple[Array, ...]:
    """RESIZE_BILINEAR: int8 in fixed point, uint8 and real numbers in single precision."""
    source, target = node.tensor(0).shape, node.outputs[0].shape
    images = images_of(node.value(0))
    dtype = node.tensor(0).dtype
    kind = (align_corners, half_pixel_centers)
    if dtype == "int8":
        result = _fixed_point(images, source, target, kind)
    elif dtype in ("uint8", "float32"):
        result = _single_precision(images, source, target, kind)
    else:
        raise Unsupported(f"RESIZE_BILINEAR of {dtype}")
    return (result.astype(dtype).reshape(node.samples, *target),)


def _single_precision(
    images: Array, source: tuple[int, ...], target: tuple[int, ...], kind: tuple[bool, bool]
) -> Array:
    sides = []
    for axis in (1, 2):
        scale = _scale(source[axis], target[axis], kind[0])
        places = np.arange(target[axis], dtype=np.float32)
        if kind[1]:
            places = (places + np.float32(0.5)) * scale - np.float32(0.5)
        else:
            places = places * scale
        floor = np.floor(places)
        low = np.maximum(floor.astype(np.int64), 0)
        high = np.minimum(np.ceil(places).astype(np.int64), source[axis] - 1)
        sides.append((low, np.maximum(high, 0), (places - low.astype(np.float32))))
    (y0, y1, dy), (x0, x1, dx) = sides
    dy, dx = dy[:, None, None], dx[None, :, None]
    one = np.float32(1)
    upper, lower = images[:, y0].astype(np.float32), images[:, y1].astype(np.float32)
    result = (
        upper[:, :, x0] * (one - dy) * (one - dx)
        + lower[:, :, x0] * dy * (one - dx)
        + upper[:, :, x1] * (one - dy) * dx
        + lower[:, :, x1] * dy * dx
    )
    if images.dtype == np.uint8:
        result = np.clip(np.floor(result + np.float32(0.5)), *type_range("uint8"))
    whole: Array = result
    return whole


def _fixed_point(
    images: Array, source: tuple[int, ...], target: tuple[int, ...], kind: tuple[bool, bool]
) -> Array:
    one = 1 << _FRACTION_BITS
    sides = []
    for axis in (1, 2):
        scale = ((one * source[axis]) + target[axis] // 2) // target[axis]
        if kind[0] and target[axis] > 1:
            scale = (one * (source[axis] - 1) + (target[axis] - 1) // 2) // (target[axis] - 1)
        places: Integers = np.arange(target[axis], dtype=np.int64) * scale
        if kind[1]:
            places = places + scale // 2 - one // 2
        low = np.maximum(_truncated(places, one), 0)
        high = np.minimum(_truncated(places + one - 1, one), source[axis] - 1)
        sides.append((low, np.maximum(high, 0), places - one * low))
    (y0, y1, dy), (x0, x1, dx) = sides
    dy, dx = dy[:, None, None], dx[None, :, None]
    wide = images.astype(np.int64)
    upper, lower = wide[:, y0], wide[:, y1]
    total = (
        upper[:, :, x0] * (one - dy) * (one - dx)
        + lower[:, :, x0] * dy * (one - dx)
        + upper[:, :, x1] * (one - dy) * dx
        + lower[:, :, x1] * dy * dx
    )
    half = 1 << (2 * _FRACTION_BITS - 1)
    return _truncated(total + np.where(total > 0, half, -half), 1 << (2 * _FRACTION_BITS))


def _truncated(values: Integers, divisor: int) -> Integers:
    """Integer division towards zero."""
    quotient: Integers = np.sign(values) * (np.abs(values) // divisor)
    return quotient
