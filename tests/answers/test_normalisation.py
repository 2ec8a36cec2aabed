"""What a pixel becomes in an input: as asked for, as the model says, or as assumed and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from metadata_writer import TensorSaid, metadata
from models import ModelBuilder

from lapilli.answers.inputs import Input, PictureWish, read_all
from lapilli.answers.normalisation import Wish
from lapilli.cli.run import run
from lapilli.errors import UsageError
from lapilli.model import tflite

Image: Any = pytest.importorskip("PIL.Image")

GREY = 100


def float_model(
    scale: float | None, zero_point: int = 0, dtype: str = "uint8", **options: Any
) -> bytes:
    """A picture of floats, 2x2x3, and behind it a QUANTIZE, or without ``scale`` a NEG."""
    builder = ModelBuilder(dtype)
    x = builder.input((1, 2, 2, 3), None, dtype="float32")
    builder.metadata = options.get("metadata")
    source = x
    if options.get("between"):
        source = builder.tensor((1, 2, 2, 3), None, dtype="float32")
        shape = builder.constant(np.array([1, 2, 2, 3], np.int32))
        builder.operator("RESHAPE", [x, shape], [source])
    y = builder.tensor((1, 2, 2, 3), scale, zero_point, dtype=None if scale else "float32")
    builder.operator("NEG" if scale is None else "QUANTIZE", [source], [y])
    return builder.build([y])


def byte_model(scale: float, zero_point: int, dtype: str, said: bytes | None = None) -> bytes:
    builder = ModelBuilder(dtype)
    builder.metadata = said
    x = builder.input((1, 2, 2, 3), scale, zero_point)
    return builder.build([x])


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pictures") / "grey.png"
    Image.new("RGB", (4, 4), (GREY,) * 3).save(path)
    return str(path)


def given(content: bytes, picture: str, **wish: Any) -> Input:
    graph = tflite.parse(content, "model.tflite")
    return read_all(graph, content, [picture], PictureWish(Wish(**wish)))[0]


def said(mean: list[float], deviation: list[float]) -> bytes:
    return metadata([TensorSaid(mean, deviation)], [])


USUAL = {
    "-1 to 1": ((1 / 127.5, 128), GREY / 127.5 - 1),
    "-1 to 1, calibrated a little less": ((1.95 / 255, 130), GREY / 127.5 - 1),
    "0 to 1": ((1 / 255, 0), GREY / 255),
    "0 to 255": ((1.0, 0), GREY),
    "-128 to 127": ((1.0, 128), GREY - 128),
}


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("case", USUAL.values(), ids=USUAL)
def test_the_quantize_behind_a_float_input_tells_its_range(
    grey: str, case: tuple[tuple[float, int], float], between: bool
) -> None:
    (scale, zero_point), wanted = case
    found = given(float_model(scale, zero_point, between=between), grey)
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)
    assert found.notes == ()
    as_int8 = given(float_model(scale, zero_point - 128, "int8"), grey)
    np.testing.assert_allclose(as_int8.values, wanted, rtol=1e-6)


def test_the_range_of_imagenets_mean_and_deviation(grey: str) -> None:
    """It differs by channel, so it is said."""
    found = given(float_model(0.01866, 114), grey)
    wanted = (GREY - np.array([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375]
    np.testing.assert_allclose(found.values[0, 0, 0], wanted, rtol=1e-5)
    assert "ImageNet" in found.notes[0]


def test_an_unusual_range_is_taken_and_said(grey: str) -> None:
    found = given(float_model(0.1, 10), grey)
    np.testing.assert_allclose(found.values, (GREY - 10) * 0.1, rtol=1e-5)
    assert "no usual range" in found.notes[0]


def test_without_any_hint_minus_one_to_one_and_a_word(grey: str) -> None:
    found = given(float_model(None), grey)
    np.testing.assert_allclose(found.values, GREY / 127.5 - 1, rtol=1e-6)
    assert "--input-range" in found.notes[0]


def test_metadata_come_before_the_quantize(grey: str) -> None:
    content = float_model(1 / 255, 0, metadata=said([0.0], [255.0]))
    assert given(content, grey).notes == ()
    found = given(float_model(1 / 255, 0, metadata=said([10.0, 20.0, 30.0], [2.0] * 3)), grey)
    np.testing.assert_allclose(found.values[0, 0, 0], [45.0, 40.0, 35.0])
    assert "metadata" in found.notes[0]


@pytest.mark.parametrize(
    "wrong", [([1.0, 2.0], [1.0, 2.0]), ([1.0], [0.0]), ([float("nan")], [1.0]), ([1.0], [-1.0])]
)
def test_metadata_that_make_no_sense_count_as_absent(
    grey: str, wrong: tuple[list[float], list[float]]
) -> None:
    found = given(float_model(1 / 255, 0, metadata=said(*wrong)), grey)
    np.testing.assert_allclose(found.values, GREY / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ({"input_range": (0.0, 1.0)}, GREY / 255),
        ({"input_range": (1.0, -1.0)}, 1 - GREY / 127.5),
        ({"mean": (50.0,)}, 50.0),
        ({"deviation": (4.0,)}, 25.0),
        ({"mean": (10.0, 20.0, 30.0), "deviation": (2.0,)}, [45.0, 40.0, 35.0]),
    ],
)
def test_what_the_user_asks_for_comes_first(grey: str, wish: Any, wanted: Any) -> None:
    content = float_model(1 / 255, 0, metadata=said([1.0], [1.0]))
    found = given(content, grey, **wish)
    np.testing.assert_allclose(found.values[0, 0, 0], np.broadcast_to(wanted, 3), rtol=1e-5)
    assert found.notes == ()


def test_bytes_are_the_pictures_unless_asked_otherwise(grey: str) -> None:
    """Asked otherwise, real values are rounded to the input's steps, and cut at their ends."""
    for dtype, shift in (("uint8", 0), ("int8", -128)):
        content = byte_model(0.02, 100 + shift, dtype)
        assert np.all(given(content, grey).values == GREY + shift)
        found = given(content, grey, input_range=(-1.0, 1.0))
        assert np.all(found.values == round((GREY / 127.5 - 1) / 0.02) + 100 + shift)
        found = given(content, grey, input_range=(0.0, 1000.0))
        assert np.all(found.values == np.iinfo(dtype).max)
        assert found.values.dtype == dtype


