"""The server of ``lapilli emulate``: no program can make it end, wait for ever or lose files."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE
from virtual_npu import chip_called

from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.server import DONE, MESSAGE, Server


def make_kernel() -> VirtualKernel:
    return VirtualKernel(chip_called(), Settings(execute=False))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "socket", make_kernel) as server:
        yield server


def connected(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.settimeout(PATIENCE)
    end.connect(str(path))
    return end


def answered(connection: socket.socket) -> bool:
    """Whether a call gets an answer, or the connection ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        try:
            socket.send_fds(connection, [b"x"], [theirs.fileno()])
        except OSError:
            return False
        theirs.close()
        unknown = 99
        try:
            ours.sendall(MESSAGE.pack(unknown, 0, 0, 0))
            data = ours.recv(MESSAGE.size)
        except OSError:
            return False
        return bool(data) and MESSAGE.unpack(data)[:2] == (DONE, (1 << 64) - errno.ENOSYS)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_is_no_channel_is_closed_and_passed_over(server: Server, tmp_path: Path) -> None:
    with connected(tmp_path / "socket") as connection:
        assert answered(connection)
        before = descriptors()
        with open(os.devnull, encoding="utf-8") as file:
            for _ in range(50):
                socket.send_fds(connection, [b"x"], [file.fileno()])
            assert answered(connection)
        # The last call's channel may not be closed yet.
        assert descriptors() <= before + 2


def test_an_opening_without_a_descriptor_left_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait, and later ones are served."""
    accept, calls = socket.socket.accept, []

    def full(self: socket.socket) -> object:
        calls.append(self)
        if len(calls) in (2, 4, 5):
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", full)
    with connected(tmp_path / "socket") as first:  # the accept before the patch
        assert answered(first)
    outcomes = []
    for _ in range(6):
        with connected(tmp_path / "socket") as connection:
            outcomes.append(answered(connection))
    assert False in outcomes
    assert outcomes[-1], "served again"


def test_a_kernel_that_can_not_be_made_ends_one_connection_only(tmp_path: Path) -> None:
    made = []

    def sometimes() -> VirtualKernel:
        made.append(1)
        if len(made) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return make_kernel()

    failed: list[object] = []
    hook, threading.excepthook = threading.excepthook, failed.append  # type: ignore[assignment]
    try:
        with Server(tmp_path / "socket", sometimes):
            with connected(tmp_path / "socket") as connection:
                assert not answered(connection)
            with connected(tmp_path / "socket") as connection:
                assert answered(connection)
    finally:
        threading.excepthook = hook
    assert not failed, "no thread ended with a traceback"
