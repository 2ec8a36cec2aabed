"""Finding the TensorFlow Lite runtime."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from lapilli.errors import DeviceError
from lapilli.litert import runtime as litert


@pytest.mark.skipif(
    all(find_spec(name) is None for name, _ in litert.RUNTIMES), reason="no TensorFlow Lite runtime"
)
def test_the_runtime_says_which_it_is() -> None:
    name, version = litert.runtime_version().split()
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert version[0].isdigit()


def test_without_a_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "RUNTIMES", (("no_such_runtime", "no-such-runtime"),))
    for function in (litert.interpreter_class, litert.runtime_version):
        with pytest.raises(DeviceError, match=r"pip install 'lapilli\[litert\]'") as raised:
            function()
        assert raised.value.exit_code == 5
