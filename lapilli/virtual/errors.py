"""How a handler of the virtual kernel refuses: by an errno, as the kernel does."""

from __future__ import annotations

import errno


class KernelError(Exception):
    """Becomes ``-number`` at the border of the kernel; the text is for our log."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{errno.errorcode.get(number, number)}: {reason}")
        self.number = number


def demand(holds: bool, reason: str, number: int = errno.EINVAL) -> None:
    """KernelError unless ``holds``."""
    if not holds:
        raise KernelError(number, reason)


def demand_known(what: str, flags: int, *known: int) -> None:
    """KernelError if ``flags`` has bits beside ``known``."""
    rest = flags
    for each in known:
        rest &= ~int(each)  # an IntFlag's own ~ stays among its members
    demand(rest == 0, f"{what} {flags:#x}")
