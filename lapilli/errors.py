"""The errors a user can meet. Each says what was asked, what was found and what is allowed."""

from __future__ import annotations

from enum import IntEnum

from lapilli.printable import clean


class ExitCode(IntEnum):
    """What the command line returns; scripts rely on these numbers."""

    OK = 0
    BUG = 1
    USAGE = 2
    INVALID_FILE = 3
    UNSUPPORTED = 4
    NO_DEVICE = 5
    RESULTS_DIFFER = 6
    HANG = 7


class LapilliError(Exception):
    """Base of every error that is not our bug; ``exit_code`` is what the command line returns.

    The text is one printable line: names in it come from files that anybody may have made.
    """

    exit_code = ExitCode.BUG

    def __init__(self, text: str = "") -> None:
        super().__init__(clean(" ".join(str(text).split())))


class UsageError(LapilliError, ValueError):
    """An option or argument that does not exist or has a value that is not allowed."""

    exit_code = ExitCode.USAGE


class ModelError(LapilliError):
    """A file (model, program, recording, input) that is missing, damaged or of the wrong kind."""

    exit_code = ExitCode.INVALID_FILE


class Unsupported(LapilliError):
    """Something well formed that this version or this chip can't do."""

    exit_code = ExitCode.UNSUPPORTED


class NothingForTheNpu(Unsupported, ModelError):
    """A model of which the NPU takes no operator: well formed, and fine on the CPU.

    It is a ModelError too, so that whoever goes on with the next file then does.
    """


class DeviceError(LapilliError):
    """No device, or a device that refused or failed."""

    exit_code = ExitCode.NO_DEVICE


class HangError(DeviceError):
    """A job that did not end in time."""

    exit_code = ExitCode.HANG


class ResultsDiffer(LapilliError):
    """Results further from a reference than allowed."""

    exit_code = ExitCode.RESULTS_DIFFER


class Fault(DeviceError):
    """The emulated NPU met something a real one would hang or corrupt memory on: an address outside
    the job's buffers, or coefficients that can't be read.

    The text names the job and the word, and says what was found and what is allowed.
    """

    exit_code = ExitCode.HANG


class Refused(Fault):
    """A job that the emulator does not run, because nothing that was recorded or written down shows
    what a chip makes of it. A chip may well do it.

    The text names the job and the word, and says what was found and what is emulated.
    """

    exit_code = ExitCode.UNSUPPORTED
