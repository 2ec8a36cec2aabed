"""Detections drawn into a picture: a frame by class, and a plate with class and score."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lapilli.answers.detection import Box, Detection, common
from lapilli.errors import Unsupported, UsageError
from lapilli.files import replacing

if TYPE_CHECKING:
    from PIL import Image

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

SMALLEST_FONT = 12
PIXELS_PER_FONT_PIXEL = 60
"""Side of a square picture of the same size / height of the text."""
LONGEST_CAPTION = 32
GOLDEN = 0.618034
"""Steps of this size around the circle of hues keep neighbours apart."""
FIRST_HUE = 0.33
DARK: Colour = (0, 0, 0)
PLATE_WEIGHT = 4
HABIT = 0.02
"""What a plate may hide before it leaves a place for the next one."""
BRIGHT = 140
"""Luminance above which black text is more readable than white."""


def format_of(path: str | Path) -> str:
    """Pillow's name of the format to write to ``path``, by its ending; UsageError if there is none.
    Raises Unsupported without Pillow."""
    image = _pillow()
    image.init()
    suffix = Path(path).suffix.lower()
    found = image.registered_extensions().get(suffix)
    if found is None or found not in image.SAVE:
        raise UsageError(
            f"{path}: no picture format ends in {suffix or 'nothing'!r}; take .png or .jpg"
        )
    return str(found)


def save(path: str | Path, picture: Image.Image) -> None:
    """Write a picture in the format its path's ending tells. Raises ModelError if the place can't
    be written, UsageError for an unknown ending."""
    picture_format = format_of(path)
    options = {"quality": 92} if picture_format == "JPEG" else {}
    with replacing(path) as file:
        picture.save(file, format=picture_format, **options)


def detections(pixels: Pixels, found: Sequence[Detection]) -> Image.Image:
    """A copy of the picture [rows, columns, 3] with all detections, the best ones on top."""
    from PIL import ImageDraw

    picture = _pillow().fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    text_size = _text_size(picture.width, picture.height)
    line = max(2, round(text_size / 6))
    font = _font(text_size)
    ordered = sorted(found, key=lambda detection: detection.score)
    size = (picture.width, picture.height)
    boxes = [detection.box.scaled(*size) for detection in ordered]
    frames = [
        _frame(draw, box, colour_of(detection.number), line)
        for detection, box in zip(ordered, boxes, strict=True)
    ]
    taken: list[Box] = []
    # The best first: it gets the best place.
    for detection, frame in reversed(list(zip(ordered, frames, strict=True))):
        caption = _caption(detection, font)
        plate = _place(frame, _plate_size(draw, caption, font), size, boxes, taken)
        taken.append(plate)
        _plate(draw, plate, caption, font, colour_of(detection.number))
    return picture


def colour_of(number: int) -> Colour:
    """The colour of a class."""
    hue = (FIRST_HUE + number * GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever can be read on it."""
    red, green, blue = background
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > BRIGHT
    return (0, 0, 0) if bright else (255, 255, 255)


def _text_size(width: int, height: int) -> int:
    """Height of the captions' font in pixels."""
    return int(max(SMALLEST_FONT, round((width * height) ** 0.5 / PIXELS_PER_FONT_PIXEL)))


def _caption(detection: Detection, font: Any) -> str:
    """In one line, whatever the label file holds."""
    label = "".join(c if c.isprintable() else " " for c in detection.label).strip()
    if len(label) > LONGEST_CAPTION:
        label = label[: LONGEST_CAPTION - 1] + "…"
    caption = f"{label or f'class {detection.number}'} {detection.score:.2f}"
    if not hasattr(font, "getmetrics"):  # the bitmap font of Pillow before 10.1
        caption = caption.encode("latin-1", "replace").decode("latin-1")
    return caption


def _frame(draw: Any, box: Box, colour: Colour, line: int) -> Box:
    """A frame around the box, not over what is in it, with a dark edge to be seen on any ground;
    at the picture's border the frame is inside. Returns the frame's outer edges."""
    width, height = draw.im.size
    line = min(line, max(1, round(min(box.right - box.left, box.bottom - box.top) / 8)))
    left, top = round(box.left) - line, round(box.top) - line
    right, bottom = round(box.right) + line, round(box.bottom) + line
    for grown, each in ((1, DARK), (0, colour)):
        first = max(left - grown, 0), max(top - grown, 0)
        # A rectangle needs its second corner, the last pixel of it, not before the first.
        last = (
            max(min(right + grown, width) - 1, first[0]),
            max(min(bottom + grown, height) - 1, first[1]),
        )
        draw.rectangle((*first, *last), outline=each, width=line + grown)
    return Box(max(left, 0), max(top, 0), min(right, width), min(bottom, height))


def _plate_size(draw: Any, caption: str, font: Any) -> tuple[int, int]:
    """Width and height, with a margin around the text."""
    left, _, right, _ = draw.textbbox((0, 0), caption, font=font)
    # The same height for every caption, with or without ascenders.
    _, top, _, bottom = draw.textbbox((0, 0), "Ag", font=font)
    margin = _margin(bottom - top)
    return round(right - left) + 2 * margin, round(bottom - top) + 2 * margin


def _margin(text_height: float) -> int:
    return max(2, round(text_height / 5))


def _place(
    box: Box,
    size: tuple[int, int],
    picture: tuple[int, int],
    boxes: Sequence[Box],
    taken: Sequence[Box],
) -> Box:
    """Where a plate goes: on the frame's top edge, or where it hides least of plates and of
    objects; always inside the picture, if it fits there."""
    width, height = size
    places = [
        (x, y)
        for y in (box.top - height, box.bottom, box.top, box.bottom - height)
        for x in (box.left, box.right - width, box.right, box.left - width)
    ]
    plates = []
    for x, y in places:
        left, top = max(min(x, picture[0] - width), 0), max(min(y, picture[1] - height), 0)
        plates.append(Box(left, top, left + width, top + height))
    costs = [_hidden(plate, boxes, taken) + HABIT * i for i, plate in enumerate(plates)]
    return plates[costs.index(min(costs))]


def _hidden(plate: Box, boxes: Sequence[Box], taken: Sequence[Box]) -> float:
    """How much a plate hides: the share of each object, and several times that of each plate."""
    shares = [common(plate, box) / max(box.area, 1) for box in boxes]
    plates = [common(plate, other) / max(other.area, 1) for other in taken]
    return sum(shares) + PLATE_WEIGHT * sum(plates)


def _plate(draw: Any, plate: Box, caption: str, font: Any, colour: Colour) -> None:
    left, top = round(plate.left), round(plate.top)
    right, bottom = left + round(plate.right - plate.left), top + round(plate.bottom - plate.top)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)
    offset_left, _, _, _ = draw.textbbox((0, 0), caption, font=font)
    _, offset_top, _, text_bottom = draw.textbbox((0, 0), "Ag", font=font)
    margin = _margin(text_bottom - offset_top)
    place = (left + margin - offset_left, top + margin - offset_top)
    draw.text(place, caption, font=font, fill=text_colour(colour))


def _font(size: int) -> Any:
    """DejaVu Sans, which has most scripts, or what Pillow brings along."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        pass
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1
        return ImageFont.load_default()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unsupported("drawing needs Pillow: pip install 'lapilli[image]'") from error
    return Image
