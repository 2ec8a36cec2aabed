"""Writing result files so that a failure never leaves half of one behind."""

from __future__ import annotations

import os
import secrets
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lapilli.errors import LapilliError, ModelError


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that becomes ``path`` when the block ends well, and vanishes when it does not.

    A link is followed; a device or pipe is written directly, because renaming over it would replace
    it. Raises ModelError if the place can't be written.
    """
    if not os.fspath(path):
        raise ModelError("'' can't be written: it is no file's name")
    try:
        target = os.path.realpath(path)
        if _is_special(target):
            with open(target, "wb") as file:
                yield file
            return
        folder, name = os.path.split(target)
        temporary = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(6)}.part")
        try:
            with open(temporary, "xb") as file:
                yield file
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:
        # ValueError: a path with a zero character.
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path}: can't be written: {reason}") from error


@contextmanager
def decoding(path: str | Path, allowed: str) -> Iterator[None]:
    """For a library that decodes what anybody may have made: whatever it raises becomes ModelError.

    Which exceptions a decoder can raise is written nowhere, and each damaged file finds another
    one: so all of them count, and nothing but the library's call belongs into the block. Its
    warnings are not for the user.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LapilliError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except Exception as error:
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        raise ModelError(f"{path}: can't be read: {kind}{error}; allowed: {allowed}") from error


def check_regular(path: str | Path, allowed: str) -> None:
    """ModelError unless there is a file at ``path``: opening a pipe would wait for its writer."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; allowed: {allowed}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path}: can't be read: {reason}; allowed: {allowed}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ModelError(f"{path}: found {kind}; allowed: {allowed}")


def _is_special(path: str) -> bool:
    """Whether there is something at ``path`` that is neither a file nor a folder."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
