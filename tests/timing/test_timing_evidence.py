"""What is said of how sure a modelled time is follows from the published times."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from places import REPOSITORY
from shared_data import shared_data
from timing_numbers import chip

from lapilli.errors import Unsupported
from lapilli.hw.chips import CHIPS
from lapilli.timing.constants import TABLES, Origin
from lapilli.timing.evidence import EVIDENCE, evidence_of


def calibrate() -> ModuleType:
    shared_data()
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        import calibrate
    finally:
        sys.path.pop(0)
    return calibrate


def test_every_chip_with_times_says_how_sure_they_are_and_no_other_does() -> None:
    assert set(EVIDENCE) == set(TABLES)
    for name, evidence in EVIDENCE.items():
        assert evidence.fitted is any(f.origin is Origin.FITTED for f in TABLES[name].values())
        assert evidence.sentence.startswith("How sure: ")
    other = next(found for found in CHIPS if found.name not in TABLES)
    with pytest.raises(Unsupported, match="known: a311d, imx8mp"):
        evidence_of(other)


def test_the_errors_of_the_a311d_are_those_of_its_fit() -> None:
    fitting, a311d, evidence = calibrate(), chip(), evidence_of("a311d")
    known = fitting.states(a311d)
    start = fitting.Free(TABLES["a311d"]["bus_bytes"].value, 35e-9)
    fitted = fitting.fit(a311d, known, start)
    errors = fitting.errors(a311d, fitted.values(), known)
    assert evidence.figures == len(errors)
    assert evidence.rms == pytest.approx(np.sqrt((errors**2).mean()), abs=0.002)
    assert evidence.worst == pytest.approx(np.abs(errors).max(), abs=0.002)
    worst = known[int(np.abs(errors).argmax())]
    without = fitting.fit(a311d, [state for state in known if state is not worst], start)
    unseen = fitting.Model.of(a311d, without).total(worst) / worst.mean - 1
    assert evidence.unseen == pytest.approx(abs(unseen), abs=0.002)


def test_the_published_totals_of_the_imx8mp_are_no_further_off_than_is_said() -> None:
    fitting, imx8mp, evidence = calibrate(), chip("imx8mp"), evidence_of("imx8mp")
    model = fitting.Model.of(imx8mp, fitting.Free(TABLES["imx8mp"]["bus_bytes"].value, 35e-9))
    states = fitting.unfitted_states(imx8mp)
    assert [state.published for state in states] == [(7.9,), (8.0,), (24.4,)]
    errors = np.array([model.total(state) / state.mean - 1 for state in states])
    assert evidence.figures == len(errors)
    assert evidence.rms == pytest.approx(np.sqrt((errors**2).mean()), abs=0.005)
    assert evidence.worst == evidence.unseen == pytest.approx(np.abs(errors).max(), abs=0.005)
    for state in states:
        low, high = evidence.span(model.total(state))
        assert low < state.mean < high


def test_a_span_reaches_as_far_as_the_worst_error_of_a_time_not_fitted_to() -> None:
    low, high = evidence_of("a311d").span(10.0)
    assert 10.0 / low - 1 == pytest.approx(0.124)
    assert 10.0 / high - 1 == pytest.approx(-0.124)
