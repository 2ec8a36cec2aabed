"""How a graph is cut: what one submit holds, and the tensors that cross its border."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared_data
from work import calls_of

from lapilli.compiler.partition import Partition, partition, with_borders
from lapilli.compiler.verdict import judge_all
from lapilli.hw.chips import find_by_name
from lapilli.model import tflite
from lapilli.model.graph import Graph, Operator, Tensor

Wiring = Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
"""(inputs, outputs) of each operator, in execution order."""


def wired(
    wiring: Wiring,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    constants: tuple[int, ...] = (),
) -> Graph:
    used = {t for pair in wiring for side in pair for t in side} | {*inputs, *outputs}
    data = np.zeros(1, np.uint8)
    tensors = tuple(
        Tensor(i, f"t{i}", (1,), "uint8", data=data if i in constants else None)
        for i in range(max(used) + 1)
    )
    operators = tuple(Operator(i, "ADD", *pair) for i, pair in enumerate(wiring))
    return Graph("wired", tensors, operators, inputs, outputs)


def cut(graph: Graph, npu: str) -> list[tuple[str, Partition]]:
    """``npu``: N or C for each operator."""
    return [("N" if p.on_npu else "C", p) for p in partition(graph, [kind == "N" for kind in npu])]


def shape_of(found: list[tuple[str, Partition]]) -> list[tuple[str, tuple[int, ...]]]:
    return [(kind, p.operators) for kind, p in found]


def borders_of(found: list[tuple[str, Partition]]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(p.inputs, p.outputs) for _, p in found]


CHAIN = wired([((0,), (1,)), ((1,), (2,)), ((2,), (3,)), ((3,), (4,))], (0,), (4,))


@pytest.mark.parametrize(
    ("npu", "parts"),
    [
        ("NNNN", [("N", (0, 1, 2, 3))]),
        ("CCCC", [("C", (0, 1, 2, 3))]),
        ("NNCN", [("N", (0, 1)), ("C", (2,)), ("N", (3,))]),
        ("CNNC", [("C", (0,)), ("N", (1, 2)), ("C", (3,))]),
        ("NCNC", [("N", (0,)), ("C", (1,)), ("N", (2,)), ("C", (3,))]),
    ],
)
def test_a_chain_is_cut_at_every_change(npu: str, parts: list[tuple[str, tuple[int, ...]]]) -> None:
    found = cut(CHAIN, npu)
    assert shape_of(found) == parts
    for _, part in found:
        assert part.inputs == (part.operators[0],)
        assert part.outputs == (part.operators[-1] + 1,)


DIAMOND = wired([((0,), (1,)), ((1,), (2,)), ((1,), (3,)), ((2, 3), (4,))], (0,), (4,))
"""One tensor to two branches, which meet again."""


def test_branches_on_one_side_stay_together() -> None:
    found = cut(DIAMOND, "NNNN")
    assert shape_of(found) == [("N", (0, 1, 2, 3))]
    assert borders_of(found) == [((0,), (4,))]


def test_a_cpu_island_in_one_branch() -> None:
    """The other branch is done before it; its result and the island's input both leave."""
    found = cut(DIAMOND, "NCNN")
    assert shape_of(found) == [("N", (0, 2)), ("C", (1,)), ("N", (3,))]
    assert borders_of(found) == [((0,), (1, 3)), ((1,), (2,)), ((2, 3), (4,))]


def test_an_island_that_does_not_wait_for_the_npu_does_not_cut() -> None:
    """0 and 2 on the NPU; 1 depends on the graph's input only."""
    graph = wired([((0,), (1,)), ((0,), (2,)), ((1,), (3,)), ((2, 3), (4,))], (0,), (4,))
    found = cut(graph, "NCNC")
    assert shape_of(found) == [("N", (0, 2)), ("C", (1, 3))]
    assert borders_of(found) == [((0,), (3,)), ((0, 3), (4,))]


def test_the_kind_of_the_first_operator_comes_first() -> None:
    graph = wired([((0,), (1,)), ((0,), (2,)), ((1, 2), (3,))], (0,), (3,))
    assert shape_of(cut(graph, "CNN")) == [("C", (0,)), ("N", (1, 2))]
    assert shape_of(cut(graph, "NCN")) == [("N", (0,)), ("C", (1,)), ("N", (2,))]


