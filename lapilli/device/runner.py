"""A part on a device: buffers allocated and filled once, then written, executed and read."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.arrays import same_layout
from lapilli.device.counters import Counters, CountingDevice
from lapilli.device.hang import with_recording
from lapilli.errors import DeviceError, HangError, UsageError
from lapilli.program.device import Device, DeviceBuffer, ProcessLock
from lapilli.program.program import Binding, Bytes, Part

log = logging.getLogger(__name__)
DEFAULT_TIMEOUT = 5.0
"""Seconds a submit may take."""


SIGNED = "int8"
SIGN_BIT = np.uint8(0x80)
"""A signed byte lies in the NPU's memory as byte + 128, which turns over this bit."""


def _copy(source: Bytes, target: Bytes, binding: Binding) -> None:
    """A tensor's bytes from host to NPU or back."""
    if binding.dtype == SIGNED:
        np.bitwise_xor(source, SIGN_BIT, out=target)
    else:
        target[:] = source


@dataclass
class Spent:
    """Seconds that all inferences together took so far: copying inputs and outputs, and in the
    device's ``submit`` and ``wait``."""

    write: float = 0.0
    submit: float = 0.0
    wait: float = 0.0
    read: float = 0.0


class LoadedPart:
    """One part of a program, ready to run. Threads may share it, one inference at a time.

    ``count``: have the kernel's performance counters read around each job, if the device has some.
    Raises UsageError for a part that was compiled for another chip.
    """

    def __init__(
        self, device: Device, part: Part, timeout: float = DEFAULT_TIMEOUT, count: bool = False
    ) -> None:
        if part.chip and part.chip != device.chip.name:
            raise UsageError(
                f"a part compiled for {part.chip} can't run on {device.name}, which is "
                f"{device.chip.name}"
            )
        self.part = part
        self.device = device
        self.lock = ProcessLock("the part of a program")
        """Hold it from the first ``write`` to the last ``read`` of an inference."""
        self.spent = Spent()
        self._timeout = timeout
        self._buffers: list[DeviceBuffer] = []
        self._counting = device if count and isinstance(device, CountingDevice) else None
        self._counts: DeviceBuffer | None = None
        try:
            for spec in part.buffers:
                self._buffers.append(device.alloc(spec.size))
            self._commands, contents = part.place([buffer.address for buffer in self._buffers])
            for i, spec in enumerate(part.buffers):
                data = contents.get(i, spec.data)
                if data is not None:
                    self._buffers[i].data[: data.size] = data
            if self._counting is not None:
                self._counts = self._counting.counter_buffer()
        except BaseException:
            self.close()
            raise
        self._inputs = {b.tensor: (b, self._view(b)) for b in part.inputs}
        self._outputs = {b.tensor: (b, self._view(b)) for b in part.outputs}

    def _view(self, binding: Binding) -> Bytes:
        buffer = self._buffers[binding.buffer]
        return buffer.data[binding.offset : binding.offset + binding.size]

    def write(self, tensor: int, values: NDArray[Any]) -> None:
        """Fill input ``tensor`` with ``values``, of the tensor's type and shape; only ones in front
        may be missing or too many. Raises UsageError."""
        start = time.perf_counter()
        binding, view = self._binding(tensor)
        # Not by name: NumPy puts a type's name together each time it is asked for it.
        if values.dtype != binding.dtype or not same_layout(values.shape, binding.shape):
            raise UsageError(
                f"input {binding.name} takes {binding.dtype} of shape {list(binding.shape)}, "
                f"not {values.dtype} of shape {list(values.shape)}"
            )
        _copy(values.reshape(-1).view(np.uint8), view, binding)
        self.spent.write += time.perf_counter() - start

    def _binding(self, tensor: int) -> tuple[Binding, Bytes]:
        """An input and where its bytes are; UsageError if there is none of this number."""
        found = self._inputs.get(tensor)
        if found is None:
            names = ", ".join(f"{b.tensor} ({b.name})" for b in self.part.inputs)
            raise UsageError(f"tensor {tensor} is no input; the inputs are {names}")
        return found

    def demand_all(self, inputs: Mapping[int, NDArray[Any]]) -> None:
        """UsageError unless there are values for every input: an inference would take what the last
        one left there."""
        missing = [f"{b.tensor} ({b.name})" for b in self.part.inputs if b.tensor not in inputs]
        if missing:
            raise UsageError(f"values are missing for input {', '.join(missing)}")

    def execute(self) -> None:
        """One submit and one wait."""
        self.finish(self.start())

    def start(self) -> int:
        """Submit; returns the fence to ``finish`` with. The tensors are the NPU's until then."""
        start = time.perf_counter()
        if self._counting is None or self._counts is None:
            fence = self.device.submit(self._commands, self._buffers)
        else:
            fence = self._counting.submit(self._commands, self._buffers, counters=self._counts)
        self.spent.submit += time.perf_counter() - start
        return fence

    def finish(self, fence: int) -> None:
        """Wait for a submit. A HangError carries what was submitted: see ``hang``."""
        start = time.perf_counter()
        try:
            self.device.wait(fence, self._timeout)
        except HangError as error:
            chip = self.device.chip.name
            raise with_recording(error, self.part, self._commands, self._buffers, chip) from error
        self.spent.wait += time.perf_counter() - start

    def counters(self) -> Counters | None:
        """What the last inference counted; before the next starts. None if nothing was counted."""
        if self._counting is None or self._counts is None:
            return None
        return self._counting.read_counters(self._counts)

    def why_uncounted(self) -> str:
        """Why the kernel's counters can't be had; empty if they can, or nobody asked for them."""
        return "" if self._counting is None else self._counting.why_uncounted()

    def read(self, tensor: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Output ``tensor`` in its type and shape, copied to ``out`` if given."""
        start = time.perf_counter()
        binding, view = self._outputs[tensor]
        if out is None:
            out = np.empty(binding.shape, binding.dtype)
        _copy(view, out.reshape(-1).view(np.uint8), binding)
        self.spent.read += time.perf_counter() - start
        return out

    def run(self, inputs: Mapping[int, NDArray[Any]]) -> dict[int, NDArray[Any]]:
        """All of it: tensors by index in, tensors by index out. Raises UsageError if an input is
        missing, unknown, or of another type or shape."""
        self.demand_all(inputs)
        with self.lock.held:
            for tensor, values in inputs.items():
                self.write(tensor, values)
            self.execute()
            return {tensor: self.read(tensor) for tensor in self._outputs}

    def close(self) -> None:
        """Free the buffers."""
        buffers, self._buffers = self._buffers, []
        if self._counts is not None:
            buffers.append(self._counts)
            self._counts = None
        for buffer in buffers:
            try:
                buffer.free()
            except DeviceError as error:
                # The device was closed before. The others must go all the same.
                log.debug("a buffer could not be freed: %s", error)

    def __enter__(self) -> LoadedPart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
