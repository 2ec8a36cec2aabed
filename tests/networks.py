"""Layers of whole networks with random weights, appended to a ``ModelBuilder``.

    net = Network("name")
    x = net.image(224)
    x = net.conv(x, 16, 3, stride=2, activation="silu")
    model = net.ending_in(net.classifier(x, 1000)).model()

Weights are int8 with zero point 0 and one scale a layer, as large as keeps a layer's results in
their range; activations are int8. Ranges are those that calibration gives such layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import further_operators as build
import image_operators as images
import numpy as np
from models import ModelBuilder
from random_graphs import WiredGraph

BYTES = 255
LINEAR = 4.0
"""Results of layers without an activation lie between plus and minus this."""
DEVIATION = 1.2
"""Of such results, nearly all of which are in the range then."""
WEIGHT_DEVIATION = 35.0
GATE = 1 / 256, -128
IMAGE_SCALE = 1 / 255


def between(low: float, high: float) -> tuple[float, int]:
    """Scale and int8 zero point of a range that holds 0."""
    scale = (high - low) / BYTES
    return float(np.float32(scale)), round(-128 - low / scale)


RANGES = {
    "none": between(-LINEAR, LINEAR),
    "relu": between(0, LINEAR),
    "relu6": (float(np.float32(6 / BYTES)), -128),
    "silu": between(-0.28, LINEAR),
    "hard_swish": between(-0.375, LINEAR),
}
FUSED = {"relu": "RELU", "relu6": "RELU6"}


class Network(WiredGraph):
    """See the module's text. Methods append operators and return the tensor they make."""

    def __init__(self, name: str, seed: int = 0) -> None:
        super().__init__(name, ModelBuilder("int8"))
        self._rng = np.random.default_rng(seed)

    def ending_in(self, *outputs: int) -> Network:
        """The network with these outputs."""
        self.outputs = list(outputs)
        return self

    def shape(self, x: int) -> tuple[int, ...]:
        return build.shape_of(self.builder, x)

    def image(self, rows: int, columns: int | None = None, channels: int = 3) -> int:
        """Pixels from 0 to 1."""
        return self.builder.input((1, rows, columns or rows, channels), IMAGE_SCALE, -128)

    # -------------------------------------------------------------------------------- convolutions

    def conv(
        self,
        x: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        activation: str = "none",
        dilation: int = 1,
        depthwise: bool = False,
    ) -> int:
        """CONV_2D with SAME padding, or DEPTHWISE_CONV_2D, and its activation."""
        inputs = self.shape(x)[3]
        extents = (1, kernel, kernel, inputs) if depthwise else (outputs, kernel, kernel, inputs)
        weights, scale = self._weights(x, extents, kernel**2 * (1 if depthwise else inputs))
        append = self.builder.depthwise if depthwise else self.builder.conv
        fused = FUSED.get(activation, "NONE")
        quantised = RANGES[activation if activation in FUSED else "none"]
        bias = self._rng.integers(-500, 500, inputs if depthwise else outputs)
        y = append(
            x, weights, bias, scale, 0, *quantised, stride=stride, dilation=dilation,
            activation=fused,
        )  # fmt: skip
        if activation == "silu":
            return self.silu(y)
        return self.hard_swish(y) if activation == "hard_swish" else y

    def depthwise(
        self, x: int, kernel: int = 3, stride: int = 1, activation: str = "none", dilation: int = 1
    ) -> int:
        """DEPTHWISE_CONV_2D."""
        return self.conv(x, 0, kernel, stride, activation, dilation, depthwise=True)

    def transposed(self, x: int, outputs: int, kernel: int = 2, stride: int = 2) -> int:
        """TRANSPOSE_CONV."""
        inputs = self.shape(x)[3]
        count = max(kernel // stride, 1) ** 2 * inputs
        weights, scale = self._weights(x, (outputs, kernel, kernel, inputs), count)
        return images.transpose_conv(
            self.builder, x, weights, None, scale, 0, RANGES["none"], stride
        )

    def dense(self, x: int, outputs: int) -> int:
        """FULLY_CONNECTED of [1, inputs]."""
        inputs = self.shape(x)[-1]
        weights, scale = self._weights(x, (outputs, inputs), inputs)
        return build.fully_connected(
            self.builder, x, weights, np.zeros(outputs), (scale, 0), RANGES["none"]
        )

    def _weights(
        self, x: int, extents: tuple[int, ...], count: int
    ) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int8]], float]:
        """Random weights, and the scale with which ``count`` of them give the usual deviation."""
        values = np.clip(self._rng.normal(0, WEIGHT_DEVIATION, extents), -127, 127)
        scale, zero = build.quantization_of(self.builder, x)
        spread = scale * (BYTES / 4 if zero > -120 else BYTES / 3)
        return (
            values.astype(np.int8),
            float(np.float32(DEVIATION / (WEIGHT_DEVIATION * spread * np.sqrt(count)))),
        )

    # --------------------------------------------------------------------------------- activations

    def logistic(self, x: int) -> int:
        return images.unary(self.builder, "LOGISTIC", x, GATE)

    def silu(self, x: int) -> int:
        """x * LOGISTIC(x)."""
        return build.multiply(self.builder, x, self.logistic(x), RANGES["silu"])

    def hard_swish(self, x: int) -> int:
        return images.unary(self.builder, "HARD_SWISH", x, RANGES["hard_swish"], version=1)

    def hard_sigmoid(self, x: int) -> int:
        """RELU6(x + 3) / 6, as Keras writes it."""
        three = self.builder.constant(np.array(3 * BYTES // 8 - 128, np.int8), 8 / BYTES, -128)
        sixth = self.builder.constant(
            np.array(127, np.int8), float(np.float32(1 / 6 / BYTES)), -128
        )
        shifted = self.builder.tensor(self.shape(x), 6 / BYTES, -128)
        fields = {"FusedActivationFunction": build.activation_code("RELU6")}
        self.builder.operator("ADD", [x, three], [shifted], ("AddOptions", fields), 2)
        return build.multiply(self.builder, shifted, sixth, GATE)

    # --------------------------------------------------------------------------------- combinations

    def add(self, a: int, b: int) -> int:
        return self.builder.add(a, b, *between(-LINEAR * 1.5, LINEAR * 1.5))

    def concatenate(self, parts: Sequence[int], axis: int = 3) -> int:
        """All with the quantisation of the first, as converters see to."""
        wanted = build.quantization_of(self.builder, parts[0])
        alike = [
            x
            if build.quantization_of(self.builder, x) == wanted
            else build.quantize(self.builder, x, wanted)
            for x in parts
        ]
        return build.concatenate(self.builder, alike, axis)

    def squeeze_excite(self, x: int, inner: int, gate: str = "hard_sigmoid") -> int:
        """Each channel times a gate that its mean over the image decides on."""
        channels = self.shape(x)[3]
        y = build.mean(self.builder, x, [1, 2], keep_dims=True)
        y = self.conv(y, inner, 1, activation="relu")
        y = self.conv(y, channels, 1)
        y = self.hard_sigmoid(y) if gate == "hard_sigmoid" else self.logistic(y)
        return build.multiply(self.builder, x, y, build.quantization_of(self.builder, x))

    def max_pool(self, x: int, window: int = 2, stride: int = 2) -> int:
        return build.pool(self.builder, "MAX_POOL_2D", x, window, stride, "SAME")

    def resize(self, x: int, rows: int, columns: int, kind: str = "RESIZE_BILINEAR") -> int:
        half = kind == "RESIZE_BILINEAR"
        return images.resize(self.builder, kind, x, (rows, columns), False, half)

    def classifier(self, x: int, classes: int) -> int:
        """MEAN, FULLY_CONNECTED and SOFTMAX."""
        y = build.mean(self.builder, x, [1, 2])
        return images.softmax(self.builder, self.dense(y, classes))
