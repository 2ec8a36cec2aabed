"""Pictures as input tensors: resized as TFLite does, upright, whatever form the file has."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from numpy.typing import NDArray
from work import counted_bytes

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


def deep_pgm(values: np.ndarray[Any, Any], largest: int = 65535) -> bytes:
    rows, columns = values.shape
    return b"P5 %d %d %d\n" % (columns, rows, largest) + values.astype(">u2").tobytes()


def test_deep_grey_values_in_every_format(tmp_path: Path) -> None:
    """Of 16 bits the upper 8; of a PGM with another largest value as many parts of it."""
    values = np.arange(0, 65536, 4001, np.uint16).reshape(1, -1)
    (tmp_path / "x.pgm").write_bytes(deep_pgm(values))
    for name in ("x.png", "x.tif", "x.jp2"):
        Image.fromarray(values).save(tmp_path / name)
    big_endian = Image.frombytes("I;16B", (values.size, 1), values.astype(">u2").tobytes())
    big_endian.save(tmp_path / "b.tif")
    for name in ("x.pgm", "x.png", "x.tif", "x.jp2", "b.tif"):
        pixels = images.load_picture(tmp_path / name, 3)
        for channel in range(3):
            assert pixels[0, :, channel].tolist() == (values[0] >> 8).tolist(), name
    small = np.arange(0, 4096, 273, np.uint16).reshape(1, -1)
    (tmp_path / "y.pgm").write_bytes(deep_pgm(small, 4095))
    assert images.load_picture(tmp_path / "y.pgm", 1)[0, :, 0].tolist() == [
        round(int(v) * 65535 / 4095) >> 8 for v in small[0]
    ]


def test_deep_pictures_are_turned_as_well(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = (QUADRANTS[:, :12].astype(np.uint16)) * 257
    pixels = images.load_picture(saved(tmp_path / "x.png", Image.fromarray(values), exif=exif), 1)
    assert pixels.shape == (12, 16, 1)
    assert pixels[0, 0, 0] == 160


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pictures_whose_range_nobody_knows_are_refused(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "x.tif", Image.new(mode, (4, 4), 1))
    with pytest.raises(ModelError, match="whose range nobody knows"):
        images.load_picture(path, 3)


def notes_of(path: Path, channels: int = 3) -> str:
    return " ".join(images.read_picture(path, channels).notes)


def test_what_is_not_used_of_a_picture_is_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert "several pictures, the first" in notes_of(tmp_path / "x.gif")
    assert images.load_picture(tmp_path / "x.gif", 3)[0, 0].tolist() == [255, 0, 0]
    clear = Image.new("RGBA", (4, 4), (9, 8, 7, 255))
    assert notes_of(saved(tmp_path / "opaque.png", clear)) == ""
    clear.putpixel((2, 2), (9, 8, 7, 254))
    path = saved(tmp_path / "clear.png", clear)
    assert "transparent in places" in notes_of(path)
    assert np.all(images.load_picture(path, 3) == [9, 8, 7])
    assert notes_of(path, 4) == ""
    assert "255 everywhere" in notes_of(saved(tmp_path / "x.png", frames[0]), 4)


@pytest.mark.parametrize("error", [SyntaxError, KeyError, struct.error, ValueError, TypeError])
def test_damaged_exif_data_do_not_cost_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """What they make Pillow raise depends on its version."""
    path = saved(tmp_path / "x.jpg", Image.new("RGB", (8, 8), (200, 30, 60)))

    def fails(picture: object) -> None:
        raise error("no TIFF file")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fails)
    assert "EXIF data are damaged" in notes_of(path)
    assert images.load_picture(path, 3).shape == (8, 8, 3)


def test_no_format_that_starts_a_program_is_read(tmp_path: Path) -> None:
    """Whatever the file is called. Pillow would have EPS drawn by Ghostscript."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for name in ("x.eps", "x.png"):
        (tmp_path / name).write_bytes(eps)
        with pytest.raises(ModelError, match="cannot identify"):
            images.load_picture(tmp_path / name, 3)
    Image.init()
    assert not {"EPS", "WMF", "FITS", "MIC", "DDS", "IPTC", "SPIDER"} & set(images.FORMATS)
    assert (
        {"PNG", "JPEG"} <= set(images.FORMATS) <= {*Image.OPEN, "AVIF", "WEBP", "JPEG2000", "MPO"}
    )


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError, OSError, SyntaxError, RuntimeError, NotImplementedError, KeyError),
        *(IndexError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError),
        *(EOFError, AssertionError, ZeroDivisionError, Image.DecompressionBombError),
    ],
)
@pytest.mark.parametrize("moment", ["open", "load"])
def test_whatever_pillow_raises_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], moment: str
) -> None:
    path = saved(tmp_path / "x.png", Image.new("RGB", (4, 4)))

    def fails(*arguments: object, **options: object) -> None:
        raise error("damaged")

    owner = Image if moment == "open" else Image.Image
    if moment == "load":
        from PIL import PngImagePlugin

        owner = PngImagePlugin.PngImageFile
    monkeypatch.setattr(owner, moment, fails)
    with pytest.raises(ModelError, match="damaged"):
        images.load_picture(path, 3)


# ---------------------------------------------------------------------------------------- the size


def test_a_pictures_size_is_limited_by_the_input() -> None:
    assert images.limit_for((1, 224, 224, 3)) == images.MOST_PIXELS
    assert images.limit_for((1, 1024, 1024, 3)) == 64 << 20
    assert images.limit_for((1, 8192, 8192, 3)) == images.HARD_LIMIT
    # A picture of 24 million pixels, as cameras make them, is read for every model.
    assert images.MOST_PIXELS > 24_000_000


def test_a_larger_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("1", (3000, 2000)))
    with pytest.raises(ModelError, match=r"3000x2000 pixels.*5999999.*--max-pixels"):
        images.load_picture(path, 3, 5_999_999)
    assert images.load_picture(path, 3, 6_000_000).shape == (2000, 3000, 3)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1 << 20), (1 << 20, 1), (1024, 1024)])
@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "RGB"])
def test_a_pictures_memory_is_bounded_by_its_pixels(
    tmp_path: Path, columns: int, rows: int, mode: str
) -> None:
    """What NumPy and Python allocate; Pillow holds four bytes a pixel more. The input's memory
    depends on the input alone, however narrow the picture."""
    path = saved(tmp_path / "x.png", Image.new("RGB", (columns, rows)).convert(mode))
    with counted_bytes() as taken:
        pixels = images.load_picture(path, 3)
        images.to_input(pixels, (1, 16, 16, 3), "float32")
    in_one_band = columns if rows == 1 else images.BAND_PIXELS
    assert taken.peak_bytes < 3 * columns * rows + 7 * in_one_band + (1 << 20)
