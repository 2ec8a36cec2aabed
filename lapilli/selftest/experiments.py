"""Questions that no paper answers, put to a board: each runs some jobs and says what they show.

Nothing here is needed by a program of this version. An experiment fills memory with a pattern,
runs, reads back and takes the time; a job with known results follows each, which also sets every
register back, and none is tried once that one fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from lapilli.compiler.generations import generation_of
from lapilli.compiler.schedule.levers.registry import PARTIAL_IMAGE
from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.emulator.work import time_stream
from lapilli.errors import Fault, HangError, LapilliError, Refused
from lapilli.hw import commands as packets
from lapilli.hw import nn, tp
from lapilli.hw.chips import Chip
from lapilli.hw.commands import Register
from lapilli.hw.nn import NN_V8, Caching
from lapilli.program.device import Device
from lapilli.program.program import PAGE, Binding, BufferSpec, Part, Relocation
from lapilli.selftest import ladder, models, value_experiments
from lapilli.selftest.asking import PLAIN, Answer, Experiment, Finding, emulated, measured
from lapilli.selftest.expected import Image
from lapilli.selftest.models import Case

WINDOW = -1
"""Tensor number of what the memory below an on-chip window holds afterwards."""
POISON = 0xA5
ENOUGH = 0.5
"""Of the time that the model says a choice saves: that much has to be seen to call it confirmed."""


def run(device: Device, runs: int, told: Callable[[Finding], None]) -> list[Finding]:
    """All that the device's generation can be asked; ``told`` is called after each."""
    found: list[Finding] = []
    for experiment in EXPERIMENTS:
        if device.chip.generation not in experiment.generations:
            continue
        finding = _one(experiment, device, runs)
        right = _still_right(device)
        if not right:
            finding = replace(finding, detail=f"{finding.detail}; known jobs fail since then")
        told(finding)
        found.append(finding)
        if not right:
            break
    return found


def _one(experiment: Experiment, device: Device, runs: int) -> Finding:
    try:
        return experiment.run(experiment, device, runs)
    except LapilliError as error:
        hung = isinstance(error, HangError | Fault)
        what = "refused" if isinstance(error, Refused) else "hung" if hung else "failed"
        return Finding(experiment.name, Answer.NOT_RUN, f"{what}: {error}")


def _still_right(device: Device) -> bool:
    """Whether a job with known results still gives them."""
    result = ladder.run_case(models.small_convolution(), device)
    return result.outcome is ladder.Outcome.PASSED


# ------------------------------------------------------------------------------- on-chip windows


def _window(unit: str, case: Callable[[], Case]) -> Callable[[Experiment, Device, int], Finding]:
    """Whether bytes that ``unit`` writes to addresses between GL_OCB_REMAP_START and _END stay on
    chip and are read back by it."""

    def ask(experiment: Experiment, device: Device, runs: int) -> Finding:
        asked = case()
        part = compile_graph(asked.graph, device.chip, options=PLAIN).parts[0]
        _, usual = _measured(device, part, asked, runs)
        changed = windowed(part, between(part, unit, device.chip), device.chip)
        outputs, seconds = _measured(device, changed, asked, runs)
        right = _right(asked, outputs[asked.graph.outputs[0]])
        untouched = bool((outputs[WINDOW] == POISON).all())
        answer, detail = {
            (True, True): (Answer.YES, "kept on chip and read back"),
            (True, False): (Answer.NO, "the bytes went to memory: the window does nothing here"),
            (False, True): (Answer.WRONG, "kept from memory, but not read back"),
            (False, False): (Answer.WRONG, "memory was written, and read back wrong"),
        }[right, untouched]
        labels = (("usual", 1000 * usual), ("with the window", 1000 * seconds))
        return Finding(experiment.name, answer, detail, labels)

    return ask


def between(part: Part, unit: str, chip: Chip) -> int:
    """The first buffer that a job of ``unit`` writes and the next one, of the same unit, reads."""
    layout = generation_of(chip).layout if unit == "NN" else tp.TP
    names = ("in_image_address", "out_image_address")
    if unit == "TP":
        names = ("in_image_base_address", "out_image_base_address")
    words = [layout.fields[name].pieces[0].word for name in names]
    targets = {r.offset: r.target for r in part.relocations if r.buffer >= 0}
    seen = [
        [targets[job.offset + 4 * word] for word in words] if job.unit == unit else [-1, -2]
        for job in part.jobs
    ]
    return next(made for (_, made), (read, _) in itertools.pairwise(seen) if made == read)


