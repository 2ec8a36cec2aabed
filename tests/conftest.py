"""``--long``: also run what is marked ``long``, the whole grids instead of samples of them.

No job of ours may write over its own input, as what it reads would depend on timing: the emulator
reports one that does, and here that fails the test.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lapilli.emulator import machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the whole grids too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--long`` the long tests are left out, not skipped: their number says nothing."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


class Collector(logging.Handler):
    """Keeps warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the logger."""
        self.texts.append(record.getMessage())


@pytest.fixture(autouse=True)
def no_job_reads_its_own_output(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unless the test is marked ``reads_own_output``."""
    collector = Collector()
    machine.log.addHandler(collector)
    yield
    machine.log.removeHandler(collector)
    if request.node.get_closest_marker("reads_own_output") is None:
        assert not collector.texts
