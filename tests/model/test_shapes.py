"""Shapes of computed tensors are those that LiteRT works out, whatever the file says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from models import ModelBuilder
from shared_data import shared_data
from small_model import small_model

from lapilli.compiler.stages import chip_named
from lapilli.compiler.verdict import judge_all
from lapilli.errors import ModelError
from lapilli.model import tflite
from lapilli.model.graph import Graph, Tensor
from lapilli.model.option_tables import TABLES
from lapilli.model.shapes import DYNAMIC, RULES, shapes_of

litert: Any = pytest.importorskip("ai_edge_litert.interpreter")

Options = tuple[str, dict[str, Any]]
WINDOW = {"StrideH": 2, "StrideW": 1, "FilterHeight": 3, "FilterWidth": 2}


def integers(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int32)


Case = tuple[str, list[tuple[int, ...] | np.ndarray[Any, Any]], int, Options | None]
CASES: list[Case] = [
    ("ABS", [(2, 3)], 1, None),
    ("ADD", [(1, 4, 4, 3), (3,)], 1, ("AddOptions", {})),
    ("MUL", [(4, 1), (2, 1, 5)], 1, ("MulOptions", {})),
    ("MAXIMUM", [(1, 3), (4, 3)], 1, None),
    ("AVERAGE_POOL_2D", [(1, 9, 7, 3)], 1, ("Pool2DOptions", {**WINDOW, "Padding": 0})),
    ("MAX_POOL_2D", [(1, 9, 7, 3)], 1, ("Pool2DOptions", {**WINDOW, "Padding": 1})),
    ("PAD", [(1, 4, 5, 3), integers(0, 0, 1, 2, 3, 0, 0, 1).reshape(4, 2)], 1, None),
    ("RESHAPE", [(2, 6), integers(3, -1)], 1, ("ReshapeOptions", {})),
    ("SQUEEZE", [(1, 3, 1, 2)], 1, ("SqueezeOptions", {})),
    ("EXPAND_DIMS", [(2, 3), integers(-1)], 1, None),
    ("EXPAND_DIMS", [(2, 3), integers(1)], 1, None),
    ("CONCATENATION", [(1, 2, 3), (1, 5, 3)], 1, ("ConcatenationOptions", {"Axis": 1})),
    ("CONCATENATION", [(1, 2, 3), (1, 2, 4)], 1, ("ConcatenationOptions", {"Axis": -1})),
    ("PACK", [(2, 3), (2, 3)], 1, ("PackOptions", {"ValuesCount": 2, "Axis": 1})),
    ("PACK", [(2, 3), (2, 3)], 1, ("PackOptions", {"ValuesCount": 2, "Axis": -1})),
    ("UNPACK", [(2, 3)], 3, ("UnpackOptions", {"Num": 3, "Axis": -1})),
    ("SPLIT", [integers(1), (2, 6)], 3, ("SplitOptions", {"NumSplits": 3})),
    ("SPLIT_V", [(2, 6), integers(1, -1, 2), integers(1)], 3, ("SplitVOptions", {"NumSplits": 3})),
    ("MEAN", [(1, 4, 5, 3), integers(1, 2)], 1, ("ReducerOptions", {"KeepDims": 1})),
    ("SUM", [(1, 4, 5, 3), integers(1, -1)], 1, ("ReducerOptions", {"KeepDims": 0})),
    ("TRANSPOSE", [(1, 4, 5, 3), integers(0, 3, 1, 2)], 1, None),
    ("RESIZE_BILINEAR", [(1, 4, 5, 3), integers(7, 9)], 1, ("ResizeBilinearOptions", {})),
    (
        "RESIZE_NEAREST_NEIGHBOR",
        [(1, 4, 5, 3), integers(2, 3)], 1, ("ResizeNearestNeighborOptions", {}),
    ),
    ("SLICE", [(4, 5), integers(1, 2), integers(2, -1)], 1, None),
    (
        "STRIDED_SLICE",
        [(4, 6, 5), integers(1, -2, 4), integers(9, -5, 0), integers(2, -1, -2)], 1,
        ("StridedSliceOptions", {}),
    ),
    (
        "STRIDED_SLICE",
        [(4, 6, 5), integers(1, 1, 1), integers(2, 2, 2), integers(1, 1, 1)], 1,
        ("StridedSliceOptions", {"BeginMask": 1, "EndMask": 2, "ShrinkAxisMask": 4}),
    ),
    ("GATHER", [(4, 5, 2), integers(1, 2, 0)], 1, ("GatherOptions", {"Axis": 1})),
    ("GATHER", [(4, 5, 2), integers(1, 0).reshape(1, 2)], 1, ("GatherOptions", {"Axis": -1})),
    ("SPACE_TO_DEPTH", [(1, 4, 6, 3)], 1, ("SpaceToDepthOptions", {"BlockSize": 2})),
    ("DEPTH_TO_SPACE", [(1, 4, 6, 8)], 1, ("DepthToSpaceOptions", {"BlockSize": 2})),
    (
        "SPACE_TO_BATCH_ND",
        [(1, 4, 5, 3), integers(2, 3), integers(0, 0, 1, 0).reshape(2, 2)], 1, None,
    ),
    (
        "BATCH_TO_SPACE_ND",
        [(6, 2, 2, 3), integers(2, 3), integers(0, 1, 1, 0).reshape(2, 2)], 1, None,
    ),
    ("ARG_MAX", [(2, 3, 4), integers(1)], 1, ("ArgMaxOptions", {"OutputType": 2})),
    ("TOPK_V2", [(2, 7), integers(3)], 2, None),
    ("SOFTMAX", [(2, 7)], 1, ("SoftmaxOptions", {})),
    ("FULLY_CONNECTED", [(2, 3, 4), np.zeros((5, 4), np.float32)], 1,
     ("FullyConnectedOptions", {})),
    ("FULLY_CONNECTED", [(2, 3, 4), np.zeros((5, 4), np.float32)], 1,
     ("FullyConnectedOptions", {"KeepNumDims": 1})),
    ("PRELU", [(1, 2, 3, 4), np.zeros((1, 1, 4), np.float32)], 1, None),
    ("TRANSPOSE_CONV", [integers(1, 8, 6, 2), np.zeros((2, 3, 3, 4), np.float32), (1, 4, 3, 4)],
     1, ("TransposeConvOptions", {"StrideH": 2, "StrideW": 2})),
]  # fmt: skip


def single(case: Case) -> bytes:
    """An operator whose outputs have a shape that no rule gives."""
    kind, given, outputs, options = case
    builder = ModelBuilder("float32")
    inputs = [
        builder.input(each, None) if isinstance(each, tuple) else builder.constant(each)
        for each in given
    ]
    results = []
    for number in range(outputs):
        whole = kind.startswith("ARG") or (kind == "TOPK_V2" and number == 1)
        # LiteRT's SLICE insists on the shape.
        stored = (2, 3) if kind == "SLICE" else (7, 7, 7)
        results.append(builder.tensor(stored, None, dtype="int32" if whole else None))
    builder.operator(kind, inputs, results, options, 2 if kind == "SUM" else 1)
    return builder.build(results)


@pytest.mark.parametrize("case", CASES, ids=[f"{i} {case[0]}" for i, case in enumerate(CASES)])
def test_an_operators_outputs_have_the_shapes_that_litert_gives_them(case: Case) -> None:
    data = single(case)
    runtime = litert.Interpreter(
        model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    runtime.allocate_tensors()
    graph = tflite.parse(data, "x")
    wanted = [tuple(detail["shape"].tolist()) for detail in runtime.get_output_details()]
    assert [graph.tensors[i].shape for i in graph.outputs] == wanted


def test_every_kind_with_options_has_a_rule_and_a_case() -> None:
    without = {"CUSTOM:Convolution2DTransposeBias"}
    assert set(TABLES) <= set(RULES)
    same = {kind for kind, rule in RULES.items() if rule in (RULES["ABS"], RULES["ADD"])}
    reductions = {kind for kind, rule in RULES.items() if rule is RULES["SUM"]}
    pools = {"L2_POOL_2D", "PADV2", "MIRROR_PAD", "ARG_MIN", "CONV_2D", "DEPTHWISE_CONV_2D"}
    assert set(RULES) - same - reductions - pools - without == (
        {case[0] for case in CASES} - same - reductions
    )


def models() -> list[str]:
    try:
        root = shared_data()
    except pytest.skip.Exception:
        return []
    found = [*(root / "models").rglob("*.tflite"), *(root / "today").glob("*.tflite")]
    return sorted(str(path.relative_to(root)) for path in found if path.stat().st_size < 8 << 20)


KNOWN_LATER = {"today/mobilenet_v1_0.25_128_dynamic_batch.tflite", "today/synth_unet_128.tflite",
               "today/dilated_conv.tflite"}  # fmt: skip
"""Models whose later shapes depend on values, so that the file's stay."""


