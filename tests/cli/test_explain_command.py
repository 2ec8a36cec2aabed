"""``lapilli explain``: what is on the NPU, what on the CPU, and why."""

from __future__ import annotations

import json

import pytest
from command_line import call
from places import DIGITS
from shared_data import shared_data

from lapilli.errors import ExitCode


def test_explain_tells_npu_and_cpu_with_the_rule() -> None:
    result = call("explain", DIGITS)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["#", "operator", "shapes", "MAC%", "on", "why"]
    assert lines[1].split()[:2] == ["0", "CONV_2D"] and lines[1].endswith("NPU")
    assert lines[11].split()[:2] == ["10", "SOFTMAX"] and lines[11].endswith("CPU  1")
    words = " ".join(result.stdout.split())
    assert "1 The NPU takes no SOFTMAX. Broken by operator 10. What it would bring: " in words
    assert "1 operator, 0.0 % of the MACs, 1 part instead of 1." in words
    assert "digits.tflite on a311d: 10 of 11 operators and 100.0 % of" in result.stdout
    assert "\x1b" not in result.stdout


def test_explain_json_has_all_of_it() -> None:
    found = json.loads(call("explain", DIGITS, "--json").stdout)
    assert set(found) == {
        "model",
        "chip",
        "operators",
        "runs",
        "reasons",
        "summary",
        "per_channel",
        "notes",
    }
    assert (found["summary"]["on_npu"], found["summary"]["npu_parts"]) == (10, 1)
    assert found["operators"][0]["on"] == "NPU" and found["operators"][0]["rule"] is None
    last = found["operators"][-1]
    assert (last["on"], last["rule"], last["found"]) == ("CPU", "operator", "SOFTMAX")
    assert last["broken"] == [{key: last[key] for key in ("rule", "allowed", "found", "remedy")}]
    assert found["operators"][0]["broken"] == []
    assert [(r["rule"], r["kind"], r["operators"], r["alone"]) for r in found["reasons"]] == [
        ("operator", "SOFTMAX", [10], [10]),
    ]
    assert [run["on"] for run in found["runs"]] == ["NPU", "CPU"]
    assert found["runs"][0]["bytes_in"] == 256


def test_explain_counts_mobilenets_multiplications() -> None:
    path = shared_data() / "models" / "mobilenet_v1_1.0_224_quant.tflite"
    found = json.loads(call("explain", path, "--json").stdout)
    assert found["summary"]["macs"] == 568_741_376  # 569 million in the MobileNet paper
    assert found["summary"]["mac_share_on_npu"] == 1.0


@pytest.mark.parametrize(
    "name", ["movenet_single_pose_lightning_ptq", "ssdlite_mobiledet_coco_qat_postprocess"]
)
@pytest.mark.parametrize("columns", [80, 120])
def test_explain_keeps_to_the_width(
    monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = shared_data() / "models" / f"{name}.tflite"
    lines = call("explain", path).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    operators = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert operators == list(map(str, range(len(operators))))


def test_explain_strict_reports_and_exits_with_4() -> None:
    result = call("explain", DIGITS, "--strict", "--json")
    assert result.exit_code == ExitCode.UNSUPPORTED
    assert json.loads(result.stdout)["summary"]["on_npu"] == 10
    assert len(result.stderr.splitlines()) == 1


def test_explain_leaves_small_parts_to_the_cpu_if_asked() -> None:
    result = call("explain", DIGITS, "--min-partition", 11, "--json")
    report = json.loads(result.stdout)
    assert report["summary"]["on_npu"] == 0
    first = report["operators"][0]
    assert (first["rule"], first["found"]) == ("min_partition", "a part of 10")
