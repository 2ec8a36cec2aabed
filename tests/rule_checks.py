"""What every operator's rules are asked: graphs made by hand that break one of them.

``Broken``: (rule, what it finds, graph).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest

from lapilli.compiler import verdict
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.hw.chips import Chip, find_by_name
from lapilli.model.graph import Graph

Broken: TypeAlias = tuple[str, str, Graph]
SHARED_SENTENCES = {
    "operands_present": "The operator must have all its inputs and outputs.",
    "operands_computed": "Images that go in must be computed, not constant.",
    "eight_bit": "Inputs and outputs must be bytes: uint8 or int8.",
    "quantised_per_tensor": (
        "Every tensor must have one scale from 2^-126 to below 2^128 and one zero point from 0 to "
        "255."
    ),
    "batch_of_one": "Images must have up to four dimensions, none of them 0, and a batch of 1.",
    "no_empty_dimension": "No dimension of an image may be 0.",
    "image_of_four_dimensions": "Images that go in and come out must have four dimensions.",
    "image_size": (
        "Images may have at most 8191 rows and columns (4094 with stride 2) and 16383 "
        "channels (4095 into a convolution with stride 2)."
    ),
    "activation_exact": (
        "A fused activation must be ReLU, ReLU6 or ReLU-1..1, whose ends are fewer than 2^31 "
        "steps of the output; where such a range ends inside the output's, the output must be one "
        "that can be seen as an image of at most 8191 x 8191."
    ),
    "results_in_32_bits": (
        "Numbers must be below 2^128, and results, before they are clamped, fewer than 2^31 steps "
        "of the output, as must be the 1 or 6 at which a function ends: the CPU has no more bits "
        "for them."
    ),
    "operand_size": (
        "Tensors may have at most 65535 rows, columns and channels each, and fewer than 2^28 "
        "bytes; beside a constant for each channel 8191 rows and columns and 16383 channels."
    ),
    "moved_size": (
        "Tensors may have at most 65535 rows, columns and channels each, and fewer than 2^28 bytes."
    ),
    "byte_count": "Tensors must have fewer than 2^28 bytes.",
    "flat_size": "The elements must fit into an image of at most 8191 x 8191.",
    "quantisation_stays": "Input and output must have the same scale and zero point.",
    "constant_operand": (
        "One operand at least must be computed, and have the result's shape if the other one is a "
        "constant number, or one for each channel."
    ),
    "shapes_broadcast": (
        "Operands that are not constant numbers must have the result's shape, or an extent of 1 "
        "where the result has more; then a plane of the result has fewer than 2^16 elements."
    ),
    "addition_size": ("The elements of the result must fit into an image of at most 8191 x 8191."),
    "scale_fits": (
        "The factor from accumulator to output must have a "
        "multiplier and shift (A311D: 2^-112 to 2^16)."
    ),
    "windows_fit": (
        "Window, stride, padding and the shapes of input and output must belong together."
    ),
    "window_strides": (
        "Windows must move by 1 or 2, the same for rows and columns, or there is only "
        "one, over all rows or columns."
    ),
    "window_padding": (
        "Padding before the image must fit the chip's offset field (A311D: up to 8)."
    ),
    "pad_amounts": ("Paddings must be constant, none of them below 0, and the batch has none."),
    "pad_shapes_agree": "The padded image must have the size that the paddings say.",
    "pad_keeps_values": "Padding must not change scale or zero point.",
}


def chip(name: str = "a311d") -> Chip:
    found = find_by_name(name)
    assert found is not None
    return found


def judged(graph: Graph, name: str = "a311d") -> verdict.Verdict:
    return verdict.judge(graph, graph.operators[0], chip(name))


def zeros(*shape: int, dtype: str = "uint8") -> Any:
    return np.zeros(shape, dtype)


def parameters(cases: Sequence[Broken]) -> list[Any]:
    """One for each case, named after its rule."""
    return [pytest.param(*case, id=f"{case[0]}-{number}") for number, case in enumerate(cases)]


def check_broken(rule: str, found: str, graph: Graph, sentences: Mapping[str, str]) -> None:
    """The verdict names the rule, with its sentence and what was found."""
    sentence = {**SHARED_SENTENCES, **sentences}[rule]
    verdict = judged(graph)
    assert not verdict.supported
    assert (verdict.rule, verdict.found) == (rule, found)
    assert verdict.allowed == sentence
    assert verdict.reason == f"{sentence} Found: {found}."


def check_complete(
    record: OperatorRecord,
    cases: Sequence[Broken],
    sentences: Mapping[str, str],
    elsewhere: Collection[str] = (),
) -> None:
    """Every rule of ``record`` is broken by a case (or ``elsewhere``) and has its sentence."""
    rules = {rule.__name__: verdict.sentence(rule) for rule in record.rules}
    assert {case[0] for case in cases} | set(elsewhere) == rules.keys()
    known = {**SHARED_SENTENCES, **sentences}
    assert rules == {name: known[name] for name in rules}
    assert sentences.keys() <= rules.keys()
