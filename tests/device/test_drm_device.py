"""The device layer for boards, on a virtual kernel of this process."""

from __future__ import annotations

import errno
import gc
import threading
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from virtual_npu import NODE, Board, FastClock, board, chip_called, small_input, small_part

from lapilli.compiler.stages import compile_model
from lapilli.device.addresses import AddressRanges
from lapilli.device.candidates import candidates
from lapilli.device.drm import DrmDevice
from lapilli.device.hang import SubmitHung
from lapilli.device.open import open_device
from lapilli.device.pipeline import Pipeline
from lapilli.device.replay import replay
from lapilli.device.runner import LoadedPart
from lapilli.errors import DeviceError, HangError, Unsupported
from lapilli.hw import drm
from lapilli.program import recording
from lapilli.program.program import Program
from lapilli.virtual.injection import FaultySystem, Injection
from lapilli.virtual.kernel import Settings, VirtualKernel
from lapilli.virtual.system import VirtualSystem

PART = small_part()


def emulated(seed: int = 0) -> dict[int, np.ndarray]:
    """The outputs of ``PART`` on the plain emulator."""
    return LoadedPart(open_device("emulator:a311d"), PART).run(small_input(seed))


def broken() -> tuple[Board, DrmDevice, LoadedPart]:
    """A part whose instruction was overwritten with something no NPU does."""
    machine = board()
    device = machine.device()
    loaded = LoadedPart(device, PART)
    roles = [spec.role for spec in PART.buffers]
    loaded._buffers[roles.index("instruction")].data[:] = 0xFF
    return machine, device, loaded


# ----------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize("name", ["a311d", "imx8mp", "stm32mp2"])
def test_the_chip_is_found_by_its_identity(name: str) -> None:
    with board(name, execute=False).device() as device:
        assert device.chip == chip_called(name)
        assert device.name == NODE


def test_the_npu_may_be_any_core() -> None:
    with board(execute=False, pipe=2).device() as device:
        assert device.identity.core.pipe == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"driver": "panfrost"}, "its driver is 'panfrost'; NPUs have 'etnaviv'"),
        ({"version": (1, 3, 0)}, "the kernel's driver is etnaviv 1.3.0; 1.4 or later is needed"),
        ({"softpin": False}, "does not let programs choose GPU addresses"),
    ],
)
def test_what_can_not_be_used_is_refused_with_the_reason(
    settings: dict[str, object], reason: str
) -> None:
    machine = board(execute=False, **settings)
    with pytest.raises(DeviceError, match=reason):
        machine.device()
    gc.collect()
    assert machine.left == (0, 0, 0, 0)


def test_auto_takes_the_first_usable_node() -> None:
    clock = FastClock()
    kernels = {
        "/dev/dri/renderD128": VirtualKernel(
            chip_called(), Settings(driver="panfrost", execute=False)
        ),
        "/dev/dri/renderD129": VirtualKernel(chip_called(), Settings(execute=False)),
    }
    device = open_device("auto", VirtualSystem(kernels, clock))
    assert device.name == "/dev/dri/renderD129"
    device.close()


def test_auto_names_every_reason_and_the_way_to_the_emulator() -> None:
    other = VirtualKernel(chip_called(), Settings(driver="panfrost", execute=False))
    system = VirtualSystem({"/dev/dri/renderD128": other, "/dev/dri/renderD129": errno.EACCES})
    with pytest.raises(DeviceError) as caught:
        open_device("auto", system)
    text = str(caught.value)
    assert "renderD128: its driver is 'panfrost'" in text
    assert "renderD129: can't be opened: EACCES, no permission" in text
    assert text.endswith("for the emulated NPU: --device emulator:a311d")
    assert [found.path for found in candidates(system)] == system.nodes()
    assert system.open_files == 0


def test_a_node_that_does_not_exist() -> None:
    with pytest.raises(DeviceError, match="renderD200: can't be opened: ENOENT"):
        open_device("/dev/dri/renderD200", VirtualSystem({}))


# ----------------------------------------------------------------------------------------- buffers


def test_addresses_are_taken_from_the_top_and_used_again() -> None:
    ranges = AddressRanges()
    first = ranges.take(5000)
    second = ranges.take(1)
    assert (first, second) == (drm.ADDRESS_END - 8192, drm.ADDRESS_END - 12288)
    ranges.give_back(first)
    assert ranges.take(4096) == drm.ADDRESS_END - 4096
    assert ranges.take(4096) == first
    with pytest.raises(DeviceError, match="overlap the buffer of 4096 bytes"):
        ranges.take(1, second)
    for size, address, text in ((0, None, "allowed is 1"), (1, 5, "multiples"), (1, 0, "allowed")):
        with pytest.raises(DeviceError, match=text):
            ranges.take(size, address)
    with pytest.raises(DeviceError, match="no gap"):
        ranges.take(drm.ADDRESS_END - drm.SOFTPIN_START)


