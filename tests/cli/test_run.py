"""``lapilli run``: what is printed, what is written, and what wrong input ends in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from command_line import call
from models import ModelBuilder
from places import DIGITS, IMPORTABLE
from shared_data import shared_data

from lapilli.answers.inputs import load_input
from lapilli.cli.run import run
from lapilli.cli.text import to_type
from lapilli.errors import ExitCode, LapilliError
from lapilli.litert.inference import Inference
from lapilli.model import tflite

Image: Any = pytest.importorskip("PIL.Image")
litert: Any = pytest.importorskip("ai_edge_litert.interpreter")

DEVICE = "emulator:a311d"
DEVICES = (DEVICE, "emulator:imx8mp")
CLASSIFIERS = (
    "mobilenet_v1_1.0_224_quant",
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v2_1.0_224_quant",
)
PICTURES = (
    *("cat.bmp", "grace_hopper.bmp", "pets.jpg"),
    *("kite_and_cold.jpg", "bird.bmp", "parrot.jpg"),
)
LABEL = "military uniform"


def image_of(name: str) -> Path:
    return shared_data() / "images" / name


def model_of(name: str) -> Path:
    return shared_data() / "models" / f"{name}.tflite"


def weights(outputs: int, inputs: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.integers(90, 150, (outputs, 1, 1, inputs), np.uint8)


def two_inputs() -> bytes:
    """(a of [1, 4, 4, 8]) + (convolution of b), and the convolution itself."""
    builder = ModelBuilder()
    a = builder.input((1, 4, 4, 8), 0.02, 128, name="a")
    b = builder.input((1, 4, 4, 3), 0.02, 128, name="b")
    bias = np.arange(0, 80, 10)
    made = builder.conv(b, weights(8, 3), bias, 0.01, 120, 0.05, 128, name="made")
    return builder.build([builder.add(a, made, 0.05, 128, name="sum"), made])


def classifier() -> bytes:
    """A picture of one grey pixel to ten classes."""
    builder = ModelBuilder()
    source = builder.input((1, 1, 1, 1), 1 / 128, 128)
    bias = np.arange(0, 1000, 100)
    return builder.build(
        [builder.conv(source, weights(10, 1), bias, 0.01, 120, 0.01, 0, name="scores")]
    )


def refused_by_litert() -> bytes:
    """It has an operator that LiteRT knows nothing about."""
    builder = ModelBuilder()
    source = builder.input((1, 1, 1, 1), 1 / 128, 128)
    taken = builder.conv(source, weights(10, 1), None, 0.01, 120, 0.01, 0)
    result = builder.tensor((1, 1, 1, 10), 0.01, 0)
    builder.operator("CUSTOM:Nobody", [taken], [result])
    return builder.build([result])


def of_floats() -> bytes:
    builder = ModelBuilder("float32")
    x = builder.input((1, 2, 2, 1), None)
    result = builder.tensor((1, 2, 2, 1))
    builder.operator("ADD", [x, x], [result], ("AddOptions", {}))
    return builder.build([result])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small models and inputs."""
    (tmp_path / "two.tflite").write_bytes(two_inputs())
    (tmp_path / "one.tflite").write_bytes(classifier())
    (tmp_path / "float.tflite").write_bytes(of_floats())
    rng = np.random.default_rng(4)
    np.save(tmp_path / "a.npy", rng.integers(0, 256, (1, 4, 4, 8), np.uint8))
    np.save(tmp_path / "b.npy", rng.integers(0, 256, (1, 4, 4, 3), np.uint8))
    np.save(tmp_path / "float.npy", np.zeros((1, 4, 4, 3), np.float32))
    np.savez(tmp_path / "several.npz", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    Image.new("L", (6, 5), 100).save(tmp_path / "grey.png")
    return tmp_path


def invoke(*arguments: object, device: str | None = DEVICE) -> Result:
    options = [] if device is None else ["--device", device]
    return CliRunner().invoke(run, [*map(str, arguments), *options])


def ok(*arguments: object) -> Result:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def failure(*arguments: object, device: str | None = DEVICE) -> tuple[int, str]:
    """Exit code and text of a typed error; anything else fails the test."""
    result = invoke(*arguments, device=device)
    if isinstance(result.exception, LapilliError):
        text = str(result.exception)
        assert "\n" not in text
        return result.exception.exit_code, text
    assert isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


# --------------------------------------------------------------------------------- classifiers


@cache
def first_on_cpu(model: Path, picture: Path) -> int:
    graph = tflite.load(model)
    interpreter = litert.Interpreter(str(model))
    interpreter.allocate_tensors()
    source = graph.tensors[graph.inputs[0]]
    interpreter.set_tensor(source.index, load_input(picture, source))
    interpreter.invoke()
    return int(np.argmax(interpreter.get_tensor(graph.outputs[0])))


@pytest.fixture(
    scope="module", params=[(device, name) for device in DEVICES for name in CLASSIFIERS], ids=str
)
def network(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Inference]]:
    device, name = request.param
    path = model_of(name)
    inference = Inference(path, device=device)
    yield path, inference
    inference.close()


