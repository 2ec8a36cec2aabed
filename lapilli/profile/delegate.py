"""``lapilli.Delegate``: LiteRT's delegate, which also tells where an inference's time went."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from lapilli.litert import delegate as litert
from lapilli.litert.backend import NpuBackend
from lapilli.litert.preparation import Preparation

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    from lapilli.profile.events import JobRecord, Profile


class Delegate(litert.Delegate):
    __doc__ = litert.Delegate.__doc__

    if TYPE_CHECKING:
        # The runtime one takes any option, to refuse it with the known ones' names.
        def __init__(
            self,
            device: str | None = None,
            *,
            schedule: Literal["best", "reference"] = "best",
            strict: bool = False,
            min_partition: int = 1,
            profile: bool = False,
            postprocess: bool | Literal["compiled"] = True,
            cache: bool | str | os.PathLike[str] = True,
            program: str | os.PathLike[str] | None = None,
            per_channel: Literal["fast", "best", "off"] = "fast",
            calibration: str | os.PathLike[str] | None = None,
            without: str | Collection[str] = (),
            experimental: str | Collection[str] = (),
            effort: Literal[0, 1, 2] = 1,
            partition: Literal["fastest", "all"] | None = None,
        ) -> None: ...

    @cached_property
    def _jobs(self) -> WeakKeyDictionary[Preparation, tuple[JobRecord, ...]]:
        """What was read of a graph's command streams, which stay the same."""
        return WeakKeyDictionary()

    @property
    def last_profile(self) -> Profile | None:
        """With ``profile``: where the time of the last inference went, worked out when asked for.
        None before the first. CPU operators before the first NPU node and behind the last have no
        time in it: the runtime does not call us there."""
        main, backend = self._session.main, self._session.backend
        if main is None or main.outline is None or not isinstance(backend, NpuBackend):
            return None
        if not main.nodes or not main.parts:
            return None
        # Imported late: most who run a model never ask for a profile.
        from lapilli.profile.assemble import Subject, profile_graph
        from lapilli.profile.measured import measured_between

        device = backend.device
        subject = Subject(main.outline.name, "model", device.name, backend.schedule)
        measured = measured_between(main.nodes, device.name)
        known = self._jobs.get(main)
        # The emulator has decoded all coefficients; a board tells nothing of the kind.
        decoded = getattr(device, "counts", None)
        parts = tuple(main.parts.values())
        found = profile_graph(main.outline, device.chip, parts, subject, measured, known, decoded)
        self._jobs[main] = found.jobs
        return found
