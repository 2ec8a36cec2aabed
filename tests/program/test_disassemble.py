"""The disassembly of a program: the JSON that scripts read, and fields, memory and packets."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from places import DIGITS
from shared_data import shared_data

import lapilli
from lapilli.hw.chips import CHIPS, find_by_name
from lapilli.hw.commands import LOAD_STATE, Opcode, Register
from lapilli.hw.nn import NN_V7
from lapilli.model import tflite
from lapilli.program import disassemble, recording
from lapilli.program.core_streams import core_streams
from lapilli.program.disassemble import JobListing
from lapilli.program.packets import Packet, packets
from lapilli.program.places import Place, place_of
from lapilli.program.program import Part, Program

A311D = find_by_name("a311d") or CHIPS[0]
EMPTY = Part((), (), (), np.zeros(0, np.uint32), (), (), ())


@pytest.fixture(scope="module")
def program() -> Program:
    return lapilli.compile(DIGITS, schedule="reference")


@pytest.fixture(scope="module")
def listings(program: Program) -> tuple[JobListing, ...]:
    return disassemble.jobs(program.parts[0], A311D)


def packets_of(*words: int) -> tuple[Packet, ...]:
    return packets(dataclasses.replace(EMPTY, commands=np.array(words, np.uint32)))


def values(listing: JobListing) -> dict[str, int]:
    return {field.name: field.value for field in listing.fields}


def test_the_json_object_has_the_agreed_keys_and_no_others(program: Program) -> None:
    found = json.loads(json.dumps(disassemble.to_json(program)))
    assert set(found) == {"chip", "parts"}
    assert found["chip"] == "a311d"
    (part,) = found["parts"]
    assert set(part) == {"inputs", "outputs", "commands", "jobs", "memory"}
    memory = part["memory"]
    assert memory["bytes_alive"] <= memory["bytes"] <= memory["bytes_apart"]
    for region in memory["regions"]:
        assert set(region) == {"buffer", "offset", "bytes", "first_job", "last_job"}
    assert part["inputs"] == [
        {"tensor": 0, "name": "image", "shape": [1, 16, 16, 1], "dtype": "uint8"}
    ]
    assert [output["name"] for output in part["outputs"]] == ["logits"]
    for job in part["jobs"]:
        assert set(job) == {"unit", "operator", "words", "coefficients"}
        assert (job["unit"], len(job["words"])) in (("NN", 34), ("TP", 31))
        assert (job["coefficients"] is None) == (job["unit"] == "TP")


def test_the_json_commands_are_the_little_endian_words(program: Program) -> None:
    found = disassemble.to_json(program)["parts"][0]["commands"]
    words = np.frombuffer(bytes.fromhex(found), "<u4")
    assert words.tolist() == program.parts[0].commands.tolist()


def test_a_tp_operation_on_four_cores_gives_four_jobs(program: Program) -> None:
    jobs = disassemble.to_json(program)["parts"][0]["jobs"]
    first = [job["operator"] for job in jobs[1:6]]
    assert [job["unit"] for job in jobs[1:6]] == ["TP"] * 4 + ["NN"]
    assert first == [1] * 5


def test_json_coefficients_are_the_header_and_all_core_streams(program: Program) -> None:
    part = program.parts[0]
    data = next(b.data for b in part.buffers if b.role == "coefficients")
    assert data is not None
    base = next(b.address for b in part.buffers if b.role == "coefficients")
    for job in disassemble.to_json(program)["parts"][0]["jobs"]:
        if job["unit"] == "NN":
            at = NN_V7.decode(job["words"])["kernel_address"] - base
            size = 64 + int(data[at : at + 32].view("<u4").sum())
            stream = data[at : at + size].tobytes()
            assert job["coefficients"]["bytes"] == size
            assert job["coefficients"]["sha256"] == hashlib.sha256(stream).hexdigest()


def test_parts_can_be_chosen(program: Program) -> None:
    twice = dataclasses.replace(program, parts=program.parts * 2)
    assert len(disassemble.to_json(twice)["parts"]) == 2
    assert len(disassemble.to_json(twice, [1])["parts"]) == 1


def test_fields_come_by_name_with_their_topic_and_place(listings: tuple[JobListing, ...]) -> None:
    fields = {field.name: field for field in listings[0].fields}
    assert set(fields) == set(NN_V7.fields)
    assert fields["kernel_x_size"].topic == "kernels"
    assert fields["out_image_tile_x_size"].topic == "tiles"
    assert fields["kernel_caching_mode"].text == "1 full"
    assert fields["kernel_address"].text.endswith("= buffer 1+0x0")
    assert fields["post_shift"].where == "word 2 bits 31:27, word 15 bits 29:28"
    assert "times " in fields["post_shift"].note


def test_the_multiplier_in_words_is_the_models_scale(listings: tuple[JobListing, ...]) -> None:
    graph = tflite.load(DIGITS)
    operator = graph.operators[0]
    scales = [graph.tensors[i].quantization for i in (*operator.inputs[:2], operator.outputs[0])]
    assert all(scales)
    source, weights, target = (q.scale for q in scales if q is not None)
    note = next(field.note for field in listings[0].fields if field.name == "post_shift")
    shown = float(note.split("times ")[1].split()[0])
    assert shown == pytest.approx(source * weights / target, rel=1e-4)


def test_only_what_differs_from_its_default_is_marked(listings: tuple[JobListing, ...]) -> None:
    for listing in listings:
        layout = disassemble.layout_of(listing.job, A311D)
        for field in listing.fields:
            assert field.changed == (field.value != layout.fields[field.name].default)
        assert not listing.stray_bits


def test_jobs_name_the_buffers_they_touch(
    program: Program, listings: tuple[JobListing, ...]
) -> None:
    roles = [b.role for b in program.parts[0].buffers]
    touched = [[roles[place.buffer] for _, place in listing.touches] for listing in listings]
    assert touched[0] == ["coefficients", "input", "tensor"]
    assert touched[1] == ["tensor", "tensor"]
    assert touched[-1][-1] == "output"


def test_coefficients_are_summed_up(listings: tuple[JobListing, ...]) -> None:
    for listing in listings:
        summary, found = listing.coefficients, values(listing)
        assert (summary is None) == (listing.job.unit == "TP")
        if summary is None:
            continue
        cores = min(found["out_image_z_size"], A311D.nn_cores)
        streams = summary.cores
        assert len(streams.sizes) == len(streams.kernels) == cores
        assert summary.size == 64 + sum(streams.sizes)
        assert set(streams.kernels) == {-(-found["out_image_z_size"] // cores)}
        assert max(streams.zero_run_bits) <= A311D.zero_run_bits
        assert (streams.unit, streams.symbol_map, streams.biases) == ("bytes", (), ())
        if listing.job.kind == "convolution":
            assert summary.dense == found["out_image_z_size"] * found["kernel_z_size"] * (
                found["kernel_x_size"] * found["kernel_y_size"]
            )


def test_on_chip_ranges_are_those_in_use(listings: tuple[JobListing, ...]) -> None:
    for listing in listings:
        names = [each.name for each in listing.sram]
        assert names == ([] if listing.job.unit == "TP" else ["kernel"])
        for each in listing.sram:
            assert 0x800 == each.start < each.end <= A311D.vip_sram_bytes


def test_every_job_is_started_once_and_in_order(program: Program) -> None:
    found = packets(program.parts[0])
    starts = [p.note for p in found if p.register.endswith("_INST_ADDR")]
    assert len(starts) == len(program.parts[0].jobs)
    for number, note in enumerate(starts):
        assert note.startswith(f"starts job {number}: ")
    assert [note.endswith("more cores follow") for note in starts[1:5]] == [True] * 3 + [False]
    assert found[-1].name == "FILLER"
    assert "flushes depth, color, shader_l1" in found[-2].note


def test_one_packet_may_load_several_registers() -> None:
    first = LOAD_STATE.encode(address=Register.GL_OCB_REMAP_START, count=2)[0]
    found = packets_of(first, 0, 5, 0, Opcode.END << 27, 0)
    assert [(p.offset, p.name, p.register, p.value) for p in found] == [
        (0, "LOAD_STATE", "GL_OCB_REMAP_START", 0),
        (8, "LOAD_STATE", "GL_OCB_REMAP_END", 5),
        (16, "END", "", 0),
    ]


@pytest.mark.parametrize(
    ("words", "name", "note"),
    [
        ((LOAD_STATE.encode(address=0x3930, count=0)[0], 0), "LOAD_STATE", "truncated"),
        ((LOAD_STATE.encode(address=0x3930, count=1)[0],), "LOAD_STATE", "truncated"),
        ((31 << 27, 0), "OPCODE_31", ""),
        ((7 << 27 | 200, 0), "WAIT", "waits 200 cycles"),
        ((8 << 27, 0x1000), "LINK", "goes on at 0x1000"),
        ((8 << 27,), "LINK", "goes on at 0x0"),
    ],
)
def test_unusual_streams_are_shown_too(words: tuple[int, ...], name: str, note: str) -> None:
    last = packets_of(*words)[-1]
    assert (last.name, last.note) == (name, note)


def test_an_address_outside_all_buffers_is_said_to_be() -> None:
    (packet,) = packets_of(LOAD_STATE.encode(address=Register.PS_NN_INST_ADDR, count=1)[0], 0x500)
    assert packet.note == "starts what lies in no buffer"


def test_places_are_buffer_and_offset(program: Program) -> None:
    part = program.parts[0]
    buffer = part.buffers[3]
    assert place_of(part, buffer.address) == Place(3, 0)
    assert place_of(part, buffer.address + buffer.size - 1) == Place(3, buffer.size - 1)
    assert place_of(part, 5) is None
    assert str(Place(3, 256)) == "buffer 3+0x100"


def test_later_generations_are_read_with_their_own_layout() -> None:
    program = lapilli.compile(DIGITS, chip="imx8mp", schedule="reference")
    graph = tflite.load(DIGITS)
    scales = [graph.tensors[i].quantization for i in (0, 1, graph.operators[0].outputs[0])]
    source, weights, target = (q.scale for q in scales if q is not None)
    listing = disassemble.jobs(program.parts[0], disassemble.chip_of(program))[0]
    note = next(field.note for field in listing.fields if field.name == "post_shift")
    shown = float(note.split("times ")[1].split()[0])
    assert shown == pytest.approx(source * weights / target, rel=1e-4)


def test_v8_coefficients_are_summed_up_to_their_biases() -> None:
    program = lapilli.compile(DIGITS, chip="imx8mp", schedule="reference")
    chip, part = disassemble.chip_of(program), program.parts[0]
    listings = disassemble.jobs(part, chip)
    described = disassemble.to_json(program)["parts"][0]["jobs"]
    for listing, job in zip(listings, described, strict=True):
        summary = listing.coefficients
        assert (summary is None) == (listing.job.unit == "TP")
        if summary is None:
            continue
        cores, channels = summary.cores, values(listing)["out_image_z_size"]
        assert cores.unit == "bits"
        assert len(cores.sizes) == min(channels, chip.nn_cores)
        assert sum(cores.kernels) == len(cores.biases) == channels
        streams = sum(-(-bits // 512) * 64 for bits in cores.sizes)
        assert summary.size == 64 + streams + 4 * channels == job["coefficients"]["bytes"]
        assert sorted(cores.symbol_map) == list(range(8))
        assert cores.zero_run_bits == ()
        stream = disassemble.coefficient_stream(part, listing.job)
        assert stream is not None
        assert stream[-4 * channels :].view("<i4").tolist() == list(cores.biases)


@pytest.mark.parametrize("chip", ["a311d", "imx8mp"])
def test_damaged_coefficients_are_summed_up_as_far_as_they_go(chip: str) -> None:
    record = find_by_name(chip)
    assert record is not None
    rng = np.random.default_rng(0)
    for size in (0, 3, 63, 64, 200):
        for data in (np.zeros(size, np.uint8), rng.integers(0, 256, size).astype(np.uint8)):
            found = core_streams(data, record, 10)
            assert found.sizes == found.biases == ()
    assert core_streams(np.zeros(200, np.uint8), record, 0).sizes == ()


@pytest.mark.parametrize("name", ["mb3", "conv2d"])
def test_recorded_streams_hold_known_registers_only(name: str) -> None:
    path = shared_data() / "recordings" / "a311d" / "ops" / f"{name}.npz"
    for packet in packets_of(*recording.load(path).commands.tolist()):
        assert packet.name in ("FILLER", "LOAD_STATE")
        assert packet.name == "FILLER" or packet.register in Register.__members__
