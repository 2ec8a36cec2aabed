"""What a user's mistake looks like to a program."""

from __future__ import annotations

import pytest

from lapilli import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.UsageError,
        errors.ModelError,
        errors.Unsupported,
        errors.DeviceError,
        errors.Fault,
        errors.Refused,
    ],
)
def test_every_error_is_one_printable_line(kind: type[errors.LapilliError]) -> None:
    text = str(kind("bad\nname\0 \x1b[31mof a  file"))
    assert text.isprintable()
    assert text == "bad name\ufffd of a file"


def test_exit_codes_are_those_scripts_rely_on() -> None:
    assert [code.value for code in errors.ExitCode] == list(range(8))
    assert errors.UsageError("").exit_code == 2
    assert errors.ModelError("").exit_code == 3
    assert errors.Unsupported("").exit_code == 4
    assert errors.NothingForTheNpu("").exit_code == 4
    assert errors.DeviceError("").exit_code == 5
    assert errors.ResultsDiffer("").exit_code == 6
    assert errors.HangError("").exit_code == 7


def test_a_usage_error_is_a_value_error() -> None:
    assert issubclass(errors.UsageError, ValueError)