def test_the_same_first_class_as_the_cpu(network: tuple[Path, Inference]) -> None:
    path, inference = network
    names = image_of("imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    for picture in map(image_of, PICTURES):
        inference.feed([load_input(picture, inference.input_tensors[0])])
        inference.run()
        first = int(np.argmax(inference.outputs()[0]))
        assert first == first_on_cpu(path, picture), picture.name
        if picture.name == "grace_hopper.bmp" and "1.0" in path.name:
            assert names[first] == LABEL


def test_five_classes_are_printed() -> None:
    result = ok(
        model_of("mobilenet_v1_0.25_128_quant"),
        *("--input", image_of("grace_hopper.bmp")),
        *("--labels", image_of("imagenet_labels.txt")),
    )
    lines = result.stdout.split("\n\n")[0].splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(r"  0\.\d{4}  \S.*", line) for line in lines)
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "emulated on this computer" in result.stdout
    assert result.stderr == ""


def test_json_has_everything(folder: Path) -> None:
    report = json.loads(ok(folder / "one.tflite", "--input", folder / "grey.png", "--json").stdout)
    assert set(report) == {
        *("model", "device", "task", "classes", "outputs", "operators", "npu_operators"),
        *("npu_kinds", "cpu_operators", "partitions", "times_ms", "runs", "notes"),
        *("board", "blocking"),
    }
    assert set(report["times_ms"]) == {"load", "compile", "first_run", "run"}
    assert report["task"] == "classification"
    assert report["partitions"] == [[0]]
    assert [set(each) for each in report["classes"]] == [{"class", "label", "score"}] * 5


def test_top(folder: Path) -> None:
    arguments = (folder / "one.tflite", "--input", folder / "grey.png", "--json", "--top")
    for top, wanted in ((1, 1), (3, 3), (99, 10)):
        report = json.loads(ok(*arguments, top).stdout)
        assert len(report["classes"]) == wanted


@pytest.mark.parametrize(
    "content",
    ["\n".join(f"name {i}" for i in range(10)), "\n".join(f"{i}: name {i}" for i in range(10)),
     "\r\n".join(f"{i} name {i}" for i in reversed(range(10))),
     "\n".join(f"  name {i} " for i in range(10)) + "\n\n"],
)  # fmt: skip
def test_forms_of_a_label_file(folder: Path, content: str) -> None:
    (folder / "labels.txt").write_text(content, encoding="utf-8")
    arguments = (folder / "one.tflite", "--input", folder / "grey.png", "--json")
    report = json.loads(ok(*arguments, "--labels", folder / "labels.txt").stdout)
    for each in report["classes"]:
        assert each["label"] == f"name {each['class']}"


def test_classes_without_a_name_keep_their_number(folder: Path) -> None:
    """And a list of the wrong length is pointed out: it may be shifted."""
    (folder / "labels.txt").write_text("only one")
    arguments = (folder / "one.tflite", "--input", folder / "grey.png", "--top", "10")
    result = ok(*arguments, "--labels", folder / "labels.txt")
    assert "labels.txt: it has 1 names, the model 10 classes" in result.stderr
    assert "only one" in result.stdout
    assert "class 9" in result.stdout


def test_labels_can_not_command_the_terminal(folder: Path) -> None:
    (folder / "labels.txt").write_text("\x1b]0;title\x07\x1b[31mred\n" * 10)
    arguments = (folder / "one.tflite", "--input", folder / "grey.png")
    result = ok(*arguments, "--labels", folder / "labels.txt")
    assert "red" in result.stdout
    assert "\x1b" not in result.stdout
    assert "title" not in result.stdout


# ----------------------------------------------------------------------------- inputs and outputs


