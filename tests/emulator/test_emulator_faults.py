"""Whatever a submit holds, the emulator runs it or says what is wrong: never another error."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from damaged_recordings import outcome, with_field, with_word
from oracle import Instruction, instructions, load_recording

from lapilli.device.replay import replay
from lapilli.emulator import EmulatedDevice, nn
from lapilli.errors import DeviceError, ExitCode, Fault, Refused, Unsupported
from lapilli.hw.chips import find_by_name
from lapilli.hw.commands import Register
from lapilli.hw.nn import NN_V7, Pooling
from lapilli.hw.tp import TP
from lapilli.program.recording import RecordedBuffer, Recording

NAMES = ("random/r11", "ops/mobiledet76", "random/add4")


@pytest.fixture
def device() -> EmulatedDevice:
    chip = find_by_name("a311d")
    assert chip is not None
    return EmulatedDevice(chip)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_at_its_ends(name: str, device: EmulatedDevice) -> None:
    recording, _ = load_recording(name)
    assert outcome(recording, device) == ""
    seen = set()
    faults = 0
    for instruction in instructions(recording):
        if instruction.unit in seen:
            continue
        seen.add(instruction.unit)
        layout = NN_V7 if instruction.unit == "NN" else TP
        for field in layout.fields.values():
            top = (1 << field.width) - 1
            for stored in {0, 1, top, top - 1}:
                text = outcome(with_field(recording, instruction, field, stored), device)
                faults += bool(text)
                assert not text or re.match(r"job \d+ \(command word \d+\), (NN|TP) ", text)
    assert faults > 100


def test_every_undeclared_bit_is_a_fault_that_names_its_word(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r11")
    for instruction in instructions(recording)[:2]:
        layout = NN_V7 if instruction.unit == "NN" else TP
        data = recording.buffers[instruction.buffer].data
        words = np.zeros(layout.size * 4, np.uint8)
        words[: len(data)] = data[: layout.size * 4]
        for word, found in enumerate(words.view("<u4").tolist()):
            for bit in range(0, 32, 3):
                changed = [0] * layout.size
                changed[word] = found | 1 << bit
                if layout.stray_bits(changed):
                    text = outcome(
                        with_word(recording, instruction.buffer, 4 * word, changed[word]), device
                    )
                    assert f"word {word} = " in text


def test_random_words_in_instructions_and_streams(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(7)
    recordings = [load_recording(name)[0] for name in NAMES]
    for _ in range(250):
        recording = recordings[rng.integers(len(recordings))]
        chosen = [
            i for i, b in enumerate(recording.buffers) if b.role in ("instruction", "coefficients")
        ]
        buffer = int(rng.choice(chosen))
        offset = int(rng.integers(0, max(len(recording.buffers[buffer].data) // 4, 1))) * 4
        outcome(with_word(recording, buffer, offset, int(rng.integers(0, 1 << 32))), device)


def test_random_command_words(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(8)
    recording, _ = load_recording("random/r11")
    for _ in range(150):
        commands = recording.commands.copy()
        at = rng.integers(len(commands))
        commands[at] = rng.choice([rng.integers(1 << 32), commands[at] ^ 1 << rng.integers(32)])
        outcome(replace(recording, commands=commands), device)


def test_truncated_streams(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r11")
    for length in range(len(recording.commands)):
        text = outcome(replace(recording, commands=recording.commands[:length]), device)
        assert not text or "but the stream ends" in text
    cut = replace(recording, commands=np.append(recording.commands, np.uint32(0x08050000)))
    assert "LOAD_STATE of 5 values" in outcome(cut, device)


def test_truncated_buffers(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r11")
    for index, buffer in enumerate(recording.buffers):
        short = list(recording.buffers)
        short[index] = RecordedBuffer(buffer.role, buffer.address, 32, buffer.data[:32])
        assert "buffer of 32 bytes" in outcome(Recording(recording.commands, tuple(short)), device)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"layer_type": 1}, r"layer_type = 0x1 \(word 0 bit 0\); only 0x0 is emulated"),
        ({"no_z_offset": 1}, "no_z_offset"),
        ({"kernel_data_type": 2}, "kernel_data_type"),
        ({"pooling": 1}, "pooling = 1 .*; emulated are 0"),
        ({"prelu": 1}, "prelu"),
        ({"brick_mode": 1}, "brick_mode"),
        ({"in_image_border_mode": 1}, "in_image_border_mode"),
        ({"in_image_border_const": 256}, "in_image_border_const = 256 .* allowed is 0 to 255"),
        ({"kernel_x_size": 12}, "kernel_x_size = 12 .* allowed is 1 to 11"),
        ({"kernels_per_core": 0}, "kernels_per_core = 0"),
        ({"out_image_x_size": 0}, "out_image_x_size = 0"),
        ({"in_image_x_stride": 1}, "in_image_x_stride = 1 .* as a row has 4 pixels"),
        ({"out_image_y_stride": 2}, "out_image_y_stride = 2 .* as a plane has 3 rows"),
        ({"out_image_tile_y_size": 127}, "out_image_tile_y_size = 127 .* input buffer"),
        ({"kernel_cache_end_address": 1 << 20}, "allowed is start <= end <= 0x80000"),
        ({"in_image_address": 0x1000}, r"input image \(in_image_address\): address 0x1000"),
        ({"kernel_address": 0x1000}, r"coefficient header \(kernel_address\): address 0x1000"),
    ],
)
def test_fault_texts_of_the_nn_unit(
    change: dict[str, int], text: str, device: EmulatedDevice
) -> None:
    recording, _ = load_recording("random/r11")
    instruction = next(i for i in instructions(recording) if i.unit == "NN")
    ((name, value),) = change.items()
    field = NN_V7.fields[name]
    with pytest.raises(Fault, match=r"job 5 \(command word \d+\), NN instruction at 0x.*" + text):
        replay(with_field(recording, instruction, field, value >> field.shift), device)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"out_image_tile_x_size": 3}, "out_image_tile_x_size = 3 .* allowed are even numbers"),
        ({"out_image_tile_y_size": 1}, "out_image_tile_y_size = 1 .* allowed are even numbers"),
    ],
)
def test_tiles_of_a_pooling_job_begin_with_a_stored_pixel(
    change: dict[str, int], text: str, device: EmulatedDevice
) -> None:
    recording, _ = load_recording("ops/mb11")
    instruction = next(i for i in instructions(recording) if i.unit == "NN")
    assert instruction.fields["pooling"] == Pooling.FIRST_PIXEL
    ((name, value),) = change.items()
    assert outcome(recording, device) == ""
    found = outcome(with_field(recording, instruction, NN_V7.fields[name], value), device)
    assert re.search(text, found)


def test_kernels_of_one_row_never_get_more_than_a_third_of_the_lines(
    device: EmulatedDevice,
) -> None:
    """Of 64 for tiles of one pixel: the recorded driver does 21 at once."""
    recording, _ = load_recording("ops/mb28")
    instruction = next(i for i in instructions(recording) if i.unit == "NN")
    sizes = [instruction.fields[f"out_image_tile_{axis}_size"] for axis in "xy"]
    assert (sizes, instruction.fields["kernels_per_core"]) == ([1, 1], 21)
    assert outcome(recording, device) == ""
    field = NN_V7.fields["kernels_per_core"]
    found = outcome(with_field(recording, instruction, field, 22), device)
    assert re.search("kernels_per_core = 22 .* allowed is 1 to 21", found)


def test_output_over_input_is_a_fault(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r11")
    instruction = next(i for i in instructions(recording) if i.unit == "NN")
    address = instruction.fields["in_image_address"]
    changed = with_field(recording, instruction, NN_V7.fields["out_image_address"], address)
    assert "output image" in (text := outcome(changed, device))
    assert "overlap" in text


def test_a_submit_may_only_touch_what_it_lists(device: EmulatedDevice) -> None:
    recording, _ = load_recording("random/r11")
    buffers = [device.alloc(b.size, b.address) for b in recording.buffers]
    for buffer, recorded in zip(buffers, recording.buffers, strict=True):
        buffer.data[: len(recorded.data)] = recorded.data
    for left_out in range(len(buffers)):
        listed = buffers[:left_out] + buffers[left_out + 1 :]
        with pytest.raises(Fault, match="which this submit does not list"):
            device.wait(device.submit(recording.commands, listed))
    device.wait(device.submit(recording.commands, buffers))


def write(register: int, value: int) -> list[int]:
    return [0x08010000 | register >> 2, value]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([0, 0, 0x28000000, 0], "command word 2: 0x28000000 has opcode 5"),
        ([0, 7], "a filler is two zero words"),
        ([0x40000000, 0], "opcode 8"),
        (write(0x0600, 0), "command word 1: writes register 0x0600, which no NPU job"),
        (write(Register.GL_EVENT, 0), "GL_EVENT, which is the kernel driver's"),
        (write(Register.GL_OCB_REMAP_START, 64), "GL_OCB_REMAP_START = 0x40; allowed is 0x0"),
        (write(Register.GL_NN_CONFIG, 1 << 12), "GL_NN_CONFIG = 0x1000; bits 0x1000 are unknown"),
        (write(Register.GL_NN_CONFIG, 9 << 8), "core_count = 9; the chip has 8"),
        (write(Register.PS_NN_INST_ADDR, 0xFFFFF0FF), "has number 255; allowed is 0 to 31"),
        (
            write(Register.PS_TP_INST_ADDR, 0x500000),
            "job 0 .*TP instruction at 0x500000: .* no buffer",
        ),
        ([0x0C010E4F, 0], "fixed point"),
        ([0x08000E4F, 0], "LOAD_STATE of 1024 values, but the stream ends after 1"),
    ],
)
def test_fault_texts_of_the_front_end(words: list[int], text: str, device: EmulatedDevice) -> None:
    with pytest.raises(Fault, match=text):
        device.wait(device.submit(np.array(words, np.uint32), []))


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (write(0x0600, 0), True),
        (write(Register.GL_OCB_REMAP_START, 64), True),
        ([0x40000000, 0], True),
        (write(Register.PS_TP_INST_ADDR, 0x500000), False),
        ([0x08000E4F, 0], False),
    ],
)
def test_what_a_chip_may_do_is_refused_and_what_breaks_it_is_a_fault(
    words: list[int], refused: bool, device: EmulatedDevice
) -> None:
    with pytest.raises(Fault) as caught:
        device.wait(device.submit(np.array(words, np.uint32), []))
    assert isinstance(caught.value, Refused) == refused
    assert caught.value.exit_code == (ExitCode.UNSUPPORTED if refused else ExitCode.HANG)


@pytest.mark.parametrize(
    ("unit", "field", "value", "refused"),
    [
        ("NN", "prelu", 1, True),
        ("NN", "kernel_x_size", 15, True),
        ("NN", "kernel_address", 0x1000 >> 6, False),
        ("TP", "alu_square_enable", 1, True),
        ("TP", "in_image_slice", 1 << 24, False),
    ],
)
def test_a_field_without_evidence_is_refused(
    unit: str, field: str, value: int, refused: bool, device: EmulatedDevice
) -> None:
    recording, _ = load_recording("random/r11")
    instruction = next(i for i in instructions(recording) if i.unit == unit)
    layout = NN_V7 if unit == "NN" else TP
    with pytest.raises(Fault) as caught:
        replay(with_field(recording, instruction, layout.fields[field], value), device)
    assert isinstance(caught.value, Refused) == refused


def test_streams_without_jobs_run(device: EmulatedDevice) -> None:
    initial = [0] * 8 + write(Register.PA_SYSTEM_MODE, 0x11) + write(Register.GL_API_MODE, 2)
    for words in ([], [0, 0], initial, [0x10000000, 0, 0xFFFFFFFF], [0x18000000, 5]):
        device.wait(device.submit(np.array(words, np.uint32), []))
        assert device.last_counters == ()


def test_the_device_goes_on_after_a_fault(device: EmulatedDevice) -> None:
    bad = device.submit(np.array([7, 7], np.uint32), [])
    good = device.submit(np.array([0, 0], np.uint32), [])
    device.wait(good)
    for _ in range(2):
        with pytest.raises(Fault):
            device.wait(bad)
    with pytest.raises(DeviceError, match="fence 3 was waited for; the last submit has 2"):
        device.wait(3)


def test_other_generations_are_refused_by_name() -> None:
    chip = find_by_name("imx8mp")
    assert chip is not None
    with pytest.raises(Unsupported, match="imx8mp is of generation V9; the emulator runs V7, V8"):
        EmulatedDevice(replace(chip, generation=9))


def nn_job(name: str = "random/r11") -> tuple[Recording, Instruction]:
    """A recording and its first NN instruction."""
    recording, _ = load_recording(name)
    return recording, next(i for i in instructions(recording) if i.unit == "NN")


def test_output_over_coefficients_is_refused(device: EmulatedDevice) -> None:
    """From the last byte that is read on, and not from the next one."""
    recording, instruction = nn_job()
    kernels = instruction.fields["kernel_address"]
    assert outcome(recording, device) == ""
    used = device.last_counters[instructions(recording).index(instruction)].coefficient_bytes
    field = NN_V7.fields["out_image_address"]
    for behind in (used, used - 1, 0):
        found = outcome(with_field(recording, instruction, field, kernels + behind), device)
        assert ("coefficients (kernel_address)" in found and "overlap" in found) != (behind == used)
        assert behind < used or found == ""


def test_kernels_and_image_on_chip_may_touch_but_not_overlap(device: EmulatedDevice) -> None:
    recording, instruction = nn_job()
    ranges = {
        "kernel_caching_mode": 1,
        "kernel_cache_start_address": 0x800,
        "kernel_cache_end_address": 0x1000,
        "image_caching_mode": 1,
        "image_cache_end_address": 0x2000,
    }
    for start, fits in ((0x1000, True), (0xFFF, False), (0x800, False), (0, False)):
        changed = recording
        for name, value in {**ranges, "image_cache_start_address": start}.items():
            changed = with_field(changed, instruction, NN_V7.fields[name], value)
        found = outcome(changed, device)
        assert ("kernel cache" in found and "overlap" in found) != fits
        assert not fits or not found


def test_one_multiplication_above_the_limit_of_an_instruction_is_refused(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless nearly all weights are zero points, which cost nothing."""
    for name, dense in (("random/add4", True), ("ops/mobiledet76", False)):
        recording, instruction = nn_job(name)
        monkeypatch.undo()
        assert outcome(recording, device) == ""
        counted = device.last_counters[instructions(recording).index(instruction)]
        macs = counted.macs_dense
        assert (counted.macs_nonzero > macs / 16) == dense
        monkeypatch.setattr(nn, "MAXIMUM_MACS", macs)
        assert outcome(recording, device) == ""
        monkeypatch.setattr(nn, "MAXIMUM_MACS", macs - 1)
        assert (f"takes {macs} multiplications" in outcome(recording, device)) == dense