def complete() -> list[str]:
    """Every fourth of the models without operators whose shapes can't be worked out."""
    return [name for name in models() if name not in KNOWN_LATER][::4]


@pytest.mark.parametrize("name", complete())
def test_whole_models_need_no_stored_shapes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settled without them they are what the file has."""
    path = shared_data() / name
    graph = tflite.load(path)
    made = {i for operator in graph.operators for i in operator.outputs}
    known = [o for o in graph.operators if o.kind in RULES]

    settle = tflite.settle

    def without_shapes(stated: Any, tensors: tuple[Tensor, ...]) -> Any:
        wiped = tuple(replace(t, shape=()) if t.index in made else t for t in tensors)
        return settle(stated, wiped)

    if len(known) < len(graph.operators):
        pytest.skip("has operators that are not known here")
    monkeypatch.setattr(tflite, "settle", without_shapes)
    again = tflite.load(path)
    for tensor in graph.tensors:
        assert again.tensors[tensor.index].shape == tensor.shape, tensor.name


@pytest.mark.parametrize("shape", [None, [], [0, 8, 8, 2], [1, 16, 16, 2], [4, 4, 4, 2], [1]])
def test_what_the_file_says_of_computed_tensors_does_not_matter(shape: list[int] | None) -> None:
    builder = small_model()
    computed = [i for operator in builder.operators for i in operator.outputs or ()]
    wanted = tflite.parse(builder.build([computed[-1]]), "x")
    for index in computed:
        builder.tensors[index].shape = shape
    found = tflite.parse(builder.build([computed[-1]]), "x")
    assert [t.shape for t in found.tensors] == [t.shape for t in wanted.tensors]


def test_values_that_are_computed_leave_the_files_shape() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 2))
    wanted = builder.input((2,), None, dtype="int32")
    y = builder.tensor((1, 32), 1.0)
    builder.operator("RESHAPE", [x, wanted], [y], ("ReshapeOptions", {}))
    graph = tflite.parse(builder.build([y]), "x")
    assert graph.tensors[y].shape == (1, 32)
    given = [graph.tensors[i] for i in graph.operators[0].inputs]
    assert shapes_of(graph.operators[0], given) is DYNAMIC


def test_a_convolution_behind_an_unknown_shape_is_read_and_left_to_the_cpu() -> None:
    builder = ModelBuilder()
    x = builder.input((1, 4, 4, 2))
    wanted = builder.input((4,), None, dtype="int32")
    y = builder.tensor((), 1.0)
    builder.operator("RESHAPE", [x, wanted], [y], ("ReshapeOptions", {}))
    weights = np.full((3, 1, 1, 2), 130, np.uint8)
    builder.tensors[y].shape = [1, 4, 4, 2]
    z = builder.conv(y, weights, np.zeros(3, np.int32), 1.0, 128, 1.0, 0)
    for shape, taken in (([1, 4, 4, 2], True), ([], False), ([1, 4, 4, 5], False)):
        builder.tensors[y].shape = shape
        graph = tflite.parse(builder.build([z]), "x")
        verdict = judge_all(graph, chip_named("a311d"))[1]
        assert verdict.supported is taken
        assert taken or verdict.rule in ("shapes_agree", "image_of_four_dimensions")


def broken(kind: str, *shapes: tuple[int, ...]) -> Graph | None:
    builder = ModelBuilder()
    inputs = [builder.input(shape) for shape in shapes]
    result = builder.tensor((1,), 1.0)
    builder.operator(kind, inputs, [result])
    try:
        return tflite.parse(builder.build([result]), "x")
    except ModelError:
        return None


@pytest.mark.parametrize("kind", sorted(RULES))
def test_inputs_of_any_shape_are_borne(kind: str) -> None:
    for shapes in ([], [()], [(2,)], [(1, 2, 3, 4)] * 2, [(0, 3)] * 3, [(5, 4, 3, 2, 1)] * 4):
        broken(kind, *shapes)
