"""Standard input, output and error, whatever the caller has made of them.

A service may start a program with any of them closed. Then the next file opened would get their
number, and what native code prints would go into it: so their places are taken first. Writing to
standard output that fails is an error of its own, not one of the command; to standard error, none.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any


class OutputFailed(Exception):
    """Standard output can't be written; the text is the system's reason."""


class _Output(io.TextIOWrapper):
    """Standard output; raises BrokenPipeError if nobody reads it, else OutputFailed."""

    def write(self, text: str, /) -> int:
        """As the base class."""
        try:
            return super().write(text)
        except OSError as error:
            raise _failure(error) from error

    def flush(self) -> None:
        """As the base class."""
        try:
            super().flush()
        except OSError as error:
            raise _failure(error) from error


class _Messages(io.TextIOWrapper):
    """Standard error, whose own failure has nowhere to be told."""

    def write(self, text: str, /) -> int:
        """As the base class; nothing if it fails."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """As the base class; nothing if it fails."""
        with contextlib.suppress(OSError):
            super().flush()


class _Closed(io.TextIOBase):
    """Standard output that was closed before the start: nobody will ever read it."""

    def write(self, text: str, /) -> int:
        """Raises BrokenPipeError."""
        raise BrokenPipeError

    def writable(self) -> bool:
        """It looks like any other."""
        return True


def _failure(error: OSError) -> Exception:
    return error if isinstance(error, BrokenPipeError) else OutputFailed(error.strerror or error)


def prepare() -> None:
    """Make the streams fit for use; names that the terminal's encoding lacks are no failure.

    Streams that somebody has put in the place of the process's own are left alone.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    streams: Any = sys  # type checkers don't know that a stream may be missing, or be set
    if streams.stdout is None:
        streams.stdout = _Closed()
    elif streams.stdout is streams.__stdout__:
        streams.stdout = streams.__stdout__ = _wrapped(streams.stdout, _Output)
    if streams.stderr is None:
        streams.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    elif streams.stderr is streams.__stderr__:
        streams.stderr = streams.__stderr__ = _wrapped(streams.stderr, _Messages)


def _wrapped(stream: Any, kind: type[io.TextIOWrapper]) -> Any:
    """The same stream as ``kind``."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, lines = stream.encoding, stream.line_buffering
    return kind(
        stream.detach(),
        encoding=encoding,
        errors="replace",
        line_buffering=lines,
        write_through=stream.write_through,
    )
