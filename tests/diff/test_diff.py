"""``lapilli diff``: a healthy NPU passes, and a damaged one is caught at the right operator."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from further_operators import pool
from models import ModelBuilder
from places import DIGITS
from shared_data import shared_data

from lapilli.answers.inputs import random_inputs
from lapilli.cli import commands
from lapilli.compiler.stages import compile_part
from lapilli.diff.interpreters import REFERENCES
from lapilli.diff.layers import diff
from lapilli.diff.records import ACCUMULATED, ALONE, Diff
from lapilli.diff.report import CSV_COLUMNS, to_csv, to_json
from lapilli.diff.statistics import HISTOGRAM_NAMES, difference
from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import Fault, Unsupported, UsageError
from lapilli.hw.chips import Chip, find_by_name
from lapilli.litert.inference import Inference
from lapilli.model import tflite
from lapilli.program.device import DeviceBuffer
from lapilli.program.program import Words

DAMAGED_OPERATOR = 6
NPU_OPERATORS = 10


def a311d() -> Chip:
    chip = find_by_name("a311d")
    assert chip is not None
    return chip


class DamagedDevice(EmulatedDevice):
    """Flips a bit of one byte wherever a submit brings a certain coefficient stream."""

    def __init__(self, stream: bytes, offset: int) -> None:
        super().__init__(a311d())
        self._stream, self._offset = stream, offset
        self.hits = 0

    def submit(self, commands: Words, buffers: Sequence[DeviceBuffer]) -> int:
        for buffer in buffers:
            at = buffer.data.tobytes().find(self._stream)
            if at >= 0:
                buffer.data[at + self._offset] ^= 0x10
                self.hits += 1
        return super().submit(commands, buffers)


def coefficients(operator: int) -> bytes:
    """The stream of one operator of the digits."""
    graph = tflite.parse(DIGITS.read_bytes(), "digits")
    part = compile_part(graph, [operator], a311d())
    (job,) = [job for job in part.jobs if job.coefficients is not None]
    assert job.coefficients is not None
    first, size = job.coefficients
    (data,) = [buffer.data for buffer in part.buffers if buffer.role == "coefficients"]
    assert data is not None
    return data[first : first + size].tobytes()


@cache
def damaging_offset() -> int:
    """Of a byte that matters: some bits make the stream unreadable, others change little."""
    stream = coefficients(DAMAGED_OPERATOR)
    for offset in range(len(stream) // 2, len(stream), 7):
        with DamagedDevice(stream, offset) as device, suppress(Fault):
            if diff(DIGITS, device).over(alone=True):
                return offset
    raise AssertionError("no byte of the stream matters")


def damaged_device() -> DamagedDevice:
    return DamagedDevice(coefficients(DAMAGED_OPERATOR), damaging_offset())


@pytest.fixture(scope="module")
def healthy() -> Diff:
    return diff(DIGITS)


@pytest.fixture(scope="module")
def damaged() -> Diff:
    with damaged_device() as device:
        return diff(DIGITS, device)


# --------------------------------------------------------------------------------- a healthy device


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("schedule", ["best", "reference"])
def test_digits_are_within_one_of_every_reference(reference: str, schedule: str) -> None:
    found = diff(DIGITS, schedule=schedule, reference=reference)
    compared = [layer.alone for layer in found.layers if layer.alone is not None]
    assert len(compared) == NPU_OPERATORS
    assert max(d.maximum for d in compared if d.maximum is not None) <= 1
    assert found.first_over(alone=True) is None
    assert "ai-edge-litert" in found.reference.title or "tflite" in found.reference.title


@pytest.mark.parametrize("operator", ["mb16", "mb1", "mobiledet10"])
def test_single_operators(operator: str) -> None:
    path = shared_data() / "models" / "ops" / f"{operator}.tflite"
    found = diff(path)
    assert [layer.part for layer in found.layers] == [0]
    (layer,) = found.layers
    assert layer.alone == layer.accumulated
    assert layer.alone is not None
    assert layer.alone.maximum is not None
    assert layer.alone.maximum <= 1


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_0.25_128_quant", "ssdlite_mobiledet_coco_qat_postprocess"]
)
def test_whole_models(name: str) -> None:
    path = shared_data() / "models" / f"{name}.tflite"
    graph = tflite.parse(path.read_bytes(), name)
    given_inputs = random_inputs(graph)
    found = diff(path, inputs=given_inputs, reference="xnnpack")
    assert found.first_over(alone=True) is None
    assert [layer.operator for layer in found.layers] == sorted(
        o.index for o in graph.operators for _ in o.outputs
    )
    for layer in found.layers:
        assert (layer.alone is not None) == (layer.part is not None)
        assert layer.accumulated is not None
    # Reading tensors inside a partition changes nothing: the outputs are those of a plain run.
    interpreter = interpreter_after(path, given_inputs)
    inference = Inference(path, device="emulator:a311d")
    try:
        inference.feed(given_inputs)
        inference.run()
        outputs = inference.outputs()
    finally:
        inference.close()
    layers = {layer.tensor.index: layer for layer in found.layers}
    for index, values in zip(graph.outputs, outputs, strict=True):
        expected = difference(
            values, interpreter.get_tensor(index), layers[index].tensor.quantization
        )
        assert layers[index].accumulated == expected


def interpreter_after(path: Path, inputs: Sequence[np.ndarray]) -> Any:
    """LiteRT's default interpreter after one inference."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return interpreter


