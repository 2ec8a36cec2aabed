"""``--chip`` and ``--device``: every command understands both, by one rule.

A command that runs something for its answer or its speed wants a device, and looks for a board; one
that compares, shows or explains is about a chip, and takes the emulated A311D. ``--chip`` asks for
another chip in both, which on a running command is that chip's emulator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from lapilli.cli import completion
from lapilli.cli.text import say
from lapilli.device.names import chip_called, chip_of_device
from lapilli.device.open import AUTO, EMULATOR_PREFIX, chosen, is_emulator
from lapilli.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_CHIP: Final = "a311d"
DEFAULT_EMULATOR: Final = EMULATOR_PREFIX + DEFAULT_CHIP


def device(
    default: str, text: str = "emulator:CHIP, a render node, or auto (a board only)."
) -> Callable[[Command], Command]:
    """For commands that run something: they get a ``device``."""
    named = click.option(
        "--device",
        metavar="DEVICE",
        shell_complete=completion.devices,
        help=f"{text}  [default: {default}]",
    )
    of_chip = click.option(
        "--chip",
        metavar="CHIP",
        shell_complete=completion.chips,
        help="The emulator of a chip (lapilli chips) or board, as vim3.",
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_device(*arguments: Any, device: str | None, chip: str | None, **rest: Any) -> Any:
            return command(*arguments, device=chosen_device(device, chip, default), **rest)

        return named(of_chip(with_device))  # type: ignore[return-value]

    return decorate


def chip(text: str) -> Callable[[Command], Command]:
    """For commands that are about a chip: they get its name as ``chip``."""
    named = click.option(
        "--chip",
        metavar="CHIP",
        shell_complete=completion.chips,
        help=f"{text}  [default: {DEFAULT_CHIP}]",
    )
    of_device = click.option(
        "--device",
        metavar="DEVICE",
        shell_complete=completion.devices,
        help="The device whose chip it is.",
    )

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_chip(*arguments: Any, device: str | None, chip: str | None, **rest: Any) -> Any:
            return command(*arguments, chip=chosen_chip(chip, device), **rest)

        return named(of_device(with_chip))  # type: ignore[return-value]

    return decorate


def chosen_device(device: str | None, chip: str | None, default: str) -> str:
    """The device's full name; what was not said in so many words is told. Raises UsageError for
    names that contradict each other."""
    if chip is not None:
        emulator = EMULATOR_PREFIX + chip_called(chip).name
        if device is not None and chosen(device) != emulator:
            raise UsageError(f"--chip {chip} and --device {device}: give one of them")
        if device is None:
            say([f"--chip {chip}: --device {emulator}, its emulator"])
        return emulator
    if device is None:
        return chosen(None) if default == AUTO else default
    found = chosen(device)
    if found != device:
        say([f"--device {device}: {found}"])
    return found


def chosen_chip(chip: str | None, device: str | None) -> str:
    """The chip's own name. Raises UsageError for names that contradict each other, and what opening
    a board raises."""
    if device is None:
        return chip_called(chip or DEFAULT_CHIP).name
    found = chip_of_device(device).name
    if chip is not None and chip_called(chip).name != found:
        raise UsageError(f"--chip {chip} and --device {device}: that device is {found}")
    if not is_emulator(device):
        say([f"--device {device}: {found}"])
    return found
