"""Reading a stream for a profile: programs that say less than they do, and what many jobs cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from virtual_npu import chip_called, small_part

from lapilli.errors import ModelError
from lapilli.profile import stream
from lapilli.profile.stream import read_jobs

PART = small_part()


@pytest.mark.parametrize("listed", range(len(PART.jobs)))
def test_a_stream_that_starts_more_than_the_program_lists(listed: int) -> None:
    with pytest.raises(ModelError, match=f"lists {listed} jobs"):
        read_jobs(PART.commands, PART.buffers, chip_called(), PART.jobs[:listed])
    assert len(read_jobs(PART.commands, PART.buffers, chip_called(), PART.jobs)) == len(PART.jobs)


def test_dependencies_of_many_jobs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is followed by at most so many, so that the report grows with the stream."""
    monkeypatch.setattr(stream, "MOST_DEPENDENCIES", 3)
    words = PART.commands.tolist()
    repeated = np.array(words * 12, np.uint32)
    found = read_jobs(repeated, PART.buffers, chip_called())
    assert len(found) == 12 * len(PART.jobs)
    assert all(len(job.after) <= 3 for job in found)
    last = found[-1]
    assert all(last.operation - 3 * len(PART.jobs) < operation for operation in last.after)


def test_a_program_needs_no_list_of_jobs_to_be_read() -> None:
    part = replace(PART, jobs=())
    assert read_jobs(part.commands, part.buffers, chip_called())[0].kind in stream.UNNAMED.values()
