"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from lapilli.compiler.stages import SCHEDULES

Command = TypeVar("Command", bound=Callable[..., Any])
RANDOM_INPUTS = "random values"


def device(
    default: str, text: str = "emulator:a311d, a render node, or auto (a board only)."
) -> Callable[[Command], Command]:
    """``--device``; only commands that compare or show have the emulator as their default."""
    return click.option("--device", default=default, show_default=True, help=text)


def schedule() -> Callable[[Command], Command]:
    """``--schedule``."""
    return click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        default="best",
        show_default=True,
        help="How jobs are laid out on the NPU.",
    )


def inputs(without: str = "") -> Callable[[Command], Command]:
    """``--input``, once for each input; ``without``: what is taken if none is given."""
    default = f"  [default: {without}]" if without else ""
    return click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="IMAGE|X.npy",
        help=f"A picture or an .npy file; once for each input of the model.{default}",
    )
