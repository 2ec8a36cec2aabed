"""The rates of the CPU beside the NPU: built in, or those that the user's settings have.

The settings are a JSON object of numbers, as ``lapilli calibrate-cpu`` writes it: the fields of
``timing.cpu.CpuRates``. What it leaves out is as built in.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from platformdirs import user_config_path

from lapilli.compiler.cuts import FASTEST, Cuts, partition_wish
from lapilli.errors import ModelError, UsageError
from lapilli.files import replacing
from lapilli.timing.cpu import DEFAULT_RATES, RATES, CpuRates

VARIABLE: Final = "LAPILLI_CPU"
"""Another file of rates; set to nothing, the rates are those built in."""
MOST_BYTES: Final = 1 << 16
"""Of a file of rates."""


def settings_file() -> Path | None:
    """Where rates are kept, which need not exist; None if those built in are asked for."""
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return user_config_path("lapilli", appauthor=False) / "cpu.json"
    return Path(chosen) if chosen else None


def cpu_rates() -> CpuRates:
    """Those of the settings, or those built in. Raises UsageError for a file that has others, or
    that ``LAPILLI_CPU`` names and that can't be read."""
    path = settings_file()
    if path is None or not (path.exists() or VARIABLE in os.environ):
        return DEFAULT_RATES
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: CPU rates can't be read: {error.strerror}") from error
    return parsed(data, path)


def cuts_of(asked: str | None, schedule: str, strict: bool = False, min_partition: int = 1) -> Cuts:
    """What a user's options ask for, by the rates of the settings; UsageError. ``asked``: see
    ``partition_wish``."""
    wish = partition_wish(asked, schedule, strict)
    return Cuts(wish, min_partition, cpu_rates() if wish == FASTEST else DEFAULT_RATES)


def parsed(data: bytes, path: Path) -> CpuRates:
    """The rates in a file's bytes; UsageError if they are none."""
    try:
        found = json.loads(data) if len(data) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"{path}: CPU rates are a JSON object of at most {MOST_BYTES} bytes; write one with "
            f"lapilli calibrate-cpu"
        )
    for key, value in found.items():
        if key == "name" and isinstance(value, str):
            continue
        if key not in RATES:
            raise UsageError(f"{path}: unknown rate {key!r}; known: {', '.join(RATES)}")
        if not _positive(value):
            raise UsageError(f"{path}: {key} is a number above 0, not {value!r}")
    name = found.pop("name", "") or str(path)
    return replace(DEFAULT_RATES, **{k: float(v) for k, v in found.items()}, name=name)


def _positive(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value)) and value > 0
    except OverflowError:
        return False


def write_rates(rates: CpuRates, path: Path) -> None:
    """Keep ``rates`` in ``path``; its folder is made. Raises ModelError if that can't be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{path.parent}: can't be made: {error.strerror}") from error
    with replacing(path) as file:
        file.write(json.dumps(asdict(rates), indent=2).encode() + b"\n")