def test_xnnpack_is_really_used(healthy: Diff) -> None:
    assert healthy.reference.operators is not None
    assert healthy.reference.operators >= NPU_OPERATORS - 1, "all but the RESHAPE"
    assert diff(DIGITS, reference="builtin").reference.operators is None


def test_differences_travel_into_cpu_operators(damaged: Diff) -> None:
    softmax = damaged.layers[-1]
    assert softmax.part is None
    assert softmax.alone is None
    assert softmax.accumulated is not None
    assert softmax.accumulated.unequal > 0


def test_differences_travel_through_cpu_operators_into_the_next_partition() -> None:
    builder = ModelBuilder()
    random = np.random.default_rng(1)
    tensor = builder.input((1, 6, 6, 8), scale=0.02, zero_point=128)
    for step in range(2):
        weights = random.integers(0, 256, (8, 1, 1, 8)).astype(np.uint8)
        bias = np.zeros(8, np.int32)
        tensor = builder.conv(tensor, weights, bias, 0.01, 120, scale=0.03, zero_point=100)
        if step == 0:
            tensor = pool(builder, "AVERAGE_POOL_2D", tensor, 2, stride=3)  # 3: for the CPU
    content = builder.build([tensor])
    graph = tflite.parse(content, "two parts")
    part = compile_part(graph, [0], a311d())
    (data,) = [buffer.data for buffer in part.buffers if buffer.role == "coefficients"]
    (job,) = [job for job in part.jobs if job.coefficients is not None]
    assert data is not None and job.coefficients is not None
    stream = data[: job.coefficients[1]].tobytes()
    for offset in range(len(stream) // 2, len(stream)):
        with DamagedDevice(stream, offset) as device, suppress(Fault):
            found = diff(content, device)
            if found.over(alone=True):
                break
    assert [layer.part for layer in found.layers] == [0, None, 1]
    assert {layer.operator for layer in found.over(alone=True)} == {0}
    assert {layer.operator for layer in found.over(alone=False)} == {0, 1, 2}


def test_handles_of_variables_are_not_read() -> None:
    """LiteRT's interpreter ends the process if asked for one's values."""
    model = ModelBuilder()
    x = model.input((1, 4, 4, 8), 0.02, 128)
    made = model.conv(x, np.full((8, 1, 1, 8), 99, np.uint8), np.zeros(8), 0.01, 120, 0.05, 3)
    handle = model.tensor((), dtype="resource")
    model.operator("VAR_HANDLE", [], [handle], ("VarHandleOptions", {}))
    found = diff(model.build([made]), name="variables")
    assert [layer.kind for layer in found.layers if layer.alone is not None] == ["CONV_2D"]


def test_a_model_without_anything_for_the_npu_is_refused() -> None:
    builder = ModelBuilder()
    image = builder.input((1, 4, 4, 3), scale=0.02, zero_point=128)
    pooled = pool(builder, "AVERAGE_POOL_2D", image, 1, stride=3)
    with pytest.raises(Unsupported, match="nothing to compare"):
        diff(builder.build([pooled]))


def test_unknown_reference() -> None:
    with pytest.raises(UsageError, match="known: xnnpack, builtin, ref"):
        diff(DIGITS, reference="cuda")


def test_random_inputs_are_those_of_the_recordings() -> None:
    graph = tflite.parse(DIGITS.read_bytes(), "digits")
    (values,) = random_inputs(graph)
    expected = np.random.default_rng(0).integers(0, 256, size=(1, 16, 16, 1)).astype(np.uint8)
    np.testing.assert_array_equal(values, expected)
    assert not np.array_equal(random_inputs(graph, 1)[0], expected)


# --------------------------------------------------------------------------------- a damaged device


def test_damage_is_found_at_its_operator(damaged: Diff) -> None:
    assert {layer.operator for layer in damaged.over(alone=True)} == {DAMAGED_OPERATOR}
    first = damaged.first_over(alone=False)
    assert first is not None
    assert first.operator == DAMAGED_OPERATOR
    before = [layer for layer in damaged.layers if layer.operator < DAMAGED_OPERATOR]
    assert all(
        layer.accumulated is not None and not layer.accumulated.exceeds(1) for layer in before
    )


def run_command(*arguments: str) -> int | str | None:
    """The command line in this process; its exit code."""
    with pytest.raises(SystemExit) as end:
        commands.main(list(arguments))
    return end.value.code


def test_damage_ends_in_exit_code_6(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    device = damaged_device()
    monkeypatch.setattr("lapilli.diff.layers.open_device", lambda name: device)
    picture = tmp_path / "error.png"
    assert run_command("diff", str(DIGITS), "--plot", str(picture)) == 6
    out, err = capsys.readouterr()
    assert device.hits == 2  # alone and accumulated
    assert f"the first is operator {DAMAGED_OPERATOR}, CONV_2D" in " ".join(out.split())
    assert f"the first is operator {DAMAGED_OPERATOR}, CONV_2D" in err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_high_tolerance_forgives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapilli.diff.layers.open_device", lambda name: damaged_device())
    assert run_command("diff", str(DIGITS), "--tolerance", "255") == 0


# -------------------------------------------------------------------------------------- the command


def test_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command("diff", str(DIGITS), "--reference", "ref", "--tolerance", "0") == 6
    out, _ = capsys.readouterr()
    assert "reference kernels of" in out
    assert "random values, seed 0" in out
    assert max(map(len, out.splitlines())) <= 80
    together = " ".join(out.split())
    assert ALONE in together
    assert ACCUMULATED in together
    assert "signal" not in together.split("SNR")[0]
    assert "10 log10(sum of r^2 / sum of (n - r)^2)" in together


def test_report_in_wide_terminals_has_shapes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run_command("diff", str(DIGITS), "--histogram") == 0
    out, _ = capsys.readouterr()
    assert "1x16x16x12" in out
    assert max(map(len, out.splitlines())) <= 120


def test_names_from_the_file_do_not_reach_the_terminal_raw(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    builder = ModelBuilder()
    image = builder.input((1, 4, 4, 3), scale=0.02, zero_point=128)
    weights = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 3)).astype(np.uint8)
    bias, name = np.zeros(5, np.int32), "\x1b]0;evil\x07a\nb"
    made = builder.conv(image, weights, bias, 0.01, 120, scale=0.02, zero_point=3, name=name)
    path, table = tmp_path / "names.tflite", tmp_path / "names.csv"
    path.write_bytes(builder.build([made]))
    run_command("diff", str(path), "--csv", str(table), "--reference", "ref", "--tolerance", "0")
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07"} & set(out + err + table.read_text(encoding="utf-8"))
    assert len(table.read_text(encoding="utf-8").splitlines()) == 2


def test_json(capsys: pytest.CaptureFixture[str], healthy: Diff) -> None:
    assert run_command("diff", str(DIGITS), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("input") == "random values, seed 0"
    assert report.pop("notes") == []
    assert report == json.loads(json.dumps(to_json(healthy)))
    assert report["schema_version"] == 1
    assert report["summary"]["alone"]["over_tolerance"] == []
    for layer in report["layers"]:
        for side in ("alone", "accumulated"):
            found = layer[side]
            assert found is None or sum(found["histogram"].values()) == found["values"]
            assert found is None or found["values"] - found["histogram"]["0"] == found["unequal"]
    values = sum(layer["accumulated"]["values"] for layer in report["layers"])
    assert report["summary"]["accumulated"]["values"] == values


def test_csv(tmp_path: Path, healthy: Diff) -> None:
    path = tmp_path / "diff.csv"
    assert run_command("diff", str(DIGITS), "--csv", str(path)) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [list(row.values()) for row in rows] == to_csv(healthy)
    assert rows[0]["operator"] == "0"
    assert rows[0]["on"] == "NPU"
    assert rows[-1]["on"] == "CPU"
    assert rows[-1]["alone_max"] == ""
    for row in rows:
        counts = [int(row[f"accumulated_histogram_{name}"]) for name in HISTOGRAM_NAMES]
        assert sum(counts) == int(row["accumulated_values"])


def test_inputs_from_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "zeros.npy"
    np.save(path, np.zeros((1, 16, 16, 1), np.uint8))
    assert run_command("diff", str(DIGITS), "--input", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["input"] == str(path)
    assert run_command("diff", str(DIGITS), "--input", str(path), "--input", str(path)) == 2


def test_wrong_uses(tmp_path: Path) -> None:
    assert run_command("diff", str(tmp_path / "none.tflite")) == 3
    assert run_command("diff", str(DIGITS), "--device", "/dev/dri/none") == 5
    assert run_command("diff", str(DIGITS), "--reference", "cuda") == 2
    assert run_command("diff", str(DIGITS), "--tolerance", "-1") == 2
    assert run_command("diff", str(DIGITS), "--seed", "-1") == 2


def test_plot_shows_alone_and_accumulated(damaged: Diff, healthy: Diff) -> None:
    pytest.importorskip("PIL")
    from lapilli.diff.plot import draw

    pictures = [draw(found) for found in (healthy, damaged)]
    assert all(picture.size == (1200, 600) for picture in pictures)
    first, second = (np.asarray(picture) for picture in pictures)
    assert np.count_nonzero((first != second).any(axis=2)) > 1000
    np.testing.assert_array_equal(first, np.asarray(draw(healthy)))
