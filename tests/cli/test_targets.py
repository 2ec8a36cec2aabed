"""``--chip`` and ``--device``: every command understands both, by one rule."""

from __future__ import annotations

import json

import click
import pytest
from command_line import assert_one_line, call
from places import DIGITS

from lapilli.cli import COMMANDS, commands
from lapilli.cli.targets import chosen_chip, chosen_device
from lapilli.device.open import open_device
from lapilli.errors import ExitCode, UsageError
from lapilli.hw.boards import BOARDS
from lapilli.hw.chips import find_by_name

WITHOUT_A_CHIP = {
    *("dump", "delegate-path", "cache", "chips", "devices", "help", "version", "calibrate-cpu"),
}
"""A program says which chip it is for; the others are about this machine, or about all chips."""
BOARD_BY_DEFAULT = {"run", "benchmark", "selftest", "doctor"}


def options_of(name: str) -> dict[str, click.Option]:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return {p.opts[0]: p for p in command.params if isinstance(p, click.Option)}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_A_CHIP))
def test_every_command_for_a_chip_takes_chip_and_device(name: str) -> None:
    found = options_of(name)
    assert "--chip" in found
    assert {"--device", "--device-a"} & set(found)
    device = found.get("--device", found.get("--device-a"))
    assert device is not None and isinstance(device.help, str)
    assert ("[default: auto]" in device.help) is (name in BOARD_BY_DEFAULT)


@pytest.mark.parametrize(("board", "chip"), BOARDS.items())
def test_a_boards_name_stands_for_its_chip(board: str, chip: str) -> None:
    assert find_by_name(chip) is not None
    assert chosen_chip(board.upper(), None) == chip
    assert chosen_device(None, board, "auto") == f"emulator:{chip}"
    device = open_device(f"emulator:{board}")
    assert device.chip.name == chip
    device.close()


def test_the_chip_of_a_running_command_is_its_emulator_and_that_is_said() -> None:
    result = call("diff", DIGITS, "--chip", "verdin", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["device"] == "emulator:imx8mp"
    assert result.stderr.splitlines() == [
        "lapilli: note: --chip verdin: --device emulator:imx8mp, its emulator"
    ]


def test_the_device_of_a_command_about_a_chip_gives_its_chip() -> None:
    found = json.loads(call("fit", DIGITS, "--device", "emulator:imx8mp", "--json").stdout)
    assert [chip["chip"] for chip in found["chips"]] == ["imx8mp"]
    assert chosen_chip(None, "imx8mp") == "imx8mp"


def test_nothing_said_is_the_default() -> None:
    assert chosen_device(None, None, "auto") == "auto"
    assert chosen_chip(None, None) == "a311d"
    assert chosen_device("/dev/dri/renderD128", None, "auto") == "/dev/dri/renderD128"


def test_names_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="give one of them"):
        chosen_device("emulator:imx8mp", "vim3", "auto")
    with pytest.raises(UsageError, match="that device is imx8mp"):
        chosen_chip("vim3", "emulator:imx8mp")
    assert chosen_device("emulator:vim3", "a311d", "auto") == "emulator:a311d"


def test_a_mistyped_name_gets_a_suggestion() -> None:
    result = call("run", DIGITS, "--chip", "vim4")
    assert_one_line(result, ExitCode.USAGE, "unknown chip 'vim4'; did you mean vim3?", "imx8mp-evk")
