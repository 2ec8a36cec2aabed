"""What stands in for operators that could not be prepared, so that they don't go to the CPU."""

from __future__ import annotations

from typing import Any

from lapilli.errors import DeviceError, LapilliError
from lapilli.litert.callbacks import DelegateCalls


class Refusal:
    """Answers every inference with ``error``.

    A runtime that is told of an error at a resize takes all delegates back for good: from then on
    the CPU would run the model, without a word, whatever ``strict`` says. With this the operators
    stay ours, until inputs are resized again.
    """

    def __init__(self, owner: DelegateCalls, error: BaseException) -> None:
        self.owner = owner
        self._error = error

    def prepare(self, context: Any) -> None:
        """Nothing to do."""

    def invoke(self, context: Any) -> None:
        """The error; as a DeviceError if it was none of ours."""
        if isinstance(self._error, LapilliError):
            raise self._error
        found = f"{type(self._error).__name__}: {self._error}".removesuffix(": ")
        raise DeviceError(
            f"the model could not be prepared ({found}); resize its inputs, or make another "
            "interpreter"
        )

    def close(self) -> None:
        """Nothing is held."""