def test_metadata_against_an_8_bit_inputs_scale_are_said(grey: str) -> None:
    fitting = byte_model(1 / 127.5, 128, "uint8", said([127.5], [127.5]))
    assert given(fitting, grey).notes == ()
    other = given(byte_model(1 / 127.5, 128, "uint8", said([0.0], [1.0])), grey)
    assert np.all(other.values == GREY)
    assert "bytes are taken as they are" in other.notes[0]


@pytest.mark.parametrize(
    "wish",
    [
        {"input_range": (1.0, 1.0)},
        {"input_range": (float("nan"), 1.0)},
        {"input_range": (0.0, 1.0), "mean": (1.0,)},
        {"mean": (1.0, 2.0)},
        {"deviation": (0.0,)},
        {"mean": (float("inf"),)},
    ],
)
def test_wishes_that_make_no_sense(grey: str, wish: Any) -> None:
    with pytest.raises(UsageError, match=r"--input-range|--mean|--std"):
        given(float_model(1 / 255, 0), grey, **wish)


def test_the_options_of_the_command(grey: str, tmp_path: Path) -> None:
    """From the command line to the values that the NPU gets, and the note on standard error."""
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 3), None, dtype="float32")
    middle = builder.tensor((1, 4, 4, 3), 0.05, 10)
    builder.operator("QUANTIZE", [x], [middle])
    weights = np.full((1, 1, 1, 3), 129, np.uint8)
    y = builder.depthwise(middle, weights, None, 1.0, 128, 0.05, 10)
    (tmp_path / "m.tflite").write_bytes(builder.build([y]))
    out = tmp_path / "o.npz"
    for options, wanted in (([], GREY), (["--input-range", "0", "2.55"], 30), (
        ["--mean", "60,70,80", "--std", "20"], [50, 40, 30])):  # fmt: skip
        arguments = [tmp_path / "m.tflite", "--input", grey, "--output", out, *options]
        found = CliRunner().invoke(run, [*map(str, arguments), "--device", "emulator:a311d"])
        assert found.exit_code == 0, found.output
        with np.load(out) as arrays:
            assert np.all(arrays["output_0"][0, 0, 0] == wanted)
        assert ("no usual range" in found.stderr) == (not options)
