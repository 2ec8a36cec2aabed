"""Pictures to input tensors, resized as TFLite's ``label_image`` does.

That program scales with TFLite's bilinear kernel (corners not aligned, no half-pixel centres) in
float32 and cuts the result to an integer; other ways of resizing give scores a few percent apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import ModelError, Unsupported

if TYPE_CHECKING:
    from PIL import Image

MAXIMUM_PIXELS = 1 << 27
FLOAT_MEAN = FLOAT_DEVIATION = 127.5
"""A float input gets (pixel - mean) / deviation, label_image's defaults."""


def load_picture(path: str | Path, channels: int) -> NDArray[np.uint8]:
    """Pixels [rows, columns, channels] of an image file; 1 channel is grey, 3 are RGB. Raises
    ModelError for a file that is missing or no picture."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise Unsupported(
            "reading pictures needs Pillow: pip install 'lapilli[image]' (or give an .npy file)"
        ) from error
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    if mode is None:
        raise ModelError(f"{path}: the model's input has {channels} channels, a picture 1, 3 or 4")
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAXIMUM_PIXELS:
                raise ModelError(
                    f"{path}: {picture.width}x{picture.height} pixels; at most "
                    f"{MAXIMUM_PIXELS} are read"
                )
            pixels = np.asarray(_upright(picture).convert(mode), np.uint8)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise ModelError(f"{path}: not a picture or an .npy file ({error})") from error
    return pixels.reshape(pixels.shape[0], pixels.shape[1], channels)


def _upright(picture: Image.Image) -> Image.Image:
    """As it is meant to be seen; grey values of 16 bits cut to their upper 8 (Pillow's own
    conversion would clip them)."""
    from PIL import Image, ImageOps

    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint16) >> 8
        picture = Image.fromarray(values.astype(np.uint8))
    return ImageOps.exif_transpose(picture)


def resize_bilinear(pixels: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]:
    """[rows, columns, channels] in float32, as TFLite's RESIZE_BILINEAR with default options."""
    above, below, vertical = _samples(pixels.shape[0], rows)
    left, right, horizontal = _samples(pixels.shape[1], columns)
    vertical, horizontal = vertical[:, None, None], horizontal[None, :, None]
    upper, lower = pixels[above].astype(np.float32), pixels[below].astype(np.float32)
    one = np.float32(1)
    result: NDArray[np.float32] = (
        upper[:, left] * (one - vertical) * (one - horizontal)
        + lower[:, left] * vertical * (one - horizontal)
        + upper[:, right] * (one - vertical) * horizontal
        + lower[:, right] * vertical * horizontal
    )
    return result


def _samples(
    size: int, wanted: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Source indices before and behind each sample, and the share of the one behind."""
    position = np.arange(wanted, dtype=np.float32) * np.float32(size / wanted)
    before = np.minimum(position.astype(np.intp), size - 1)
    return before, np.minimum(before + 1, size - 1), position - before.astype(np.float32)


def to_input(pixels: NDArray[np.uint8], shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
    """A picture as an input tensor [1, rows, columns, channels] of uint8, int8 or float32."""
    _, rows, columns, _ = shape
    resized = resize_bilinear(pixels, rows, columns)
    if dtype == "float32":
        values: NDArray[np.generic] = (resized - np.float32(FLOAT_MEAN)) / np.float32(
            FLOAT_DEVIATION
        )
    elif dtype == "int8":
        values = (resized - np.float32(128)).astype(np.int8)
    else:
        values = resized.astype(np.uint8)
    return values.reshape(shape)
