"""Boards by the names that their owners use, and the chip on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lapilli.hw.chips import Chip, find_by_name

BOARDS: Final[Mapping[str, str]] = {
    "vim3": "a311d",
    "khadas-vim3": "a311d",
    "alta": "a311d",
    "aml-a311d-cc": "a311d",
    "verdin": "imx8mp",
    "verdin-imx8mp": "imx8mp",
    "imx8mp-evk": "imx8mp",
}
"""Khadas VIM3; Libre Computer Alta, also called AML-A311D-CC; Toradex Verdin iMX8M Plus; NXP's
evaluation kit. Vendors' product pages name the chips."""


def find_chip(name: str) -> Chip | None:
    """The chip called ``name``, or that of the board called so; None if there is neither."""
    wanted = name.lower()
    return find_by_name(BOARDS.get(wanted, wanted))
