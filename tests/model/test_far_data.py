"""What a file has that only LiteRT would need does not keep it from being read: data behind the
flatbuffer, sparse constants, other subgraphs, inputs of another size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from models import ModelBuilder
from small_model import BIAS, KERNEL, SUM, small_model

from lapilli.cli import commands
from lapilli.compiler.stages import chip_named, compile_graph
from lapilli.compiler.verdict import judge_all
from lapilli.errors import ModelError, UsageError
from lapilli.model import tflite
from lapilli.model.input_shapes import with_input_shapes
from lapilli.model.order import rewritten

litert: Any = pytest.importorskip("ai_edge_litert.interpreter")


def behind(*numbers: int, overlapping: bool = False) -> bytes:
    """The small model with the data of some tensors behind it."""
    builder = small_model()
    contents = {number: builder.tensors[number].data or b"" for number in numbers}
    for number in numbers:
        builder.tensors[number].data = None
        builder.tensors[number].data_offset = builder.tensors[number].data_size = 1 << 20
    start = -(-len(builder.build([SUM])) // 16) * 16
    tail = b""
    for number, content in contents.items():
        at = 0 if overlapping else len(tail)
        builder.tensors[number].data_offset = start + at
        builder.tensors[number].data_size = len(content)
        tail = (
            max(tail, content, key=len)
            if overlapping
            else tail + content + bytes(-len(content) % 16)
        )
    data = builder.build([SUM])
    return data + bytes(start - len(data)) + tail


def outputs(content: bytes) -> np.ndarray[Any, Any]:
    runtime = litert.Interpreter(model_content=content)
    runtime.allocate_tensors()
    detail = runtime.get_input_details()[0]
    values = np.random.default_rng(3).integers(0, 256, detail["shape"]).astype(np.uint8)
    runtime.set_tensor(detail["index"], values)
    runtime.invoke()
    return np.asarray(runtime.get_tensor(runtime.get_output_details()[0]["index"]))


@pytest.mark.parametrize("numbers", [(KERNEL,), (KERNEL, BIAS)])
def test_constants_behind_the_flatbuffer_are_those_in_it(numbers: tuple[int, ...]) -> None:
    near, far = small_model().build([SUM]), behind(*numbers)
    np.testing.assert_array_equal(outputs(far), outputs(near))
    graphs = [tflite.parse(data, "x") for data in (near, far)]
    for one, other in zip(*(graph.tensors for graph in graphs), strict=True):
        if one.data is not None:
            assert other.data is not None
            np.testing.assert_array_equal(one.data, other.data)
            assert not other.data.flags.writeable
    chip = chip_named("a311d")
    programs = [compile_graph(graph, chip) for graph in graphs]
    assert programs[0].digest() == programs[1].digest()


def test_data_may_overlap_and_must_lie_in_the_file() -> None:
    assert tflite.parse(behind(KERNEL, BIAS, overlapping=True), "x").tensors[BIAS].data is not None
    data = behind(KERNEL)
    for cut in (13, 20, 40):
        with pytest.raises(ModelError, match="cut off"):
            tflite.parse(data[:-cut], "x")


def test_custom_options_behind_the_flatbuffer() -> None:
    """A detector's options come out alike wherever they lie."""
    from lapilli.model import operators

    class Operator:
        """An operator's table as far as its custom options go."""

        def __init__(self, near: bytes, offset: int, size: int, data: bytes) -> None:
            self.near, self.numbers, self.where = near, {9: offset, 10: size}, "operator 0"
            self.file = self
            self.data, self.spent = data, 0

        def content(self, field: Any) -> bytes:
            return self.near

        def scalar(self, field: Any, layout: Any) -> int:
            return self.numbers[field.number]

        def far(self, offset: int, size: int, what: str) -> int:
            assert offset + size <= len(self.data)
            return offset

        def spend(self, count: int, where: str) -> None:
            self.spent += count

    file = b"0123456789"
    for near, offset, size, wanted in (
        (b"near", 0, 0, b"near"), (b"near", 4, 3, b"near"), (b"", 4, 3, b"456"),
        (b"", 1, 1, b""), (b"", 0, 0, b""),
    ):  # fmt: skip
        table: Any = Operator(near, offset, size, file)
        assert operators._custom_options(table) == wanted
        assert table.spent == (0 if near or offset <= 1 else size)


def test_sparse_constants_leave_the_rest_to_the_npu() -> None:
    builder = small_model()
    builder.tensors[KERNEL].sparse = True
    graph = tflite.parse(builder.build([SUM]), "x")
    assert graph.tensors[KERNEL].dtype == "sparse uint8"
    verdicts = judge_all(graph, chip_named("a311d"))
    assert [verdict.supported for verdict in verdicts] == [False, True, True]
    assert "sparse" in verdicts[0].found


# ------------------------------------------------------------------------------ more than one value


def test_tensors_with_more_than_one_value_stay_on_the_cpu() -> None:
    """By the same rule for a file and for a delegate; the order of LiteRT counts."""
    builder = small_model()
    first = builder.operators[0]
    builder.operators.append(first)
    data = builder.build([SUM])
    graph = tflite.parse(data, "x")
    assert rewritten(graph) == {first.outputs[0] if first.outputs else -1}
    verdicts = judge_all(graph, chip_named("a311d"))
    assert [v.rule for v in verdicts] == ["one_value", "one_value", "one_value", "one_value"]
    plain = tflite.parse(small_model().build([SUM]), "x")
    assert rewritten(plain) == frozenset()
    assert all(v.supported for v in judge_all(plain, chip_named("a311d")))


