"""Profiles: sums, what is measured and what modelled, tables, JSON, comparisons, the delegate."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from places import REPOSITORY
from profiles import (
    CHIP,
    DEVICE,
    DIGITS,
    HOSTILE,
    digits,
    hostile,
    hostile_model,
    profile_of,
    with_cpu_operators,
)
from recorded_jobs import RECORDED as DRIVERS
from shared_data import shared_data
from virtual_npu import NODE, board, chip_called

from lapilli.cli import commands, text
from lapilli.cli.profile import report_lines
from lapilli.compiler import stages as compiler
from lapilli.device import open as opening
from lapilli.emulator.work import time_stream
from lapilli.errors import ExitCode, UsageError
from lapilli.profile import comparison, json_report, rows
from lapilli.profile.assemble import profile_program, profile_recording
from lapilli.profile.delegate import Delegate
from lapilli.profile.events import Origin, Processor
from lapilli.profile.node_data import to_node_data
from lapilli.program import program_file, recording
from lapilli.timing.cycles import Bound, total_cycles

DOCUMENT = REPOSITORY / "docs" / "profile.md"
RECORDED = (
    *("mobilenet_v1_0.25_128_quant.part0", "mobilenet_v1_0.25_128_quant.part1"),
    *("mobilenet_v1_1.0_224_quant.part0", "mobilenet_v1_1.0_224_quant.part1"),
    *("mobilenet_v2_1.0_224_quant.part0", "mobilenet_v2_1.0_224_quant.part1"),
    "ssdlite_mobiledet_coco_qat_postprocess.part0",
)
SUMS = (
    *("macs", "macs_dense", "macs_useful", "bytes", "bytes_input", "bytes_output"),
    *("bytes_coefficients", "bytes_instruction", "bytes_on_chip"),
    *("coefficients_stored", "coefficients_dense"),
)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(a) for a in arguments])


def model(name: str) -> Path:
    return shared_data() / "models" / f"{name}.tflite"


# --- Sums ---


def check_sums(found: Any) -> None:
    """Jobs add up to operators, operators and parts to the whole."""
    report = json_report.to_json(found)
    total, operators, jobs = report["totals"], report["operators"], report["jobs"]
    assert sum(row["cycles"] for row in operators) == total["npu_cycles"]
    assert sum(job["cycles"] for job in jobs) == total["npu_cycles"]
    assert sum(part["cycles"] for part in report["parts"]) == total["npu_cycles"]
    assert sum(total["cycles_by_bound"].values()) == total["npu_cycles"]
    for key in SUMS:
        assert sum(row[key] for row in operators) == total[key], key
        if key != "macs":
            assert sum(job[key] for job in jobs) == total[key], key
    assert sum(row["share"] for row in operators if row["on"] == "NPU") == pytest.approx(1)
    on_npu = sum(row["seconds"] for row in operators if row["on"] == "NPU")
    assert on_npu == pytest.approx(total["npu_seconds"])
    for row in operators:
        assert sum(jobs[i]["cycles"] for i in row["jobs"]) == row["cycles"]
        parts = ("bytes_instruction", "bytes_coefficients", "bytes_input", "bytes_output")
        assert sum(row[key] for key in parts) == row["bytes"]
    assert sorted(i for row in operators for i in row["jobs"]) == list(range(len(jobs)))


def test_totals_are_the_sums_of_operators_and_jobs() -> None:
    check_sums(digits())
    check_sums(digits(measured=True))


def test_totals_of_a_larger_model_and_its_times_are_those_of_the_stream() -> None:
    path = model("mobilenet_v1_0.25_128_quant")
    found = profile_of(path)
    check_sums(found)
    program = compiler.compile_model(path)
    times = [time_stream(part.commands, part.buffers, CHIP) for part in program.parts]
    assert [part.cycles for part in found.parts] == [total_cycles(each) for each in times]
    flat = [time for each in times for time in each]
    assert [job.cycles for job in found.jobs] == [time.cycles for time in flat]
    assert [job.cycles.bound for job in found.jobs] == [time.bound for time in flat]


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_takes_what_the_reference_schedule_takes_to_the_cycle(
    name: str, chip: str
) -> None:
    stem, _, part = name.partition(".part")
    recorded = recording.load(shared_data() / "recordings" / chip / "models" / f"{name}.npz")
    theirs = profile_recording(recorded, chip_called(chip), name)
    ours = profile_of(model(stem), schedule="reference", chip=chip, options=DRIVERS)
    own = [job for job in ours.jobs if job.part == int(part)]
    assert [job.cycles for job in theirs.jobs] == [job.cycles for job in own]
    assert theirs.npu_cycles == ours.parts[int(part)].cycles
    check_sums(theirs)


def test_every_operator_has_a_row_in_execution_order() -> None:
    found = profile_of(model("deeplabv3_mnv2_dm05_pascal_quant"))
    operators = sorted(i for op in found.operators for i in op.operators)
    assert operators == list(range(72))
    seen = [segment.processor for segment in found.segments]
    assert seen == [Processor.NPU, Processor.CPU] * (len(seen) // 2)
    assert all(a.end == b.start for a, b in zip(found.segments, found.segments[1:], strict=False))


def test_an_operation_waits_for_those_that_made_its_input() -> None:
    found = profile_of(model("mobilenet_v2_1.0_224_quant"))
    additions = [job for job in found.jobs if job.kind == "addition"]
    assert additions
    for job in additions:
        makers = {o.operation: o.row for o in found.jobs}
        before = {row for row, after in found.edges if after == job.row}
        assert {makers[operation] for operation in job.after} == before
        assert len(before) == 2


# --- Measured and modelled ---


def test_what_runs_on_the_cpu_is_measured_between_nodes_and_stays_apart() -> None:
    modelled, found = digits(), digits(measured=True)
    cpu = found.operators[-1]
    assert (cpu.processor, cpu.operators, cpu.kind) == (Processor.CPU, (10,), "SOFTMAX")
    assert cpu.origin is Origin.MEASURED
    assert cpu.seconds == pytest.approx(0.003)
    assert found.npu_cycles == modelled.npu_cycles
    assert found.copying_seconds == pytest.approx(0.002)
    assert found.executing_seconds is None
    assert any("measured on this machine" in note for note in found.notes)


def test_without_a_run_the_cpu_has_no_time() -> None:
    found = digits()
    assert found.operators[-1].seconds is None
    assert found.cpu_seconds is None
    assert any("not measured" in note for note in found.notes)


def test_a_board_has_the_time_from_submit_to_fence() -> None:
    from lapilli.litert.node_times import NodeTimes
    from lapilli.profile.measured import Measured

    node = NodeTimes(tuple(range(10)), 1.0, 1.5, 3.5, 4.0)
    found = profile_of(DIGITS, Measured(0.0, 5.0, (node,), True))
    assert found.executing_seconds == pytest.approx(2)
    assert "measured" in found.notes[0]


def test_a_board_is_run_and_its_parts_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    machine = board()
    monkeypatch.setattr(opening, "this_machine", lambda: machine.system)
    result = call("profile", DIGITS, "--device", NODE, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["totals"]["npu_seconds_measured"] == report["parts"][0]["seconds_measured"] > 0
    assert report["totals"]["npu_cycles"] == digits().npu_cycles
    assert report["operators"][0]["origin"] == "modelled"
    assert machine.left[0] == machine.left[2] == 0


def test_the_delegate_keeps_the_times_of_its_last_inference() -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    delegate = Delegate(DEVICE, profile=True)
    made = interpreter.Interpreter(str(DIGITS), experimental_delegates=[delegate])
    made.allocate_tensors()
    assert delegate.last_profile is None
    for _ in range(2):
        made.invoke()
    (node,) = delegate.last_nodes
    assert node.operators == tuple(range(10))
    assert node.start <= node.written <= node.executed <= node.end
    found = delegate.last_profile
    assert found is not None
    assert found.npu_cycles == digits().npu_cycles
    assert found.copying_seconds == pytest.approx(node.copying)
    plain = Delegate(DEVICE)
    assert plain.last_profile is None and plain.last_nodes == ()


def test_profile_is_a_switch() -> None:
    with pytest.raises(UsageError, match="profile is True or False, not 1"):
        Delegate(DEVICE, profile=1)  # type: ignore[arg-type]


# --- Tables, CSV, JSON ---


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_the_screen(width: int) -> None:
    for found in (digits(measured=True), hostile()):
        for line in report_lines(found, "time", True, width):
            assert len(line) <= width
            assert line.isprintable()


def test_a_wide_table_has_more_columns() -> None:
    heads = [
        next(line for line in report_lines(digits(), "order", False, width) if "bound by" in line)
        for width in (80, 130, 220)
    ]
    assert len(heads[0].split()) < len(heads[1].split()) < len(heads[2].split())
    for word in ("operator", "ms", "%", "useful", "util%", "KiB"):
        assert word in heads[0]
    for word in ("cycles", "GB/s", "weights"):
        assert word in heads[1]


def test_rows_are_sorted_from_high_to_low() -> None:
    found = rows.by(rows.operator_rows(digits(measured=True)), "time")
    times = [row["seconds"] for row in found]
    assert times == sorted(times, reverse=True)
    with pytest.raises(UsageError, match="can't sort by 'colour'; allowed: order, time"):
        rows.by(found, "colour")


def test_csv_has_every_row_and_no_formula() -> None:
    found = list(csv.DictReader(io.StringIO(json_report.to_csv(hostile()))))
    assert [row["name"] for row in found][-1].startswith("'=cmd")
    assert len(found) == len(HOSTILE)
    assert all(cell.isprintable() for row in found for cell in row.values())
    jobs = list(csv.DictReader(io.StringIO(json_report.to_csv(digits(), jobs=True))))
    assert sum(int(row["cycles"]) for row in jobs) == digits().npu_cycles


def keys_of(value: Any) -> set[str]:
    """All keys of objects in it, but those that are names of bounds."""
    if isinstance(value, list):
        return set().union(*(keys_of(each) for each in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    bounds = {bound.value for bound in Bound}
    return (set(value) - bounds).union(*(keys_of(each) for each in value.values()))


def test_every_key_of_the_json_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text("utf-8")))
    a, b = digits(measured=True), profile_of(DIGITS, schedule="reference")
    for report in (json_report.to_json(a), comparison.to_json(a, b)):
        assert keys_of(json.loads(json.dumps(report))) - documented == set()


def test_node_data_is_keyed_by_output_tensors() -> None:
    found = digits(measured=True)
    data = to_node_data(found)
    results = data["main"]["results"]
    assert list(results)[:2] == ["stem", "down"]
    assert results["stem"]["value"] == pytest.approx(found.operators[0].seconds * 1e3, abs=1e-6)
    assert results["probabilities"]["value"] == pytest.approx(3.0)
    together = to_node_data(with_cpu_operators())["main"]["results"]
    assert list(together) == ["made"], "the others are measured together"
    assert [stop["stop"] for stop in data["main"]["gradient"]] == [0, 0.5, 1]


def test_operators_that_share_a_name_have_an_entry_each() -> None:
    """By their index, which is Model Explorer's id of a node; a missing name is no key either."""
    found = digits(measured=True)
    first, second, *others = [op.operators[0] for op in found.operators if len(op.operators) == 1]
    for shared, left in (("same", 2), ("", 2)):
        names = {**found.output_names, first: (shared,), second: (shared,)}
        results = to_node_data(replace(found, output_names=names))["main"]["results"]
        assert {str(first), str(second)} <= set(results)
        assert shared not in results
        assert len(results) == len(others) + left


