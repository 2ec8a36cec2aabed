"""Models with tensors whose shape is known at run time only."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_npu import Array, FakeBackend, new_interpreter
from models import ModelBuilder

from lapilli.compiler.stages import chip_named
from lapilli.compiler.verdict import judge_all
from lapilli.errors import DeviceError, Unsupported
from lapilli.litert.delegate import Delegate
from lapilli.litert.kernel import MOST_KEPT
from lapilli.litert.runtime import interpreter_class
from lapilli.model import tflite

DEVICE = "emulator:a311d"
IMAGE = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)


def _conv(model: ModelBuilder, image: int) -> int:
    random = np.random.default_rng(5)
    weights = random.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
    bias = random.integers(-500, 500, 4)
    return model.conv(image, weights, bias, 0.01, 120, 0.05, 100)


def behind() -> bytes:
    """A convolution of known shape, then a RESHAPE to what an input says."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    shape = model.input((2,), None, dtype="int32")
    result = model.tensor((1, 256), 0.05, 100)
    model.operator("RESHAPE", [_conv(model, x), shape], [result])
    return model.build([result])


def in_front(constant_first: bool = False) -> bytes:
    """A RESHAPE to what an input says, then a convolution and an addition."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    shape = model.input((4,), None, dtype="int32")
    image = _conv(model, x) if constant_first else x
    channels, scale, zero = (4, 0.05, 100) if constant_first else (3, 0.02, 128)
    changed = model.tensor((1, 8, 8, channels), scale, zero)
    model.operator("RESHAPE", [image, shape], [changed])
    if constant_first:
        return model.build([model.add(changed, changed, 0.1, 100)])
    made = _conv(model, changed)
    return model.build([model.add(made, made, 0.1, 100)])


def beside() -> bytes:
    """A RESHAPE to what an input says, and a sum with the image as it was: of equal shapes only."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    shape = model.input((4,), None, dtype="int32")
    changed = model.tensor((1, 8, 8, 3), 0.02, 128)
    model.operator("RESHAPE", [x, shape], [changed])
    return model.build([model.add(x, changed, 0.1, 100)])