# ------------------------------------------------------------------------------------- other graphs


def calling() -> bytes:
    builder = ModelBuilder()
    builder.subgraphs = 3
    x = builder.input((1, 4, 4, 3), 0.02, 128)
    weights = np.full((4, 1, 1, 3), 130, np.uint8)
    y = builder.conv(x, weights, np.zeros(4, np.int32), 0.01, 128, 0.05, 128)
    z = builder.tensor((1, 4, 4, 4), 0.05, 128)
    builder.operator("WHILE", [y], [z])
    return builder.build([z])


def test_other_subgraphs_are_said_wherever_a_model_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(calling())
    for arguments in (
        ["explain", path], ["explain", path, "--json"], ["compile", path, "-o", tmp_path / "x"],
        ["profile", path, "--no-run"],
    ):  # fmt: skip
        found = CliRunner().invoke(commands, [str(a) for a in arguments])
        assert found.exit_code == 0, found.output
        told = " ".join((found.stdout + found.stderr).split())
        assert "the model has 3 subgraphs" in told
        assert "operator 1 (WHILE) runs other subgraphs" in told
    report = json.loads(CliRunner().invoke(commands, ["explain", str(path), "--json"]).stdout)
    assert len(report["notes"]) == 2


def test_a_model_of_one_graph_has_no_remarks() -> None:
    assert tflite.parse(small_model().build([SUM]), "x").remarks == ()


# ---------------------------------------------------------------------------- inputs of other sizes


def placeholder() -> bytes:
    """A convolution of a picture of one pixel, which is too small for it."""
    builder = ModelBuilder()
    x = builder.input((1, 1, 1, 3), 0.02, 128, name="image")
    weights = np.random.default_rng(1).integers(100, 150, (4, 3, 3, 3), np.uint8)
    y = builder.conv(x, weights, np.zeros(4, np.int32), 0.01, 128, 0.05, 128, padding="VALID")
    builder.tensors[y].shape = [1, 1, 1, 4]
    return builder.build([y])


def test_an_input_may_get_another_shape() -> None:
    data = placeholder()
    with pytest.raises(ModelError, match=r"images of 3 rows and more.*--shape"):
        tflite.parse(data, "x")
    for name in ("image", "0"):
        changed = with_input_shapes(data, {name: (1, 9, 7, 3)}, "x")
        graph = tflite.parse(changed, "x")
        assert [graph.tensors[i].shape for i in (*graph.inputs, *graph.outputs)] == [
            (1, 9, 7, 3), (1, 7, 5, 4)
        ]  # fmt: skip
        runtime = litert.Interpreter(model_content=changed)
        runtime.allocate_tensors()
        assert runtime.get_output_details()[0]["shape"].tolist() == [1, 7, 5, 4]
    assert with_input_shapes(data, {}, "x") is data


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"picture": (1, 9, 9, 3)}, "no input 'picture'; its inputs are 'image'"),
        ({"image": ()}, "1 to 16 extents"),
        ({"image": (1, 0, 9, 3)}, "1 and above"),
        ({"image": (1, -9, 9, 3)}, "1 and above"),
        ({"image": (1 << 16, 1 << 16)}, "up to 2147483647 elements"),
        ({"image": (1,) * 17}, "1 to 16 extents"),
    ],
)
def test_shapes_that_make_no_sense(shapes: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        with_input_shapes(placeholder(), shapes, "x")


def test_the_option_of_the_commands(tmp_path: Path) -> None:
    path, shape = tmp_path / "m.tflite", "image=1,9,7,3"
    path.write_bytes(placeholder())
    np.save(tmp_path / "x.npy", np.zeros((1, 9, 7, 3), np.uint8))
    run = ["--input", tmp_path / "x.npy", "--device", "emulator:a311d"]
    limits = ["--num_runs", 1, "--min_secs", 0, "--warmup_min_secs", 0]
    for command, more in (
        ("explain", []), ("compile", ["-o", tmp_path / "x.lapilli"]), ("run", run), ("diff", []),
        ("profile", ["--no-run"]), ("benchmark", ["--device", "emulator:a311d", *limits]),
    ):  # fmt: skip
        arguments = [command, path, "--shape", shape, *more]
        found = CliRunner().invoke(commands, [str(a) for a in arguments])
        assert found.exit_code == 0, (command, found.output)
    for wrong in ("image", "image=", "image=a,b", "=1,2", "image=1;2"):
        found = CliRunner().invoke(commands, ["explain", str(path), "--shape", wrong])
        assert found.exit_code == 2


def test_the_first_tensor_counts_as_any_other() -> None:
    """Read before it is written: an input that no list names, here tensor 0."""
    builder = ModelBuilder()
    x = builder.input((1, 2, 2, 1), 1.0, 0)
    y = builder.tensor((1, 2, 2, 1), 1.0, 0)
    builder.operator("FLOOR", [x], [y])
    graph = tflite.parse(builder.build([y]), "x")
    assert (x, y) == (0, 1)
    back = replace(graph.operators[0], index=1, inputs=(y,), outputs=(x,))
    turned = replace(graph, operators=(*graph.operators, back), inputs=())
    assert rewritten(turned) == {x}
