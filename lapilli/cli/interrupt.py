"""Ctrl-C: the first one ends what is under way in order, a second one ends the process at once.

Python runs signal handlers between its own instructions only. While native code computes, the first
Ctrl-C is late, and a handler would not see the second any earlier: so a thread listens to the
numbers that Python's C handler writes.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
MESSAGE = b"lapilli: interrupted\n"


def end_at_the_second() -> None:
    """From now on. Call it in the main thread; ``leave_to_the_program`` takes it back."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    try:
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    except ValueError:  # not the main thread: who runs it there has Ctrl-C in hand
        return
    thread = threading.Thread(
        target=_listen, args=(receiver, sender), name="lapilli Ctrl-C", daemon=True
    )
    thread.start()


def leave_to_the_program() -> None:
    """Signals are for another program that this one waits for."""
    signal.set_wakeup_fd(-1)


def _listen(receiver: socket.socket, sender: socket.socket) -> None:
    """``sender`` is kept open here: Python knows it by its number only."""
    seen = 0
    while numbers := receiver.recv(64):
        seen += numbers.count(signal.SIGINT)
        if seen > 1:
            os.write(2, MESSAGE)
            os._exit(INTERRUPTED)
    sender.close()
