"""The trace file itself: valid events, slices that nest, arrows with two ends, sums that hold."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import HOSTILE, digits, hostile, made_up, profile_of
from shared_data import shared_data

from lapilli.profile.events import Profile
from lapilli.profile.trace import CPU, NN, NPU, TP, events_of, to_trace

Event = dict[str, Any]
REQUIRED = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "M": {"name", "pid", "tid", "args"},
    "C": {"name", "pid", "tid", "ts", "args"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "pid", "tid", "ts", "bp"},
}


def nanoseconds(value: float) -> int:
    """Microseconds as the trace has them are whole nanoseconds."""
    found = round(value * 1000)
    assert abs(found - value * 1000) < 1e-3
    return found


def check_trace(profile: Profile) -> list[Event]:
    """Everything that a trace must be; its events as a reader of the file gets them."""
    trace = json.loads(json.dumps(to_trace(profile), allow_nan=False))
    events: list[Event] = trace["traceEvents"]
    for event in events:
        assert set(event) == REQUIRED[event["ph"]] | {"ph"}
        assert event.get("ts", 0) >= 0 and event.get("dur", 1) > 0
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert named >= {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    tops = check_slices(events)
    check_flows(events)
    check_counters(events)
    check_times(profile, tops)
    return events


def check_slices(events: list[Event]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Slices of a thread nest and come outer first; the outermost of each thread."""
    open_slices: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    tops: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] != "X":
            continue
        thread = event["pid"], event["tid"]
        start = nanoseconds(event["ts"])
        end = start + nanoseconds(event["dur"])
        stack = open_slices[thread]
        while stack and stack[-1][1] <= start:
            stack.pop()
        if stack:
            assert stack[-1][0] <= start and end <= stack[-1][1], event
        else:
            tops[thread].append((start, end))
        stack.append((start, end))
    return tops


def check_flows(events: list[Event]) -> None:
    """Each arrow starts in a slice and ends in a slice that does not begin before."""
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            start = nanoseconds(event["ts"])
            thread = event["pid"], event["tid"]
            slices[thread].append((start, start + nanoseconds(event["dur"])))
    ends: dict[int, dict[str, Event]] = defaultdict(dict)
    for event in events:
        if event["ph"] in "sf":
            assert event["ph"] not in ends[event["id"]]
            ends[event["id"]][event["ph"]] = event
            at = nanoseconds(event["ts"])
            inside = slices[event["pid"], event["tid"]]
            assert any(start <= at < end for start, end in inside), event
    for pair in ends.values():
        assert set(pair) == {"s", "f"}
        assert pair["s"]["ts"] <= pair["f"]["ts"]


def check_counters(events: list[Event]) -> None:
    """Time only goes on; values are no less than nothing, and nothing at the end."""
    last: dict[str, Event] = {}
    for event in events:
        if event["ph"] == "C":
            assert all(value >= 0 for value in event["args"].values())
            if event["name"] in last:
                assert event["ts"] > last[event["name"]]["ts"]
            last[event["name"]] = event
    for event in last.values():
        assert not any(event["args"].values())


def check_times(profile: Profile, tops: dict[tuple[int, int], list[tuple[int, int]]]) -> None:
    """The slices of the units add up to the NPU's time, those of the CPU to the CPU's."""
    units = tops[NPU, NN] + tops[NPU, TP]
    spent = sum(end - start for start, end in units)
    assert abs(spent - profile.npu_seconds * 1e9) <= 1 + len(units)
    cpu = sum(end - start for start, end in tops[CPU, 1])
    known = sum(op.seconds or 0 for op in profile.operators if op.part is None)
    assert abs(cpu - known * 1e9) <= 1 + 2 * len(profile.operators)


def test_the_trace_of_a_small_model() -> None:
    events = check_trace(digits(measured=True))
    names = {e["args"]["name"] for e in events if e["ph"] == "M" and "name" in e["args"]}
    tracks = {"front end", "NN cores", "TP cores", "DRAM", "CPU"}
    assert names == tracks | {"NPU (modelled)", "CPU (measured)"}
    assert any(e["pid"] == CPU and e["name"] == "SOFTMAX" for e in events)
    flows = [e for e in events if e["ph"] == "f"]
    assert len(flows) > 8 and flows[-1]["pid"] == CPU
    assert {e["name"] for e in events if e["ph"] == "C"} == {"DRAM bandwidth", "on-chip SRAM"}


def test_a_cpu_that_was_not_measured_has_no_slice() -> None:
    assert not [e for e in check_trace(digits()) if e["ph"] == "X" and e["pid"] == CPU]


def test_the_trace_of_larger_models() -> None:
    for name in ("mobilenet_v1_1.0_224_quant", "ssdlite_mobiledet_coco_qat_postprocess"):
        check_trace(profile_of(shared_data() / "models" / f"{name}.tflite"))


def test_hostile_names_are_strings_of_the_trace() -> None:
    tensors = {e["args"].get("tensor") for e in check_trace(hostile()) if e["ph"] == "X"}
    assert set(HOSTILE) <= tensors


def test_perfetto_reads_the_trace(tmp_path: Path) -> None:
    """Where its trace processor is at hand, as the package would fetch it otherwise."""
    processor = pytest.importorskip("perfetto.trace_processor")
    path = shutil.which("trace_processor_shell")
    if path is None:
        pytest.skip("no trace_processor_shell")
    file = tmp_path / "trace.json"
    profile = digits(measured=True)
    file.write_text(json.dumps(to_trace(profile)))
    config = processor.TraceProcessorConfig(bin_path=path)
    with processor.TraceProcessor(trace=str(file), config=config) as opened:
        slices = sum(event["ph"] == "X" for event in events_of(profile))
        (row,) = opened.query("select count(*) as n from slice")
        assert row.n == slices
        (row,) = opened.query("select count(*) as n from stats where severity='error' and value>0")
        assert row.n == 0


TERMS = st.tuples(*[st.integers(0, 100_000)] * 3, st.integers(1, 20_000))
JOB = st.tuples(
    st.integers(0, 2), st.sampled_from(["NN", "TP"]), TERMS, st.integers(0, 1 << 20), st.booleans()
)


@settings(max_examples=60)
@given(
    jobs=st.lists(JOB, min_size=1, max_size=12),
    cpu=st.lists(st.floats(0, 0.1), min_size=3, max_size=3),
)
def test_any_list_of_jobs_makes_a_valid_trace(jobs: list[Any], cpu: list[float]) -> None:
    jobs.sort(key=lambda job: job[0])
    check_trace(made_up(jobs, cpu))
