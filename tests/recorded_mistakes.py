"""Where the recorded driver is wrong, and why (hardware/overview.md section 6): what the emulator
then has to compute wrongly too."""

from __future__ import annotations

TALL = "image with more rows than columns: the driver declares the transposed size"
WIDE_KERNEL = "SAME with a kernel above 5: the driver's offsets end at -2"
PARITY = "SAME, stride 2, one side even and one odd"
WRONG_ON_V7 = {
    "ops/mobiledet82": "3x3 depthwise with stride 2 on 2x2: offset -1, right would be 0",
    "random/r12": TALL,
    "random/r13": WIDE_KERNEL,
    "random/r26": TALL,
    "random/r30": TALL,
    "random/r32": PARITY,
    "random/r33": TALL,
    "random/r38": TALL,
    "random/r39": TALL,
    "random/r53": TALL,
    "random/r58": WIDE_KERNEL,
    "random/r67": "2x2 with stride 2 becomes 1x1, but its weights are not in groups of six",
    "random/r70": TALL,
    "random/r72": WIDE_KERNEL,
    "random/r73": TALL,
    "random/r84": "5x5 depthwise with stride 2 on an odd size",
    "random/r85": TALL,
    "random/r86": TALL,
    "random/r87": TALL,
    "nonsquare/c3s2rgbodd": PARITY,
    "nonsquare/d3s2_9x5": TALL,
}
"""Where the recorded driver is wrong, and why (hardware/overview.md section 6)."""

ONLY_V7 = "random/r67"
"""2x2 with stride 2: V8's streams have one order for all kernels, so nothing can be mistaken."""
WRONG_ON_V8 = {name: reason for name, reason in WRONG_ON_V7.items() if name != ONLY_V7}
"""Where the recorded driver is wrong, and why: the same models as on V7, for the same reasons."""

WRONG_LAYERS = {"ssdlite_mobiledet_coco_qat_postprocess": {82: "3x3 depthwise, stride 2, on 2x2"}}
"""Layers the recorded driver gets wrong, by number of the NN job."""
