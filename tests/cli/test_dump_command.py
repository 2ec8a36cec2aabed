"""``lapilli dump``: jobs, memory and packets, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import assert_one_line, call

from lapilli.errors import ExitCode
from lapilli.program import program_file


def test_dump_shows_jobs_memory_and_packets(program: Path) -> None:
    result = call("dump", program)
    assert (result.exit_code, result.stderr) == (0, "")
    for line in (
        "job 0: NN convolution, operator 0, instruction at buffer 0+0x0",
        "  VIP SRAM [K....",
        "  touches coefficients buffer 1+0x0, input buffer 2+0xf40, tensor buffer 2+0x0",
        "  tensors  ",
        "part 0: command stream",
        "starts job 8: ",
    ):
        assert line in result.stdout
    assert "clamp_high" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_dump_all_shows_every_field_and_where_it_lies(program: Path) -> None:
    found = call("dump", program, "--all").stdout
    assert "clamp_high" in found
    assert "word 29" in found


def test_dump_json_is_the_agreed_object(program: Path) -> None:
    found = json.loads(call("dump", program, "--json").stdout)
    assert list(found) == ["chip", "parts"]
    assert len(found["parts"][0]["jobs"]) == len(program_file.load(program).parts[0].jobs)


@pytest.mark.parametrize("number", ["1", "-1"])
def test_dump_of_a_part_that_is_not_there(program: Path, number: str) -> None:
    result = call("dump", program, "--part", number)
    assert_one_line(result, ExitCode.USAGE, f"no part {number}; it has part 0 only")
