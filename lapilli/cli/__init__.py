"""The command line: ``lapilli COMMAND``. A command's module is imported when it is called."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

from lapilli.cli import errors, interrupt, streams
from lapilli.cli.registry import COMMANDS as COMMANDS
from lapilli.cli.registry import GROUPS
from lapilli.version import VERSION

DEBUG = "--debug"


class Commands(click.Group):
    """A group that knows its commands' help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        shown = copy.copy(command)
        shown.epilog = f"\b\nExample:\n  {entry.example}"
        return shown

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that there is not gets a suggestion."""
        known = not args or args[0].startswith("-") or self.get_command(ctx, args[0])
        if not known:
            near = get_close_matches(args[0], COMMANDS, 1)
            guess = f"; did you mean {near[0]}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{guess}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands from the table, by what they are for."""
        longest = max(map(len, COMMANDS))
        for group, title in GROUPS.items():
            entries = {n: e for n, e in COMMANDS.items() if e.group == group}
            with formatter.section(title):
                formatter.write_dl([(f"{n:{longest}}", e.help) for n, e in entries.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but before it sees a closed output or Ctrl-C and says its own."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise errors.OutputClosed from error
        except KeyboardInterrupt as error:
            raise errors.Interrupted from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run and exit with a code of ``lapilli.errors.ExitCode``."""
        arguments = list(sys.argv[1:] if args is None else args)

        def command() -> object:
            return super(Commands, self).main(
                args=arguments,
                prog_name=prog_name or "lapilli",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        sys.exit(errors.exit_code(command, DEBUG in arguments))


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(VERSION, "-V", "--version", message="lapilli %(version)s")
@click.option(DEBUG, is_flag=True, help="Show a traceback for every error.")
@click.option("-v", "--verbose", count=True, help="Show what is logged; -vv: all of it.")
@click.option("-q", "--quiet", is_flag=True, help="No notes about what was assumed.")
def commands(debug: bool, verbose: int, quiet: bool) -> None:
    """Compile, run and understand quantised TFLite models on VeriSilicon VIPNano NPUs.

    Results go to standard output, messages to standard error. Exit codes: 0 ok; 1 a bug of ours;
    2 usage; 3 invalid model or file; 4 unsupported; 5 no device; 6 results differ; 7 hang or
    time-out.
    """
    if verbose:
        level = logging.INFO if verbose == 1 else logging.DEBUG
        logging.basicConfig(level=level, format="%(name)s: %(message)s", force=True)


def main() -> NoReturn:
    """The console script."""
    streams.prepare()
    interrupt.end_at_the_second()
    commands.main()
