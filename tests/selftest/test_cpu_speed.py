"""The rates of a CPU: measured, kept, and used for what goes to the NPU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from fake_npu import new_interpreter, small_model

from lapilli.cpu_rates import VARIABLE, cpu_rates, cuts_of, parsed, settings_file, write_rates
from lapilli.errors import ExitCode, UsageError
from lapilli.litert.delegate import Delegate
from lapilli.model import tflite
from lapilli.model.macs import macs
from lapilli.selftest.cpu_probes import PROBES, Probe
from lapilli.selftest.cpu_speed import measure_cpu
from lapilli.timing.cpu import DEFAULT_RATES, MEASURED


@pytest.mark.parametrize("make", PROBES, ids=lambda make: make.__name__)
def test_a_probe_has_as_much_work_as_it_says_and_litert_runs_it(
    make: Callable[..., Probe],
) -> None:
    probe = make(**({} if make.__name__ == "small_operators" else {"channels": 16}))
    graph = tflite.parse(probe.model, probe.rate)
    assert len(graph.operators) == probe.operators
    if probe.rate.endswith("_macs"):
        assert sum(macs(graph, operator) for operator in graph.operators) == probe.work
    elif probe.work:
        touched = [
            graph.tensors[tensor].size
            for operator in graph.operators
            for tensor in (*operator.inputs, *operator.outputs)
        ]
        assert sum(touched) == probe.work
    interpreter = new_interpreter(probe.model)
    (detail,) = interpreter.get_input_details()
    interpreter.set_tensor(detail["index"], np.ones(detail["shape"], np.int8))
    interpreter.invoke()


def test_what_an_operator_takes_by_itself_is_no_part_of_a_rate() -> None:
    expected = dataclasses.replace(
        DEFAULT_RATES, **(dict.fromkeys(MEASURED, 2e9) | {"operator_seconds": 3e-6}), name="board"
    )

    def timer(probe: Probe) -> float:
        return 3e-6 * probe.operators + probe.work / 2e9

    found = measure_cpu("board", timer=timer)
    for name, value in vars(expected).items():
        assert getattr(found, name) == (pytest.approx(value) if name != "name" else value)


def test_rates_are_written_to_the_settings_and_read_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "cpu.json"
    monkeypatch.setenv(VARIABLE, str(path))
    rates = dataclasses.replace(DEFAULT_RATES, convolution_macs=1e9, name="slow")
    write_rates(rates, path)
    assert cpu_rates() == rates
    assert cuts_of(None, "best").rates == rates
    # What is not asked for what parts cost reads no settings.
    assert cuts_of("all", "best").rates == DEFAULT_RATES


def test_settings_lie_where_the_user_s_lie_and_none_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file() == tmp_path / "lapilli" / "cpu.json"
    assert cpu_rates() == DEFAULT_RATES


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"[]", "CPU rates are a JSON object"),
        (b"{", "CPU rates are a JSON object"),
        (b"[" * 60000, "CPU rates are a JSON object"),
        (b" " * 70000 + b"{}", "CPU rates are a JSON object"),
        (b'{"clock": 1}', "unknown rate 'clock'; known: convolution_macs"),
        (b'{"convolution_macs": 0}', "convolution_macs is a number above 0, not 0"),
        (b'{"convolution_macs": true}', "convolution_macs is a number above 0, not True"),
        (b'{"convolution_macs": NaN}', "convolution_macs is a number above 0, not nan"),
        (b'{"moved_bytes": "1"}', "moved_bytes is a number above 0, not '1'"),
        (b'{"moved_bytes": 1' + b"0" * 400 + b"}", "moved_bytes is a number above 0, not 1"),
        (b'{"name": 3}', "unknown rate 'name'"),
    ],
)
def test_other_settings_are_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(data, Path("cpu.json"))
    assert complaint in str(raised.value) and str(raised.value).startswith("cpu.json")


def test_rates_may_be_a_few() -> None:
    found = parsed(b'{"moved_bytes": 5e8}', Path("cpu.json"))
    assert found == dataclasses.replace(DEFAULT_RATES, moved_bytes=5e8, name="cpu.json")


def test_a_file_that_is_named_and_missing_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="CPU rates can't be read"):
        Delegate(device="emulator:a311d")
    result = call("run", "model.tflite")
    assert result.exit_code != ExitCode.OK and "Traceback" not in result.stderr


def test_a_slower_cpu_leaves_itself_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rate in (1e3, 1e15):
        path = tmp_path / f"{rate}.json"
        path.write_text(json.dumps({"convolution_macs": rate, "depthwise_macs": rate}))
        monkeypatch.setenv(VARIABLE, str(path))
        delegate = Delegate(device="emulator:a311d")
        new_interpreter(small_model(), delegate)
        found.append(len(delegate.partitions))
    assert found == [2, 1]


def test_the_command_measures_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapilli.selftest.cpu_speed.quickest", lambda probe, threads: 1e-2)
    path = tmp_path / "rates.json"
    told = json.loads(call("calibrate-cpu", "--output", path, "--json").stdout)
    assert parsed(path.read_bytes(), path).moved_bytes == told["moved_bytes"]
    path.unlink()
    shown = call("calibrate-cpu", "--output", path, "--dry-run").stdout
    assert not path.exists()
    assert [line.split()[0] for line in shown.splitlines()[1:3]] == [
        "convolution_macs",
        "depthwise_macs",
    ]
    assert call("calibrate-cpu").exit_code == ExitCode.USAGE  # the settings are set to nothing
    assert call("calibrate-cpu", "--num_threads", 0).exit_code == ExitCode.USAGE
