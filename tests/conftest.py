"""``--long``: also run what is marked ``long``, the whole grids instead of samples of them."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

os.environ["LAPILLI_CACHE"] = ""
os.environ["LAPILLI_CPU"] = ""
"""No test reads or writes programs in the user's cache folder, or rates of the CPU in his settings,
nor do processes it starts. Tests of these name a place of their own."""

COMMON = settings(
    deadline=None,  # of an example, by the clock: a busy machine is no error
    suppress_health_check=[HealthCheck.too_slow],  # likewise, of making up the examples
)
settings.register_profile("sample", COMMON, derandomize=True)
"""The same examples in every run, so that a run fails for what was changed and not by chance."""
settings.register_profile("long", COMMON)
"""Other examples in each run, and those that failed again."""


@pytest.fixture(scope="module")
def only_new_objects() -> Iterator[None]:
    """Collections look at what a module's tests make, not at all that those before them left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the whole grids too")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "sample")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell leaves it for commands in the background, and their children inherit it; tests
        # are about what it does where it is not ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--long`` the long tests are left out, not skipped: their number says nothing."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]
