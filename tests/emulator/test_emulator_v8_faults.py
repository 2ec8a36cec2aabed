"""Damaged V8 jobs run or say what is wrong, soon."""

from __future__ import annotations

import re

import numpy as np
import pytest
from damaged_recordings import outcome, with_bytes, with_field, with_word
from oracle import instructions, load_recording

from lapilli.device.open import open_device
from lapilli.emulator import EmulatedDevice
from lapilli.errors import UsageError
from lapilli.hw.chips import find_by_name
from lapilli.hw.nn import NN_V8

NAMES = ("random/r11", "ops/mobiledet76", "random/add4", "nonsquare/d3s2", "ops/mb16")


@pytest.fixture
def device() -> EmulatedDevice:
    chip = find_by_name("imx8mp")
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize("name", NAMES[:4])
def test_every_field_at_its_ends(name: str, device: EmulatedDevice) -> None:
    recording, _ = load_recording(name, "imx8mp")
    assert outcome(recording, device) == ""
    instruction = next(i for i in instructions(recording, NN_V8) if i.unit == "NN")
    faults = 0
    for field in NN_V8.fields.values():
        top = (1 << field.width) - 1
        for stored in {0, 1, top, top - 1}:
            text = outcome(with_field(recording, instruction, field, stored), device)
            faults += bool(text)
            assert not text or re.match(r"job \d+ \(command word \d+\), NN ", text)
    assert faults > 80


def test_every_undeclared_bit_is_a_fault_that_names_its_word(device: EmulatedDevice) -> None:
    recording, _ = load_recording(NAMES[0], "imx8mp")
    instruction = next(i for i in instructions(recording, NN_V8) if i.unit == "NN")
    data = np.zeros(4 * NN_V8.size, np.uint8)
    stored = recording.buffers[instruction.buffer].data[instruction.offset :][: data.size]
    data[: len(stored)] = stored
    for word, found in enumerate(data.view("<u4").tolist()):
        for bit in range(32):
            changed = [0] * NN_V8.size
            changed[word] = found | 1 << bit
            if NN_V8.stray_bits(changed):
                at = instruction.offset + 4 * word
                text = outcome(with_word(recording, instruction.buffer, at, changed[word]), device)
                assert f"word {word} = " in text


def test_random_words_in_instructions_and_streams(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(9)
    recordings = [load_recording(name, "imx8mp")[0] for name in NAMES]
    for _ in range(250):
        recording = recordings[rng.integers(len(recordings))]
        chosen = [
            i for i, b in enumerate(recording.buffers) if b.role in ("instruction", "coefficients")
        ]
        buffer = int(rng.choice(chosen))
        offset = int(rng.integers(0, max(len(recording.buffers[buffer].data) // 4, 1))) * 4
        outcome(with_word(recording, buffer, offset, int(rng.integers(0, 1 << 32))), device)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_streams_of_zeros_and_ones(value: int, device: EmulatedDevice) -> None:
    for name in NAMES:
        recording, _ = load_recording(name, "imx8mp")
        number, buffer = next(
            (i, b) for i, b in enumerate(recording.buffers) if b.role == "coefficients"
        )
        data = np.full(buffer.size, value, np.uint8)
        data[:64] = buffer.data[:64]
        text = outcome(with_bytes(recording, number, data), device)
        assert "coefficient stream of core 0: holds" in text


def test_the_emulated_board_is_opened_by_name() -> None:
    with open_device("emulator:imx8mp") as device:
        assert device.name == "emulator:imx8mp"
    with pytest.raises(UsageError, match=r"emulator:a311d.*emulator:imx8mp"):
        open_device("emulator:nothing")
