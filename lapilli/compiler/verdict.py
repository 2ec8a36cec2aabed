"""Which operators of a graph the NPU takes, each with what is in its way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from lapilli.compiler.fusions.fused import Fused
from lapilli.compiler.fusions.registry import fuse
from lapilli.compiler.judge import (
    UNKNOWN,
    Broken,
    Verdict,
    judge,
    remedy_of,
    sentence,
)
from lapilli.compiler.operators.record import Rule
from lapilli.compiler.unsigned import as_unsigned
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator
from lapilli.model.order import rewritten
from lapilli.model.settle import shape_is_computed
from lapilli.postprocess.plan import plans

__all__ = ["UNKNOWN", "Broken", "Verdict", "judge", "remedy_of", "sentence"]

ONE_VALUE: Final = "Each tensor of the model must have one value while it runs."
KNOWN_SHAPE: Final = "The shapes of what an operator makes must follow from shapes and constants."
_KNOWN_SHAPE_RULE: Final = "known_shape"
_KNOWN_SHAPE_REMEDY: Final = (
    "Convert the model with a fixed batch and fixed sizes, so that no shape is computed."
)
ON_HOST: Final = "postprocess"
"""The rule of operators that the delegate does on the host itself; they are not left to LiteRT."""
_ON_HOST_SENTENCE: Final = (
    "TFLite_Detection_PostProcess, with what stands in front of it, is done on the host by the "
    "delegate, in place of LiteRT."
)
_FOLDED_SENTENCE: Final = "An operator that is folded into another one runs where that runs."


def judge_all(graph: Graph, chip: Chip, more: Sequence[Rule] = ()) -> tuple[Verdict, ...]:
    """One verdict for each operator, in order; those that a fusion folds into another one have
    that one's."""
    found = _left_out(graph)
    after = fuse(as_unsigned(graph), chip, found)
    for operator in after.graph.operators:
        before = found.get(operator.index)
        if before is None or before.rule == _KNOWN_SHAPE_RULE:
            verdict = judge(after.graph, operator, chip, more)
            found[operator.index] = before if before and verdict.supported else verdict
    for index, into in after.folded.items():
        found[index] = replace(found[into], operator=index, folded_into=into)
    return tuple(found[operator.index] for operator in graph.operators)


def fused(graph: Graph, chip: Chip) -> Fused:
    """The graph as it is judged: after fusions."""
    return fuse(as_unsigned(graph), chip, _left_out(graph))


def _left_out(graph: Graph) -> dict[int, Verdict]:
    """Operators that are refused whatever they do: a tensor has more than one value, or one of
    theirs a shape that nobody knows before."""
    tensors = rewritten(graph)
    found = {}
    for operator in graph.operators:
        verdict = _of_many_values(graph, operator, tensors) or _of_computed_shape(graph, operator)
        if verdict is not None:
            found[operator.index] = verdict
    return found


def _of_many_values(graph: Graph, operator: Operator, changing: Collection[int]) -> Verdict | None:
    """The verdict on an operator of a graph with tensors of more than one value: what is read
    depends on when, and LiteRT exchanges operators of such a graph, wherever they are, when it
    cuts a part out."""
    if not changing:
        return None
    own = [i for i in (*operator.inputs, *operator.outputs) if i in changing]
    index = own[0] if own else min(changing)
    found = f"{graph.tensors[index].name or f'tensor {index}'} has more than one"
    return Verdict.refused(operator.index, Broken("one_value", ONE_VALUE, found))


def _of_computed_shape(graph: Graph, operator: Operator) -> Verdict | None:
    """The verdict on an operator that makes a shape which depends on computed values."""
    if not shape_is_computed(operator, graph.tensors):
        return None
    tensor = graph.tensors[operator.outputs[0]]
    found = f"the shape of {tensor.name or f'tensor {tensor.index}'} is computed by the model"
    told = Broken(_KNOWN_SHAPE_RULE, KNOWN_SHAPE, found, _KNOWN_SHAPE_REMEDY)
    return Verdict.refused(operator.index, told)


def with_host(
    graph: Graph, verdicts: Sequence[Any], operators: Collection[int] | None = None
) -> tuple[Any, ...]:
    """The verdicts, with those of ``operators`` changed, which the delegate does on the host; None
    for those that its option ``postprocess`` takes."""
    chosen = operators
    if chosen is None:
        chosen = [index for plan in plans(graph) for index in plan.operators]
    return tuple(
        _with_host(operator, verdict, chosen)
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
    )


def _with_host(operator: Operator, verdict: Any, chosen: Collection[int]) -> Any:
    if operator.index in chosen:
        return Verdict.refused(operator.index, Broken(ON_HOST, _ON_HOST_SENTENCE, operator.kind))
    into = getattr(verdict, "folded_into", None)
    if into in chosen:
        told = Broken("folded", _FOLDED_SENTENCE, f"operator {into} is done on the host")
        return Verdict.refused(operator.index, told)
    return verdict


def left_over(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those of operators that neither the NPU nor the delegate on the host does."""
    return [verdict for verdict in verdicts if not verdict.supported and verdict.rule != ON_HOST]
