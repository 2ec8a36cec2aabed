"""What becomes of a part when its inputs get other shapes: the same operators for these, one image
of a batch after the other, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lapilli.errors import Unsupported
from lapilli.litert.backend import Backend
from lapilli.model.graph import Graph
from lapilli.model.settle import settled_anew
from lapilli.model.shapes import RULES, Shape, shapes_of


@dataclass(frozen=True, eq=False)
class Followed:
    """The ``graph`` to compile. ``batch``: as often as that its part runs, each time with the next
    image of the inputs in ``images``; None for once with all there is."""

    graph: Graph
    batch: int | None = None
    images: frozenset[int] = frozenset()


def followed(
    backend: Backend, graph: Graph, operators: Sequence[int], given: Mapping[int, Shape]
) -> Followed:
    """``graph`` where tensors have the shapes ``given``, or one image of these, if the NPU can do
    the ``operators`` with one at a time only. Raises Unsupported if it can't do them at all."""
    known = {index: graph.tensors[index].shape for index in given}
    changed = {index: shape for index, shape in given.items() if known[index] != shape}
    if not changed:
        return Followed(graph)
    chosen = set(operators)
    part = replace(graph, operators=tuple(o for o in graph.operators if o.index in chosen))
    anew = settled_anew(part, given)[0]
    refused = _refused(backend, part, given)
    if not refused:
        return Followed(anew)
    batches = {shape[:1] for shape in changed.values()}
    if len(batches) == 1 and all(known[index][:1] == (1,) for index in changed):
        single = {**given, **{index: (1, *shape[1:]) for index, shape in changed.items()}}
        (batch,) = batches
        one = settled_anew(part, single)[0]
        if batch > (1,) and _are_images(one, anew, batch) and not _refused(backend, part, single):
            return Followed(one, batch[0], frozenset(changed))
    index, shape = next(iter(changed.items()))
    raise Unsupported(
        f"tensor {graph.tensors[index].name!r} was {list(known[index])} when its operators were "
        f"taken and is {list(shape)} now; so the NPU can't do {refused} Give it other shapes, or "
        "run the model without the delegate"
    )


def _refused(backend: Backend, part: Graph, given: Mapping[int, Shape]) -> str:
    """The first operator that the NPU, or anybody, can't do with inputs of these shapes, and why;
    or nothing."""
    anew = settled_anew(part, given)[0]
    verdicts = backend.without_per_channel(anew)
    for operator, verdict in zip(anew.operators, verdicts, strict=True):
        inputs = [anew.tensors[i] if i >= 0 else None for i in operator.inputs]
        reason = "its inputs don't fit together."
        if operator.kind in RULES and isinstance(shapes_of(operator, inputs), Sequence):
            reason = verdict.reason
            if verdict.supported:
                continue
        return f"operator {operator.index} ({operator.kind}) any more: {reason}"
    return ""


def _are_images(one: Graph, all_of_them: Graph, batch: Shape) -> bool:
    """Whether every tensor that is made has the images of the batch in front and nothing else
    differs: what mixes images, or takes some of them, makes other shapes."""
    for operator in one.operators:
        for index in operator.outputs:
            single, several = one.tensors[index].shape, all_of_them.tensors[index].shape
            if len(single) < 2 or single[0] != 1 or several != (*batch, *single[1:]):
                return False
    return True
