"""What is being done and how far it is, on standard error, if that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar; the function yielded gets how many steps are done, and of how many."""
    if not sys.stderr.isatty():
        yield lambda done, steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn())
    # A second way to the terminal: the first is closed to keep the runtime's messages away.
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream,
        Progress(*columns, console=Console(file=stream), transient=True) as shown,
    ):
        task = shown.add_task("", total=None)
        yield lambda done, steps: shown.update(task, completed=done, total=steps)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """What is being done, with the seconds since it began; the function yielded changes it."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream,
        Progress(*columns, console=Console(file=stream), transient=True) as shown,
    ):
        task = shown.add_task(text, total=None)
        yield lambda text: shown.reset(task, description=text, total=None)
