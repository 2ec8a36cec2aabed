"""The user's samples: a folder of pictures, or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from per_channel_models import inverted_residuals
from PIL import Image

from lapilli.answers.calibration import read_calibration
from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tflite.parse(inverted_residuals(blocks=1), "model")


def test_every_picture_of_a_folder_is_a_sample(tmp_path: Path, graph: Graph) -> None:
    for number, level in enumerate((0, 128, 255)):
        Image.new("RGB", (20, 20), (level, level, level)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_calibration(tmp_path, graph)
    assert found.real and found.source == f"samples of {tmp_path.name}"
    values = found.inputs(graph, 16)[graph.inputs[0]]
    assert values.shape == (3, 1, 16, 16, 3) and values.dtype == np.int8
    assert [int(v.reshape(-1)[0]) for v in values] == [-128, 0, 127]


def test_arrays_are_named_by_number_or_tensor(tmp_path: Path, graph: Graph) -> None:
    samples = np.random.default_rng(0).integers(-128, 128, (5, 1, 16, 16, 3)).astype(np.int8)
    for name in ("input_0", graph.tensors[graph.inputs[0]].name):
        np.savez(tmp_path / "x.npz", **{name: samples})
        found = read_calibration(tmp_path / "x.npz", graph).inputs(graph, 4)[graph.inputs[0]]
        np.testing.assert_array_equal(found, samples[:4])


def test_one_sample_needs_no_axis_of_samples(tmp_path: Path, graph: Graph) -> None:
    np.savez(tmp_path / "x.npz", input_0=np.zeros((1, 16, 16, 3), np.int8))
    found = read_calibration(tmp_path / "x.npz", graph).inputs(graph, 4)
    assert found[graph.inputs[0]].shape == (1, 1, 16, 16, 3)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"picture": np.zeros((2, 1, 16, 16, 3), np.int8)}, "found picture; allowed: input_0"),
        ({"input_0": np.zeros((2, 1, 16, 16, 3), np.uint8)}, "found uint8 .* allowed: int8"),
        ({"input_0": np.zeros((2, 1, 8, 16, 3), np.int8)}, "allowed: int8"),
        ({"input_0": np.zeros((0, 1, 16, 16, 3), np.int8)}, "no sample"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, graph: Graph, arrays: dict[str, np.ndarray], text: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=text):
        read_calibration(tmp_path / "x.npz", graph)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path: Path, graph: Graph) -> None:
    with pytest.raises(ModelError, match="no sample"):
        read_calibration(tmp_path, graph)
    with pytest.raises(ModelError):
        read_calibration(tmp_path / "nothing.npz", graph)