def test_several_inputs_and_the_outputs_file(folder: Path) -> None:
    out = folder / "out.npz"
    result = ok(
        folder / "two.tflite", "--input", folder / "a.npy", "--input", folder / "b.npy",
        "--output", out,
    )  # fmt: skip
    assert "output_0  sum  uint8 1x4x4x8" in result.stdout
    interpreter = litert.Interpreter(str(folder / "two.tflite"))
    interpreter.allocate_tensors()
    for i, name in enumerate("ab"):
        interpreter.set_tensor(i, np.load(folder / f"{name}.npy"))
    interpreter.invoke()
    with np.load(out) as arrays:
        assert arrays.files == ["output_0", "output_1"]
        for name, detail in zip(arrays.files, interpreter.get_output_details(), strict=True):
            wanted = interpreter.get_tensor(detail["index"])
            assert arrays[name].dtype == wanted.dtype
            assert np.abs(arrays[name].astype(int) - wanted).max() <= 1
    assert sorted(path.name for path in folder.glob("*out*")) == ["out.npz"]


def test_too_few_inputs_are_listed(folder: Path) -> None:
    code, text = failure(folder / "two.tflite", "--input", folder / "a.npy")
    assert code == ExitCode.USAGE
    assert "has 2 inputs: a (uint8 [1, 4, 4, 8]), b (uint8 [1, 4, 4, 3])" in text
    assert "given 1 time" in text


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("float.npy", "float32 of shape .* takes uint8"),
        ("a.npy", r"shape \[1, 4, 4, 8\], but input b takes uint8 of shape \[1, 4, 4, 3\]"),
        ("several.npy", "several arrays"),
        ("objects.npy", "plain numbers"),
        ("text.npy", "plain numbers"),
        ("missing.npy", "no such file"),
        ("missing.png", "no such file"),
        (".", "found a folder; allowed: a picture .* or an .npy file"),
        ("two.tflite", "can't be read: .*; allowed: a picture .* or an .npy file"),
    ],
)
def test_inputs_that_do_not_fit(folder: Path, name: str, wanted: str) -> None:
    code, text = failure(
        folder / "two.tflite", "--input", folder / "a.npy", "--input", folder / name
    )
    assert code == ExitCode.INVALID_FILE
    assert re.search(wanted, text), text


def test_an_array_may_lack_dimensions_of_one(folder: Path) -> None:
    np.save(folder / "flat.npy", np.array([7], np.uint8))
    ok(folder / "one.tflite", "--input", folder / "flat.npy")


