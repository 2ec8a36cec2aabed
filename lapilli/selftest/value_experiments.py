"""Questions about bytes: does a board give what the emulator gives?

The emulator's arithmetic is inferred from streams and LiteRT's values (docs/accuracy.md). Where
neither shows how the chip rounds, or a public list of a chip's failures says otherwise, a board can
tell: it runs a model of which the emulator knows every byte, as it was compiled or with a change
that must not change a byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lapilli.compiler.stages import CompileOptions, compile_graph
from lapilli.emulator import EmulatedDevice
from lapilli.hw.nn import NN_V8
from lapilli.model.graph import (
    Activation,
    Convolution,
    Graph,
    Operator,
    Padding,
    Quantization,
    Tensor,
)
from lapilli.program.device import Device
from lapilli.program.program import Part
from lapilli.selftest import models
from lapilli.selftest.asking import PLAIN, Answer, Experiment, Finding, emulated, measured
from lapilli.selftest.expected import Image

OWN = "an emulator gives the bytes that it was made to give"


@dataclass(frozen=True)
class Asked:
    """A model of one input, and what goes in."""

    graph: Graph
    image: Image


def _as_emulated(
    asked: Callable[[], Asked],
    options: CompileOptions | None = None,
    changed: Callable[[Part], Part] = lambda part: part,
) -> Callable[[Experiment, Device, int], Finding]:
    """Whether a board gives the emulator's bytes, for a part that is ``changed``."""

    def ask(experiment: Experiment, device: Device, runs: int) -> Finding:
        if emulated(device):
            return Finding(experiment.name, Answer.NOT_ASKED, OWN)
        model = asked()
        part = compile_graph(model.graph, device.chip, options=options or CompileOptions()).parts[0]
        inputs, output = {model.graph.inputs[0]: model.image}, model.graph.outputs[0]
        expected, _ = measured(EmulatedDevice(device.chip), part, inputs, 0)
        found, _ = measured(device, changed(part), inputs, 0)
        answer, detail = compared(found[output], expected[output])
        return Finding(experiment.name, answer, detail)

    return ask


def compared(found: Image, expected: Image) -> tuple[Answer, str]:
    """Byte by byte."""
    apart = np.abs(found.astype(np.int16) - expected.astype(np.int16)).reshape(-1)
    count = int(np.count_nonzero(apart))
    if not count:
        return Answer.YES, f"all {apart.size} bytes as emulated"
    first = int(np.flatnonzero(apart)[0])
    return Answer.WRONG, (
        f"{count} of {apart.size} bytes differ, by {int(apart.max())} at most; the first is byte "
        f"{first}: {found.reshape(-1)[first]} instead of {expected.reshape(-1)[first]}"
    )


# ------------------------------------------------------------------------------------------ models


def halves(activation: Activation = Activation.NONE, zero_point: int = 128) -> Asked:
    """Every byte b in each of eight channels becomes ``zero_point + (b - 128) / 2``: half of the
    results are exact ties, above the zero point and below it."""
    step, image = Quantization((1.0,), (0,)), (1, 16, 16, 8)
    weights = np.zeros((8, 1, 1, 8), np.uint8)
    weights[np.arange(8), 0, 0, np.arange(8)] = 1
    tensors = (
        Tensor(0, "image", image, "uint8", step),
        Tensor(1, "weights", weights.shape, "uint8", Quantization((0.5,), (0,)), weights),
        Tensor(2, "bias", (8,), "int32", None, np.full(8, -128, np.int32)),
        Tensor(3, "result", image, "uint8", Quantization((1.0,), (zero_point,))),
    )
    operator = Operator(
        0, "CONV_2D", (0, 1, 2), (3,), Convolution(Padding.VALID, 1, 1, activation=activation)
    )
    values = np.repeat(np.arange(256, dtype=np.uint8), 8).reshape(image)
    return Asked(Graph("halves", tensors, (operator,), (0,), (3,)), values)


def of(case: Callable[[], models.Case]) -> Callable[[], Asked]:
    """A model of the self-test, but with the bytes of the emulator expected."""

    def asked() -> Asked:
        found = case()
        return Asked(found.graph, found.image)

    return asked


