"""``lapilli chips``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from shared_data import shared_data

from lapilli.cli.chips import chips
from lapilli.hw.chips import CHIPS, Evidence


def test_every_chip_is_listed_under_how_sure_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(chips, [])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    checked, untested = result.stdout.split("Same generation as a recorded chip, untested:")
    assert checked.startswith("Checked against recorded submissions:")
    for chip in CHIPS:
        section = checked if chip.evidence is Evidence.RECORDED else untested
        (line,) = [line for line in section.splitlines() if line.split()[:1] == [chip.name]]
        _, generation, nn_cores, tp_cores, *_ = line.split()
        assert generation == f"V{chip.generation}"
        assert (int(nn_cores), int(tp_cores)) == (chip.nn_cores, chip.tp_cores)
    words = " ".join(result.stdout.split())
    assert all(chip.description in words for chip in CHIPS)


def test_json() -> None:
    report = json.loads(CliRunner().invoke(chips, ["--json"]).stdout)
    assert [each["name"] for each in report["chips"]] == [chip.name for chip in CHIPS]
    (found,) = [each for each in report["chips"] if each["name"] == "imx8mp"]
    assert found["description"].startswith("NXP i.MX 8M Plus")
    figures = ("generation", "nn_cores", "tp_cores", "vip_sram_bytes", "evidence", "emulator")
    assert [found[key] for key in figures] == [
        *(8, 6, 3, 262144, "recorded", "emulator:imx8mp"),
    ]


def test_what_is_called_recorded_has_recordings() -> None:
    folders = {path.name for path in (shared_data() / "recordings").iterdir() if path.is_dir()}
    assert {chip.name for chip in CHIPS if chip.evidence is Evidence.RECORDED} == folders
