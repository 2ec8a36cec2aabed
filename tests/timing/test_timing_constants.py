"""Constants have sources, and the fitted ones are what published figures give."""

from __future__ import annotations

import sys
from dataclasses import fields

import pytest
from places import REPOSITORY
from shared_data import shared_data
from timing_numbers import chip

from lapilli.errors import Unsupported
from lapilli.hw.chips import CHIPS
from lapilli.timing.constants import TABLES, Origin, TimingConstants, constants_of
from lapilli.timing.host import HostConstants


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_constant_has_a_unit_and_a_source(name: str) -> None:
    assert set(TABLES[name]) == {field.name for field in fields(TimingConstants)}
    for figure in TABLES[name].values():
        assert figure.value > 0 and figure.unit and figure.source
    assert constants_of(chip(name)).clock_hz == TABLES[name]["clock_hz"].value


def test_a_chip_without_a_table_is_not_timed() -> None:
    other = next(found for found in CHIPS if found.name not in TABLES)
    with pytest.raises(Unsupported, match="known: a311d, imx8mp, imx8mp-a0"):
        constants_of(other)


def test_the_fitted_constants_are_what_the_published_figures_give() -> None:
    """And they keep to what was aimed at: MobileNetV1 7 %, MobileDet 10 %, MobileNetV1's steps
    15 %."""
    shared_data()
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        import calibrate
        from published_states import MOBILENET
    finally:
        sys.path.pop(0)
    known, host = calibrate.states(chip()), HostConstants()
    assert [n for n, figure in TABLES["a311d"].items() if figure.origin is Origin.FITTED] == [
        "bus_bytes"
    ]
    ours = calibrate.Free(constants_of(chip()).bus_bytes, host.score_seconds)
    fitted = calibrate.fit(chip(), known, ours)
    assert ours.values() == pytest.approx(fitted.values(), rel=0.01)
    model = calibrate.Model.of(chip(), ours)
    times = {state: model.total(state) for state in known}
    for state, time in times.items():
        assert time == pytest.approx(state.mean, rel=0.07 if state.model == MOBILENET else 0.1)
    mobilenet = [state for state in known if state.model == MOBILENET]
    for before, after in ((0, 1), (2, 3)):
        saved = times[mobilenet[before]] - times[mobilenet[after]]
        published = mobilenet[before].mean - mobilenet[after].mean
        assert saved == pytest.approx(published, rel=0.15)
