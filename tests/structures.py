"""The structures of well-known networks with random weights: what of them is one part, and what is
not, does not depend on the weights.

Layers are wired as in the published networks; images and numbers of channels are smaller. Weights
are drawn so that values keep their spread from layer to layer, and nothing is clamped much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from further_operators import concatenate, fully_connected, mean, multiply, pad, pool, reshape
from image_operators import resize, softmax, unary
from models import ModelBuilder, Pair

RELU: Final = (4 / 255, -128)
"""Quantisation of what is clamped at 0."""
SIGNED: Final = (8 / 255, 0)


class Structure:
    """A network as it grows, int8 as present converters make them, with a scale a tensor."""

    def __init__(self, seed: int) -> None:
        self.builder = ModelBuilder("int8")
        self._random = np.random.default_rng(seed)

    def image(self, side: int) -> int:
        return self.builder.input((1, side, side, 3), *SIGNED)

    def channels(self, x: int) -> int:
        shape = self.builder.tensors[x].shape
        assert shape is not None
        return int(shape[-1])

    def sides(self, x: int) -> tuple[int, int]:
        shape = self.builder.tensors[x].shape
        assert shape is not None
        return int(shape[1]), int(shape[2])

    def conv(
        self,
        x: int,
        channels: int,
        kernel: Pair = 1,
        stride: int = 1,
        padding: str = "SAME",
        activation: str = "RELU",
    ) -> int:
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights, scale = self._weights((channels, rows, columns, self.channels(x)))
        result = RELU if activation == "RELU" else SIGNED
        return self.builder.conv(
            x, weights, np.zeros(channels), scale, 0, *result,
            stride=stride, padding=padding, activation=activation,
        )  # fmt: skip

    def depthwise(self, x: int, kernel: int = 3, stride: int = 1, activation: str = "RELU") -> int:
        weights, scale = self._weights((1, kernel, kernel, self.channels(x)), kernel * kernel)
        result = RELU if activation == "RELU" else SIGNED
        return self.builder.depthwise(
            x, weights, np.zeros(self.channels(x)), scale, 0, *result,
            stride=stride, activation=activation,
        )  # fmt: skip

    def dense(self, x: int, channels: int) -> int:
        weights, scale = self._weights((channels, self.channels(x)))
        return fully_connected(self.builder, x, weights, np.zeros(channels), (scale, 0), SIGNED)

    def _weights(
        self, shape: Sequence[int], inputs: int = 0
    ) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int8]], float]:
        """Uniform, so that a sum over ``inputs`` has the spread of what goes in."""
        largest = (3 / (inputs or int(np.prod(shape[1:])))) ** 0.5
        return self._random.integers(-127, 128, shape).astype(np.int8), largest / 127

    def add(self, a: int, b: int, activation: str = "RELU") -> int:
        result = RELU if activation == "RELU" else SIGNED
        return self.builder.add(a, b, *result, activation=activation)

    def classified(self, x: int, classes: int = 20) -> bytes:
        """With global pooling, a fully connected layer and SOFTMAX behind ``x``."""
        pooled = mean(self.builder, x, (1, 2))
        return self.builder.build([softmax(self.builder, self.dense(pooled, classes))])


def squeezenet() -> bytes:
    """SqueezeNet 1.1: fire modules, their two halves joined."""
    net = Structure(1)
    x = pool(net.builder, "MAX_POOL_2D", net.conv(net.image(96), 32, 3, 2, "VALID"), 3, 2)
    for count, squeeze, expand in ((2, 8, 32), (2, 16, 64), (4, 32, 96)):
        for _ in range(count):
            small = net.conv(x, squeeze)
            halves = net.conv(small, expand), net.conv(small, expand, 3)
            x = concatenate(net.builder, halves, 3)
        if count == 2:
            x = pool(net.builder, "MAX_POOL_2D", x, 3, 2)
    x = net.conv(x, 20)
    pooled = pool(net.builder, "AVERAGE_POOL_2D", x, net.sides(x))
    flat = reshape(net.builder, pooled, (1, 20))
    return net.builder.build([softmax(net.builder, flat)])


def resnet() -> bytes:
    """ResNet-50: bottlenecks, 3 + 4 + 6 + 3 of them."""
    net = Structure(2)
    x = pool(net.builder, "MAX_POOL_2D", net.conv(net.image(96), 16, 7, 2), 3, 2, "SAME")
    for stage, count in enumerate((3, 4, 6, 3)):
        width = 8 << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            short = x
            if not block:
                short = net.conv(x, 4 * width, 1, stride, activation="NONE")
            y = net.conv(net.conv(x, width, 1, stride), width, 3)
            x = net.add(net.conv(y, 4 * width, activation="NONE"), short)
    return net.classified(x)


def inception() -> bytes:
    """InceptionV3: its three kinds of modules and the reductions between them."""
    net = Structure(3)

    def average(x: int, channels: int) -> int:
        return net.conv(pool(net.builder, "AVERAGE_POOL_2D", x, 3, 1, "SAME"), channels)

    def joined(*parts: int) -> int:
        return concatenate(net.builder, parts, 3)

    def square(x: int) -> int:
        five = net.conv(net.conv(x, 12), 16, 5)
        three = net.conv(net.conv(net.conv(x, 16), 24, 3), 24, 3)
        return joined(net.conv(x, 16), five, three, average(x, 8))

    def reduced(x: int) -> int:
        deep = net.conv(net.conv(net.conv(x, 16), 24, 3), 24, 3, 2, "VALID")
        largest = pool(net.builder, "MAX_POOL_2D", x, 3, 2)
        return joined(net.conv(x, 32, 3, 2, "VALID"), deep, largest)

    def crossed(x: int) -> int:
        once = net.conv(net.conv(net.conv(x, 16), 16, (1, 7)), 24, (7, 1))
        twice = net.conv(x, 16)
        for kernel in ((7, 1), (1, 7), (7, 1), (1, 7)):
            twice = net.conv(twice, 16, kernel)
        return joined(net.conv(x, 24), once, twice, average(x, 24))

    def forked(x: int) -> int:
        first = net.conv(x, 24)
        second = net.conv(net.conv(x, 24), 24, 3)
        forks = [joined(net.conv(y, 24, (1, 3)), net.conv(y, 24, (3, 1))) for y in (first, second)]
        return joined(net.conv(x, 16), *forks, average(x, 16))

    x = net.conv(net.conv(net.conv(net.image(107), 16, 3, 2, "VALID"), 16, 3, 1, "VALID"), 24, 3)
    x = pool(net.builder, "MAX_POOL_2D", x, 3, 2)
    x = pool(net.builder, "MAX_POOL_2D", net.conv(net.conv(x, 32), 48, 3, 1, "VALID"), 3, 2)
    x = reduced(square(square(x)))
    x = reduced(crossed(crossed(x)))
    return net.classified(forked(forked(x)))


def densenet() -> bytes:
    """DenseNet: every layer gets all before it; normalisation in front of a convolution stays a
    multiplication and an addition with constants."""
    net = Structure(4)

    def normalised(x: int) -> int:
        channels = net.channels(x)
        rng = np.random.default_rng(channels)
        gain = net.builder.constant(rng.integers(60, 127, channels).astype(np.int8), 0.01, 0)
        shift = net.builder.constant(rng.integers(-60, 60, channels).astype(np.int8), 0.01, 0)
        return net.add(multiply(net.builder, x, gain, SIGNED), shift)

    x = pool(net.builder, "MAX_POOL_2D", net.conv(net.image(96), 24, 7, 2), 3, 2, "SAME")
    for block, count in enumerate((4, 6, 6)):
        if block:
            x = net.conv(normalised(x), net.channels(x) // 2)
            x = pool(net.builder, "AVERAGE_POOL_2D", x, 2, 2)
        for _ in range(count):
            y = net.conv(net.conv(normalised(x), 48), 12, 3)
            x = concatenate(net.builder, (x, y), 3)
    return net.classified(normalised(x))


def blazeface() -> bytes:
    """BlazeFace: depthwise 5x5 blocks with short cuts, which are pooled and padded to more channels
    where blocks shrink, and heads on two sizes."""
    net = Structure(5)

    def block(x: int, channels: int, stride: int = 1) -> int:
        y = net.conv(net.depthwise(x, 5, stride, "NONE"), channels, activation="NONE")
        short = pool(net.builder, "MAX_POOL_2D", x, 2, 2) if stride == 2 else x
        more = channels - net.channels(x)
        if more:
            short = pad(net.builder, short, [[0, 0], [0, 0], [0, 0], [0, more]])
        return net.add(y, short)

    x = net.conv(net.image(128), 24, 5, 2)
    for channels, stride in ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1)):
        x = block(x, channels, stride)
    for channels in (64, 72, 80, 88):
        x = block(x, channels)
    y = block(x, 96, 2)
    for _ in range(4):
        y = block(y, 96)
    ends = []
    for values in (1, 16):
        parts = []
        for source, anchors in ((x, 2), (y, 6)):
            head = net.conv(source, anchors * values, activation="NONE")
            rows, columns = net.sides(head)
            parts.append(reshape(net.builder, head, (1, rows * columns * anchors, values)))
        ends.append(concatenate(net.builder, parts, 1))
    return net.builder.build(ends)


def fpnlite() -> bytes:
    """SSD MobileNetV2 FPNLite: inverted residuals, a pyramid where what is coarse is enlarged and
    added, and separable heads on five sizes, up to the post-processing."""
    net = Structure(6)
    x = net.conv(net.image(160), 16, 3, 2)
    kept = []
    for channels, count, stride in ((16, 1, 1), (24, 2, 2), (32, 3, 2), (48, 3, 2), (64, 3, 2)):
        for i in range(count):
            wide = net.depthwise(net.conv(x, 4 * net.channels(x)), 3, 1 if i else stride)
            y = net.conv(wide, channels, activation="NONE")
            x = net.add(x, y, "NONE") if i else y
        kept.append(x)
    level = net.conv(kept[-1], 32, activation="NONE")
    levels = [level]
    for finer in reversed(kept[2:-1]):
        rows, columns = (2 * side for side in net.sides(level))
        larger = resize(net.builder, "RESIZE_NEAREST_NEIGHBOR", level, (rows, columns))
        level = net.add(net.conv(finer, 32, activation="NONE"), larger, "NONE")
        levels.insert(0, net.conv(net.depthwise(level, activation="NONE"), 32))
    for _ in range(2):
        levels.append(net.conv(net.depthwise(levels[-1], 3, 2, "NONE"), 32))
    ends = []
    for values in (4, 10):
        parts = []
        for source in levels:
            tower = source
            for _ in range(2):
                tower = net.conv(net.depthwise(tower, activation="NONE"), 32)
            head = net.conv(net.depthwise(tower, activation="NONE"), 6 * values, activation="NONE")
            rows, columns = net.sides(head)
            parts.append(reshape(net.builder, head, (1, rows * columns * 6, values)))
        ends.append(concatenate(net.builder, parts, 1))
    scores = unary(net.builder, "LOGISTIC", ends[1], (1 / 256, -128), version=2)
    return net.builder.build([ends[0], scores])


STRUCTURES: Final[Mapping[str, Callable[[], bytes]]] = {
    "SSD MobileNetV2 FPNLite": fpnlite,
    "BlazeFace": blazeface,
    "SqueezeNet": squeezenet,
    "ResNet-50": resnet,
    "InceptionV3": inception,
    "DenseNet": densenet,
}
"""By the names of what they are like."""
