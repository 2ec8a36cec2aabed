"""Pictures to input tensors, resized as TFLite's ``label_image`` does.

That program scales with TFLite's bilinear kernel (corners not aligned, no half-pixel centres) in
float32 and cuts the result to an integer; other ways of resizing give scores a few percent apart.

Pixels are worth what the file's format says: of 16 bits a channel the upper 8 count, and where a
format does not say what its largest value is, the picture is refused.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lapilli.answers.normalisation import Normalisation
from lapilli.errors import ModelError, Unsupported
from lapilli.files import check_regular, decoding

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

FORMATS = (*("PNG", "JPEG", "MPO", "BMP", "GIF", "WEBP", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF"),)
"""What is read of Pillow's formats. None of these starts another program, as EPS does."""
ALLOWED = "a picture (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM, TGA, JPEG 2000, AVIF) or an .npy file"
MOST_PIXELS = 1 << 25
PIXELS_PER_INPUT_PIXEL = 64
HARD_LIMIT = 1 << 27
"""The largest ``most_pixels``; Pillow has a limit of its own a little above."""
BAND_PIXELS = 1 << 16
"""How much is converted at a time."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name for so many channels."""
OPAQUE = 255
ONE_PICTURE = frozenset({"MPO"})
"""Formats whose further pictures are the same one for other screens."""
SIXTEEN_BITS = frozenset({"PNG", "PPM", "JPEG2000"})
"""Formats whose grey values of more than 8 bits Pillow gives as 0 to 65535."""


@dataclass(frozen=True)
class Picture:
    """Pixels [rows, columns, channels], and what the user may not expect of them."""

    pixels: Pixels
    notes: tuple[str, ...] = ()


def limit_for(shape: tuple[int, ...]) -> int:
    """Pixels that a picture may have for an input [1, rows, columns, channels]."""
    return min(max(MOST_PIXELS, PIXELS_PER_INPUT_PIXEL * shape[1] * shape[2]), HARD_LIMIT)


def load_picture(path: str | Path, channels: int, most_pixels: int = MOST_PIXELS) -> Pixels:
    """Pixels [rows, columns, channels] of an image file; 1 channel is grey, 3 are RGB, 4 are RGBA.

    Raises ModelError for a file that is missing, no picture or larger than ``most_pixels``. Takes
    some eight bytes of memory a pixel.
    """
    return read_picture(path, channels, most_pixels).pixels


def read_picture(path: str | Path, channels: int, most_pixels: int = MOST_PIXELS) -> Picture:
    """The same, with notes."""
    image = _pillow()
    mode = MODES.get(channels)
    if mode is None:
        raise ModelError(f"{path}: the model's input has {channels} channels, a picture 1, 3 or 4")
    check_regular(path, ALLOWED)
    with decoding(path, ALLOWED):
        image.init()
        formats = [name for name in FORMATS if name in image.OPEN]
        with image.open(path, formats=formats) as picture:
            if picture.width * picture.height > most_pixels:
                raise ModelError(
                    f"{path}: found {picture.width}x{picture.height} pixels; allowed: up to "
                    f"{most_pixels} (--max-pixels)"
                )
            notes = _notes(picture, mode)
            upright = _upright(_of_bytes(picture, path), notes)
            pixels = _converted(upright, mode, notes)
    return Picture(pixels, tuple(notes))


def _notes(picture: Image.Image, mode: str) -> list[str]:
    """What of the picture is not used, or made up."""
    notes = []
    if picture.format not in ONE_PICTURE and getattr(picture, "is_animated", False):
        notes.append("it holds several pictures, the first one is used")
    if mode == "RGBA" and not _has_alpha(picture):
        notes.append("it has no transparency; the input's fourth channel is 255 everywhere")
    return notes


def _has_alpha(picture: Image.Image) -> bool:
    return "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info


