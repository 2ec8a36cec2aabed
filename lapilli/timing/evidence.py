"""How sure a modelled time is: how far whole inferences are from the times that were published.

The figures are those of docs/timing.md; ``benchmarks/calibrate.py`` computes them, a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lapilli.errors import Unsupported
from lapilli.hw.chips import Chip


@dataclass(frozen=True)
class TimingEvidence:
    """What stands behind the modelled times of a chip.

    ``fitted``: whether constants were fitted to the chip's published times. ``figures``: how many
    of those there are. Errors are (modelled - published) / published: ``rms`` and ``worst`` as the
    model is, ``unseen`` the worst of a time that was not fitted to, so that of a prediction.
    """

    title: str
    fitted: bool
    figures: int
    rms: float
    worst: float
    unseen: float

    @property
    def factors(self) -> tuple[float, float]:
        """What a modelled time is to be multiplied with for the shortest and longest one that would
        be no further off than the worst that was published."""
        return 1 / (1 + self.unseen), 1 / (1 - self.unseen)

    def span(self, seconds: float) -> tuple[float, float]:
        """The shortest and longest time that a modelled one stands for, in seconds."""
        low, high = self.factors
        return seconds * low, seconds * high

    @property
    def short(self) -> str:
        """In a few words, for a table."""
        if self.fitted:
            return f"fitted, {100 * self.rms:.0f} % rms, worst {100 * self.worst:.0f} %"
        return f"not fitted, within {100 * self.worst:.0f} %"

    @property
    def sentence(self) -> str:
        """For a reader."""
        if self.fitted:
            return (
                f"How sure: constants are fitted to {self.figures} published times of whole "
                f"inferences on the {self.title}; {100 * self.rms:.0f} % rms, worst "
                f"{100 * self.worst:.0f} %, {100 * self.unseen:.0f} % for a time left out of the "
                "fit."
            )
        return (
            f"How sure: no constant is fitted to the {self.title}; {self.figures} published times "
            f"of whole inferences are within {100 * self.worst:.0f} % of the modelled ones."
        )

    def to_dict(self) -> dict[str, Any]:
        """The field ``evidence`` of JSON reports."""
        low, high = self.factors
        return {
            "fitted": self.fitted,
            "published_times": self.figures,
            "rms_error": self.rms,
            "worst_error": self.worst,
            "worst_error_unseen": self.unseen,
            "lowest_factor": round(low, 4),
            "highest_factor": round(high, 4),
            "sentence": self.sentence,
        }


_IMX8MP = TimingEvidence("i.MX 8M Plus", False, 3, rms=0.085, worst=0.117, unseen=0.117)

EVIDENCE: Mapping[str, TimingEvidence] = {
    "a311d": TimingEvidence("A311D", True, 8, rms=0.040, worst=0.071, unseen=0.124),
    "imx8mp": _IMX8MP,
    "imx8mp-a0": _IMX8MP,
}
"""By name of the chip, for every one with timing constants."""


def evidence_of(chip: Chip | str) -> TimingEvidence:
    """What stands behind a chip's times; raises Unsupported if it has no timing constants."""
    name = chip if isinstance(chip, str) else chip.name
    if name not in EVIDENCE:
        raise Unsupported(f"no timing constants are known for {name}; known: {', '.join(EVIDENCE)}")
    return EVIDENCE[name]
