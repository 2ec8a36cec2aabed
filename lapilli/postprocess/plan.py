"""Which operators of a graph the host does in place of LiteRT, and what they compute.

A plan is a TFLite_Detection_PostProcess, with the LOGISTIC and the DEQUANTIZE in front of it where
nobody else needs what they make. What LiteRT would refuse or can't do without writing beyond its
memory is not taken, so it is LiteRT that answers for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lapilli.errors import LapilliError, Unsupported
from lapilli.model.graph import DETECTION_POSTPROCESS, Custom, Graph, Operator, Tensor
from lapilli.model.order import rewritten
from lapilli.postprocess.detection import DetectionPostProcess, Values
from lapilli.postprocess.options import DetectionOptions, read_options
from lapilli.postprocess.tables import LOGISTIC_SCALE, QUANTISED, lowest

MOST_SLOTS = 1 << 20
"""Detections times classes listed for each, of an operator that is taken."""


@dataclass(frozen=True)
class Plan:
    """``operators`` by their index in the .tflite, the post-processing last. ``encodings``,
    ``scores`` and ``anchors`` are the tensors read, ``outputs`` those made: boxes, classes, scores,
    count. ``real_scores`` is what becomes of ``scores`` by a LOGISTIC, or ``scores`` itself;
    ``dequantized``: a DEQUANTIZE of them is among the operators."""

    operators: tuple[int, ...]
    encodings: int
    scores: int
    real_scores: int
    anchors: int
    outputs: tuple[int, ...]
    options: DetectionOptions
    dequantized: bool = False

    def build(self, graph: Graph, later_first: bool = False) -> DetectionPostProcess:
        """What computes it; ``later_first``: see there."""
        tensors = graph.tensors
        scores = tensors[self.scores]
        through_logistic = self.real_scores != self.scores
        return DetectionPostProcess(
            self.options,
            _values(tensors[self.encodings]),
            _values(tensors[self.real_scores]),
            _values(tensors[self.anchors]),
            (scores.shape[1], scores.shape[2]),
            _values(scores) if through_logistic else None,
            self.dequantized,
            later_first,
        )

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of ``outputs``, in their order."""
        slots = self.options.max_detections * self.options.max_classes_per_detection
        return (1, slots, 4), (1, slots), (1, slots), (1,)


def plans(graph: Graph) -> tuple[Plan, ...]:
    """A plan for each TFLite_Detection_PostProcess that can be taken: none where a tensor has more
    than one value, as LiteRT exchanges operators there when it cuts some out."""
    found: list[Plan] = []
    if rewritten(graph):
        return ()
    for operator in graph.operators:
        if operator.kind == DETECTION_POSTPROCESS:
            try:
                found.append(extended(graph, plan_of(graph, operator)))
            except LapilliError:
                continue
    return tuple(found)


def why_not(graph: Graph, operator: Operator) -> str:
    """Why a TFLite_Detection_PostProcess is not taken; empty if it is."""
    try:
        plan_of(graph, operator)
    except LapilliError as error:
        return str(error)
    return ""


def plan_of(graph: Graph, operator: Operator) -> Plan:
    """The operator alone. Raises Unsupported or ModelError if it is not taken."""
    if len(operator.inputs) != 3 or len(operator.outputs) != 4 or min(operator.inputs) < 0:
        found = f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs"
        raise Unsupported(f"{found}; allowed are 3 and 4")
    options = read_options(operator.options.data if isinstance(operator.options, Custom) else b"")
    encodings, scores, anchors = (graph.tensors[i] for i in operator.inputs)
    _check_shapes(encodings, scores, anchors, options)
    _check_options(options)
    if any(graph.tensors[i].dtype != "float32" for i in operator.outputs):
        raise Unsupported("outputs of another type than float32")
    for tensor in (encodings, scores, anchors):
        _check_values(tensor)
    if (encodings.dtype == "float32") != (anchors.dtype == "float32"):
        raise Unsupported(
            f"anchors of {anchors.dtype} for box encodings of {encodings.dtype}; allowed are "
            "float32 for float32, else quantised ones"
        )
    boxes, values, table = operator.inputs
    return Plan((operator.index,), boxes, values, values, table, operator.outputs, options)


def extended(graph: Graph, plan: Plan) -> Plan:
    """The plan with the operators in front that it can do as well: a DEQUANTIZE of the encodings,
    one of the scores, and a LOGISTIC of the scores."""
    plan = _through_dequantize(graph, plan, "encodings")
    plan = _through_dequantize(graph, plan, "scores")
    return _through_logistic(graph, plan)


def alone(graph: Graph, plan: Plan) -> Plan:
    """The plan without the operators in front."""
    (last,) = (operator for operator in graph.operators if operator.index == plan.operators[-1])
    return plan_of(graph, last)


