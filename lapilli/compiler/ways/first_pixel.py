"""Stride 2 by pooling: computed at stride 1, of which even rows and columns are stored."""

from __future__ import annotations

from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.ways.way import Done, Terms, convolution_job, unspread_kernels


def first_pixel(intent: ConvolutionIntent, terms: Terms) -> Done:
    """One NN job."""
    kernels = unspread_kernels(intent, terms)
    return Done((convolution_job(intent, terms, kernels, first_pixel=True),))
