"""A convolution as the unit does it: stride 1 over the image as it is."""

from __future__ import annotations

from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.ways.way import Done, Terms, convolution_job, unspread_kernels


def direct(intent: ConvolutionIntent, terms: Terms) -> Done:
    """One NN job."""
    return Done((convolution_job(intent, terms, unspread_kernels(intent, terms)),))
