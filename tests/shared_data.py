"""Where the data that is too large for the repository lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from places import REPOSITORY


def shared_data() -> Path:
    """The folder with models and recordings: LAPILLI_TEST_DATA, or ``shared`` next to the repo.

    Without it the test is skipped, or fails if LAPILLI_REQUIRE_TEST_DATA=1.
    """
    default = REPOSITORY.parent / "shared"
    folder = Path(os.environ.get("LAPILLI_TEST_DATA", default))
    if not (folder / "models").is_dir():
        reason = f"no test data in {folder}; set LAPILLI_TEST_DATA"
        if os.environ.get("LAPILLI_REQUIRE_TEST_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
