"""``lapilli emulate``: run another program with an emulated NPU in its /dev/dri."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import click

from lapilli.cli import interrupt, targets, text
from lapilli.device.names import chip_called
from lapilli.errors import Fault, UsageError
from lapilli.hw.chips import Chip
from lapilli.program import recording
from lapilli.program.recording import Recording
from lapilli.timing.constants import constants_of
from lapilli.timing.evidence import evidence_of
from lapilli.virtual import preload, tree
from lapilli.virtual.kernel import VirtualKernel
from lapilli.virtual.objects import Client
from lapilli.virtual.server import Server

NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128
"""Exit codes as the shells have them; a signal's number is added to the last."""


@click.command(context_settings={"allow_interspersed_args": False})
@targets.chip("Which NPU it is, or a board such as vim3.")
@click.option("--timing", is_flag=True, help="At the end, list the modelled time of each submit.")
@click.option("--record", metavar="DIR", help="Write each submit to DIR/0000.npz, 0001.npz, ...")
@click.option("--compiler", metavar="CC", help="C compiler for the program's architecture.")
@click.argument("command", nargs=-1, required=True, metavar="[--] COMMAND ...",
                type=click.UNPROCESSED)  # fmt: skip
@click.pass_context
def emulate(
    context: click.Context, chip: str, timing: bool, record: str | None, compiler: str | None,
    command: tuple[str, ...],
) -> None:  # fmt: skip
    """Run COMMAND with an emulated NPU as its /dev/dri/renderD128.

    The program sees what Linux' etnaviv driver shows and needs no change; it has to be 64-bit and
    linked dynamically. Each opening of the device has an address space of its own. The exit code is
    the program's. Programs of another architecture, under qemu's user emulation for example, need
    the library that is loaded into them built for it: --compiler aarch64-linux-gnu-gcc.
    """
    found = chip_called(chip)
    if timing:
        constants_of(found)
    library = preload.library_path(compiler)
    VirtualKernel(found).shut_down()  # So that a chip that can't be emulated is refused at once.
    submits = Submits(found, _folder(record), timing)
    with tempfile.TemporaryDirectory(prefix="lapilli-") as name:
        folder = Path(name)
        tree.lay_out(preload.tree_path(folder))
        socket = preload.socket_path(folder)
        with Server(socket, lambda: VirtualKernel(found, record=submits.add)) as server:
            code = _run(command, preload.environment(library, folder, os.environ))
            opened = server.connections
    if code not in (NOT_FOUND, NOT_EXECUTABLE):
        submits.report(opened)
    context.exit(code)


@dataclass
class Submits:
    """What becomes of the jobs of all programs."""

    chip: Chip
    folder: Path | None
    timing: bool
    count: int = 0
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, client: Client, job: Recording) -> None:
        """Called with each job before it runs."""
        with self.lock:
            number = self.count
            self.count += 1
        if self.folder is not None:
            recording.save(self.folder / f"{number:04}.npz", job)
        if self.timing:
            line, seconds = _time(number, job, self.chip)
            with self.lock:
                self.lines.append(line)
                self.seconds += seconds

    def report(self, opened: int) -> None:
        """Tell the user; on standard error, because standard output is the program's."""
        if not opened:
            click.echo(
                f"lapilli: note: the program did not open {tree.NODE}; if it should have: one that "
                "is linked statically, of another architecture or clears LD_PRELOAD can't see it",
                err=True,
            )  # fmt: skip
        if self.folder is not None:
            click.echo(f"{self.folder}: {text.count(self.count, 'recording')}", err=True)
        if self.timing:
            for line in sorted(self.lines):
                click.echo(line, err=True)
            submits = text.count(self.count, "submit")
            total = f"{self.seconds * 1000:.3f} ms"
            click.echo(f"{submits}, {total} on {self.chip.name} by the timing model", err=True)
            click.echo(evidence_of(self.chip).sentence, err=True)


def _time(number: int, job: Recording, chip: Chip) -> tuple[str, float]:
    """A line about a job, and its seconds on the chip."""
    from lapilli.emulator.work import time_stream
    from lapilli.timing.cycles import total_cycles

    try:
        times = time_stream(job.commands, job.buffers, chip)
    except Fault as fault:
        return f"submit {number:4}: no time, {fault}", 0.0
    seconds = sum(time.seconds for time in times)
    what = f"{text.count(len(times), 'instruction')}, {total_cycles(times)} cycles"
    return f"submit {number:4}: {seconds * 1000:8.3f} ms ({what})", seconds


def _folder(name: str | None) -> Path | None:
    """The directory for recordings, made if it is not there; raises UsageError."""
    if name is None:
        return None
    if not name:
        raise UsageError("--record '': give a directory")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--record {name}: {error.strerror}; give a directory") from error
    if any(folder.glob("[0-9]*.npz")):
        raise UsageError(f"--record {name}: it holds recordings already; give a new directory")
    return folder


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """The program's exit code, as a shell would have it."""
    with _signals_handed_on() as receiver:
        try:
            child = subprocess.Popen(command, env=environment)
        except FileNotFoundError:
            click.echo(f"lapilli: {text.clean(command[0])}: command not found", err=True)
            return NOT_FOUND
        except OSError as error:
            click.echo(f"lapilli: {text.clean(command[0])}: {error.strerror}", err=True)
            return NOT_EXECUTABLE
        receiver.set(child)
        _raise_descriptor_limit()
        code = child.wait()
    return code if code >= 0 else KILLED - code


def _raise_descriptor_limit() -> None:
    """Each opening of the device takes two descriptors here. The program keeps its own limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Receiver:
    """The program that signals are for; those that come before it is known are kept for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def set(self, child: subprocess.Popen[bytes]) -> None:
        """From now on it gets them."""
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def hand_on(self, number: int, frame: FrameType | None) -> None:
        """A signal handler."""
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)


@contextmanager
def _signals_handed_on() -> Iterator[_Receiver]:
    """Until the end of the block, signals are for the program. A terminal's Ctrl-C reaches it
    without us."""
    receiver = _Receiver()
    interrupt.leave_to_the_program()
    handlers = {
        signal.SIGINT: lambda number, frame: None,
        signal.SIGTERM: receiver.hand_on,
        signal.SIGHUP: receiver.hand_on,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield receiver
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
