"""From what a file says of its tensors to what the runtime will make of them: operator by operator
the shapes of outputs are worked out anew, and operators that nothing could prepare are refused.

Where a shape is known at run time only, or an operator's kind is not known here, the file's shape
stays, as it does for a delegate; what follows from it is not held against the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lapilli.model.convolution_checks import checked_convolution, with_depth
from lapilli.model.flatbuffer import Table
from lapilli.model.graph import Graph, Operator, Tensor
from lapilli.model.operator_checks import check_addition, check_counts
from lapilli.model.options import Addition, Convolution
from lapilli.model.shapes import DYNAMIC, RULES, Dynamic, Shape, Shapes, shapes_of


def settle(
    stated: Sequence[tuple[Table, Operator]], tensors: tuple[Tensor, ...]
) -> tuple[tuple[Operator, ...], tuple[Tensor, ...]]:
    """Operators with options as their tensors have them, and tensors with the shapes they will
    have. Raises ModelError for an operator that TFLite refuses to prepare."""
    settled = list(tensors)
    unsure: set[int] = set()
    operators = []
    for table, operator in stated:
        check_counts(table, operator)
        _account(table, operator, tensors)
        sure = not unsure.intersection(operator.inputs)
        checked = _checked(table, operator, settled, sure)
        operators.append(checked)
        found = _shapes(checked, settled)
        if isinstance(found, Sequence):
            for index, shape in zip(operator.outputs, found, strict=True):
                if settled[index].data is None:
                    settled[index] = replace(settled[index], shape=tuple(shape))
        if not sure or not isinstance(found, Sequence):
            unsure.update(operator.outputs)
        else:
            unsure.difference_update(operator.outputs)
    return tuple(operators), tuple(settled)


def settled_anew(graph: Graph, given: Mapping[int, Shape]) -> tuple[Graph, frozenset[int]]:
    """The graph as it is when tensors have the shapes ``given``: what follows from them is worked
    out anew. And the tensors whose shapes depend on values that are computed, directly or not;
    these, and all behind an operator of an unknown kind, keep the shapes they had.
    """
    settled = list(graph.tensors)
    for index, shape in given.items():
        settled[index] = replace(settled[index], shape=tuple(shape))
    unsure: set[int] = set()
    operators = []
    for operator in graph.operators:
        options = operator.options
        if isinstance(options, Convolution) and operator.kind == "DEPTHWISE_CONV_2D":
            operator = replace(operator, options=with_depth(options, operator, settled))
        operators.append(operator)
        found = _shapes(operator, settled)
        if isinstance(found, Sequence):
            for index, shape in zip(operator.outputs, found, strict=True):
                if settled[index].data is None and index not in given:
                    settled[index] = replace(settled[index], shape=tuple(shape))
        elif shape_is_computed(operator, settled):
            unsure.update(operator.outputs)
        if unsure.intersection(operator.inputs):
            unsure.update(operator.outputs)
    anew = replace(graph, operators=tuple(operators), tensors=tuple(settled))
    return anew, frozenset(unsure)


def shape_is_computed(operator: Operator, tensors: Sequence[Tensor]) -> bool:
    """Whether the shapes of what it makes depend on values that are computed. False for a kind that
    is not known here."""
    return operator.kind in RULES and isinstance(_shapes(operator, tensors), Dynamic)


def _account(table: Table, operator: Operator, tensors: Sequence[Tensor]) -> None:
    """Count the scales that rules will look at: many operators may share one tensor with many."""
    for index in (*operator.inputs, *operator.outputs):
        scales = tensors[index].quantization if index >= 0 else None
        if scales is not None and len(scales.scales) > 1:
            table.file.spend(4 * len(scales.scales), table.where)


def _checked(table: Table, operator: Operator, tensors: Sequence[Tensor], sure: bool) -> Operator:
    """With options as the tensors have them; refused if the shapes are ``sure`` and don't fit."""
    options = operator.options
    if not sure:
        if isinstance(options, Convolution) and operator.kind == "DEPTHWISE_CONV_2D":
            return replace(operator, options=with_depth(options, operator, tensors))
        return operator
    if isinstance(options, Convolution):
        return replace(operator, options=checked_convolution(table, operator, options, tensors))
    if isinstance(options, Addition):
        check_addition(table, operator, tensors)
    return operator


def _shapes(operator: Operator, tensors: Sequence[Tensor]) -> Shapes:
    if operator.kind not in RULES:
        return DYNAMIC
    return shapes_of(operator, [tensors[i] if i >= 0 else None for i in operator.inputs])
