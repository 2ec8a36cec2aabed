"""How a device is called everywhere: with a colon, without one, or by the environment."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from command_line import call

from lapilli.device import open as opening
from lapilli.device.open import chosen, emulated_chip, is_emulator, open_device
from lapilli.errors import DeviceError, UsageError
from lapilli.litert import plugin
from lapilli.litert.delegate import Delegate

DIGITS = str(files("lapilli.data") / "digits.tflite")
SPELLINGS = ["emulator:a311d", "emulator-a311d", "a311d", "A311D", "emulator-A311D"]
COMMANDS = {
    "benchmark": ("benchmark", DIGITS, "--num_runs=1", "--min_secs=0", "--warmup_min_secs=0"),
    "diff": ("diff", DIGITS, "--json"),
    "profile": ("profile", DIGITS, "--json"),
    "doctor": ("doctor", "--json"),
    "selftest": ("selftest", "--json"),
    "demo": ("demo", "--images=1", "--json"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_an_emulated_device_has_more_than_one_spelling(name: str) -> None:
    assert chosen(name).lower() == "emulator:a311d"
    assert is_emulator(name)
    assert emulated_chip(name).lower() == "a311d"
    with open_device(name) as device:
        assert device.chip.name == "a311d"
    delegate = Delegate(device=name)
    assert delegate.device is not None
    assert delegate.device.chip.name == "a311d"
    delegate.close()


@pytest.mark.parametrize("name", ["auto", "/dev/dri/renderD128", "emulator-", "emulator", "board"])
def test_other_names_stay_what_they_are(name: str) -> None:
    assert chosen(name) == name
    assert not is_emulator(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_name_without_a_colon(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # selftest writes its report there
    result = call(*COMMANDS[command], "--device", "emulator-a311d")
    assert result.exit_code in (0, 5), result.output
    assert "unknown device" not in result.output
    assert "emulator-a311d" not in result.stdout


def test_the_environment_names_the_device_where_nobody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(opening.VARIABLE, "emulator-imx8mp")
    for make in (Delegate, lambda: plugin.create({})):
        delegate = make()
        assert delegate.device is not None
        assert delegate.device.name == "emulator:imx8mp"
        delegate.close()
    delegate = plugin.create({"device": "a311d"})
    assert delegate.device is not None
    assert delegate.device.name == "emulator:a311d"
    delegate.close()
    result = call(*COMMANDS["benchmark"])
    assert result.exit_code == 0, result.output
    assert "emulator:imx8mp" in result.output
    found = call(*COMMANDS["profile"])
    assert json.loads(found.stdout)["device"] == "emulator:a311d"


@pytest.mark.parametrize("value", ["", None])
def test_without_it_a_board_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.setattr(opening, "this_machine", lambda: Boardless())
    if value is None:
        monkeypatch.delenv(opening.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(opening.VARIABLE, value)
    with pytest.raises(DeviceError, match="no NPU found"):
        plugin.create({})


def test_a_wrong_name_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(opening.VARIABLE, "emulator")
    with pytest.raises(
        UsageError, match=r"unknown device 'emulator'; .* at colons: emulator-a311d"
    ):
        plugin.create({})


class Boardless:
    """A machine without render nodes."""

    def nodes(self) -> list[str]:
        return []


def test_a_delegate_s_messages_speak_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "this_machine", lambda: Boardless())
    for make in (Delegate, lambda: plugin.create({"device": "auto"})):
        with pytest.raises(DeviceError, match="the option device=emulator-a311d") as raised:
            make()
        assert "--device" not in str(raised.value)
    result = call("benchmark", DIGITS, "--device", "auto")
    assert result.exit_code == 5
    assert "--device emulator:a311d" in result.stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cache_file_path", "here it is cache, a folder"),
        ("allowed_cache_mode", "here it is cache, true or false"),
        ("device_id", "here it is device"),
    ],
)
def test_another_delegate_s_options_are_known_by_name(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        plugin.create({"device": "a311d", name: "x"})
