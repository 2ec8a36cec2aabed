"""``lapilli benchmark``: benchmark_model's lines, and honest shares."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import DIGITS

from lapilli.cli import commands
from lapilli.emulator.machine import EmulatedDevice
from lapilli.errors import UsageError
from lapilli.hw.chips import find_by_name
from lapilli.profile.benchmark import Benchmark, Limits, Phase, Report, number, to_json

EMULATOR = "emulator:a311d"
FEW = Limits(warmup_runs=2, warmup_min_secs=0, num_runs=3, min_secs=0)
WAIT = 0.02
TICK = 1e-6

# As tools have them that read benchmark_model's output.
PHASE = re.compile(
    r"^count=(\d+) first=(\d+) curr=(\d+) min=(\d+) max=(\d+) avg=([\d.]+) std=(\d+)$", re.M
)
TIMINGS = re.compile(
    r"Inference timings in us: Init: (\d+), First inference: (\d+), Warmup \(avg\): ([\d.e+]+), "
    r"Inference \(avg\): ([\d.e+]+)"
)


@dataclass
class Clock:
    """Goes on by a tick whenever it is read, and otherwise when it is told to."""

    now: float = 1000.0

    def read(self) -> float:
        self.now += TICK
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the one all measuring goes by, so that a busy machine measures the same."""
    made = Clock()
    monkeypatch.setattr("time.perf_counter", made.read)
    return made


@pytest.fixture
def slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which an inference takes WAIT, all of it in ``wait``."""

    class SlowDevice(EmulatedDevice):
        def wait(self, fence: int, timeout: float = 5.0) -> None:
            clock.now += WAIT
            super().wait(fence, timeout)

    chip = find_by_name("a311d")
    assert chip is not None
    monkeypatch.setattr("lapilli.profile.benchmark.open_device", lambda name: SlowDevice(chip))


def run_command(*arguments: str) -> int | str | None:
    """The command line in this process; its exit code."""
    with pytest.raises(SystemExit) as end:
        commands.main(["benchmark", *arguments])
    return end.value.code


def measured(limits: Limits = FEW, device: str = EMULATOR) -> Report:
    timed = Benchmark(DIGITS, device)
    try:
        return timed.measure(limits)
    finally:
        timed.close()


def test_lines_are_benchmark_models(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--num_runs=4", "--warmup_runs", "2", "--min_secs=0", "--warmup_min_secs=0"]
    assert run_command(str(DIGITS), "--device", EMULATOR, "--num_threads", "1", *options) == 0
    out, err = capsys.readouterr()
    warmup, regular = PHASE.findall(out)
    assert (warmup[0], regular[0]) == ("2", "4")
    for _, first, last, smallest, largest, average, _ in (warmup, regular):
        assert int(smallest) <= float(average) <= int(largest)
        assert int(smallest) <= min(int(first), int(last))
        assert int(largest) >= max(int(first), int(last))
    timings = TIMINGS.fullmatch(out.splitlines()[-1])
    assert timings is not None
    assert timings[2] == warmup[1]
    assert timings[3] == warmup[5]
    assert timings[4] == regular[5]
    assert [line.split(":")[0] for line in err.splitlines()] == ["warming up", "timing"]


def test_defaults_are_benchmark_models() -> None:
    assert Limits() == Limits(1, 0.5, 50, 1.0, 150.0)


def test_phases_last_for_runs_and_seconds(slow: None) -> None:
    report = measured(Limits(1, 0.0, 1, 5 * WAIT))
    assert (len(report.warmup.times), len(report.regular.times)) == (1, 5)
    report = measured(Limits(0, 0.0, 7, 5 * WAIT))
    assert (len(report.warmup.times), len(report.regular.times)) == (0, 7)


def test_a_phase_ends_at_max_secs(slow: None) -> None:
    report = measured(Limits(0, 0.0, 10**9, 10.0, max_secs=4.5 * WAIT))
    assert (len(report.warmup.times), len(report.regular.times)) == (0, 5)
    assert report.first_inference == report.regular.times[0]
    assert "Warmup (avg): 0," in report.timings()


def test_statistics_of_a_phase() -> None:
    phase = Phase((10, 20, 60))
    assert phase.line() == "count=3 first=10 curr=60 min=10 max=60 avg=30 std=21"
    assert Phase(()).line() == "count=0"
    assert number(12345.678) == "12345.7"
    assert number(1234567.8) == "1234568"


def test_shares_add_up_to_the_average() -> None:
    report = measured()
    spent = report.spent
    assert min(spent.device, spent.python, spent.cpu) > 0
    whole = spent.device + spent.python + spent.cpu
    assert whole == pytest.approx(report.regular.average, rel=1e-6)


def test_waiting_is_the_devices(slow: None) -> None:
    spent = measured().spent
    assert 1e6 * WAIT <= spent.device < 1e6 * (WAIT + 10 * TICK)
    assert 0 < spent.python < 1e6 * 100 * TICK
    assert 0 < spent.cpu < 1e6 * 100 * TICK


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--num_runs", "2", "--min_secs", "0", "--warmup_min_secs", "0"]
    assert run_command(str(DIGITS), "--device", EMULATOR, "--json", *few) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema_version"] == 1
    assert report["inference"]["count"] == 2
    assert report["warmup"]["count"] == 1
    assert report["first_inference_us"] == report["warmup"]["first"]
    assert (report["operators"], report["npu_operators"], report["npu_partitions"]) == (11, 10, 1)
    assert set(report["spent_us"]) == {"device", "python", "cpu"}
    assert 0 < report["compile_us"] < report["init_us"]
    assert set(report) - {"input", "notes"} == set(to_json(measured()))
    assert report["notes"] == []


def test_wrong_uses(tmp_path: Path) -> None:
    assert run_command(str(tmp_path / "none.tflite"), "--device", EMULATOR) == 3
    assert run_command(str(DIGITS), "--device", "/dev/dri/none") == 5
    assert run_command(str(DIGITS), "--device", EMULATOR, "--min_secs", "nan") == 2
    assert run_command(str(DIGITS), "--device", EMULATOR, "--num_runs", "-1") == 2
    assert run_command(str(DIGITS), "--device", EMULATOR, "--num_threads", "0") == 2
    with pytest.raises(UsageError, match="num_threads"):
        Benchmark(DIGITS, EMULATOR, num_threads=-3)
