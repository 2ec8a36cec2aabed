"""The LiteRT delegate: stock LiteRT runs a model, this runs on the NPU what the NPU supports.

The interpreter asks a delegate for one thing, the address of a ``TfLiteDelegate``. What follows:
``callbacks`` (what C calls), ``session`` (the graph is read and the choice made), ``kernel`` (a
partition compiled and run), ``backend`` (compiler and device).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Collection
from typing import Any

from lapilli.cache.programs import store_for
from lapilli.compiler.schedule.search_options import SearchOptions, lever_names
from lapilli.compiler.units.report import Loss
from lapilli.device.open import DELEGATE_HINT, HINT, chosen, open_device
from lapilli.errors import DeviceError
from lapilli.litert import tflite_c
from lapilli.litert.backend import Backend, NpuBackend, Verdict
from lapilli.litert.dynamic import is_dynamic_for
from lapilli.litert.node_times import NodeTimes
from lapilli.litert.options import Options, refuse_unknown
from lapilli.litert.program_backend import ProgramBackend
from lapilli.litert.session import Session
from lapilli.program.device import Device


def _opened(name: str) -> Device:
    """The device; errors speak of the delegate's options."""
    try:
        return open_device(name)
    except DeviceError as error:
        raise type(error)(str(error).replace(HINT, DELEGATE_HINT)) from error


def _backend_for(options: Options, raises_itself: bool) -> Backend:
    """Compiler, or program, and the open device."""
    device = open_device(options.device) if raises_itself else _opened(options.device)
    try:
        if options.program is not None:
            return ProgramBackend(device, options.program, options.profile)
        return NpuBackend(
            device,
            options.schedule,
            options.profile,
            store_for(options.cache),
            options.per_channel,
            options.calibration,
            options.search,
        )
    except BaseException:
        device.close()
        raise