def wide_kernels() -> Asked:
    """5x5 pixels of 256 channels into 120, on 112x112 pixels: the largest convolution of the list
    that fails there and not here."""
    random = np.random.default_rng(205)
    weights = random.integers(0, 256, (120, 5, 5, 256)).astype(np.uint8)
    image = (1, 112, 112, 256)
    tensors = (
        Tensor(0, "image", image, "uint8", Quantization((0.02,), (128,))),
        Tensor(1, "weights", weights.shape, "uint8", Quantization((0.01,), (127,)), weights),
        Tensor(2, "bias", (120,), "int32", None, np.zeros(120, np.int32)),
        # The sums spread by some 80 * 74 * 74 steps: three deviations to either side.
        Tensor(3, "result", (*image[:3], 120), "uint8", Quantization((2.0,), (128,))),
    )
    operator = Operator(0, "CONV_2D", (0, 1, 2), (3,), Convolution(Padding.SAME, 1, 1))
    values = random.integers(0, 256, image).astype(np.uint8)
    return Asked(Graph("wide kernels", tensors, (operator,), (0,), (3,)), values)


# ----------------------------------------------------------------------------------------- changes


def over_its_input(part: Part) -> Part:
    """The part whose first job, which moves bytes in one instruction, writes them where it reads
    them, for all jobs behind it."""
    source, target = part.inputs[0].buffer, _read_by_the_second(part)
    size = max(part.buffers[source].size, part.buffers[target].size)
    assert part.jobs[0].unit == "TP" and part.jobs[1].unit == "NN"
    buffers = list(part.buffers)
    lowest = min(each.address for each in buffers)
    buffers[source] = replace(buffers[source], size=size, address=lowest - size)
    relocations = [replace(r, target=source) if r.target == target else r for r in part.relocations]
    return replace(part, buffers=tuple(buffers), relocations=tuple(relocations))


def _read_by_the_second(part: Part) -> int:
    """The buffer between the first job and the second."""
    first, second = part.jobs[0], part.jobs[1]
    spans = [range(job.offset, job.offset + 4 * job.words) for job in (first, second)]
    one, other = ({r.target for r in part.relocations if r.buffer >= 0 and r.offset in span}
                  for span in spans)  # fmt: skip
    (found,) = one & other
    return found


def with_plane_offsets(part: Part) -> Part:
    """The part with ``no_z_offset = 0`` in every NN job, as an older driver has it on V8."""
    data = part.buffers[0].data
    assert data is not None
    changed = data.copy()
    piece = NN_V8.fields["no_z_offset"].pieces[0]
    for job in part.jobs:
        if job.unit == "NN":
            words = changed[job.offset : job.offset + 4 * job.words].view(np.uint32)
            words[piece.word] &= np.uint32(~piece.mask & 0xFFFFFFFF)
    return replace(part, buffers=(replace(part.buffers[0], data=changed), *part.buffers[1:]))


EXPERIMENTS = (
    Experiment(
        "ties",
        "Are exact halves rounded as emulated, above the zero point and below it?",
        "values to the byte, not within one (docs/accuracy.md)",
        (7, 8),
        _as_emulated(halves),
    ),
    Experiment(
        "relu-clamp",
        "Does a fused ReLU cut at the output's zero point where that is not 0?",
        "trust in every ReLU whose range does not start at 0",
        (7, 8),
        _as_emulated(lambda: halves(Activation.RELU, 40)),
    ),
    Experiment(
        "addition-bytes",
        "Are sums of 256 channels to the byte those emulated?",
        "certainty that five additions of a public list fail by old bytes, not by rounding",
        (7, 8),
        _as_emulated(of(models.wide_addition)),
    ),
    Experiment(
        "wide-kernels",
        "Does a convolution of 5x5x256 into 120 channels give the bytes emulated?",
        "certainty that two convolutions of that list fail by something else than arithmetic",
        (7, 8),
        _as_emulated(wide_kernels),
    ),
    Experiment(
        "own-input",
        "Does a TP job that writes over its own input read all of it first?",
        "layout changes in place, and trust in what the emulator makes of such streams",
        (7, 8),
        _as_emulated(of(models.small_convolution), PLAIN, over_its_input),
    ),
    Experiment(
        "plane-offsets",
        "Does a V8 take no_z_offset = 0?",
        "streams of an older driver, which the emulator refuses",
        (8,),
        _as_emulated(of(models.small_convolution), PLAIN, with_plane_offsets),
    ),
)
"""In the order in which they are tried."""
