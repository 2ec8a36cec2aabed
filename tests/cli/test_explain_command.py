"""``lapilli explain``: what is on the NPU, what on the CPU, and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import call
from places import DIGITS
from shared_data import shared_data

from lapilli.cli.text import to_type
from lapilli.errors import ExitCode


def table_of(output: str) -> list[str]:
    """The operators' rows."""
    lines = output.splitlines()
    (head,) = (i for i, line in enumerate(lines) if line.split()[:2] == ["#", "operator"])
    assert lines[head].split()[3:] == ["MAC%", "on", "why"]
    return lines[head + 1 : head + lines[head:].index("")]


def test_explain_answers_first_then_says_why_then_shows_the_operators() -> None:
    result = call("explain", DIGITS)
    assert result.exit_code == 0
    assert result.stdout.startswith("digits.tflite fits: the NPU does 100 % of its")
    rows = table_of(result.stdout)
    assert rows[0].split()[:2] == ["0", "CONV_2D"] and rows[0].endswith("NPU")
    assert rows[-1].split()[:2] == ["10", "SOFTMAX"] and rows[-1].endswith("CPU  1")
    words = " ".join(result.stdout.split())
    assert "1 The NPU takes no SOFTMAX. Broken by operator 10. What it would bring: " in words
    assert "1 operator, 0.0 % of the MACs, 1 part instead of 1." in words
    order = [words.index(text) for text in ("fits", "Why operators", "Execution order", "# oper")]
    assert order == sorted(order)
    assert words.endswith("Next: " + to_type("profile", str(DIGITS), "a311d"))
    assert "\x1b" not in result.stdout


def test_equal_operators_share_a_row_unless_all_are_asked_for() -> None:
    path = shared_data() / "models" / "mobilenet_v1_1.0_224_quant.tflite"
    folded = table_of(call("explain", path, "--min-partition", 2).stdout)
    everything = table_of(call("explain", path, "--min-partition", 2, "--all").stdout)
    assert [row.split()[0] for row in everything] == list(map(str, range(31)))
    assert len(folded) == 23
    (row,) = (row for row in folded if row.startswith("14 +4"))
    assert "1x14x14x512 -> 1x14x14x512" in row and " 45.2  NPU" in row


def test_all_says_of_each_operator_what_was_found() -> None:
    path = shared_data() / "models" / "movenet_single_pose_lightning_ptq.tflite"
    rows = table_of(call("explain", path, "--all", "--per-channel", "off").stdout)
    first = next(i for i, row in enumerate(rows) if row.split()[:2] == ["1", "QUANTIZE"])
    assert rows[first + 1].strip() == "eight_bit: Cast is float32"


def test_explain_json_has_all_of_it() -> None:
    found = json.loads(call("explain", DIGITS, "--json").stdout)
    assert set(found) == {
        "model",
        "chip",
        "operators",
        "runs",
        "fit",
        "reasons",
        "partition",
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


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_explain_keeps_to_the_width(
    monkeypatch: pytest.MonkeyPatch, folder: Path, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "movenet_single_pose_lightning_ptq.tflite"
    shutil.copy(shared_data() / "models" / name, "model.tflite")
    output = call("explain", "model.tflite", "--per-channel", "off").stdout
    assert max(map(len, output.splitlines())) <= columns
    assert not any("…" in row for row in table_of(output))


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
