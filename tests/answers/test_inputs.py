"""Inputs from .npy files, and made up: never another order of the values without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from models import ModelBuilder

from lapilli.answers.inputs import blaming_made_up, load_input, random_inputs, read_all
from lapilli.arrays import same_layout
from lapilli.cli.benchmark import benchmark
from lapilli.cli.diff import diff_command
from lapilli.errors import ModelError, UsageError
from lapilli.model import tflite
from lapilli.model.graph import Graph, Quantization, Tensor

IMAGE = Tensor(0, "image", (1, 4, 6, 3), "uint8")
VALUES = np.arange(72, dtype=np.uint8).reshape(1, 4, 6, 3)


def saved(folder: Path, values: np.ndarray[Any, Any], name: str = "x.npy") -> Path:
    path = folder / name
    with open(path, "wb") as file:
        np.save(file, values)
    return path


@pytest.mark.parametrize(
    "values", [VALUES, VALUES[0], VALUES[None], np.asfortranarray(VALUES), VALUES[0][None, None]]
)
def test_ones_in_front_are_harmless(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(load_input(saved(tmp_path, values), IMAGE), VALUES)
    np.testing.assert_array_equal(load_input(saved(tmp_path, values, "x.NPY"), IMAGE), VALUES)


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (VALUES.transpose(0, 3, 1, 2), "numpy.moveaxis"),
        (VALUES[0].transpose(2, 0, 1), "numpy.moveaxis"),
        (VALUES[0].transpose(1, 0, 2), "numpy.swapaxes"),
        (VALUES.reshape(-1), "[72]"),
        (VALUES.reshape(1, 4, 18), "[1, 4, 18]"),
        (VALUES.reshape(1, 4, 6, 3, 1), "[1, 4, 6, 3, 1]"),
        (VALUES[:, :2], "[1, 2, 6, 3]"),
        (np.concatenate([VALUES, VALUES]), "[2, 4, 6, 3]"),
        (VALUES.astype(np.int8), "int8"),
        (VALUES.astype(np.float32), "float32"),
        (VALUES.astype(np.int64), "int64"),
        (VALUES.astype("S1"), "S"),
    ],
)
def test_another_layout_or_type_is_refused(
    tmp_path: Path, values: np.ndarray[Any, Any], hint: str
) -> None:
    with pytest.raises(ModelError) as raised:
        load_input(saved(tmp_path, values), IMAGE)
    assert hint in str(raised.value)
    assert "takes uint8 of shape [1, 4, 6, 3]" in str(raised.value)


def test_values_of_the_other_byte_order(tmp_path: Path) -> None:
    tensor = Tensor(0, "x", (1, 3), "float32")
    values = np.array([[1.5, -2, 3]], ">f4")
    np.testing.assert_array_equal(load_input(saved(tmp_path, values), tensor), values)


def test_layouts() -> None:
    for one, other, same in (
        ((), (1,), True), ((1, 1, 5), (5,), True), ((5, 1), (5,), False), ((5,), (1, 5, 1), False),
        ((), (1, 1, 1), True), ((0,), (1, 0), True), ((2, 3), (3, 2), False),
    ):  # fmt: skip
        assert same_layout(one, other) is same
        assert same_layout(other, one) is same


def test_pictures_do_not_go_into_channels_first(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(ModelError, match="channels before rows"):
        load_input(tmp_path / "x.png", Tensor(0, "x", (1, 3, 32, 32), "uint8"))


def test_as_many_paths_as_inputs() -> None:
    graph = Graph("m.tflite", (IMAGE,), (), (0,), ())
    with pytest.raises(UsageError, match=r"1 input: image .*given 2 times"):
        read_all(graph, b"", ["a.npy", "b.npy"])


# ------------------------------------------------------------------------------------------ made up


def gathering(rows: int, dtype: str) -> bytes:
    """A convolution for the NPU, and rows of a table by indices that are an input."""
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 3), 0.02, 128)
    weights = np.full((4, 1, 1, 3), 130, np.uint8)
    y = builder.conv(x, weights, np.zeros(4, np.int32), 0.01, 128, 0.05, 128)
    table = builder.constant(np.ones((rows, 3), np.float32))
    index = builder.input((2,), None, dtype=dtype, name="index")
    taken = builder.tensor((2, 3), None, dtype="float32")
    builder.operator("GATHER", [table, index], [taken], ("GatherOptions", {}))
    return builder.build([y, taken])


@pytest.mark.parametrize("rows", [1, 2, 10])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_made_up_indices_can_be_used(rows: int, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "m.tflite"
    path.write_bytes(gathering(rows, dtype))
    limits = ["--num_runs", "1", "--min_secs", "0", "--warmup_min_secs", "0"]
    for command, options in ((diff_command, []), (benchmark, limits)):
        arguments = [str(path), "--device", "emulator:a311d", *options]
        found = CliRunner().invoke(command, arguments)
        assert found.exit_code == 0, found.output
    graph = tflite.load(path)
    values = random_inputs(graph)[1]
    assert values.dtype == dtype
    assert set(values.tolist()) <= set(range(min(rows, 2)))


def test_values_by_type() -> None:
    """Bytes as in the recordings; larger integers stay 0 or 1."""
    tensors = tuple(
        Tensor(i, "x", (500,), dtype)
        for i, dtype in enumerate(("uint8", "int8", "int16", "int32", "int64", "bool", "float32"))
    )
    found = random_inputs(Graph("m", tensors, (), tuple(range(7)), ()))
    first = np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8)
    np.testing.assert_array_equal(found[0], first)
    assert int(found[1].min()) < -100
    for values in found[3:6]:
        assert set(values.tolist()) == {0, 1}
    assert np.abs(found[6]).max() <= 1


def test_made_up_integers_are_named_where_a_model_refuses_them() -> None:
    bytes_in = Tensor(0, "image", (1, 2), "uint8", Quantization((1.0,), (0,)))
    sizes = Tensor(1, "sizes", (2,), "int32")
    graph = Graph("m", (bytes_in, sizes), (), (0, 1), ())
    with (
        pytest.raises(ModelError, match=r"refused; .*made up.*sizes \(int32\).*--input") as raised,
        blaming_made_up(graph, True),
    ):
        raise ModelError("refused")
    assert "image" not in str(raised.value)
    for made_up, inputs in ((False, (0, 1)), (True, (0,))):
        only = Graph("m", (bytes_in, sizes), (), inputs, ())
        with pytest.raises(ModelError) as plain, blaming_made_up(only, made_up):
            raise ModelError("refused")
        assert str(plain.value) == "refused"
