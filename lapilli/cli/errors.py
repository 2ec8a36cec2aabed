"""What ends a command: one line on standard error, and an exit code that scripts can rely on."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from lapilli.cli.interrupt import INTERRUPTED
from lapilli.cli.streams import OutputFailed
from lapilli.cli.text import clean
from lapilli.errors import ExitCode, LapilliError

OUTPUT_CLOSED = 141
"""128 + SIGPIPE."""
TRACEBACK_VARIABLE = "LAPILLI_TRACEBACK"
PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of our own files."""


class OutputClosed(Exception):
    """Nobody reads standard output any more."""


class Interrupted(Exception):
    """Ctrl-C."""


def exit_code(command: Callable[[], object], debug: bool = False) -> int:
    """Run ``command``; its exit code. Errors are printed here, with a traceback if ``debug``."""
    try:
        result = command()
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except (OutputClosed, BrokenPipeError):
        _discard_output()
        return OUTPUT_CLOSED
    except OutputFailed as error:
        _discard_output()
        click.echo(clean(f"lapilli: standard output can't be written: {error}"), err=True)
        return ExitCode.INVALID_FILE
    except (Interrupted, KeyboardInterrupt, click.Abort):
        click.echo("lapilli: interrupted", err=True)
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except Exception as error:
        if debug or os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        return _report(error)


def _report(error: Exception) -> int:
    """Print one line about ``error``; its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "lapilli"
        message = f"{where}: {error.format_message()} (see {where} --help)"
        code = ExitCode.USAGE
    elif isinstance(error, LapilliError):
        message, code = f"lapilli: {error}", error.exit_code
    else:
        message = (
            f"lapilli: internal error, please report: {type(error).__name__}: {error} "
            f"({_location(error)}; {TRACEBACK_VARIABLE}=1 shows the traceback)"
        )
        code = ExitCode.BUG
    click.echo(clean(message), err=True)
    return code


def _location(error: Exception) -> str:
    """Our last function on the way to the error, as ``lapilli/cli/text.py:12``; or the last one."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        path = Path(frame.filename).resolve()
        # The whole path is compared: a clone's folder, or a user's, may be called lapilli too.
        if path.is_relative_to(PACKAGE):
            return f"{path.relative_to(PACKAGE.parent)}:{frame.lineno}"
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"


def _discard_output() -> None:
    """Let the interpreter's last flush of standard output go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
