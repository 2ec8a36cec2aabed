"""Several delegates, interpreters and threads at once, and who may go first."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from fake_npu import (
    Array,
    FakeBackend,
    assert_close,
    new_interpreter,
    run,
    small_model,
)
from models import ModelBuilder
from patience import PATIENCE

from lapilli.errors import Unsupported, UsageError
from lapilli.litert.delegate import Delegate

# --- Several at once ---


def test_two_models_with_one_delegate() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    first = new_interpreter(small_model(), delegate)
    second = new_interpreter(small_model(12), delegate)
    assert delegate.parts[0].graph.tensors[0].shape == (1, 12, 12, 3)
    assert_close(run(first), run(new_interpreter(small_model())))
    assert_close(run(second), run(new_interpreter(small_model(12))))
    del first
    gc.collect()
    assert_close(run(second), run(new_interpreter(small_model(12))))
    assert [loaded.open for loaded in backend.loaded] == [False, False, True, True]


def test_a_delegate_that_failed_can_be_used_again() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    backend.compile_error = Unsupported("no")
    with pytest.raises(RuntimeError):
        new_interpreter(small_model(), delegate)
    backend.compile_error = None
    assert_close(run(new_interpreter(small_model(), delegate)), run(new_interpreter(small_model())))
    assert delegate.error is None


@pytest.mark.parametrize("shared", [True, False])
def test_two_threads(shared: bool) -> None:
    backend = FakeBackend()
    common = Delegate(_backend=backend)
    expected = [run(new_interpreter(small_model()), image) for image in images()]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            delegate = common if shared else Delegate(_backend=FakeBackend())
            for _ in range(3):
                interpreter = new_interpreter(small_model(), delegate)
                for image, values in zip(images(), expected, strict=True):
                    assert_close(run(interpreter, image), values)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_several_delegates_in_one_interpreter() -> None:
    first, second = Delegate(_backend=FakeBackend(kinds=("ADD",))), Delegate(_backend=FakeBackend())
    assert_close(
        run(new_interpreter(small_model(), first, second)), run(new_interpreter(small_model()))
    )
    assert (first.partitions, second.partitions) == (((4,),), ((0, 1), (3,)))


def test_a_model_with_several_subgraphs_reports_the_first() -> None:
    model = ModelBuilder()
    model.subgraphs = 2
    x = model.input((1, 4, 4, 2), 0.1, 3)
    data = model.build([model.add(x, x, 0.2, 3)])
    delegate = Delegate(_backend=FakeBackend())
    assert_close(run(new_interpreter(data, delegate)), run(new_interpreter(data)))
    assert delegate.partitions == ((0,),)


def test_without_clustering_every_operator_is_a_partition() -> None:
    delegate = Delegate(_backend=FakeBackend())
    try:
        interpreter = new_interpreter(
            small_model(), delegate, experimental_disable_delegate_clustering=True
        )
    except TypeError:
        pytest.skip("this runtime has no such argument")
    assert_close(run(interpreter), run(new_interpreter(small_model())))
    assert sorted(sum(delegate.partitions, ())) == [0, 1, 3, 4]


def images() -> list[Array]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8) for _ in range(4)]


# --- Lifetime ---


def test_the_delegate_goes_first() -> None:
    backend = FakeBackend()
    interpreter = new_interpreter(small_model(), Delegate(_backend=backend))
    gc.collect()
    run(interpreter)
    assert backend.open
    del interpreter
    gc.collect()
    assert not backend.open
    assert not any(loaded.open for loaded in backend.loaded)


def test_the_interpreter_goes_first() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    del interpreter
    gc.collect()
    assert backend.open
    assert not any(loaded.open for loaded in backend.loaded)
    assert delegate.partitions == ((0, 1), (3, 4))
    del delegate
    gc.collect()
    assert not backend.open


def test_a_view_of_a_tensor_outlives_both() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    run(interpreter)
    view = interpreter.tensor(interpreter.get_output_details()[0]["index"])()
    expected = view.copy()
    del interpreter, delegate
    gc.collect()
    assert np.array_equal(view, expected)
    assert backend.open  # the runtime behind the view still holds the kernels
    del view
    gc.collect()
    assert not backend.open


def test_a_closed_delegate_keeps_its_device_for_the_interpreters_it_has() -> None:
    backend = FakeBackend()
    delegate = Delegate(_backend=backend)
    interpreter = new_interpreter(small_model(), delegate)
    delegate.close()
    delegate.close()
    run(interpreter)
    with pytest.raises(UsageError, match="was closed"):
        new_interpreter(small_model(), delegate)
    del interpreter
    gc.collect()
    assert not backend.open


def resident_kilobytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="utf-8").split()
    return int(fields[1]) * 4


@pytest.mark.usefixtures("only_new_objects")
def test_a_hundred_cycles_do_not_leak() -> None:
    model = small_model(64)

    def cycle() -> None:
        backend = FakeBackend()
        interpreter = new_interpreter(model, Delegate(_backend=backend))
        run(interpreter)
        del interpreter
        gc.collect()
        assert not backend.open

    for _ in range(20):
        cycle()
    before = resident_kilobytes()
    for _ in range(100):
        cycle()
    assert resident_kilobytes() - before < 2000


@pytest.mark.parametrize(
    "ending", ["pass", "sys.exit(0)", "cycle = [interpreter]; cycle += [cycle]"]
)
def test_python_ends_while_an_interpreter_lives(ending: str) -> None:
    script = f"""
        import sys
        from fake_npu import FakeBackend, new_interpreter, run, small_model
        from lapilli.litert.delegate import Delegate
        interpreter = new_interpreter(small_model(), Delegate(_backend=FakeBackend()))
        run(interpreter)
        view = interpreter.tensor(0)()
        {ending}
    """
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in ("Traceback", "Exception ignored", "ctypes", "Error"):
        assert word not in done.stderr
