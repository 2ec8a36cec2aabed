"""What the documents for users say runs, and no variable is left out."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from places import PACKAGE
from places import REPOSITORY as ROOT
from shared_data import shared_data

Image: Any = pytest.importorskip("PIL.Image")
pytest.importorskip("ai_edge_litert.interpreter")

VARIABLE = re.compile(r"\b_?LAPILLI_[A-Z_]*[A-Z]\b")


def test_every_environment_variable_of_the_package_is_documented() -> None:
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    used = {
        name
        for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.c")]
        for name in VARIABLE.findall(path.read_text(encoding="utf-8"))
        if not name.startswith("LAPILLI_EMULATE")
    }
    assert {"LAPILLI_DEVICE", "LAPILLI_CACHE", "LAPILLI_TRACEBACK"} <= used
    assert {name for name in used if f"`{name}`" not in page} == set()


class Camera:
    """Two frames of one picture, blue first as OpenCV has them."""

    def __init__(self, number: int) -> None:
        picture = Image.open(shared_data() / "images" / "cat.bmp").convert("RGB")
        self.frames = [np.asarray(picture)[:, :, ::-1].copy() for _ in range(2)]

    def read(self) -> tuple[bool, Any]:
        return (True, self.frames.pop()) if self.frames else (False, None)


def opencv(drawn: list[tuple[str, tuple[int, int]]]) -> ModuleType:
    """As much of it as the page uses; windows are noted instead."""
    found: Any = ModuleType("cv2")
    found.VideoCapture = Camera
    found.COLOR_BGR2RGB = "rgb"
    found.resize = lambda frame, size: np.asarray(Image.fromarray(frame).resize(size))
    found.cvtColor = lambda frame, way: frame[:, :, ::-1]
    found.rectangle = lambda *arguments: None
    found.putText = lambda frame, text, place, *rest: drawn.append((text, place))
    found.imshow = lambda title, frame: None
    found.waitKey = lambda milliseconds: -1
    assert isinstance(found, ModuleType)
    return found


def test_the_camera_loop_finds_the_cat(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "camera.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    model = shared_data() / "models" / "ssdlite_mobiledet_coco_qat_postprocess.tflite"
    labels = shared_data() / "images" / "coco_labels.txt"
    code = code.replace('"ssdlite_mobiledet_coco_qat_postprocess.tflite"', repr(str(model)))
    code = code.replace('"coco_labels.txt"', repr(str(labels)))
    code = code.replace(", None\n", ', "emulator:a311d"\n', 1)
    drawn: list[tuple[str, tuple[int, int]]] = []
    monkeypatch.setitem(sys.modules, "cv2", opencv(drawn))
    exec(compile(code, "camera.md", "exec"), {})
    assert {text for text, _ in drawn} == {"cat"}
    assert len(drawn) >= 2