class Delegate:
    """Give it to LiteRT: ``Interpreter(model, experimental_delegates=[Delegate(device=...)])``.

    ``device``: ``emulator:<chip>`` (or ``emulator-<chip>``, or the chip's name), a render node, or
    ``auto`` for the board's NPU; None for what LAPILLI_DEVICE says, or ``auto``.
    ``schedule``: ``best``, or ``reference`` for the one that is compared with recordings.
    ``without``: levers of the best schedule that are left out, ``experimental``: ones that rest on
    a guess and are pulled (names, or a text with commas between); ``effort``: 0 to 2, how much it
    looks at. docs/schedules.md has them.
    ``strict``: fail if any operator would be left to LiteRT.
    ``partition``: ``fastest`` leaves parts to the CPU that are modelled to be faster there, submit
    and copies included, ``all`` none; by default ``fastest``, or ``all`` with ``strict`` or the
    reference schedule. ``min_partition``: leave runs of fewer operators to the CPU.
    ``profile``: note when NPU nodes begin and end, for ``last_nodes`` and ``last_profile``; on a
    board also what the kernel's performance counters count.
    ``postprocess``: do a detector's TFLite_Detection_PostProcess, and LOGISTIC and DEQUANTIZE in
    front of it, on the host in place of LiteRT, which gives the same in less time; "compiled": by a
    loop that numba compiles (``lapilli[fast]``), faster still once numba is imported.
    ``cache``: keep compiled parts in the user's cache folder and take them from there; or the name
    of another folder. ``program``: a file that ``lapilli compile`` made of the same model, in place
    of the compiler; its schedule counts.
    ``per_channel``: what becomes of weights with a scale for each channel: ``fast``, ``best``
    (better, takes ten times as long; a few layers become several jobs), ``groups=N`` (up to N jobs
    a layer, whatever they take), or ``off``, which leaves them to the CPU. ``calibration``: a
    folder of pictures or an .npz file of inputs that it looks at, in place of made-up pictures.
    See ``loss``.

    Raises UsageError (a ValueError) for bad options, DeviceError if the device can't be opened.
    What goes wrong later makes the interpreter raise, with the reason in its text and in ``error``.

    Of a model with tensors whose shape is known at run time only (dynamic-sized tensors) the NPU
    gets what has shapes to begin with. Parts follow shapes that settle or change at run time, by
    being compiled again, and take the images of a batch one after the other; ``invoke()``, or
    ``allocate_tensors()`` after a resize, raises where the NPU can't do the new ones, and goes on
    with others that it can.

    One Delegate may serve several interpreters; ``partitions``, ``verdicts``, ``parts`` and
    ``compile_seconds`` are about the one made last, and of a model with several subgraphs about the
    first. Of a model without such tensors the runtime applies the delegate again when inputs are
    resized, which compiles again, and gives to the CPU what the NPU can't do now, with a warning.
    If ``allocate_tensors()`` raises then, as with ``strict``, every ``invoke()`` raises the same,
    until inputs are resized to something that can be done.

    What a handler of signals raises while the NPU works, KeyboardInterrupt for one, comes out of
    ``invoke()`` as itself; the next inference starts anew.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        schedule: str = "best",
        strict: bool = False,
        min_partition: int = 1,
        profile: bool = False,
        postprocess: bool | str = True,
        cache: bool | str | os.PathLike[str] = True,
        program: str | os.PathLike[str] | None = None,
        per_channel: str = "fast",
        calibration: str | os.PathLike[str] | None = None,
        without: str | Collection[str] = (),
        experimental: str | Collection[str] = (),
        effort: int = 1,
        partition: str | None = None,
        _backend: Backend | None = None,
        _raises_itself: bool = False,
        **unknown: object,
    ) -> None:
        refuse_unknown(unknown)
        options = Options(
            chosen(device) if device is None or isinstance(device, str) else device,
            schedule,
            strict,
            min_partition,
            profile,
            postprocess,
            os.fspath(cache) if isinstance(cache, os.PathLike) else cache,
            os.fspath(program) if isinstance(program, os.PathLike) else program,
            per_channel,
            os.fspath(calibration) if isinstance(calibration, os.PathLike) else calibration,
            SearchOptions(
                lever_names(without, "without"), lever_names(experimental, "experimental"), effort
            ),
            partition,
        )
        if tflite_c.POINTER_BYTES != 8:
            raise DeviceError("the delegate needs a 64-bit Python")
        self._session = Session(
            _backend or _backend_for(options, _raises_itself), options, _raises_itself
        )
        self._finalizer = weakref.finalize(self, self._session.close)

    def _get_native_delegate_pointer(self) -> int:
        """Address of the TfLiteDelegate; the name is what LiteRT's interpreter calls."""
        self._session.applied_anew()
        return self._session.address(is_dynamic_for(self))

    def close(self) -> None:
        """Close the device, as soon as no interpreter uses it any more. Deleting does the same."""
        self._finalizer()

    @property
    def partitions(self) -> tuple[tuple[int, ...], ...]:
        """Operators on the NPU, by their index in the .tflite, one tuple for each NPU node."""
        main = self._session.main
        return () if main is None else tuple(main.parts)

    @property
    def host_parts(self) -> tuple[tuple[int, ...], ...]:
        """Operators that ``postprocess`` took, by their index in the .tflite, one tuple for each
        host node."""
        main = self._session.main
        return () if main is None else main.host_parts

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """For each operator of the model whether the NPU takes it, and why not."""
        main = self._session.main
        return () if main is None else main.verdicts

    @property
    def parts(self) -> tuple[Any, ...]:
        """The compiled part of each of ``partitions``."""
        main = self._session.main
        return () if main is None else tuple(main.parts.values())

    @property
    def device(self) -> Device | None:
        """The device that is open; None for a backend without one."""
        found: Device | None = getattr(self._session.backend, "device", None)
        return found

    @property
    def compile_seconds(self) -> float:
        """Time that compiling took, without loading."""
        main = self._session.main
        return 0.0 if main is None else main.compile_seconds

    @property
    def parts_from_cache(self) -> int:
        """How many parts came from the cache, of all that were prepared."""
        backend = self._session.backend
        return backend.kept if isinstance(backend, NpuBackend) else 0

    @property
    def loss(self) -> Loss | None:
        """What per-channel weights cost; None if there are none on the NPU."""
        main = self._session.main
        return None if main is None else main.loss

    @property
    def last_nodes(self) -> tuple[NodeTimes, ...]:
        """With ``profile``: when the NPU nodes of the last inference began and ended."""
        main = self._session.main
        return () if main is None else main.nodes

    @property
    def error(self) -> BaseException | None:
        """What went wrong last, None if nothing did since the delegate was last applied."""
        return self._session.error
