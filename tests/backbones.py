"""Structures of networks that people use, with random weights: what an operator set is worth.

    BACKBONES["yolov8n-224"]().model()    # the .tflite

Shapes and operators are those that the usual converters write; weights are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import further_operators as build
import image_operators as images
import numpy as np
from networks import BYTES, Network

NEAREST = "RESIZE_NEAREST_NEIGHBOR"

# -------------------------------------------------------------------------------------------- YOLO


def _bottleneck(net: Network, x: int, channels: int, shortcut: bool) -> int:
    y = net.conv(net.conv(x, channels, 3, activation="silu"), channels, 3, activation="silu")
    return net.add(x, y) if shortcut else y


def _c2f(net: Network, x: int, channels: int, depth: int, shortcut: bool = True) -> int:
    """A split, bottlenecks one behind the other, and all of them joined."""
    y = net.conv(x, channels, 1, activation="silu")
    parts = build.split(net.builder, y, 3, 2)
    for _ in range(depth):
        parts.append(_bottleneck(net, parts[-1], channels // 2, shortcut))
    return net.conv(net.concatenate(parts), channels, 1, activation="silu")


def _sppf(net: Network, x: int, channels: int) -> int:
    parts = [net.conv(x, channels // 2, 1, activation="silu")]
    for _ in range(3):
        parts.append(net.max_pool(parts[-1], 5, 1))
    return net.conv(net.concatenate(parts), channels, 1, activation="silu")


def _upsampled(net: Network, x: int) -> int:
    _, rows, columns, _ = net.shape(x)
    return net.resize(x, 2 * rows, 2 * columns, NEAREST)


def yolov8n(size: int, classes: int = 80) -> Network:
    """SiLU, C2f blocks, SPPF, upsampling, and a head that ends in boxes and scores."""
    net = Network(f"yolov8n-{size}")
    x = net.conv(net.image(size), 16, 3, 2, "silu")
    x = _c2f(net, net.conv(x, 32, 3, 2, "silu"), 32, 1)
    third = _c2f(net, net.conv(x, 64, 3, 2, "silu"), 64, 2)
    fourth = _c2f(net, net.conv(third, 128, 3, 2, "silu"), 128, 2)
    fifth = _sppf(net, _c2f(net, net.conv(fourth, 256, 3, 2, "silu"), 256, 1), 256)
    upper = _c2f(net, net.concatenate([_upsampled(net, fifth), fourth]), 128, 1, False)
    first = _c2f(net, net.concatenate([_upsampled(net, upper), third]), 64, 1, False)
    x = net.concatenate([net.conv(first, 64, 3, 2, "silu"), upper])
    second = _c2f(net, x, 128, 1, False)
    x = net.concatenate([net.conv(second, 128, 3, 2, "silu"), fifth])
    last = _c2f(net, x, 256, 1, False)
    return net.ending_in(_detections(net, [first, second, last], classes))


def _detections(net: Network, levels: Sequence[int], classes: int) -> int:
    """[1, anchors, 4 + classes]: boxes as distances that are distributions over 16 steps."""
    flat, anchors, strides = [], [], []
    for x, stride in zip(levels, (8, 16, 32), strict=True):
        box, score = x, x
        for _ in range(2):
            box, score = net.conv(box, 64, 3, 1, "silu"), net.conv(score, 80, 3, 1, "silu")
        both = net.concatenate([net.conv(box, 64, 1), net.conv(score, classes, 1)])
        _, rows, columns, channels = net.shape(both)
        flat.append(build.reshape(net.builder, both, [1, rows * columns, channels]))
        places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        anchors.append((places + 0.5) / max(rows, columns))
        strides += [stride] * (rows * columns)
    joined = net.concatenate(flat, 1)
    boxes, scores = build.split_v(net.builder, joined, 2, [64, classes])
    count = len(strides)
    x = build.reshape(net.builder, boxes, [1, count, 4, 16])
    x = images.softmax(net.builder, x)
    steps = np.arange(16, dtype=np.int8).reshape(1, 1, 1, 16)
    x = net.builder.conv(x, steps, np.zeros(1), 1 / 15, 0, 1 / BYTES, -128)
    distances = build.reshape(net.builder, x, [1, count, 4])
    near = build.strided_slice(net.builder, distances, [0, 0, 0], [1, count, 2], [1, 1, 1])
    far = build.strided_slice(net.builder, distances, [0, 0, 2], [1, count, 4], [1, 1, 1])
    centres = np.round(np.concatenate(anchors) * BYTES - 128).clip(-128, 127).astype(np.int8)
    at = net.builder.constant(centres[None], 1 / BYTES, -128)
    low = net.builder.subtract(at, near, 2 / BYTES, 0)
    high = net.builder.add(at, far, 2 / BYTES, -128)
    corners = net.concatenate([low, high], 2)
    return net.concatenate([corners, net.logistic(scores)], 2)


# ----------------------------------------------------------------------------------- classifiers

SMALL = (
    # kernel, expanded, outputs, gated, activation, stride
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2), (5, 240, 40, True, "hard_swish", 1),
    (5, 240, 40, True, "hard_swish", 1), (5, 120, 48, True, "hard_swish", 1),
    (5, 144, 48, True, "hard_swish", 1), (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1), (5, 576, 96, True, "hard_swish", 1),
)  # fmt: skip
LARGE = (
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2), (3, 200, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1), (3, 184, 80, False, "hard_swish", 1),
    (3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 160, True, "hard_swish", 2), (5, 960, 160, True, "hard_swish", 1),
    (5, 960, 160, True, "hard_swish", 1),
)  # fmt: skip
LITE0 = (
    # repeats, kernel, stride, expansion, outputs
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
DEEPLAB = (
    # repeats, stride, expansion, outputs, dilation
    (1, 1, 1, 16, 1), (2, 2, 6, 24, 1), (3, 2, 6, 32, 1), (4, 1, 6, 64, 2), (3, 1, 6, 96, 2),
    (3, 1, 6, 160, 4), (1, 1, 6, 320, 4),
)  # fmt: skip


def mobilenet_v3(
    blocks: Sequence[tuple[int, int, int, bool, str, int]], last: int, size: int = 224
) -> Network:
    """Gates for channels, hard swishes."""
    net = Network(f"mobilenet-v3-{last}-{size}")
    x = net.conv(net.image(size), 16, 3, 2, "hard_swish")
    for kernel, expanded, outputs, gated, activation, stride in blocks:
        before = x
        x = net.conv(x, expanded, 1, activation=activation)
        x = net.depthwise(x, kernel, stride, activation)
        if gated:
            x = net.squeeze_excite(x, max(expanded // 4 // 8 * 8, 8))
        x = net.conv(x, outputs, 1)
        if stride == 1 and net.shape(before) == net.shape(x):
            x = net.add(before, x)
    x = net.conv(x, last, 1, activation="hard_swish")
    return net.ending_in(net.classifier(x, 1000))


def _inverted(
    net: Network, x: int, expansion: int, outputs: int, kernel: int, stride: int, dilation: int = 1
) -> int:
    before = x
    if expansion > 1:
        x = net.conv(x, expansion * net.shape(x)[3], 1, activation="relu6")
    x = net.conv(net.depthwise(x, kernel, stride, "relu6", dilation), outputs, 1)
    return net.add(before, x) if net.shape(before) == net.shape(x) else x


def efficientnet_lite0(size: int = 224) -> Network:
    """Inverted bottlenecks with ReLU6 and 5x5 kernels."""
    net = Network(f"efficientnet-lite0-{size}")
    x = net.conv(net.image(size), 32, 3, 2, "relu6")
    for repeats, kernel, stride, expansion, outputs in LITE0:
        for number in range(repeats):
            x = _inverted(net, x, expansion, outputs, kernel, stride if number == 0 else 1)
    return net.ending_in(net.classifier(net.conv(x, 1280, 1, activation="relu6"), 1000))


def efficientnet_b0(size: int = 224) -> Network:
    """The same with SiLU, and gates for channels."""
    net = Network(f"efficientnet-b0-{size}")
    x = net.conv(net.image(size), 32, 3, 2, "silu")
    for repeats, kernel, stride, expansion, outputs in LITE0:
        for number in range(repeats):
            before, inputs = x, net.shape(x)[3]
            if expansion > 1:
                x = net.conv(x, expansion * inputs, 1, activation="silu")
            x = net.depthwise(x, kernel, stride if number == 0 else 1, "silu")
            x = net.squeeze_excite(x, max(inputs // 4, 4), "logistic")
            x = net.conv(x, outputs, 1)
            x = net.add(before, x) if net.shape(before) == net.shape(x) else x
    return net.ending_in(net.classifier(net.conv(x, 1280, 1, activation="silu"), 1000))


# ------------------------------------------------------------------------------------ segmentation


def deeplab_v3(size: int = 257, classes: int = 21) -> Network:
    """MobileNetV2 with dilated kernels, a pooled branch, and a bilinear upsampling."""
    net = Network(f"deeplab-v3-{size}")
    x = net.conv(net.image(size), 32, 3, 2, "relu6")
    for repeats, stride, expansion, outputs, dilation in DEEPLAB:
        for number in range(repeats):
            first = number == 0
            x = _inverted(net, x, expansion, outputs, 3, stride if first else 1, dilation)
    _, rows, columns, _ = net.shape(x)
    pooled = build.pool(net.builder, "AVERAGE_POOL_2D", x, (rows, columns))
    pooled = net.resize(net.conv(pooled, 256, 1, activation="relu6"), rows, columns)
    x = net.concatenate([pooled, net.conv(x, 256, 1, activation="relu6")])
    x = net.conv(net.conv(x, 256, 1, activation="relu6"), classes, 1)
    x = images.resize(net.builder, "RESIZE_BILINEAR", x, (size, size), align_corners=True)
    return net.ending_in(x)


def u_net(size: int = 128, depth: int = 4, channels: int = 16) -> Network:
    """Pairs of convolutions, max pools down, transposed convolutions up, joined across."""
    net = Network(f"u-net-{size}")
    x, across = net.image(size), []
    for level in range(depth):
        for _ in range(2):
            x = net.conv(x, channels << level, 3, activation="relu")
        across.append(x)
        x = net.max_pool(x)
    for _ in range(2):
        x = net.conv(x, channels << depth, 3, activation="relu")
    for level in reversed(range(depth)):
        x = net.concatenate([net.transposed(x, channels << level), across[level]])
        for _ in range(2):
            x = net.conv(x, channels << level, 3, activation="relu")
    return net.ending_in(net.logistic(net.conv(x, 1, 1)))


BACKBONES: Mapping[str, Callable[[], Network]] = MappingProxyType(
    {
        "yolov8n-224": partial(yolov8n, 224),
        "yolov8n-640": partial(yolov8n, 640),
        "mobilenet-v3-small": partial(mobilenet_v3, SMALL, 576),
        "mobilenet-v3-large": partial(mobilenet_v3, LARGE, 960),
        "efficientnet-lite0": efficientnet_lite0,
        "efficientnet-b0": efficientnet_b0,
        "deeplab-v3-257": deeplab_v3,
        "u-net-128": u_net,
    }
)
"""As large as people use them."""
MINIATURES: Mapping[str, Callable[[], Network]] = MappingProxyType(
    {
        "yolov8n-32": partial(yolov8n, 32, 3),
        "mobilenet-v3-32": partial(mobilenet_v3, SMALL, 64, 32),
        "efficientnet-b0-32": partial(efficientnet_b0, 32),
        "deeplab-v3-33": partial(deeplab_v3, 33, 5),
        "u-net-16": partial(u_net, 16, 2, 5),
    }
)
"""The same structures, to be emulated in a moment."""
