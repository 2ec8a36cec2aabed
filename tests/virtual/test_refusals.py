"""The kernel's log tells jobs that the emulator refuses from those that would hang a chip."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tp_job import copy, job
from virtual_npu import board

from lapilli.device.replay import replay
from lapilli.errors import HangError
from lapilli.program.recording import Recording

IMAGE = np.arange(1, 9, dtype=np.uint8)


def log_of(source: Recording, caplog: pytest.LogCaptureFixture) -> str:
    """What is said about a job that does not end."""
    with caplog.at_level(logging.WARNING), board().device() as device, pytest.raises(HangError):
        replay(source, device)
    return caplog.text


def test_unseen_fields_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    text = log_of(job(copy(1, 1, 8) | {"alu_nms_enable": 1}, IMAGE, 8), caplog)
    assert "client 1: the emulator refuses the job, though a chip may do it: job 0" in text
    assert "alu_nms_enable = 0x1" in text and "hangs" not in text


def test_an_address_outside_hangs(caplog: pytest.LogCaptureFixture) -> None:
    text = log_of(job(copy(1, 1, 8) | {"in_image_base_address": 0x500000}, IMAGE, 8), caplog)
    assert "client 1: the job hangs: job 0" in text and "refuses" not in text
