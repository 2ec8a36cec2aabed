"""``--save-hang FILE``: what a job that hung was given, as a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from lapilli.cli.text import clean
from lapilli.device.hang import SubmitHung
from lapilli.program import recording

OPTION_HELP = "If a job hangs, write what was submitted here, for lapilli replay."


@contextmanager
def saving(path: str | None) -> Iterator[None]:
    """Save the recording of a SubmitHung that passes, if there is a ``path`` for it."""
    try:
        yield
    except SubmitHung as hang:
        if path is not None:
            recording.save(path, hang.recording)
            again = f"lapilli replay {path} --device emulator:{hang.chip} -o OUT.npz"
            click.echo(clean(f"{path}: the job that hung; on the emulator: {again}"), err=True)
        raise
