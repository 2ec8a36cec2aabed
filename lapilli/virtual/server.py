"""The emulator's end of the socket: answers the calls of programs with the preloaded library.

Each connection is one opening of the node. It gets a kernel of its own, and with it an address
space and a memory file of its own, so programs can't reach each other's buffers. The protocol is
described in data/preload.c.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lapilli.hw import drm
from lapilli.virtual.kernel import VirtualKernel
from lapilli.virtual.objects import Client

log = logging.getLogger(__name__)
MESSAGE = struct.Struct("=QQQQ")
"""kind, two values, an address."""
IOCTL, MAP, READ, WRITE, DONE = range(1, 6)
SIZE_MASK = (1 << drm.SIZE_BITS) - 1
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_SECONDS = 0.05
WAITING = 64
"""Connections that may wait to be accepted."""


class ProgramGone(Exception):
    """The program closed the channel: it has ended, or one of its pointers leads nowhere."""


class Channel:
    """One call of a program, and the way to its memory."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def receive(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        parts = []
        while size:
            try:
                part = self._end.recv(size)
            except OSError as error:
                raise ProgramGone from error
            if not part:
                raise ProgramGone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def receive_call(self) -> tuple[int, tuple[int, int, int]]:
        """What is called, with which two values, and the address of its argument."""
        kind, *values = MESSAGE.unpack(self.receive(MESSAGE.size))
        return kind, (values[0], values[1], values[2])

    def read_user(self, address: int, size: int) -> bytes:
        """Bytes of the program's memory."""
        self._send(MESSAGE.pack(READ, address, size, 0))
        return self.receive(size)

    def write_user(self, address: int, data: bytes) -> None:
        """Put bytes into the program's memory."""
        self._send(MESSAGE.pack(WRITE, address, len(data), 0) + data)

    def done(self, result: int, descriptor: int | None = None) -> None:
        """The call's result or negative errno, and a file for the library."""
        message = MESSAGE.pack(DONE, result & ((1 << 64) - 1), 0, 0)
        if descriptor is None:
            self._send(message)
            return
        try:
            socket.send_fds(self._end, [message], [descriptor])
        except OSError as error:
            raise ProgramGone from error

    def _send(self, data: bytes) -> None:
        try:
            self._end.sendall(data)
        except OSError as error:
            raise ProgramGone from error


class Server:
    """Listens at ``path``; a context manager. ``make_kernel`` is called for each connection."""

    def __init__(self, path: Path, make_kernel: Callable[[], VirtualKernel]) -> None:
        self._make_kernel = make_kernel
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(WAITING)
        self._spare = open(os.devnull, "rb")  # noqa: SIM115
        """Its place is for a connection to be refused when all others are taken."""
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self.connections = 0
        """How often the node was opened so far."""

    def __enter__(self) -> Server:
        threading.Thread(target=self._accept, name="virtual NPU", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self, timeout: float = 5.0) -> None:
        """End all connections, as if the device had been taken away."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._spare.close()
        with self._lock:
            left = dict(self._open)
        for connection, thread in left.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno not in NO_ROOM:
                    return
                self._turn_away()
                continue
            with self._lock:
                self.connections += 1
                name = f"virtual NPU, connection {self.connections}"
                thread = threading.Thread(
                    target=self._serve, args=(connection,), name=name, daemon=True
                )
                self._open[connection] = thread
                thread.start()

    def _turn_away(self) -> None:
        """No descriptor is left for one more connection: take it with the spare one, and end it, so
        that the program's opening fails instead of waiting for ever."""
        log.warning("no descriptor is left for one more opening of the device (RLIMIT_NOFILE)")
        self._spare.close()
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        while not self._listener.fileno() < 0:
            try:
                self._spare = open(os.devnull, "rb")  # noqa: SIM115
                return
            except OSError:  # somebody took it: wait for one
                time.sleep(RETRY_SECONDS)

    def _serve(self, connection: socket.socket) -> None:
        """Answer the calls of one opening until its last descriptor is closed."""
        try:
            try:
                kernel = self._make_kernel()
                client = kernel.open()
            except OSError as error:
                log.warning("the device can't be opened once more: %s", error.strerror)
                return
            try:
                while channel := _next_channel(connection):
                    with channel, contextlib.suppress(ProgramGone):
                        _answer(Channel(channel), kernel, client)
            finally:
                # Its memory file goes with the kernel, which nobody else has.
                kernel.close(client)
        finally:
            with self._lock:
                del self._open[connection]
            connection.close()


def _next_channel(connection: socket.socket) -> socket.socket | None:
    """The other end of the next call's channel; None at the end of the connection. What is no
    channel is closed and passed over."""
    while True:
        try:
            byte, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        except OSError:
            return None
        if not byte or not descriptors:
            return None
        try:
            return socket.socket(fileno=descriptors[0])
        except OSError as error:
            log.debug("the program sent a descriptor that is no socket: %s", error.strerror)
            os.close(descriptors[0])


def _answer(channel: Channel, kernel: VirtualKernel, client: Client) -> None:
    """One call. A bug of ours becomes EIO, so that the program does not wait for ever."""
    kind, call = channel.receive_call()
    try:
        if kind == IOCTL:
            channel.done(_ioctl(channel, kernel, client, call))
        elif kind == MAP:
            place = _mapped_at(client, *call[:2])
            channel.done(place, kernel.memfd if place >= 0 else None)
        else:
            channel.done(-errno.ENOSYS)
    except ProgramGone:
        raise
    except Exception:
        log.exception("the virtual NPU failed; please report this")
        channel.done(-errno.EIO)


def _ioctl(
    channel: Channel, kernel: VirtualKernel, client: Client, call: tuple[int, int, int]
) -> int:
    """``call``: request, bytes of the argument that were sent along, its address."""
    request, sent, address = call
    argument = bytearray(request >> drm.SIZE_SHIFT & SIZE_MASK)
    sent = min(sent, len(argument))
    argument[:sent] = channel.receive(sent)
    result = kernel.ioctl(client, request, argument, channel.read_user, channel.write_user)
    if result >= 0 and request >> drm.DIRECTION_SHIFT & drm.Direction.READ:
        channel.write_user(address, bytes(argument))
    return result


def _mapped_at(client: Client, length: int, offset: int) -> int:
    """Where in the memory file the buffer is that has this offset. As in the kernel, a mapping
    starts at a buffer's start and may be shorter, and there is none of somebody else's buffer."""
    found = client.by_offset.get(offset)
    return offset if found is not None and length <= found.storage.size else -errno.EINVAL