def free_batch() -> bytes:
    """As converters write a Flatten of a free batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE; and a
    convolution behind it."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    made = _conv(model, x)
    shape = model.tensor((4,), dtype="int32")
    model.operator("SHAPE", [made], [shape], ("ShapeOptions", {"OutType": 2}))
    lists = [
        model.tensor((1,), dtype="int32", data=np.array([value], np.int32)) for value in (0, 1, 1)
    ]
    batch = model.tensor((), dtype="int32")
    model.operator(
        "STRIDED_SLICE",
        [shape, *lists],
        [batch],
        ("StridedSliceOptions", {"ShrinkAxisMask": 1}),
    )
    rest = [model.tensor((), dtype="int32", data=np.array(n, np.int32)) for n in (8, 8, 4)]
    wanted = model.tensor((4,), dtype="int32")
    model.operator("PACK", [batch, *rest], [wanted], ("PackOptions", {"ValuesCount": 4}))
    changed = model.tensor((1, 8, 8, 4), 0.05, 100)
    model.operator("RESHAPE", [made, wanted], [changed])
    return model.build([model.add(changed, changed, 0.1, 100)])


def outputs(interpreter: Any, image: Array, shape: Sequence[int] | None = None) -> Array:
    """One inference; ``shape``: for the second input."""
    details = interpreter.get_input_details()
    interpreter.set_tensor(details[0]["index"], image)
    if shape is not None:
        interpreter.set_tensor(details[1]["index"], np.array(shape, np.int32))
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


def assert_follows(ours: Any, reference: Any, shape: Sequence[int] | None, image: Array) -> None:
    expected, found = (outputs(one, image, shape) for one in (reference, ours))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_what_has_known_shapes_runs_on_the_npu() -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    ours, reference = new_interpreter(behind(), delegate), new_interpreter(behind())
    assert delegate.partitions == ((0,),)
    for shape in ((1, 256), (2, 128), (64, 4)):
        assert_follows(ours, reference, shape, IMAGE)


def test_shapes_that_change_at_run_time_are_followed() -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    ours, reference = new_interpreter(in_front(), delegate), new_interpreter(in_front())
    assert delegate.partitions == ((1, 2),)
    shapes = [(1, 8, 8, 3), (1, 4, 16, 3), (1, 16, 4, 3), (1, 8, 8, 3), (1, 4, 16, 3)]
    for shape in shapes:
        for image in (IMAGE, 255 - IMAGE):
            assert_follows(ours, reference, shape, image)
    assert delegate.partitions == ((1, 2),)


def test_a_shape_that_the_npu_can_not_follow_is_refused_at_the_inference_and_the_next_runs() -> (
    None
):
    delegate = Delegate(device=DEVICE, partition="all")
    ours, reference = new_interpreter(beside(), delegate), new_interpreter(beside())
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"\(ADD\) any more: "):
            outputs(ours, IMAGE, (2, 4, 8, 3))
        assert isinstance(delegate.error, Unsupported)
        assert "is [2, 4, 8, 3] now" in str(delegate.error)
        assert_follows(ours, reference, (1, 8, 8, 3), IMAGE)


@pytest.mark.parametrize("first", [(2, 4, 8, 3), (1, 8, 8, 3)])
def test_images_of_a_batch_run_one_after_the_other(first: Sequence[int]) -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    ours, reference = new_interpreter(in_front(), delegate), new_interpreter(in_front())
    for shape in (first, (4, 4, 4, 3), (2, 4, 8, 3), (1, 8, 8, 3)):
        for image in (IMAGE, 255 - IMAGE):
            assert_follows(ours, reference, shape, image)
    assert delegate.partitions == ((1, 2),)


def test_a_free_batch_goes_on_on_the_npu_behind_its_reshape() -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    ours, reference = new_interpreter(free_batch(), delegate), new_interpreter(free_batch())
    assert delegate.partitions == ((0,), (5,))
    for image in (IMAGE, 255 - IMAGE):
        assert_follows(ours, reference, None, image)


@pytest.mark.parametrize("first", [[1, 6, 10, 3], [1, 8, 8, 3]])
def test_inputs_of_a_model_with_dynamic_tensors_are_resized(first: Sequence[int]) -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    pair = new_interpreter(behind(), delegate), new_interpreter(behind())
    for shape in (first, [1, 9, 9, 3], [1, 8, 8, 3]):
        for one in pair:
            one.resize_tensor_input(one.get_input_details()[0]["index"], shape)
            one.allocate_tensors()
        image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
        assert_follows(*pair, [4, shape[1] * shape[2]], image)
        assert delegate.partitions == ((0,),)


def test_a_free_batch_is_resized_and_comes_back() -> None:
    """XNNPACK on the other operators has the runtime apply the delegate anew: then the CPU runs
    what has a batch from the start. What gets its shape later goes on, image by image."""
    delegate = Delegate(device=DEVICE, partition="all")
    pair = new_interpreter(free_batch(), delegate), new_interpreter(free_batch())
    for batch in (1, 2, 3, 1):
        for one in pair:
            one.resize_tensor_input(0, [batch, 8, 8, 3])
            one.allocate_tensors()
        shape = (batch, 8, 8, 3)
        image = np.random.default_rng(batch).integers(0, 256, shape).astype(np.uint8)
        assert_follows(*pair, None, image)
        assert (5,) in delegate.partitions
        if batch == 1:
            assert delegate.partitions == ((0,), (5,))


def test_an_input_s_batch_runs_image_by_image_where_kernels_stay() -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    pair = new_interpreter(behind(), delegate), new_interpreter(behind())
    for batch in (2, 5, 1):
        for one in pair:
            one.resize_tensor_input(0, [batch, 8, 8, 3])
            one.allocate_tensors()
        shape = (batch, 8, 8, 3)
        image = np.random.default_rng(batch).integers(0, 256, shape).astype(np.uint8)
        assert_follows(*pair, [batch, 256], image)
        assert delegate.partitions == ((0,),)


def test_parts_for_many_shapes_do_not_pile_up_on_the_device() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(in_front(True), Delegate(_backend=backend))
    for rows in (1, 2, 4, 8, 16, 32, 64, 1, 2):
        outputs(interpreter, IMAGE, (1, rows, 64 // rows, 4))
    assert sum(loaded.open for loaded in backend.loaded) <= MOST_KEPT + 1 + 1
    del interpreter
    gc.collect()
    assert not any(loaded.open for loaded in backend.loaded)


def test_strict_counts_what_makes_shapes() -> None:
    with pytest.raises(RuntimeError, match=r"operator 1 \(RESHAPE\): The shapes of what"):
        new_interpreter(behind(), Delegate(device=DEVICE, strict=True))


@pytest.mark.parametrize("data", [behind(), in_front(), free_batch()])
def test_explain_and_the_delegate_agree(data: bytes) -> None:
    delegate = Delegate(device=DEVICE, partition="all")
    new_interpreter(data, delegate)
    verdicts = judge_all(tflite.parse(data, "x"), chip_named("a311d"))
    told = [verdict.operator for verdict in verdicts if verdict.supported]
    assert sorted(sum(delegate.partitions, ())) == told
    assert [verdict.rule for verdict in delegate.verdicts] == [v.rule for v in verdicts]


def test_two_delegates_on_a_model_of_known_shapes_are_both_applied() -> None:
    """The runtime is asked about shapes for the first of them only: asking takes delegates back."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    data = model.build([model.add(_conv(model, x), _conv(model, x), 0.1, 100)])
    first, second = Delegate(_backend=FakeBackend(kinds=("ADD",))), Delegate(_backend=FakeBackend())
    new_interpreter(data, first, second)
    assert (first.partitions, second.partitions) == (((2,),), ((0, 1),))


@pytest.mark.parametrize("by_path", [False, True])
def test_an_error_of_a_model_of_known_shapes_is_the_delegate_s_alone(
    tmp_path: Path, by_path: bool
) -> None:
    """A runtime that has refused a delegate says so in front of every later error."""
    model = ModelBuilder()
    x = model.input((1, 8, 8, 3), 0.02, 128)
    data = model.build([_conv(model, x)])
    (tmp_path / "m.tflite").write_bytes(data)
    given = {"model_path": str(tmp_path / "m.tflite")} if by_path else {"model_content": data}
    backend = FakeBackend()
    interpreter = interpreter_class()(**given, experimental_delegates=[Delegate(_backend=backend)])
    interpreter.allocate_tensors()
    backend.execute_error = DeviceError("the device went away")
    with pytest.raises(RuntimeError) as raised:
        outputs(interpreter, IMAGE)
    assert str(raised.value).startswith("lapilli: the device went away\n")
