"""Boxes and labels drawn into a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lapilli.answers import detection, draw
from lapilli.answers.detection import Box, Detection
from lapilli.errors import ModelError, UsageError

Image: Any = pytest.importorskip("PIL.Image")


def test_a_frame_around_the_box_in_the_classes_colour() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    seen = Detection(4, "cat", 0.75, Box(0.25, 0.3, 0.75, 0.8))
    drawn = np.asarray(draw.detections(pixels, [seen]))
    assert drawn.shape == pixels.shape
    assert not pixels.any(), "the picture given is not changed"
    colour = draw.colour_of(4)
    for x, y in ((100, 29), (100, 80), (49, 60), (150, 60)):
        assert tuple(drawn[y, x]) == colour
    assert not drawn[31:79, 51:149].any(), "nothing is drawn over the object"
    assert np.any(np.all(drawn[10:29] == colour, axis=2)), "the plate is above the box"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5), (300, 2)])
def test_small_pictures(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    whole = Detection(0, "x" * 500, 1.0, Box(0, 0, 1, 1))
    tiny = Detection(1, "", 0.5, Box(0.999, 0.999, 1, 1))
    assert draw.detections(pixels, [whole, tiny]).size == size[::-1]


@pytest.mark.parametrize("label", ["two\nlines\x1b[31m", "\0", "猫 🐈", "\u202eabc", "", "é" * 99])
def test_labels_are_not_trusted(label: str) -> None:
    pixels = np.zeros((60, 400, 3), np.uint8)
    drawn = np.asarray(draw.detections(pixels, [Detection(2, label, 0.9, Box(0.1, 0.7, 0.2, 1))]))
    height = np.flatnonzero(drawn.any(axis=(1, 2)))
    assert height[0] > 20, "the plate has one line"


def test_plates_do_not_hide_each_other() -> None:
    pixels = np.zeros((400, 400, 3), np.uint8)
    seen = [Detection(i, "name", 0.9, Box(0.3 + i / 50, 0.5, 0.4 + i / 50, 0.6)) for i in range(3)]
    plates: list[Box] = []
    frames = [each.box.scaled(400, 400) for each in seen]
    for frame in frames:
        plates.append(draw._place(frame, (60, 16), (400, 400), frames, plates))
    for i, one in enumerate(plates):
        assert not any(detection.common(one, other) for other in plates[:i])
    assert draw.detections(pixels, seen).size == (400, 400)


def test_text_can_be_read_on_its_plate() -> None:
    assert draw.text_colour((255, 255, 0)) == (0, 0, 0)
    assert draw.text_colour((10, 10, 255)) == (255, 255, 255)
    assert len({draw.colour_of(i) for i in range(20)}) == 20


@pytest.mark.parametrize("name", ["x.txt", "x", "x.", ".png", "x.tflite"])
def test_an_ending_that_is_no_picture_format(name: str) -> None:
    with pytest.raises(UsageError, match="no picture format"):
        draw.format_of(name)


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't be written"):
        draw.save(tmp_path / "none" / "x.png", Image.new("RGB", (2, 2)))
