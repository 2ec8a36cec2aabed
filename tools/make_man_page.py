"""Writes docs/lapilli.1, the man page, from the commands' own help.

python tools/make_man_page.py            write it
python tools/make_man_page.py --check    exit with 1 if it is not current
"""

from __future__ import annotations

import re
import sys
from inspect import cleandoc
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "lapilli.1"
sys.path.insert(0, str(ROOT))

from generated_page import write_or_check  # noqa: E402

from lapilli.cli import commands  # noqa: E402
from lapilli.cli.registry import COMMANDS, GROUPS  # noqa: E402
from lapilli.errors import ExitCode  # noqa: E402


def escaped(text: str) -> str:
    """Nothing in it is a request or an escape of roff."""
    words = " ".join(text.replace("\b", "").split())
    words = words.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{words}" if words.startswith((".", "'")) else words


def paragraphs(text: str) -> list[str]:
    """A docstring's, in lines."""
    blocks = re.split(r"\n\s*\n", cleandoc(text.partition("\f")[0]))
    return [line for block in blocks for line in (".PP", escaped(block))]


def options(command: click.Command) -> list[str]:
    """Each with its meaning."""
    lines = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = ", ".join((*option.opts, *option.secondary_opts))
            value = (
                ""
                if option.is_flag or option.count
                else f" {option.metavar or option.type.name.upper()}"
            )
            lines += [".TP", f".B {escaped(names + value)}", escaped(option.help or "")]
    return lines


def section(name: str) -> list[str]:
    """One command."""
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    example = [".PP", "Example:", ".PP", f".B {escaped(COMMANDS[name].example)}"]
    return [f".SS {name}", *paragraphs(command.help or ""), *options(command), *example]


def page() -> str:
    """The whole page."""
    lines = [
        '.TH LAPILLI 1 "" "lapilli" "User commands"',
        ".SH NAME",
        "lapilli \\- compile, run and understand quantised TFLite models on VIPNano NPUs",
        ".SH SYNOPSIS",
        ".B lapilli",
        ".I COMMAND",
        "[OPTIONS] ...",
        ".SH DESCRIPTION",
        *paragraphs(commands.help or "")[1:],
        *options(commands),
    ]
    for group, title in GROUPS.items():
        lines.append(f".SH {title.upper()}")
        for name, entry in COMMANDS.items():
            if entry.group == group:
                lines += section(name)
    lines.append(".SH EXIT STATUS")
    for code in ExitCode:
        lines += [".TP", f".B {code.value}", code.name.lower().replace("_", " ")]
    lines += [".SH FILES AND VARIABLES", "See docs/environment.md and docs/command\\-line.md."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
