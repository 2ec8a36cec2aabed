"""What the CPU adds to an inference."""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.timing.cpu import DEFAULT_RATES


@dataclass(frozen=True)
class HostWork:
    """What the CPU does for one inference beside what every inference takes: MACs of convolutions
    left to it, and scores (anchors times classes) that a detector's post-processing looks at."""

    macs: int = 0
    scores: int = 0


@dataclass(frozen=True)
class HostConstants:
    """Seconds, for four Cortex-A73 as on an A311D.

    ``inference_seconds``: interpreter, copying in and out, submitting, waiting and small operators
    (0.5 ms in a published log: 7.5 in all, 7 on the NPU). ``macs_a_second``: the CPU's
    convolutions, when they still were on it (read off figures: 6 to 8 GMAC/s).
    ``score_seconds``: logistic function, box decoding and suppression for each score (fitted).
    """

    inference_seconds: float = 0.5e-3
    macs_a_second: float = DEFAULT_RATES.convolution_macs
    score_seconds: float = 35e-9


def host_seconds(work: HostWork, constants: HostConstants) -> float:
    """Time outside the NPU for one inference; never part of an instruction's."""
    return (
        constants.inference_seconds
        + work.macs / constants.macs_a_second
        + work.scores * constants.score_seconds
    )
