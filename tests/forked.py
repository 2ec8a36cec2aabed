"""Something done in a child process, which may die of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """A child that gave no value: ``refused`` with a text, or, without one, killed."""

    text: str


def in_child(action: Callable[[], Any]) -> Any:
    """What ``action`` returns in a child of this process; ``Ended`` if it raised or died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            found = action()
        except BaseException as error:
            found = Ended(f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as out:
            pickle.dump(found, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(data) if data else Ended("")
