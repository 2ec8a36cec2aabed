"""``lapilli fit``: one screen that says whether a model fits, how fast it is, and what is in the
way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import assert_one_line, call
from models import ModelBuilder
from places import DIGITS

from lapilli.cli.text import to_type
from lapilli.errors import ExitCode
from lapilli.profile.fit import timed_chips
from lapilli.timing.evidence import evidence_of


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """A model of which the NPU takes no operator."""
    builder = ModelBuilder()
    image = builder.input((1, 6, 6, 4), 0.02, 128)
    made = builder.tensor((1, 6, 6, 4), 1 / 256, 0)
    builder.operator("SOFTMAX", [image], [made], ("SoftmaxOptions", {"Beta": 1.0}))
    path = tmp_path / "nothing.tflite"
    path.write_bytes(builder.build([made]))
    return path


def test_the_first_sentence_is_the_answer_and_the_last_lines_what_to_type() -> None:
    result = call("fit", DIGITS)
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert words.startswith(
        "digits.tflite fits: the NPU does 100 % of its multiplications; modelled, "
    )
    assert "frames a second on the a311d and" in words and "on the imx8mp." in words
    assert "1 The NPU takes no SOFTMAX. Broken by operator 10. Solved: 1 operator more" in words
    assert "Next: " + to_type("explain", str(DIGITS), "a311d") in words


def test_the_json_has_all_chips_with_times_and_how_sure_they_are() -> None:
    found = json.loads(call("fit", DIGITS, "--json").stdout)
    assert [chip["chip"] for chip in found["chips"]] == ["a311d", "imx8mp"]
    assert [chip.name for chip in timed_chips()] == ["a311d", "imx8mp"]
    for chip in found["chips"]:
        assert chip["evidence"] == evidence_of(chip["chip"]).to_dict()
        low, high = chip["inference_seconds_low"], chip["inference_seconds_high"]
        assert low < chip["inference_seconds"] < high
        assert chip["inference_seconds"] == chip["npu_seconds"] + chip["host_seconds"]
        assert chip["frames_a_second_high"] == pytest.approx(1 / low)
        assert sum(chip["cycles_by_bound"].values()) > 0
        assert chip["memory_bytes"] > chip["tensor_bytes"] + chip["coefficient_bytes"]
        assert (chip["operators_on_npu"], chip["npu_parts"], chip["verdict"]) == (10, 1, "fits")
        (reason,) = chip["reasons"]
        assert (reason["kind"], reason["operators"], reason["alone"]) == ("SOFTMAX", [10], [10])
    assert found["per_channel"] is None and found["notes"] == []


def test_its_npu_time_is_the_profiles(tmp_path: Path) -> None:
    fit = json.loads(call("fit", DIGITS, "--chip", "imx8mp", "--json").stdout)
    device = ("--device", "emulator:imx8mp", "--no-run", "--json")
    profile = json.loads(call("profile", DIGITS, *device).stdout)
    (chip,) = fit["chips"]
    assert chip["npu_seconds"] == profile["totals"]["npu_seconds"]
    assert chip["evidence"] == profile["evidence"]


def test_strict_ends_with_4_and_names_how_much_is_left() -> None:
    result = call("fit", DIGITS, "--strict")
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert len(result.stderr.splitlines()) == 1
    assert (
        "1 of 11 operators, 0.0 % of the MACs would stay on the CPU of the a311d" in result.stderr
    )


def test_a_model_with_nothing_for_the_npu_does_not_fit_and_is_no_error(nothing: Path) -> None:
    result = call("fit", nothing)
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing.tflite does not fit: there is nothing in it that ")
    assert "frames" not in result.stdout
    (chip,) = json.loads(call("fit", nothing, "--chip", "a311d", "--json").stdout)["chips"]
    assert (chip["verdict"], chip["npu_seconds"], chip["memory_bytes"]) == ("does not fit", 0, 0)
    assert call("fit", nothing, "--strict").exit_code == ExitCode.UNSUPPORTED


def test_a_chip_without_times_is_refused() -> None:
    result = call("fit", DIGITS, "--chip", "vipnano-qi-7131")
    assert_one_line(result, ExitCode.UNSUPPORTED, "no timing constants", "a311d, imx8mp")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_keeps_to_the_width(monkeypatch: pytest.MonkeyPatch, folder: Path, columns: int) -> None:
    (folder / "digits.tflite").write_bytes(DIGITS.read_bytes())
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = call("fit", "digits.tflite").stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= (45 if columns < 80 else 30)