def windowed(part: Part, buffer: int, chip: Chip) -> Part:
    """The part with the on-chip window over one of its buffers, which is full of ``POISON`` before
    and an output, ``WINDOW``, afterwards. The registers are set back behind the last job.

    The tensor is moved up in its buffer, so that it lies behind the ranges in which jobs keep
    kernels and images, if the window starts where the on-chip memory does.
    """
    spec, room = part.buffers[buffer], _on_chip_end(part, chip)
    size = spec.size + room
    relocations = [
        replace(r, addend=r.addend + room) if r.target == buffer else r for r in part.relocations
    ]
    ends = {Register.GL_OCB_REMAP_START: 0, Register.GL_OCB_REMAP_END: size}
    relocations += [
        Relocation(-1, 4 * (at + 1), buffer, addend)
        for register, addend in ends.items()
        for at in _writes(part, register)
    ]
    back = [word for register in ends for word in (_header(register), 0)]
    buffers = list(part.buffers)
    # Buffers lie one below the other: this one has room below the last.
    lowest = min(each.address for each in buffers)
    poison = np.full(size, POISON, np.uint8)
    buffers[buffer] = BufferSpec(spec.role, size, lowest - size, poison)
    output = Binding(WINDOW, "window", (size,), "uint8", buffer, 0, size)
    return replace(
        part,
        buffers=tuple(buffers),
        relocations=tuple(relocations),
        commands=np.concatenate([part.commands, np.array(back, np.uint32)]),
        outputs=(*part.outputs, output),
    )