def test_an_output_that_is_also_used_inside_leaves() -> None:
    graph = wired([((0,), (1,)), ((1,), (2,))], (0,), (1, 2))
    assert borders_of(cut(graph, "NN")) == [((0,), (1, 2))]


def test_a_tensor_used_inside_and_by_the_cpu_leaves() -> None:
    graph = wired([((0,), (1,)), ((1,), (2,)), ((1, 2), (3,))], (0,), (3,))
    found = cut(graph, "NNC")
    assert borders_of(found) == [((0,), (1, 2)), ((1, 2), (3,))]


def test_a_result_that_nobody_reads_leaves() -> None:
    graph = wired([((0,), (1,)), ((0,), (2,))], (0,), (2,))
    assert borders_of(cut(graph, "NN")) == [((0,), (1, 2))]


def test_constants_and_absent_inputs_cross_no_border() -> None:
    graph = wired([((0, 5, -1), (1,)), ((1, 5), (2,))], (0,), (2,), constants=(5,))
    assert borders_of(cut(graph, "NN")) == [((0,), (2,))]


def test_a_tensor_used_twice_enters_once() -> None:
    graph = wired([((0, 0), (1,)), ((0, 1), (2,))], (0,), (2,))
    assert borders_of(cut(graph, "NN")) == [((0,), (2,))]


def test_several_inputs_enter_in_order_of_use() -> None:
    graph = wired([((2, 0), (3,)), ((1, 3), (4,))], (0, 1, 2), (4,))
    assert borders_of(cut(graph, "NN")) == [((2, 0, 1), (4,))]


def test_borders_of_chosen_operators() -> None:
    part = with_borders(DIAMOND, (1, 3))
    assert part == Partition(True, (1, 3), (1, 3), (4,))
    assert with_borders(DIAMOND, (0, 1)).outputs == (1, 2)


def test_a_graph_without_operators_has_no_parts() -> None:
    assert cut(wired([], (0,), (0,)), "") == []


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, str]:
    """Operators that read any tensors made before them."""
    wiring = []
    for i in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.integers(0, i), min_size=1, max_size=3))
        wiring.append((tuple(inputs), (i + 1,)))
    outputs = draw(st.sets(st.integers(1, len(wiring)), min_size=1))
    npu = draw(st.lists(st.sampled_from("NC"), min_size=len(wiring), max_size=len(wiring)))
    return wired(wiring, (0,), tuple(sorted(outputs))), "".join(npu)


@given(graphs())
def test_parts_can_run_one_after_another(drawn: tuple[Graph, str]) -> None:
    """Every operator is in one part of its kind; what a part reads exists before it; whatever is
    read outside, or by the user, leaves; neighbours are of different kinds."""
    graph, npu = drawn
    found = cut(graph, npu)
    done = [i for _, part in found for i in part.operators]
    assert sorted(done) == list(range(len(npu)))
    available = set(graph.inputs)
    for kind, part in found:
        assert {npu[i] for i in part.operators} == {kind}
        assert list(part.operators) == sorted(part.operators)
        assert set(part.inputs) <= available
        made = {t for i in part.operators for t in graph.operators[i].outputs}
        outside = {
            t for i in range(len(npu)) if i not in part.operators for t in graph.operators[i].inputs
        }
        assert made & (outside | set(graph.outputs)) <= set(part.outputs) <= made
        available |= set(part.outputs)
    kinds = [kind for kind, _ in found]
    assert all(left != right for left, right in pairwise(kinds))


@st.composite
def tangled(draw: st.DrawFn) -> tuple[Graph, list[bool]]:
    """Operators with constants, absent inputs, several results, results that another one writes
    too, and none at all; what nobody needs, and outputs that are inputs."""
    wiring: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    known, spare = [-1, 0, 1, 2], 3
    for _ in range(draw(st.integers(0, 14))):
        inputs = draw(st.lists(st.sampled_from(known), max_size=4))
        outputs = list(range(spare, spare + draw(st.integers(0, 2))))
        spare += len(outputs)
        if draw(st.integers(0, 5)) == 0 and spare > 3:
            outputs.append(draw(st.integers(3, spare - 1)))
        wiring.append((tuple(inputs), tuple(dict.fromkeys(outputs))))
        known += outputs
    outputs = draw(st.lists(st.sampled_from([t for t in known if t >= 0]), max_size=4))
    graph = wired(wiring, (0, 1), tuple(outputs), constants=(2,))
    on_npu = draw(st.lists(st.booleans(), min_size=len(wiring), max_size=len(wiring)))
    return graph, on_npu


