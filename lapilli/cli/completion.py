"""What a shell offers when Tab is pressed: files, chips and devices.

Bash: eval "$(_LAPILLI_COMPLETE=bash_source lapilli)"; zsh and fish likewise (docs/command-line.md).
"""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


class FileName(click.types.StringParamType):
    """A text, completed as a file's name; whether it is one, the command says."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The shell knows its files best."""
        return [CompletionItem(incomplete, type="file")]


FILE = FileName()


def chips(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Names of chips and boards."""
    from lapilli.hw.boards import BOARDS
    from lapilli.hw.chips import CHIPS

    known = {chip.name: chip.description for chip in CHIPS}
    known |= {board: f"has an {chip}" for board, chip in BOARDS.items()}
    return [CompletionItem(n, help=h) for n, h in known.items() if n.startswith(incomplete)]


def devices(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Emulators and the render nodes that are there."""
    from lapilli.device.open import AUTO, emulators, this_machine

    # A shell takes a colon for the end of a word: the form without one is offered.
    names = [AUTO, *this_machine().nodes(), *(n.replace(":", "-") for n in emulators())]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
