"""Whether the NPU takes an operator, and if not, why not and what to do about it.

The rules lie with the operators (``operators/``); ``docs/operators.md`` is generated from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lapilli.compiler.operators.not_taken import REMEDIES
from lapilli.compiler.operators.record import Case, Rule
from lapilli.compiler.operators.registry import BY_KIND, record_of
from lapilli.compiler.unsigned import as_unsigned
from lapilli.hw.chips import Chip
from lapilli.model.graph import Graph, Operator
from lapilli.model.order import rewritten
from lapilli.postprocess.plan import plans

_REMEDY = "Remedy: "
ONE_VALUE: Final = "Each tensor of an operator has one value while the model runs."
ON_HOST: Final = "postprocess"
"""The rule of operators that the delegate does on the host itself; they are not left to LiteRT."""
_ON_HOST_SENTENCE: Final = (
    "TFLite_Detection_PostProcess, with what stands in front of it, is done on the host by the "
    "delegate, in place of LiteRT."
)


@dataclass(frozen=True)
class Verdict:
    """Whether the NPU takes an operator; if not, the first rule it breaks and what was found."""

    operator: int
    supported: bool
    rule: str = ""
    allowed: str = ""
    found: str = ""
    remedy: str = ""

    @property
    def reason(self) -> str:
        """One line for a reader; empty if supported."""
        return "" if self.supported else f"{self.allowed} Found: {self.found}."


def sentence(rule: Rule) -> str:
    """What must hold, in one line."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[0].split())


def remedy_of(rule: Rule) -> str:
    """What a user can do where it does not, in one line; empty if nothing is known."""
    return " ".join((rule.__doc__ or "").partition(_REMEDY)[2].split())


def judge(graph: Graph, operator: Operator, chip: Chip, more: Sequence[Rule] = ()) -> Verdict:
    """The verdict on one operator: the first rule it breaks, if any. ``more``: rules that hold for
    this compilation on top. The graph's int8 tensors are seen as bytes already (``unsigned``)."""
    record = record_of(operator.kind)
    if record is None:
        allowed, remedy = f"The NPU takes {', '.join(BY_KIND)}.", REMEDIES.get(operator.kind, "")
        return Verdict(operator.index, False, "operator", allowed, operator.kind, remedy)
    case = Case(graph, operator, chip, record)
    for rule in (*record.rules, *more):
        found = rule(case)
        if found is not None:
            allowed, remedy = sentence(rule), remedy_of(rule)
            return Verdict(operator.index, False, rule.__name__, allowed, found, remedy)
    return Verdict(operator.index, True)


def judge_all(graph: Graph, chip: Chip, more: Sequence[Rule] = ()) -> tuple[Verdict, ...]:
    """One verdict for each operator, in order."""
    unsigned = as_unsigned(graph)
    changing = rewritten(graph)
    return tuple(
        _of_many_values(unsigned, operator, changing) or judge(unsigned, operator, chip, more)
        for operator in unsigned.operators
    )


def _of_many_values(graph: Graph, operator: Operator, changing: Collection[int]) -> Verdict | None:
    """The verdict on an operator with a tensor of ``changing``: what it reads depends on when."""
    for index in (*operator.inputs, *operator.outputs):
        if index in changing:
            found = f"{graph.tensors[index].name or f'tensor {index}'} has more than one"
            return Verdict(operator.index, False, "one_value", ONE_VALUE, found)
    return None


def with_host(
    graph: Graph, verdicts: Sequence[Any], operators: Collection[int] | None = None
) -> tuple[Any, ...]:
    """The verdicts, with those of ``operators`` changed, which the delegate does on the host; None
    for those that its option ``postprocess`` takes."""
    chosen = operators
    if chosen is None:
        chosen = [index for plan in plans(graph) for index in plan.operators]
    return tuple(
        Verdict(operator.index, False, ON_HOST, _ON_HOST_SENTENCE, operator.kind)
        if operator.index in chosen
        else verdict
        for operator, verdict in zip(graph.operators, verdicts, strict=True)
    )


def left_over(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those of operators that neither the NPU nor the delegate on the host does."""
    return [verdict for verdict in verdicts if not verdict.supported and verdict.rule != ON_HOST]
