"""Random models of all kinds of operators: pools, joins, cuts, reshapes, fully connected layers
between convolutions and additions; blocks as DenseNets and cross-stage-partial networks have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import further_operators as build
import numpy as np
from cases import log_uniform, zero_point
from operator_cases import dense
from random_graphs import RandomGraph

LARGEST = 6000
"""Elements of a tensor."""
MOST_INPUTS = 1500
"""Elements of a row that a fully connected layer takes."""


class FurtherGraph(RandomGraph):
    """The graph with number ``seed``, always the same one."""

    prefix = "further"

    def _step(self) -> int:
        """One more operator, or a block of them; a tensor that it makes."""
        if self._rng.random() < 0.05:
            self._input()
        steps: list[tuple[float, Callable[[], int]]] = [
            (0.15, self._convolution),
            (0.05, self._depthwise),
            (0.10, self._addition),
            (0.05, self._padding),
            (0.10, self._pool),
            (0.14, self._join),
            (0.12, self._split),
            (0.07, self._slice),
            (0.06, self._reshape),
            (0.05, self._mean),
            (0.05, self._fully_connected),
            (0.06, self._by_constant),
        ]
        shares = np.array([share for share, _ in steps])
        return steps[int(self._rng.choice(len(steps), p=shares / shares.sum()))][1]()

    def _pool(self) -> int:
        rng, x = self._rng, self._pick(images=True)
        _, rows, columns, _ = self._shape(x)
        window = min(int(rng.integers(1, 4)), rows), min(int(rng.integers(1, 4)), columns)
        kind = str(rng.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        padding = str(rng.choice(["SAME", "VALID"]))
        return build.pool(self.builder, kind, x, window, int(rng.integers(1, 3)), padding)

    def _join(self) -> int:
        """A concatenation of any tensors that fit, a dense block or a split one."""
        kind = self._rng.random()
        if kind < 0.25:
            return self._dense_block()
        if kind < 0.5:
            return self._split_block()
        first = self._pick()
        shape = self._shape(first)
        axis = int(self._rng.integers(1 if len(shape) == 4 else 0, len(shape)))
        others = [t for t in self.pool if self._fits(self._shape(t), shape, axis)]
        count = int(self._rng.integers(1, 4))
        parts = [first, *(int(t) for t in self._rng.choice(others, count))]
        if sum(math.prod(self._shape(part)) for part in parts) > LARGEST:
            return self._reshape()
        quantised = self._quantization(parts[int(self._rng.integers(len(parts)))])
        return build.concatenate(self.builder, parts, axis - len(shape), quantised)

    @staticmethod
    def _fits(shape: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
        if len(shape) != len(other):
            return False
        return all(i == axis or a == b for i, (a, b) in enumerate(zip(shape, other, strict=True)))

    def _dense_block(self) -> int:
        """x, and twice what a convolution makes of all there is so far, behind it."""
        x = self._pick(images=True)
        quantised = self._quantization(x)
        for _ in range(2):
            made = self._filter(x, False, int(self._rng.choice([4, 7, 8, 16])))
            self.pool.append(made)
            x = build.concatenate(self.builder, [x, made], 3, quantised)
            self.pool.append(x)
        return x

    def _split_block(self) -> int:
        """Halves of the channels, of which one goes through convolutions, joined again."""
        x = self._pick(images=True)
        channels = 2 * int(self._rng.choice([2, 3, 4, 8, 16]))
        x = self._filter(x, False, channels)
        first, second = build.split(self.builder, x, 3, 2)
        made = self._filter(second, False, channels // 2)
        self.pool += [x, first, second, made]
        return build.concatenate(self.builder, [first, second, made], -1)

    def _split(self) -> int:
        x = self._pick()
        shape = self._shape(x)
        axis = int(self._rng.integers(1 if len(shape) == 4 else 0, len(shape)))
        if shape[axis] < 2:
            return self._slice()
        if shape[axis] < 5 and self._rng.random() < 0.4:
            found = build.unpack(self.builder, x, axis)
        else:
            cut = int(self._rng.integers(1, shape[axis]))
            found = build.split_v(self.builder, x, axis, [cut, shape[axis] - cut])
        self.pool += found[1:]
        return found[0]

    def _slice(self) -> int:
        rng, x = self._rng, self._pick()
        shape = self._shape(x)
        first = [int(rng.integers(n)) if rng.random() < 0.3 else 0 for n in shape]
        step = [int(rng.choice([1, 1, 2])) for _ in shape]
        return build.strided_slice(self.builder, x, first, shape, step)

    def _reshape(self) -> int:
        x = self._pick()
        shape = self._shape(x)
        total, last = math.prod(shape), shape[-1] if shape else 1
        forms = [(1, total), (total // last, last), (1, 1, total // last, last), (total,)]
        return build.reshape(self.builder, x, forms[int(self._rng.integers(len(forms)))])

    def _mean(self) -> int:
        x = self._pick(images=True)
        axes = [[1, 2], [1], [2]][int(self._rng.integers(3))]
        return build.mean(self.builder, x, axes, bool(self._rng.random() < 0.5))

    def _fully_connected(self) -> int:
        rng, x = self._rng, self._pick()
        shape = self._shape(x)
        if math.prod(shape) > MOST_INPUTS or len(shape) < 2:
            return self._reshape()
        inputs = math.prod(shape) if rng.random() < 0.5 else shape[-1]
        weights = rng.integers(0, 256, (int(rng.integers(1, 20)), inputs), dtype=np.uint8)
        return dense(self.builder, rng, x, weights, zero_point(rng))

    def _by_constant(self) -> int:
        """A maximum, a product or a sum with a constant, or another scale."""
        rng, x = self._rng, self._pick()
        shape = self._shape(x)
        scale, zero = self._quantization(x)
        last = shape[-1] if shape and rng.random() < 0.5 else 1
        values = rng.integers(0, 256, (last,), dtype=np.uint8)
        kind = str(rng.choice(["MAXIMUM", "MINIMUM", "MUL", "ADD", "QUANTIZE"]))
        if kind == "QUANTIZE":
            return build.quantize(self.builder, x, (scale * log_uniform(rng, 0.5, 2), 100))
        y = self.builder.constant(values, scale, zero)
        if kind == "MUL":
            return build.multiply(self.builder, x, y, (scale * scale * 128, 128))
        if kind == "ADD":
            return self.builder.add(x, y, 1.5 * scale, 128)
        return build.extremum(self.builder, kind, x, y)