def _of_bytes(picture: Image.Image, path: str | Path) -> Image.Image:
    """The same with 8 bits a channel. Pillow's own conversion would clip larger values."""
    mode = picture.mode
    if (mode == "I" and picture.format in SIXTEEN_BITS) or mode.startswith("I;16"):
        shift = 8
    elif mode[0] in "IF":
        kind = "floats" if mode == "F" else "integers of 32 bits"
        raise ModelError(
            f"{path}: found a picture of {kind}, whose range nobody knows; allowed: 8 or 16 bits "
            "a channel, or an .npy file"
        )
    else:
        return picture
    values = np.asarray(picture).astype(np.int32, copy=False) >> shift
    result = _pillow().fromarray(np.clip(values, 0, OPAQUE).astype(np.uint8))
    with contextlib.suppress(Exception):
        # The orientation. If it can't be read, _upright says so.
        result.info["exif"] = picture.getexif().tobytes()
    return result


def _upright(picture: Image.Image, notes: list[str]) -> Image.Image:
    """As it is meant to be seen."""
    from PIL import ImageOps

    picture.load()
    try:
        return ImageOps.exif_transpose(picture) or picture
    except Exception:  # whatever damaged metadata make Pillow raise; the pixels are whole
        notes.append("its EXIF data are damaged, so how to turn it is not known")
        return picture


def _converted(picture: Image.Image, mode: str, notes: list[str]) -> Pixels:
    """As an array, some rows at a time: Pillow would hold the whole picture twice."""
    channels = len(mode)
    pixels = np.empty((picture.height, picture.width, channels), np.uint8)
    rows = max(1, BAND_PIXELS // max(picture.width, 1))
    hidden = False
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        band = picture.crop((0, top, picture.width, bottom))
        if mode != "RGBA" and _has_alpha(picture):
            band = band.convert("RGBA")
            hidden = hidden or band.getextrema()[3][0] < OPAQUE
        values = np.asarray(band.convert(mode), np.uint8)
        pixels[top:bottom] = values.reshape(bottom - top, picture.width, channels)
    if hidden:
        notes.append("it is transparent in places; the colours hidden there count")
    return pixels


def resize_bilinear(pixels: Pixels, rows: int, columns: int) -> NDArray[np.float32]:
    """[rows, columns, channels] in float32, as TFLite's RESIZE_BILINEAR with default options."""
    above, below, vertical = _samples(pixels.shape[0], rows)
    left, right, horizontal = _samples(pixels.shape[1], columns)
    vertical, horizontal = vertical[:, None, None], horizontal[None, :, None]
    one = np.float32(1)

    def at(line: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float32]:
        return pixels[line[:, None], column[None, :]].astype(np.float32)

    result: NDArray[np.float32] = (
        at(above, left) * (one - vertical) * (one - horizontal)
        + at(below, left) * vertical * (one - horizontal)
        + at(above, right) * (one - vertical) * horizontal
        + at(below, right) * vertical * horizontal
    )
    return result


def _samples(
    size: int, wanted: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Source indices before and behind each sample, and the share of the one behind."""
    position = np.arange(wanted, dtype=np.float32) * np.float32(size / wanted)
    before = np.minimum(position.astype(np.intp), size - 1)
    return before, np.minimum(before + 1, size - 1), position - before.astype(np.float32)


def to_input(
    pixels: Pixels,
    shape: tuple[int, ...],
    dtype: str,
    normalisation: Normalisation | None = None,
) -> NDArray[np.generic]:
    """A picture as an input tensor [1, rows, columns, channels] of uint8, int8 or float32.

    Without ``normalisation`` bytes go as they are, less 128 for int8, and floats from -1 to 1.
    """
    _, rows, columns, _ = shape
    resized = resize_bilinear(pixels, rows, columns)
    if normalisation is not None or dtype == "float32":
        values = (normalisation or Normalisation()).apply(resized, dtype)
    elif dtype == "int8":
        values = (resized - np.float32(128)).astype(np.int8)
    else:
        values = resized.astype(np.uint8)
    return values.reshape(shape)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unsupported(
            "reading pictures needs Pillow: pip install 'lapilli[image]' (or give an .npy file)"
        ) from error
    return Image