def by_definition(graph: Graph, on_npu: list[bool]) -> list[Partition]:
    """Again and again all operators of one kind whose inputs are ready, in execution order: looks
    at every operator again for each one taken."""
    produced = {t for operator in graph.operators for t in operator.outputs}
    ready = {t.index for t in graph.tensors if t.index not in produced} | {-1}
    left, found = list(range(len(graph.operators))), []
    while left:
        taken: list[int] = []
        while more := [
            i
            for i in left
            if ready.issuperset(graph.operators[i].inputs)
            and (not taken or on_npu[i] == on_npu[taken[0]])
        ]:
            taken.append(more[0])
            left.remove(more[0])
            ready.update(graph.operators[more[0]].outputs)
        taken.sort()
        found.append(borders_by_definition(graph, taken, on_npu[taken[0]]))
    return found


def borders_by_definition(graph: Graph, taken: list[int], on_npu: bool) -> Partition:
    made = [t for i in taken for t in graph.operators[i].outputs]
    used = [t for i in taken for t in graph.operators[i].inputs if t >= 0]
    needed = set(graph.outputs).union(
        *(operator.inputs for i, operator in enumerate(graph.operators) if i not in taken)
    )
    return Partition(
        on_npu,
        tuple(taken),
        tuple(dict.fromkeys(t for t in used if t not in made and graph.tensors[t].data is None)),
        tuple(dict.fromkeys(t for t in made if t in needed or t not in used)),
    )


@given(tangled())
def test_parts_are_those_of_the_plain_definition(drawn: tuple[Graph, list[bool]]) -> None:
    graph, on_npu = drawn
    assert list(partition(graph, on_npu)) == by_definition(graph, on_npu)


def test_work_grows_with_the_operators_however_many_parts() -> None:
    """Alternating kinds, and one tensor that all of them read."""

    def action(count: int) -> Callable[[], object]:
        graph = wired([((i, 0), (i + 1,)) for i in range(count)], (0,), (count,))
        on_npu = [i % 2 == 0 for i in range(count)]
        assert len(partition(graph, on_npu)) == count
        return lambda: partition(graph, on_npu)

    one, two, four = (calls_of(action(n * 100)) for n in (1, 2, 4))
    assert four - two <= 2.2 * (two - one)


def cut_model(name: str) -> tuple[Graph, tuple[Partition, ...]]:
    chip = find_by_name("a311d")
    assert chip is not None
    graph = tflite.load(shared_data() / "models" / f"{name}.tflite")
    verdicts = judge_all(graph, chip)
    return graph, partition(graph, [verdict.supported for verdict in verdicts])


def test_mobiledet_is_one_part_up_to_its_post_processing() -> None:
    graph, parts = cut_model("ssdlite_mobiledet_coco_qat_postprocess")
    (part,) = (p for p in parts if p.on_npu)
    kinds = Counter(graph.operators[i].kind for i in part.operators)
    heads = {"RESHAPE": 13, "CONCATENATION": 2, "LOGISTIC": 1}
    assert {kind: kinds[kind] for kind in heads} == heads
    assert sum(kinds.values()) == 108 + sum(heads.values())
    assert kinds.keys() == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", *heads}
    assert part.inputs == graph.inputs
    assert len(part.outputs) == 2, "boxes and classes of all feature maps"


@pytest.mark.parametrize(
    ("model", "count"), [("mobilenet_v1_1.0_224_quant", 30), ("mobilenet_v2_1.0_224_quant", 65)]
)
def test_mobilenets_are_one_part_up_to_the_softmax(model: str, count: int) -> None:
    graph, parts = cut_model(model)
    kinds = [(p.on_npu, [graph.operators[i].kind for i in p.operators]) for p in parts]
    assert [on_npu for on_npu, _ in kinds] == [True, False]
    assert len(kinds[0][1]) == count
    assert kinds[1][1] == ["SOFTMAX"]
    assert parts[0].outputs == parts[1].inputs
