"""Finding the TensorFlow Lite runtime."""

from __future__ import annotations

import logging
import os
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


@pytest.mark.parametrize(
    ("version", "later_first"),
    [
        ("tflite-runtime 2.14.0", True),
        ("ai-edge-litert 1.0.1", True),
        ("ai-edge-litert 1.1.0", False),
        ("ai-edge-litert 1.10.0", False),
        ("ai-edge-litert 2.3.0", False),
        ("ai-edge-litert of unknown version", False),
    ],
)
def test_older_runtimes_list_the_later_of_two_equal_classes_first(
    version: str, later_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "runtime_version", lambda: version)
    assert litert.lists_later_class_first() == later_first


def test_without_a_runtime_in_python_it_is_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "RUNTIMES", (("no_such_runtime", "no-such-runtime"),))
    assert not litert.lists_later_class_first()


def test_native_messages_go_to_the_log_and_python_s_to_where_they_went(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, litert.__name__):
        with litert.native_messages():
            os.write(2, b"a banner: 100%d\n")
            os.write(2, b"another")
        os.write(2, b"after it\n")
    assert [record.getMessage() for record in caplog.records] == ["a banner: 100%d", "another"]
    assert capfd.readouterr().err == "after it\n"