@pytest.mark.parametrize("option", ["--output", "--save-image"])
@pytest.mark.parametrize("place", ["none/x.png", "folder.png", "locked/x.png"])
def test_places_that_can_not_be_written(
    folder: Path, option: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before the model runs."""
    (folder / "folder.png").mkdir()
    (folder / "locked").mkdir()
    # Root may write anywhere.
    monkeypatch.setattr("os.access", lambda path, _mode: "locked" not in str(path))
    arguments = ("none.tflite", "--input", folder / "grey.png", option, folder / place)
    code, text = failure(*arguments)
    assert code == ExitCode.INVALID_FILE
    assert "can't be written" in text


# ------------------------------------------------------------------------------- options, devices


def test_a_device_that_is_not_there(folder: Path) -> None:
    code, text = failure(
        folder / "one.tflite", "--input", folder / "grey.png", device="/dev/dri/no_such_node"
    )
    assert code == ExitCode.NO_DEVICE
    assert "/dev/dri/no_such_node" in text
    assert "no such device node" in text
    assert "--device emulator:a311d" in text


def test_auto_never_means_the_emulator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapilli.device.open.NODES", folder)
    code, text = failure(folder / "one.tflite", "--input", folder / "grey.png", device=None)
    assert code == ExitCode.NO_DEVICE
    assert "no NPU found" in text
    assert "--device emulator:a311d" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--top", "0"),
        ("--top", "many"),
        ("--task", "poetry"),
        ("--threshold", "1.5"),
        ("--threshold", "nan"),
        ("--runs", "0"),
        ("--save-image", "out.xyz"),
        ("--schedule", "none"),
        ("--task", "detection"),
        ("--threshold", "0.3"),
        ("--save-image", "out.png"),
        ("--no-such-option",),
    ],
)
def test_options_that_can_not_be(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The last ones do not go with a classifier."""
    monkeypatch.chdir(tmp_path)
    code, text = failure(folder / "one.tflite", "--input", folder / "grey.png", *options)
    assert code == ExitCode.USAGE
    assert text


def test_a_task_can_be_chosen(folder: Path) -> None:
    arguments = (folder / "one.tflite", "--input", folder / "grey.png", "--json", "--task")
    assert "classes" in json.loads(ok(*arguments, "classification").stdout)
    raw = json.loads(ok(*arguments, "raw").stdout)
    assert raw["task"] == "raw"
    assert "classes" not in raw
    code, text = failure(folder / "two.tflite", "--task", "classification")
    assert code == ExitCode.USAGE
    assert "two.tflite can't be read as classification" in text
    assert "[1, 4, 4, 8], [1, 4, 4, 8]" in text


def test_strict_names_what_stays_on_the_cpu() -> None:
    code, text = failure(DIGITS, "--strict")
    assert code == ExitCode.UNSUPPORTED
    assert re.search(r"1 operator would stay on the CPU; the first is operator \d+, SOFTMAX", text)


def test_strict_with_nothing_on_the_cpu(folder: Path) -> None:
    result = ok(folder / "one.tflite", "--input", folder / "grey.png", "--strict")
    assert "CPU      nothing" in result.stdout


def test_a_model_with_nothing_for_the_npu_runs_on_the_cpu_and_says_so(folder: Path) -> None:
    result = ok(folder / "float.tflite", "--input", folder / "grey.png")
    assert "NPU      nothing: all of it ran on the CPU" in result.stdout
    assert "there is nothing in float.tflite that the NPU takes, so all of it" in result.stderr
    assert "float32" in result.stderr
    assert "emulated on this computer" not in result.stdout and "Board" not in result.stdout
    code, text = failure(folder / "float.tflite", "--input", folder / "grey.png", "--strict")
    assert code == ExitCode.UNSUPPORTED
    assert "takes none of its 1 operators" in text


def test_the_boards_modelled_time_stands_beside_the_emulators(folder: Path) -> None:
    sample = folder / "digit.npy"
    np.save(sample, np.zeros((1, 16, 16, 1), np.uint8))
    result = ok(DIGITS, "--input", sample)
    words = " ".join(result.stdout.split())
    assert "no measure of the NPU's speed) Board modelled for the a311d: " in words
    assert "how sure: fitted, 4 % rms, worst 7 %" in words
    assert words.endswith("Next " + to_type("explain", str(DIGITS), "a311d"))
    report = json.loads(ok(DIGITS, "--input", sample, "--json").stdout)
    profile = json.loads(call("profile", DIGITS, "--no-run", "--json").stdout)
    assert report["board"]["npu_seconds"] == profile["totals"]["npu_seconds"]
    assert report["blocking"] == profile["blocking"]


def test_a_model_that_litert_refuses(folder: Path) -> None:
    """With LiteRT's reason, not with that of the delegate, which was not asked."""
    (folder / "x.tflite").write_bytes(refused_by_litert())
    code, text = failure(folder / "x.tflite", "--input", folder / "grey.png")
    assert code == ExitCode.INVALID_FILE
    assert "LiteRT refuses the model" in text
    assert "Nobody" in text


def test_missing_and_broken_models(folder: Path) -> None:
    (folder / "broken.tflite").write_bytes(b"not a model")
    for name in ("missing.tflite", "broken.tflite", "."):
        code, _ = failure(folder / name, "--input", folder / "grey.png")
        assert code == ExitCode.INVALID_FILE


def test_one_line_and_no_traceback_in_a_terminal(folder: Path) -> None:
    """The whole program once: LiteRT's own messages do not get between ours."""
    for arguments, code in (
        (["float.tflite", "--input", "grey.png", "--strict"], ExitCode.UNSUPPORTED),
        (["one.tflite", "--input", "missing.png"], ExitCode.INVALID_FILE),
        (["one.tflite", "--input", "grey.png", "--top", "0"], ExitCode.USAGE),
        (["one.tflite", "--input", "grey.png", "--task", "detection"], ExitCode.USAGE),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "lapilli", "run", *arguments, "--device", DEVICE],
            cwd=folder, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": IMPORTABLE},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("lapilli")


def test_the_fastest_of_several_runs(folder: Path) -> None:
    result = ok(folder / "one.tflite", "--input", folder / "grey.png", "--runs", "3")
    assert "fastest of 3 more" in click.unstyle(" ".join(result.stdout.split()))
