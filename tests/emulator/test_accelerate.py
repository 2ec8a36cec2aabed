"""numba makes one loop faster where it is there; a broken one is said once, and done without."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from virtual_npu import small_input, small_part

from lapilli.device.open import open_device
from lapilli.device.runner import LoadedPart
from lapilli.emulator import accelerate, coefficients_v8

ERRORS = [
    ImportError("numba needs NumPy 2.0 or less. Got NumPy 2.4"),
    AttributeError("module 'numpy' has no attribute 'long'"),
    SystemError("initialization of _internal failed"),
    RuntimeError("cannot cache"),
    OSError("libLLVM.so: cannot open shared object file"),
    ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"),
    KeyError("x"),
    SyntaxError("x"),
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is remembered of numba, before and after; and every stream is worth compiling."""
    caches = (accelerate.compiled, accelerate._njit, accelerate._say)
    monkeypatch.setattr(coefficients_v8, "WORTH_COMPILING", 0)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def failing_import(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    original = builtins.__import__

    def fails(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "numba":
            raise error
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fails)


def computed() -> list[np.ndarray[Any, Any]]:
    with open_device("emulator:imx8mp") as device:  # type: ignore[attr-defined]
        found = [LoadedPart(device, small_part("imx8mp")).run(small_input(n)) for n in range(2)]
    return [values for each in found for values in each.values()]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_numba_that_can_not_be_imported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    expected = computed()
    accelerate.compiled.cache_clear()
    accelerate._njit.cache_clear()
    failing_import(monkeypatch, error)
    for found, wanted in zip(computed(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    computed()
    (line,) = warnings_of(caplog)
    assert type(error).__name__ in line
    assert "going on without it" in line


def test_no_numba_is_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing_import(monkeypatch, ModuleNotFoundError("No module named 'numba'", name="numba"))
    computed()
    assert not warnings_of(caplog)


def test_a_numba_that_can_not_compile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It shows at the first call, when the types of the arguments are known."""
    expected = computed()

    def njit(*arguments: Any, **options: Any) -> Any:
        def broken(*values: Any) -> None:
            raise TypeError("no lowering for this type")

        return broken if arguments else lambda function: broken

    accelerate.compiled.cache_clear()
    monkeypatch.setattr(accelerate, "_njit", lambda: njit)
    for found, wanted in zip(computed(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    (line,) = warnings_of(caplog)
    assert "no lowering" in line