def _through_dequantize(graph: Graph, plan: Plan, name: str) -> Plan:
    tensor = getattr(plan, name)
    maker = _only_for(graph, tensor, plan.operators)
    if maker is None or maker.kind != "DEQUANTIZE" or not _per_byte(graph.tensors[maker.inputs[0]]):
        return plan
    operators = (maker.index, *plan.operators)
    if name == "encodings":
        return replace(plan, operators=operators, encodings=maker.inputs[0])
    source = maker.inputs[0]
    return replace(plan, operators=operators, scores=source, real_scores=source, dequantized=True)


def _through_logistic(graph: Graph, plan: Plan) -> Plan:
    maker = _only_for(graph, plan.scores, plan.operators)
    if maker is None or maker.kind != "LOGISTIC":
        return plan
    source, result = graph.tensors[maker.inputs[0]], graph.tensors[plan.scores]
    fits = _per_byte(source) and _per_byte(result) and source.dtype == result.dtype
    if not fits or result.quantization is None:
        return plan
    scale, zero_point = result.quantization.scale, result.quantization.zero_point
    if scale != LOGISTIC_SCALE or zero_point != lowest(result.dtype):
        return plan
    return replace(plan, operators=(maker.index, *plan.operators), scores=source.index)


def _only_for(graph: Graph, tensor: int, operators: Sequence[int]) -> Operator | None:
    """The operator that makes a tensor which only ``operators`` read, and which has its input's
    shape; else None."""
    if tensor in graph.outputs:
        return None
    maker = None
    for operator in graph.operators:
        if tensor in operator.inputs and operator.index not in operators:
            return None
        if tensor in operator.outputs:
            maker = operator
    if maker is None or len(maker.inputs) != 1 or maker.inputs[0] < 0:
        return None
    if graph.tensors[maker.inputs[0]].shape != graph.tensors[tensor].shape:
        return None
    return maker


def _values(tensor: Tensor) -> Values:
    return Values(tensor.dtype, None if tensor.dtype == "float32" else tensor.quantization)


def _check_shapes(
    encodings: Tensor, scores: Tensor, anchors: Tensor, options: DetectionOptions
) -> None:
    boxes = encodings.shape[1] if len(encodings.shape) == 3 else 0
    fits = (
        len(encodings.shape) == len(scores.shape) == 3
        and encodings.shape[0] == scores.shape[0] == 1
        and boxes == scores.shape[1] > 0
        and encodings.shape[2] >= 4
        and anchors.shape == (boxes, 4)
    )
    if not fits:
        found = ", ".join(str(list(tensor.shape)) for tensor in (encodings, scores, anchors))
        raise Unsupported(f"shapes {found}; allowed are [1, N, 4 or more], [1, N, C], [N, 4]")
    columns = scores.shape[2]
    if options.classes < 1 or not 0 <= columns - options.classes <= 1:
        raise Unsupported(
            f"num_classes {options.classes} for {columns} columns of scores; allowed are "
            f"{columns}, or {columns - 1} behind a background"
        )


def _check_options(options: DetectionOptions) -> None:
    least = 1 if options.regular else 0
    for name, value, lowest_allowed in (
        ("max_detections", options.max_detections, least),
        ("max_classes_per_detection", options.max_classes_per_detection, 1),
        ("detections_per_class", options.detections_per_class, least),
    ):
        if value < lowest_allowed and not (name == "detections_per_class" and not options.regular):
            raise Unsupported(f"{name} {value}; allowed: {lowest_allowed} and above")
    if not 0 < options.overlap_threshold <= 1:
        raise Unsupported(
            f"nms_iou_threshold {options.overlap_threshold}; allowed: above 0, up to 1"
        )
    if options.max_detections * options.max_classes_per_detection > MOST_SLOTS:
        raise Unsupported(
            f"{options.max_detections} detections of {options.max_classes_per_detection} classes; "
            f"allowed are up to {MOST_SLOTS} together"
        )


def _check_values(tensor: Tensor) -> None:
    if tensor.dtype != "float32" and not _per_byte(tensor):
        raise Unsupported(
            f"tensor {tensor.index} is {tensor.dtype}; allowed are float32, and uint8 or int8 with "
            "one scale, above 0, and a zero point of their type"
        )


def _per_byte(tensor: Tensor) -> bool:
    """uint8 or int8 with one scale, so that each byte has a meaning."""
    found = tensor.quantization
    if tensor.dtype not in QUANTISED or found is None or len(found.scales) != 1:
        return False
    least = lowest(tensor.dtype)
    return 0 < found.scale < math.inf and least <= found.zero_point <= least + 255