# --- Comparisons ---


def test_schedules_are_compared_operator_by_operator() -> None:
    path = model("mobilenet_v1_0.25_128_quant")
    a, b = profile_of(path, schedule="reference"), profile_of(path)
    report = comparison.to_json(a, b)
    on_npu = [row for row in report["operators"] if row["on_a"] == "NPU"]
    assert sum(row["seconds_difference"] for row in on_npu) == pytest.approx(
        report["totals"]["npu_seconds_difference"], abs=1e-12
    )
    assert sum(row["bytes_b"] for row in on_npu) == report["totals"]["bytes_b"]


def test_a_recording_is_matched_with_the_model_by_what_instructions_do() -> None:
    name = "mobilenet_v1_0.25_128_quant"
    recorded = recording.load(
        shared_data() / "recordings" / "a311d" / "models" / f"{name}.part0.npz"
    )
    a = profile_of(model(name), schedule="reference", options=DRIVERS)
    found = comparison.pairs(a, profile_recording(recorded, CHIP, name))
    both = [pair for pair in found if pair.a and pair.b]
    assert len(both) == 30
    assert all(pair.a.seconds == pair.b.seconds for pair in both if pair.a and pair.b)
    assert all(pair.a.part == 1 for pair in found if pair.a and not pair.b)