def _on_chip_end(part: Part, chip: Chip) -> int:
    """Bytes from the start of the on-chip memory that its jobs claim, in whole pages."""
    layout, claimed = generation_of(chip).layout, 0
    for job in part.jobs:
        if job.unit == "NN":
            fields = layout.decode(part.job_words(job).tolist())
            ends = "kernel_cache_end_address", "image_cache_end_address"
            claimed = max(claimed, *(fields[end] for end in ends))
    return -(-claimed // PAGE) * PAGE


def _header(register: Register) -> int:
    return int(packets.LOAD_STATE.encode(address=register, count=1)[0])


def _writes(part: Part, register: Register) -> Iterator[int]:
    """Words of the command stream that write it. Packets have two words each."""
    for at in range(0, len(part.commands), 2):
        if int(part.commands[at]) == _header(register):
            yield at


# ---------------------------------------------------------------------------------- two schedules


def _faster(
    case: Callable[[], Case],
    usual: CompileOptions,
    asked: CompileOptions,
    changed: Callable[[Part], Part] = lambda part: part,
    overlapping: str = "",
) -> Callable[[Experiment, Device, int], Finding]:
    """Whether a model compiled with ``asked`` gives right values, and saves the time that the model
    of time says against ``usual``; of ``overlapping`` jobs, all of theirs."""

    def ask(experiment: Experiment, device: Device, runs: int) -> Finding:
        found = case()
        parts = [
            compile_graph(found.graph, device.chip, options=options).parts[0]
            for options in (usual, asked)
        ]
        parts[1] = changed(parts[1])
        seconds, modelled = [], []
        for part in parts:
            outputs, taken = _measured(device, part, found, runs)
            if not _right(found, outputs[found.graph.outputs[0]]):
                return Finding(experiment.name, Answer.WRONG, "the output differs")
            times = time_stream(part.commands, part.buffers, device.chip)
            seconds.append(taken)
            hidden = overlapping if part is parts[1] else ""
            modelled.append(sum(each.seconds for each, job in zip(times, part.jobs, strict=True)
                                if job.kind != hidden))  # fmt: skip
        saved, wanted = (1000 * (pair[0] - pair[1]) for pair in (seconds, modelled))
        detail = f"right values; {saved:.3f} ms saved, {wanted:.3f} by the timing model"
        answer = Answer.YES if saved >= ENOUGH * wanted > 0 else Answer.NO
        if emulated(device):
            answer, detail = Answer.UNTIMED, "right values; an emulator's times say nothing"
        labels = (("usual", 1000 * seconds[0]), ("asked", 1000 * seconds[1]))
        return Finding(experiment.name, answer, detail, labels)

    return ask


def cached_v8(part: Part) -> Part:
    """The part with every NN job's kernels kept on chip, in the range that its instruction has."""
    data = part.buffers[0].data
    assert data is not None
    changed = data.copy()
    for job in part.jobs:
        if job.unit == "NN":
            words = changed[job.offset : job.offset + 4 * job.words].view(np.uint32)
            declared = NN_V8.fields["kernel_caching_mode"].pieces[0]
            low = declared.mask & -declared.mask
            words[declared.word] |= np.uint32(Caching.FULL * low)
    return replace(part, buffers=(replace(part.buffers[0], data=changed), *part.buffers[1:]))


def parallel(part: Part) -> Part:
    """The part with a number for each operation instead of waiting for its end: the mode that the
    recorded driver has behind a switch.

    Source: the hardware notes on command streams.
    """
    commands, relocations, operation = part.commands.copy(), [], 1
    starts = {r.offset: r for r in part.relocations if r.buffer < 0}
    for at in range(0, len(commands), 2):
        register = packets.LOAD_STATE.decode([int(commands[at])])["address"]
        if register == Register.GL_NN_CONFIG:
            commands[at + 1] = packets.NN_CONFIG.encode(small_batch=0)[0]
        elif register == Register.PS_UNK10A4:
            commands[at + 1], operation = operation, operation + 1
        elif register == Register.GL_FLUSH_CACHE:
            commands[at + 1] = packets.FLUSH_CACHE.encode(shader_l1=0, unknown_11=0)[0]
        start = starts.get(4 * (at + 1))
        if start is not None:
            more = start.addend % nn.ALIGNMENT == packets.TP_MORE_CORES
            aligned = start.addend - start.addend % nn.ALIGNMENT
            number = packets.TP_MORE_CORES_UNORDERED if more else operation
            relocations.append(replace(start, addend=aligned + number))
    assert operation <= packets.TP_MORE_CORES_UNORDERED, f"{operation - 1} operations"
    kept = [r for r in part.relocations if r.buffer >= 0]
    return replace(part, commands=commands, relocations=(*kept, *relocations))


def _measured(device: Device, part: Part, case: Case, runs: int) -> tuple[dict[int, Image], float]:
    """Outputs of a first run, and the median seconds of more."""
    return measured(device, part, {case.graph.inputs[0]: case.image}, runs)


def _right(case: Case, output: Image) -> bool:
    found = output.reshape(-1).astype(np.int64)
    worst = int(np.abs(found - case.expected.reshape(-1)).max())
    return worst <= case.tolerance


def _without(*names: str) -> CompileOptions:
    return CompileOptions(without=frozenset(names))


EXPERIMENTS = (
    Experiment(
        "window-tp",
        "Do bytes that a TP writes between GL_OCB_REMAP_START and _END stay on chip?",
        "tensors between layout changes that never reach the memory",
        (7, 8),
        _window("TP", models.first_layer),
    ),
    Experiment(
        "window-nn",
        "Do images that an NN job writes there stay on chip for the next one?",
        "tensors of whole blocks on chip: a quarter of the time of MobileNets",
        (7, 8),
        _window("NN", models.block),
    ),
    Experiment(
        PARTIAL_IMAGE,
        "Is an image kept on chip beside kernels that are kept in part?",
        "--experimental partial-image in the best schedule",
        (7,),
        _faster(
            models.many_kernels,
            _without("output-split"),
            replace(_without("output-split"), experimental=frozenset({PARTIAL_IMAGE})),
        ),
    ),
    Experiment(
        "v8-caching",
        "Does a V8 keep kernels on chip between tiles, with the mode that its driver leaves off?",
        "coefficients once over the bus on V8: up to a third of its time",
        (8,),
        _faster(models.large_image, CompileOptions(), CompileOptions(), cached_v8),
    ),
    Experiment(
        "parallel",
        "Do an NN job and a TP job that don't need each other run at the same time?",
        "changes of layout beside convolutions: up to 3 % of MobileDet",
        (7, 8),
        _faster(models.two_branches, PLAIN, PLAIN, parallel, overlapping="pad"),
    ),
    Experiment(
        "fold",
        "Does a weight cost a cycle for each row of a tile, however narrow?",
        "trust in folding, half of what MobileNetV1 gains",
        (7, 8),
        _faster(models.narrow_image, _without("fold"), CompileOptions()),
    ),
    Experiment(
        "groups",
        "Are depthwise layers faster in groups, with a start-up for each?",
        "trust in groups, most of what MobileDet gains",
        (7,),
        _faster(models.deep_image, _without("groups"), CompileOptions()),
    ),
    *value_experiments.EXPERIMENTS,
)
"""In the order in which they are tried."""
