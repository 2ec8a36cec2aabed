"""A part on a device: buffers allocated and filled once, then written, executed and read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lapilli.device import Device, DeviceBuffer
from lapilli.errors import UsageError
from lapilli.program import Binding, Bytes, Part

DEFAULT_TIMEOUT = 5.0
"""Seconds a submit may take."""


class LoadedPart:
    """One part of a program, ready to run. Threads may share it, one inference at a time."""

    def __init__(self, device: Device, part: Part, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.part = part
        self.device = device
        self.lock = threading.RLock()
        """Hold it from the first ``write`` to the last ``read`` of an inference."""
        self._timeout = timeout
        self._buffers: list[DeviceBuffer] = []
        try:
            for spec in part.buffers:
                self._buffers.append(device.alloc(spec.size))
            self._commands, contents = part.place([buffer.address for buffer in self._buffers])
            for i, spec in enumerate(part.buffers):
                data = contents.get(i, spec.data)
                if data is not None:
                    self._buffers[i].data[: data.size] = data
        except BaseException:
            self.close()
            raise
        self._inputs = {b.tensor: (b, self._view(b)) for b in part.inputs}
        self._outputs = {b.tensor: (b, self._view(b)) for b in part.outputs}

    def _view(self, binding: Binding) -> Bytes:
        buffer = self._buffers[binding.buffer]
        return buffer.data[binding.offset : binding.offset + binding.size]

    def write(self, tensor: int, values: NDArray[np.uint8]) -> None:
        """Fill input ``tensor`` with ``values``, whose number of elements must be the tensor's."""
        binding, view = self._inputs[tensor]
        if values.size != binding.size or values.dtype.itemsize != 1:
            raise UsageError(
                f"input {binding.name} takes {binding.dtype} of shape {list(binding.shape)}, "
                f"not {values.dtype} of shape {list(values.shape)}"
            )
        view[:] = values.reshape(-1).view(np.uint8)

    def execute(self) -> None:
        """One submit and one wait."""
        self.device.wait(self.device.submit(self._commands, self._buffers), self._timeout)

    def read(self, tensor: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Output ``tensor`` in its shape, copied to ``out`` if given."""
        binding, view = self._outputs[tensor]
        if out is None:
            out = np.empty(binding.shape, np.uint8)
        out.reshape(-1).view(np.uint8)[:] = view
        return out

    def run(self, inputs: Mapping[int, NDArray[np.uint8]]) -> dict[int, NDArray[np.uint8]]:
        """All of it: tensors by index in, tensors by index out."""
        with self.lock:
            for tensor, values in inputs.items():
                self.write(tensor, values)
            self.execute()
            return {tensor: self.read(tensor) for tensor in self._outputs}

    def close(self) -> None:
        """Free the buffers."""
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            buffer.free()

    def __enter__(self) -> LoadedPart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
