"""The words that reports use: ``lapilli help terms`` and docs/glossary.md."""

from __future__ import annotations

from typing import Final, NamedTuple


class Term(NamedTuple):
    """A word, or several for one thing, and what it means."""

    word: str
    meaning: str


TERMS: Final = (
    Term("NPU", "The accelerator: NN cores, TP cores, and a front end that reads commands."),
    Term(
        "NN",
        "A core that convolves: a job of its kind is an NN instruction, and all NN cores of "
        "the chip share it.",
    ),
    Term(
        "TP",
        "A core that moves bytes, pads, transposes, or looks each byte up in a table; a chip "
        "has several, and each gets an instruction of its own.",
    ),
    Term("operator", "A node of the .tflite file, by its number there."),
    Term(
        "job, operation",
        "A job is one instruction of the command stream. An operator becomes one or more; TP "
        "jobs that do one thing together on several cores are an operation.",
    ),
    Term(
        "part",
        "Operators that the NPU does in one submit, between what the CPU does. Each costs a "
        "way there and back.",
    ),
    Term(
        "command stream",
        "The words that the front end reads: registers to set, jobs to start, what to wait for.",
    ),
    Term(
        "tile",
        "A rectangle of the output that a core works on at a time; for each tile the kernels' "
        "coefficients are needed again.",
    ),
    Term(
        "superblock",
        "As many kernels as a core takes at once; for each superblock the input image is read "
        "again, unless it is kept on chip.",
    ),
    Term(
        "coefficients",
        "A job's weights and biases as the chip reads them, packed: runs of zeros (V7) or a "
        "prefix code (V8).",
    ),
    Term("packed", "Weights for each byte of coefficients; above 1 the packing pays."),
    Term("V7, V8", "Generations of the NPU: the A311D has V7, the i.MX 8M Plus V8."),
    Term(
        "on-chip memory, VIP SRAM",
        "Memory beside the cores, much faster than the bus; keeps kernels or an image from "
        "being read again.",
    ),
    Term(
        "bound by, waits for",
        "What takes longest of a job, the rest being done meanwhile: memory (bytes over the "
        "bus), coefficients (multiplications), TP, or start-up (before a job begins).",
    ),
    Term(
        "MACs, real",
        "Multiplications with an addition that the operator's definition asks for; what "
        "papers count.",
    ),
    Term(
        "MACs, dense",
        "Those of the jobs, zeros included: on V7 a depthwise layer is written as a "
        "convolution over all channels, most of whose weights are zero.",
    ),
    Term(
        "MACs, useful",
        "The dense ones without those whose weight is zero: the cores do these.",
    ),
    Term(
        "util",
        "Utilisation: useful MACs as a share of what all multipliers could do in that time.",
    ),
    Term(
        "modelled, measured",
        "A modelled time is worked out from the command stream; a measured one is a clock's. "
        "They are never added up.",
    ),
    Term(
        "schedule",
        "How jobs are laid out: reference as the recorded driver does it, best as fast as is "
        "known.",
    ),
    Term(
        "step",
        "The distance between neighbouring values of a quantised tensor; differences are "
        "counted in them.",
    ),
    Term(
        "alone, accumulated",
        "An operator compared on the CPU's inputs, or on what the NPU made before it.",
    ),
    Term(
        "per tensor, per channel",
        "Weights with one scale for a layer, or one for each output channel; the NPU has the "
        "first kind only.",
    ),
    Term("recording", "A submit as a driver handed it over, buffers included (.npz)."),
    Term("delegate", "What LiteRT hands operators to; here the NPU."),
)