# --- The commands ---


def test_a_program_is_profiled_without_its_model(tmp_path: Path) -> None:
    path = tmp_path / "digits.lapilli"
    program = compiler.compile_model(DIGITS)
    program_file.save(program, path)
    result = call("profile", path, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["source"] == "program"
    assert report["totals"]["npu_cycles"] == digits().npu_cycles
    assert len(report["operators"]) == 9
    check_sums(profile_program(program, DEVICE))


@pytest.mark.parametrize("schedule", ["best", "reference"])
def test_where_tensors_lie_is_in_the_report(schedule: str) -> None:
    """Every tensor inside its part's memory, alone there while it is needed."""
    profile = profile_of(DIGITS, schedule=schedule)
    found = json_report.to_json(profile)["parts"][0]["memory"]
    regions = found["regions"]
    assert max(r["start"] + r["bytes"] for r in regions) <= found["bytes"]
    for number, alive in enumerate(found["alive_by_job"]):
        here = [r for r in regions if r["first_job"] <= number <= r["last_job"]]
        assert sum(r["bytes"] for r in here) == alive <= found["bytes"]
        here.sort(key=lambda r: r["start"])
        for one, other in itertools.pairwise(here):
            assert one["start"] + one["bytes"] <= other["start"]


def test_profile_writes_all_it_is_asked_for(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("p.csv", "t.json", "p.html", "n.json")}
    result = call(
        "profile", DIGITS, "--csv", files["p.csv"], "--trace", files["t.json"],
        "--html", files["p.html"], "--node-data", files["n.json"], "--sort", "time",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("digits.tflite on a311d, 800 MHz")
    assert "CPU, measured" in result.stdout
    assert len(result.stderr.splitlines()) == 4
    assert json.loads(files["t.json"].read_text(encoding="utf-8"))["traceEvents"]
    assert files["p.html"].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_inputs_are_run_and_must_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 2, 2, 1), np.uint8))
    result = call("profile", DIGITS, "--input", tmp_path / "x.npy")
    assert result.exit_code == ExitCode.INVALID_FILE
    result = call("profile", DIGITS, "--input", tmp_path / "x.npy", "--input", tmp_path / "x.npy")
    assert result.exit_code == ExitCode.USAGE
    assert "has 1 input: image (uint8 [1, 16, 16, 1]); --input was given 2 times" in result.stderr


def test_wrong_files_end_in_one_line(tmp_path: Path) -> None:
    for arguments, code, part in (
        (("profile", "x.onnx"), ExitCode.USAGE, "allowed: .tflite, .lapilli, .npz"),
        (("profile", tmp_path / "none.tflite"), ExitCode.INVALID_FILE, "none.tflite"),
        (("profile", DIGITS, "--device", "emulator:none"), ExitCode.USAGE, "unknown chip"),
        (("compare", DIGITS, "x"), ExitCode.USAGE, "unknown kind of file"),
    ):
        result = call(*arguments)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        assert part in result.stderr and len(result.stderr.splitlines()) == 1


def test_compare_prints_both_and_the_difference() -> None:
    result = call("compare", DIGITS, DIGITS, "--schedule-a", "reference")
    assert result.exit_code == 0, result.output
    assert "A: digits.tflite on a311d, schedule reference" in result.stdout
    assert "B-A" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_hostile_names_stay_text_on_the_screen(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(hostile_model())
    for arguments in (("profile", path, "--jobs"), ("compare", path, path)):
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        assert all(line.isprintable() for line in result.stdout.splitlines())
    assert text.clean(HOSTILE[2]).isprintable()
