"""Pictures as input tensors: resized as TFLite does, upright, whatever form the file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.answers import images
from lapilli.answers.inputs import load_input, read_input
from lapilli.errors import ExitCode, ModelError
from lapilli.model.graph import Tensor

Image: Any = pytest.importorskip("PIL.Image")
interpreter: Any = pytest.importorskip("ai_edge_litert.interpreter")

SIZES = [
    ((1, 1), (4, 3)),
    ((1, 9), (5, 5)),
    ((7, 5), (7, 5)),
    ((5, 3), (11, 13)),
    ((64, 48), (13, 17)),
    ((343, 512), (320, 320)),
    ((341, 512), (224, 224)),
    ((300, 200), (1, 1)),
]
RESOLVERS = interpreter.OpResolverType
LARGEST_ERROR = 1e-4
"""Between TFLite's own kernels, which multiply in different orders: a few units in the last of 24
bits of a value up to 255."""


def resized_by_tflite(
    pixels: NDArray[np.uint8], rows: int, columns: int, kernels: Any
) -> NDArray[np.float32]:
    """The picture through LiteRT's RESIZE_BILINEAR in float32, with the options of label_image."""
    builder = ModelBuilder("float32")
    source = builder.input((1, *pixels.shape), None)
    size = builder.constant(np.array([rows, columns], np.int32))
    result = builder.tensor((1, rows, columns, pixels.shape[2]))
    options = ("ResizeBilinearOptions", {"AlignCorners": 0, "HalfPixelCenters": 0})
    builder.operator("RESIZE_BILINEAR", [source, size], [result], options)
    runtime = interpreter.Interpreter(
        model_content=builder.build([result]), experimental_op_resolver_type=kernels
    )
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], pixels[None].astype(np.float32))
    runtime.invoke()
    values: NDArray[np.float32] = runtime.get_tensor(runtime.get_output_details()[0]["index"])[0]
    return values


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resizing_is_tflites(
    before: tuple[int, int], after: tuple[int, int], channels: int
) -> None:
    """Bit by bit as the reference kernel, also when cut to bytes; close to the other kernels."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*before, channels), np.uint8)
    ours = images.resize_bilinear(pixels, *after)
    assert ours.dtype == np.float32
    reference = resized_by_tflite(pixels, *after, RESOLVERS.BUILTIN_REF)
    np.testing.assert_array_equal(ours, reference)
    cut = images.to_input(pixels, (1, *after, channels), "uint8")[0]
    np.testing.assert_array_equal(cut, reference.astype(np.uint8))
    for kernels in (RESOLVERS.AUTO, RESOLVERS.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        other = resized_by_tflite(pixels, *after, kernels)
        np.testing.assert_allclose(ours, other, rtol=0, atol=LARGEST_ERROR)


def test_the_same_size_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (9, 8, 3), np.uint8)
    np.testing.assert_array_equal(images.to_input(pixels, (1, 9, 8, 3), "uint8")[0], pixels)


def test_values_by_type_of_the_input() -> None:
    """uint8 is cut, not rounded; int8 is 128 less; floats go from -1 to 1."""
    pixels = np.array([[[0], [255]]], np.uint8)
    assert images.to_input(pixels, (1, 1, 4, 1), "uint8").ravel().tolist() == [0, 127, 255, 255]
    assert images.to_input(pixels, (1, 1, 2, 1), "int8").ravel().tolist() == [-128, 127]
    assert images.to_input(pixels, (1, 1, 2, 1), "float32").ravel().tolist() == [-1.0, 1.0]


def saved(path: Path, picture: Any, **options: Any) -> Path:
    picture.save(path, **options)
    return path


QUADRANTS = np.array([[10, 80], [160, 240]], np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, 10), (2, 80), (3, 240), (4, 160), (5, 10), (6, 160), (7, 240), (8, 80)],
)
def test_pictures_stand_upright(tmp_path: Path, orientation: int, corner: int) -> None:
    """The upper left corner as a viewer shows it, for each EXIF orientation."""
    picture = Image.fromarray(QUADRANTS[:, :12])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = images.load_picture(saved(tmp_path / "x.png", picture, exif=exif), 1)
    assert pixels.shape == ((12, 16, 1) if orientation >= 5 else (16, 12, 1))
    assert pixels[0, 0, 0] == corner


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_form_of_pixels(tmp_path: Path, mode: str, channels: int) -> None:
    picture = Image.new("RGB", (5, 3), (255, 255, 255))
    if mode == "I;16":
        picture = Image.fromarray(np.full((3, 5), 65535, np.uint16))
    else:
        picture = picture.convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    pixels = images.load_picture(saved(tmp_path / f"x.{suffix}", picture), channels)
    assert pixels.shape == (3, 5, channels)
    assert pixels.dtype == np.uint8
    assert np.all(pixels == 255)


def test_a_palette_keeps_its_colours(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), (200, 30, 60)).convert("P", palette=Image.Palette.ADAPTIVE)
    pixels = images.load_picture(saved(tmp_path / "x.png", picture), 3)
    assert pixels[0, 0].tolist() == [200, 30, 60]


def test_a_picture_of_one_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    tensor = Tensor(0, "image", (1, 6, 5, 3), "uint8")
    values = load_input(path, tensor)
    assert values.shape == tensor.shape
    # Cut, not rounded: where the shares of one value add up to a little less, it is one less.
    assert np.abs(values.astype(int) - [1, 2, 3]).max() <= 1


def test_the_pictures_size_is_the_upright_ones(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.jpg", Image.new("RGB", (30, 20)), exif=exif)
    read = read_input(path, Tensor(0, "image", (1, 4, 4, 3), "uint8"))
    assert read.picture_size == (20, 30)


def broken_files(folder: Path) -> dict[str, Path]:
    good = saved(folder / "good.png", Image.effect_noise((64, 64), 50)).read_bytes()
    contents = {
        "empty.png": b"",
        "text.png": b"no picture",
        "cut.png": good[: len(good) // 2],
        "head.bmp": b"BM" + bytes(40),
        "flipped.png": good[:40] + bytes(b ^ 0x55 for b in good[40:80]) + good[80:],
        "huge.bmp": b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
        + (40).to_bytes(4, "little") + (60000).to_bytes(4, "little") * 2 + b"\1\0\x18\0"
        + bytes(24),
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "directory").mkdir()
    return {name: folder / name for name in (*contents, "directory", "missing.png")}


NAMES = ["empty.png", "text.png", "cut.png", "head.bmp", "flipped.png", "huge.bmp", "directory",
         "missing.png"]  # fmt: skip


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", NAMES)
def test_no_picture_is_one_error(tmp_path: Path, name: str) -> None:
    path = broken_files(tmp_path)[name]
    with pytest.raises(ModelError, match=name) as raised:
        images.load_picture(path, 3)
    assert raised.value.exit_code == ExitCode.INVALID_FILE
    assert "\n" not in str(raised.value)


def test_a_path_with_a_zero_character() -> None:
    with pytest.raises(ModelError):
        images.load_picture("a\0b.png", 3)


def test_a_model_whose_input_is_no_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("RGB", (4, 4)))
    for shape, dtype, text in (
        ((1, 16), "uint8", "not a picture"),
        ((2, 4, 4, 3), "uint8", "not a picture"),
        ((1, 4, 4, 3), "int32", "not a picture"),
        ((1, 4, 4, 12), "uint8", "12 channels"),
    ):
        with pytest.raises(ModelError, match=text):
            load_input(path, Tensor(0, "x", shape, dtype))


def test_grey_values_of_16_bits_keep_their_upper_byte(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save(path)
    assert images.load_picture(path, 1).reshape(-1).tolist() == [0, 0x80, 0xFF]
