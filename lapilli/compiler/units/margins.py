"""How much the samples are trusted: real ones as they are, made-up ones with precautions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Margins:
    """``range``: by which a channel may exceed what was seen; ``enlarged``: by which
    pre-activations may."""

    range: float
    enlarged: float


REAL: Final = Margins(range=1.25, enlarged=1.25)
SYNTHETIC: Final = Margins(range=2.0, enlarged=1.5)
"""Channels that sleep on made-up pictures get room to wake up."""