def test_buffers_are_zero_shared_with_the_device_and_unmapped() -> None:
    machine = board()
    with machine.device() as device:
        buffer = device.alloc(5000)
        assert len(buffer.data) == buffer.size == 5000
        assert not buffer.data.any()
        fixed = device.alloc(10, 0x500000)
        assert fixed.address == 0x500000
        kept = buffer.data[100:200]
        buffer.prepare(drm.Access.READ | drm.Access.WRITE)
        buffer.finish()
        buffer.free()
        with pytest.raises(DeviceError, match="was freed"):
            _ = buffer.data
        with pytest.raises(DeviceError, match="not, or no longer"):
            buffer.free()
        kept[:] = 1  # no longer the device's, but no crash either
        fixed.free()
        assert machine.kernel.used_bytes == 0
        assert machine.system.mappings == 1
        del kept
        assert machine.system.mappings == 0


def test_freed_memory_comes_back_as_zeros() -> None:
    with board().device() as device:
        buffer = device.alloc(4096)
        buffer.data[:] = 7
        buffer.free()
        assert not device.alloc(4096).data.any()


def test_another_devices_buffer_is_refused() -> None:
    machine = board()
    with machine.device() as device, machine.device() as other:
        buffer = other.alloc(64)
        with pytest.raises(DeviceError, match="not, or no longer, one of"):
            device.submit(PART.commands, [buffer])


def test_deleting_the_device_closes_the_node() -> None:
    machine = board()
    device = machine.device()
    device.alloc(100)
    del device
    gc.collect()
    assert machine.left == (0, 0, 0, 0)


def test_a_closed_device_says_so() -> None:
    machine = board()
    device = machine.device()
    buffer = device.alloc(64)
    device.close()
    device.close()
    buffer.free()
    with pytest.raises(DeviceError, match="is closed"):
        device.alloc(64)


# -------------------------------------------------------------------------------------------- jobs


def test_same_results_as_on_the_emulator() -> None:
    machine = board()
    with machine.device() as device, LoadedPart(device, PART) as loaded:
        for seed in (0, 1):
            expected = emulated(seed)
            found = loaded.run(small_input(seed))
            assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)
    del loaded
    gc.collect()
    assert machine.left == (0, 0, 0, 0)


def test_an_inference_is_one_submit_and_one_wait() -> None:
    machine = board()
    system = FaultySystem(machine.system, machine.clock)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART) as loaded:
        loaded.run(small_input())
        system.made.clear()
        loaded.run(small_input())
        assert system.made == ["GEM_SUBMIT", "WAIT_FENCE"]


def test_a_stream_of_the_wrong_kind_is_refused() -> None:
    with board().device() as device, pytest.raises(DeviceError, match="expected one dimension"):
        device.submit(np.zeros(3, np.int64), [])  # type: ignore[arg-type]


def test_a_freed_buffer_is_kept_until_its_job_is_done() -> None:
    machine, device, loaded = broken()
    fence = loaded.start()
    address = loaded._buffers[0].address
    loaded.close()
    assert machine.kernel.used_bytes
    assert device.alloc(4096).address != address
    with pytest.raises(HangError):
        device.wait(fence)
    assert len(machine.kernel.clients[0].objects) == 1
    assert device.alloc(100000).address
    device.close()


# ------------------------------------------------------------------------------------------- hangs


def test_a_job_that_does_not_end_is_a_hang_with_what_was_submitted(tmp_path: Path) -> None:
    machine, device, loaded = broken()
    loaded._timeout = 0.2
    with pytest.raises(SubmitHung, match=r"not done after 0\.2 s") as caught:
        loaded.run(small_input())
    assert f"{len(PART.commands)} command words with {len(PART.buffers)}" in str(caught.value)
    assert caught.value.exit_code == 7
    assert len(machine.kernel.faults) == 1
    recording.save(tmp_path / "hang.npz", caught.value.recording)
    with pytest.raises(DeviceError, match="has bits"):
        replay(recording.load(tmp_path / "hang.npz"), open_device("emulator:a311d"))
    device.close()


def test_a_job_that_the_kernel_gave_up_is_a_hang() -> None:
    """The kernel's time-out is shorter than ours, and lets the fence pass as if all were well."""
    machine, device, loaded = broken()
    fence = loaded.start()
    for _ in range(2):
        with pytest.raises(HangError, match="the kernel resets the NPU and drops the job"):
            device.wait(fence)
    assert machine.clock.slept[0] == pytest.approx(0.5)
    device.close()


def test_the_recording_of_a_hang_runs_on_the_emulator() -> None:
    """A job that hung for no fault of its own: the emulator gives the right result."""
    machine = board()
    system = FaultySystem(
        machine.system,
        machine.clock,
        Injection(0, errno.ETIMEDOUT, request=drm.WAIT_FENCE.request),
    )
    with DrmDevice(NODE, system) as device:
        loaded = LoadedPart(device, PART)
        with pytest.raises(SubmitHung) as caught:
            loaded.run(small_input())
        results = replay(caught.value.recording, open_device("emulator:a311d"))
        for binding in PART.outputs:
            found = results[binding.buffer][binding.offset : binding.offset + binding.size]
            assert np.array_equal(found, emulated()[binding.tensor].reshape(-1))


