"""The delegate's options, and what is said of one that can't be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lapilli.compiler.cuts import PARTITIONS, Cuts
from lapilli.compiler.schedule.search_options import DEFAULT_SEARCH, SearchOptions
from lapilli.compiler.stages import SCHEDULES
from lapilli.compiler.units.options import MODES, unit_options
from lapilli.cpu_rates import cuts_of
from lapilli.errors import UsageError

COMPILED = "compiled"
_OPTIONS = (
    "device (str), schedule ('best' or 'reference'), strict (bool), min_partition (int >= 1), "
    "partition ('fastest' or 'all'), "
    "profile (bool), postprocess (bool or 'compiled'), "
    "cache (bool or a folder), program (a file's name), "
    "per_channel ('fast', 'best', 'groups=N' or 'off'), calibration (a folder or .npz file), "
    "without and experimental (levers' names), effort (0 to 2)"
)
OTHERS_NAMES: Final = MappingProxyType(
    {
        "cache_file_path": ", which another delegate has: here it is cache, a folder",
        "allowed_cache_mode": ", which another delegate has: here it is cache, true or false",
        "device_id": ", which another delegate has: here it is device, a render node",
    }
)
"""Options of TIM-VX's delegate for the same NPUs, and what they are called here."""


@dataclass(frozen=True)
class Options:
    """What ``Delegate`` was given; UsageError for a value that is not allowed."""

    device: str = "auto"
    schedule: str = "best"
    strict: bool = False
    min_partition: int = 1
    profile: bool = False
    postprocess: bool | str = True
    cache: bool | str = True
    program: str | None = None
    per_channel: str = "fast"
    calibration: str | None = None
    search: SearchOptions = DEFAULT_SEARCH
    partition: str | None = None

    def __post_init__(self) -> None:
        device, schedule, least = self.device, self.schedule, self.min_partition
        if not isinstance(device, str):
            raise UsageError(f"device is a name such as 'emulator:a311d' or 'auto', not {device!r}")
        if schedule not in SCHEDULES:
            raise UsageError(f"schedule is one of {', '.join(sorted(SCHEDULES))}, not {schedule!r}")
        if not isinstance(self.strict, bool):
            raise UsageError(f"strict is True or False, not {self.strict!r}")
        if isinstance(least, bool) or not isinstance(least, int) or least < 1:
            raise UsageError(f"min_partition is an integer of 1 or more, not {least!r}")
        if self.partition is not None and self.partition not in PARTITIONS:
            raise UsageError(f"partition is one of {', '.join(PARTITIONS)}, not {self.partition!r}")
        if not isinstance(self.profile, bool):
            raise UsageError(f"profile is True or False, not {self.profile!r}")
        if not isinstance(self.per_channel, str):
            raise UsageError(f"per_channel is one of {', '.join(MODES)}, not {self.per_channel!r}")
        unit_options(self.per_channel)
        if self.calibration is not None and not isinstance(self.calibration, str):
            raise UsageError(f"calibration is a folder or an .npz file, not {self.calibration!r}")
        if not isinstance(self.postprocess, bool) and self.postprocess != COMPILED:
            raise UsageError(
                f"postprocess is True, False or {COMPILED!r}, not {self.postprocess!r}"
            )
        if not isinstance(self.cache, bool | str) or self.cache == "":
            raise UsageError(f"cache is True, False or a folder's name, not {self.cache!r}")
        if self.program is not None and (not isinstance(self.program, str) or not self.program):
            raise UsageError(f"program is a file's name, not {self.program!r}")

    @property
    def cuts(self) -> Cuts:
        """Which parts are left to the CPU."""
        return cuts_of(self.partition, self.schedule, self.strict, self.min_partition)


def refuse_unknown(names: Iterable[str]) -> None:
    """UsageError for the first of ``names``, which are no options."""
    for name in names:
        hint = OTHERS_NAMES.get(name, "")
        raise UsageError(f"unknown option {name!r}{hint}; options are {_OPTIONS}")
