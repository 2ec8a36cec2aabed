"""What the CPU's kernels have bits for: beyond that they wrap, stop the process or give nothing, so
there is no result that the NPU could agree with. Tensors of dead channels can have such scales.

Each function returns None, or what was found. Tensors are uint8, as ``unsigned`` makes them.
"""

from __future__ import annotations

import numpy as np

from lapilli.compiler.encode.table_functions import BYTES, Function
from lapilli.compiler.unsigned import MIDDLE
from lapilli.model.graph import Graph, Operator, Quantization
from lapilli.model.options import Activation

LEAST_SCALE = 2.0**-126
"""The least normal float32."""
LARGEST_NUMBER = float(np.finfo(np.float32).max)
BEYOND_STEPS = float(1 << 31)
SUM_SHIFT = 20
"""Bits that TFLite moves the operands of ADD and SUB up."""
GATE_SCALE = 3.0 / 32768
"""Of what HARD_SWISH multiplies a number by, in 16 bits."""
ENDS = {
    Activation.NONE: (),
    Activation.RELU: (),
    Activation.RELU6: (6.0,),
    Activation.RELU_N1_TO_1: (1.0,),
}
KINDS = {
    "RELU6": Activation.RELU6,
    "RELU_N1_TO_1": Activation.RELU_N1_TO_1,
    "RELU_0_TO_1": Activation.RELU_N1_TO_1,
}
"""Operators that end as an activation does."""


def beyond(graph: Graph, operator: Operator, function: Function | None) -> str | None:
    """Any of the following. ``function``: of an operator that has one."""
    for tensor in (*operator.inputs, *operator.outputs):
        quantization = graph.tensors[tensor].quantization if tensor >= 0 else None
        if quantization is not None and quantization.scales:
            found = odd_scale(quantization)
            if found is not None:
                return found
    if operator.kind in ("ADD", "SUB") and beyond_sum(graph, operator) is not None:
        return beyond_sum(graph, operator)
    found = beyond_end(graph, operator)
    if found is None and operator.kind == "HARD_SWISH":
        found = beyond_gate(graph, operator)
    if found is None and function is not None:
        found = beyond_results(graph, operator, function)
    return found


def odd_scale(quantization: Quantization) -> str | None:
    """A scale that is no normal float32 above 0."""
    for scale in quantization.scales:
        if not LEAST_SCALE <= scale <= LARGEST_NUMBER:
            return f"scale {scale}"
    return None


def beyond_sum(graph: Graph, operator: Operator) -> str | None:
    """ADD and SUB divide by 2^20 steps of the result: these must be more than two of an operand,
    and a float32."""
    tensors = [graph.tensors[i] for i in (*operator.inputs[:2], operator.outputs[0])]
    scales = [t.quantization.scale for t in tensors if t.quantization and t.quantization.scales]
    if len(scales) < len(tensors):
        return None
    largest, result = 2 * max(scales[:2]), 2.0**SUM_SHIFT * scales[2]
    if largest < result <= LARGEST_NUMBER:
        return None
    return f"steps of {largest / 2:.4g} and of {scales[2]:.4g}"


def beyond_end(graph: Graph, operator: Operator) -> str | None:
    """Where an activation ends, in steps of the result."""
    own = getattr(operator.options, "activation", Activation.NONE)
    activation = KINDS.get(operator.kind, own)
    quantization = graph.tensors[operator.outputs[0]].quantization
    if quantization is None or not quantization.scales or not quantization.scale > 0:
        return None
    steps = max(ENDS.get(activation, ()), default=0.0) / quantization.scale
    return None if steps < BEYOND_STEPS else f"{activation.value} ends at {steps:.4g} steps"


def beyond_gate(graph: Graph, operator: Operator) -> str | None:
    """HARD_SWISH moves numbers up by 7 bits, and then at most 30 for its gate, none for its
    result."""
    first, second = (
        graph.tensors[i].quantization for i in (operator.inputs[0], operator.outputs[0])
    )
    if first is None or second is None:
        return None
    fine = first.scale / 128
    if fine < second.scale and fine / GATE_SCALE < 2.0**30:
        return None
    return f"steps of {first.scale:.4g} and of {second.scale:.4g}"


def elsewhere(graph: Graph, operator: Operator) -> str | None:
    """NEG looks at neither scales nor zero points."""
    tensors = [graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0])]
    ends = [t.quantization for t in tensors if t.quantization and t.quantization.scales]
    pairs = [(end.scale, end.zero_point - MIDDLE) for end in ends]
    if len(pairs) < len(tensors) or (pairs[0] == pairs[1] and pairs[0][1] == 0):
        return None
    return f"{pairs[0]} -> {pairs[1]}"


def beyond_results(graph: Graph, operator: Operator, function: Function) -> str | None:
    """Numbers that bytes stand for, and results in steps before they are clamped."""
    first, second = (
        graph.tensors[i].quantization for i in (operator.inputs[0], operator.outputs[0])
    )
    if first is None or second is None:
        return None
    numbers = (np.arange(BYTES, dtype=np.float64) - first.zero_point) * float(first.scale)
    largest = float(np.abs(numbers).max())
    if largest > LARGEST_NUMBER:
        return f"a number of {largest:.4g}"
    with np.errstate(all="ignore"):
        steps = np.abs(function(numbers)) / float(second.scale)
    # Roots of numbers below 0, and of 0 below a fraction, have a way of their own.
    most = float(steps[(numbers != 0) & ~np.isnan(steps)].max(initial=0.0))
    return None if most < BEYOND_STEPS else f"{most:.4g} steps"