def test_being_woken_early_is_no_hang() -> None:
    machine = board()
    injection = Injection(0, errno.ETIMEDOUT, times=3, request=drm.WAIT_FENCE.request, early=True)
    system = FaultySystem(machine.system, machine.clock, injection)
    with DrmDevice(NODE, system) as device, LoadedPart(device, PART) as loaded:
        loaded.run(small_input())
        assert system.failed == ["WAIT_FENCE"] * 3


# ---------------------------------------------------------------------------------------- pipeline


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_results_come_in_order(depth: int) -> None:
    machine = board()
    with machine.device() as device, Pipeline(device, PART, depth) as pipeline:
        futures = [pipeline.submit(small_input(seed)) for seed in range(8)]
        for seed, future in enumerate(futures):
            expected = emulated(seed)
            found = future.result(timeout=PATIENCE)
            assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)
    assert machine.kernel.used_bytes == 0


def test_two_are_in_flight() -> None:
    """The second submit does not wait for the first's end; the third does."""
    device = SlowDevice()
    with device, Pipeline(device, PART) as pipeline:
        first, second = pipeline.submit(small_input()), pipeline.submit(small_input(1))
        assert not first.done() and not first.cancel()
        third: list[object] = []
        thread = threading.Thread(target=lambda: third.append(pipeline.submit(small_input(2))))
        thread.start()
        thread.join(0.1)
        assert not third
        device.may_end.set()
        thread.join(PATIENCE)
        assert third and second.result(PATIENCE)


class SlowDevice(DrmDevice):
    """Its fences pass when the test says so."""

    def __init__(self) -> None:
        super().__init__(NODE, board().system)
        self.may_end = threading.Event()

    def wait(self, fence: int, timeout: float = 5.0) -> None:
        assert self.may_end.wait(PATIENCE)
        super().wait(fence, timeout)


def test_a_hang_in_the_pipeline_ends_it() -> None:
    machine = board()
    injection = Injection(0, errno.ETIMEDOUT, request=drm.WAIT_FENCE.request)
    device = DrmDevice(NODE, FaultySystem(machine.system, machine.clock, injection))
    with device, Pipeline(device, PART) as pipeline:
        future = pipeline.submit(small_input())
        assert isinstance(future.exception(PATIENCE), HangError)
        with pytest.raises(DeviceError, match="an earlier inference failed"):
            pipeline.submit(small_input())
    with pytest.raises(DeviceError, match="the pipeline is closed"):
        pipeline.submit(small_input())


def test_wrong_inputs_do_not_cost_a_slot() -> None:
    with board().device() as device, Pipeline(device, PART, 1) as pipeline:
        for _ in range(3):
            with pytest.raises(ValueError, match="takes uint8"):
                pipeline.submit({tensor: v[:, :2] for tensor, v in small_input().items()})
        assert pipeline.submit(small_input()).result(PATIENCE)


def test_a_pipeline_takes_programs_of_one_part() -> None:
    program = Program("a311d", "best", "two", "", (PART, PART))
    with board().device() as device, pytest.raises(Unsupported, match="2 parts"):
        Pipeline(device, program)


def test_the_sample_model_gives_the_emulators_bytes() -> None:
    from importlib.resources import as_file, files

    with as_file(files("lapilli.data") / "digits.tflite") as path:
        program = compile_model(path)
    part = program.parts[0]
    random = np.random.default_rng(0)
    inputs = {b.tensor: random.integers(0, 256, b.shape).astype(np.uint8) for b in part.inputs}
    expected = LoadedPart(open_device("emulator:a311d"), part).run(inputs)
    with board().device() as device, LoadedPart(device, part) as loaded:
        found = loaded.run(inputs)
    assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)


def test_a_file_that_is_no_render_node() -> None:
    """The real system calls."""
    with pytest.raises(DeviceError, match="/dev/null: no DRM device answers there"):
        open_device("/dev/null")


def test_two_programs_at_once() -> None:
    machine = board()
    expected = [emulated(seed) for seed in range(2)]
    wrong: list[int] = []

    def program(seed: int) -> None:
        with machine.device() as device, LoadedPart(device, PART) as loaded:
            for _ in range(20):
                found = loaded.run(small_input(seed))
                same = (np.array_equal(found[t], expected[seed][t]) for t in found)
                if not all(same):
                    wrong.append(seed)

    threads = [threading.Thread(target=program, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    gc.collect()
    assert machine.left == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["random/r11", "ops/mobiledet76"])
def test_a_recording_replays_as_on_the_emulator(name: str) -> None:
    """At its recorded addresses, as ``lapilli replay --device`` does it."""
    from oracle import load_recording

    recorded, _ = load_recording(name)
    inputs = {
        i: np.random.default_rng(i).integers(0, 256, b.size).astype(np.uint8)
        for i, b in enumerate(recorded.buffers)
        if b.role == "input"
    }
    expected = replay(recorded, open_device("emulator:a311d"), inputs)
    with board().device() as device:
        found = replay(recorded, device, inputs)
    assert all(np.array_equal(found[i], expected[i]) for i in expected)
