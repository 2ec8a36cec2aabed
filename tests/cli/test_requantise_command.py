"""``lapilli requantise``: the per-tensor model in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter
from command_line import assert_one_line, call
from per_channel_models import inverted_residuals
from places import DIGITS

from lapilli.errors import ExitCode
from lapilli.model import tflite


@pytest.fixture
def model(folder: Path) -> Path:
    path = folder / "small.tflite"
    path.write_bytes(inverted_residuals(2, spread=100.0, blocks=1))
    return path


def test_the_new_model_has_one_scale_a_layer_and_runs(folder: Path, model: Path) -> None:
    result = call("requantise", model, "--per-channel", "fast")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "per-channel weights in 6 jobs: about " in result.stderr
    written = folder / "small_per_tensor.tflite"
    graph = tflite.load(written)
    kernels = [graph.tensors[o.inputs[1]] for o in graph.operators if o.kind != "ADD"]
    assert all(len(k.quantization.scales) == 1 for k in kernels if k.quantization is not None)
    Interpreter(str(written)).allocate_tensors()


def test_the_same_command_writes_the_same_bytes(folder: Path, model: Path) -> None:
    for name in ("a", "b"):
        assert (
            call("requantise", model, "--per-channel", "fast", "-o", folder / name).exit_code == 0
        )
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_what_each_layer_loses_is_a_line_or_an_object(folder: Path, model: Path) -> None:
    lines = call("requantise", model, "--per-channel", "fast", "--layers").stdout.splitlines()
    assert len(lines) == 7 and lines[0].split()[:2] == ["#", "operator"]
    found = json.loads(call("requantise", model, "--per-channel", "fast", "--json").stdout)
    assert found["output"] == "small_per_tensor.tflite"
    assert [layer["jobs"] for layer in found["per_channel"]["layers"]] == [1] * 6


def test_a_model_without_per_channel_weights_is_refused(folder: Path) -> None:
    result = call("requantise", DIGITS)
    assert_one_line(result, ExitCode.INVALID_FILE, "no layer that the NPU takes has more than one")
    assert not list(folder.glob("*_per_tensor.tflite"))


def test_off_has_nothing_to_write(model: Path) -> None:
    result = call("requantise", model, "--per-channel", "off")
    assert_one_line(result, ExitCode.USAGE, "there is nothing to write")
