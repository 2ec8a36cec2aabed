"""What options may be, for type checkers: a wrong word is found before anything runs."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

Schedule: TypeAlias = Literal["best", "reference"]
PerChannelMode: TypeAlias = Literal["fast", "best", "off"]
Partition: TypeAlias = Literal["fastest", "all"]
Effort: TypeAlias = Literal[0, 1, 2]
Kernels: TypeAlias = Literal["xnnpack", "builtin", "ref"]
TaskName: TypeAlias = Literal["classification", "detection", "raw"]
Model: TypeAlias = "str | os.PathLike[str]"
"""A .tflite file."""
ModelInput: TypeAlias = "str | os.PathLike[str] | NDArray[Any]"
"""A picture, an .npy file, or an array of the input's type and shape."""
