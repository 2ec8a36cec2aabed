"""The command line: ``lapilli COMMAND``. A command's module is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from lapilli.cli import errors, interrupt, streams
from lapilli.version import VERSION

DEBUG = "--debug"


class Entry(NamedTuple):
    """Where a command is, and what it does in one line."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "compile": Entry(
        "lapilli.cli.compile", "compile_command", "Make a program of a .tflite model."
    ),
    "requantise": Entry(
        "lapilli.cli.requantise", "requantise", "Write a per-channel model as one per tensor."
    ),
    "fit": Entry("lapilli.cli.fit", "fit", "Say whether a model fits, and how fast it would be."),
    "explain": Entry("lapilli.cli.explain", "explain", "Say what the NPU takes, and why not."),
    "run": Entry("lapilli.cli.run", "run", "Run a model on a device or the emulator."),
    "demo": Entry("lapilli.cli.demo", "demo", "Show a small model at work."),
    "dump": Entry("lapilli.cli.dump", "dump", "Disassemble a program."),
    "emulate": Entry("lapilli.cli.emulate", "emulate", "Run another program with an emulated NPU."),
    "replay": Entry("lapilli.cli.replay", "replay", "Run a recording of a submit."),
    "diff": Entry("lapilli.cli.diff", "diff_command", "Compare NPU and CPU, operator by operator."),
    "profile": Entry("lapilli.cli.profile", "profile", "Say where the time goes."),
    "compare": Entry("lapilli.cli.compare", "compare", "Set two profiles side by side."),
    "delegate-path": Entry(
        "lapilli.cli.delegate_path", "delegate_path", "Print the delegate for programs in C."
    ),
    "benchmark": Entry("lapilli.cli.benchmark", "benchmark", "Time a model's inferences."),
    "cache": Entry("lapilli.cli.cache", "cache", "Show or clear the programs that are kept."),
    "chips": Entry("lapilli.cli.chips", "chips", "List the chips known, and how sure each is."),
    "devices": Entry("lapilli.cli.devices", "devices", "List NPUs, and why others can't be used."),
    "doctor": Entry("lapilli.cli.doctor", "doctor", "Say what is wrong here, and what mends it."),
    "selftest": Entry("lapilli.cli.selftest", "selftest", "Run models with known results."),
}


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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

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
def commands(debug: bool) -> None:
    """Compile, run and understand quantised TFLite models on VeriSilicon VIPNano NPUs.

    Results go to standard output, messages to standard error. Exit codes: 0 ok; 1 a bug of ours;
    2 usage; 3 invalid model or file; 4 unsupported; 5 no device; 6 results differ; 7 hang or
    time-out.
    """


def main() -> NoReturn:
    """The console script."""
    streams.prepare()
    interrupt.end_at_the_second()
    commands.main()
