"""From a device's name to a device; the boards' part of it is in test_drm_device.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from virtual_npu import chip_called

from lapilli.device import open as opening
from lapilli.errors import Unsupported


def test_a_chip_that_can_not_be_emulated_is_refused_with_those_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strange = replace(chip_called(), name="strange", generation=9)
    monkeypatch.setattr(opening, "find_chip", lambda name: strange)
    with pytest.raises(
        Unsupported, match=r"emulator:strange: .* V9; .*; a device is auto, .*a311d"
    ):
        opening.open_device("emulator:strange")
