"""Made-up pictures: noise whose amplitude falls with its frequency, with rectangles and discs.

Natural pictures have such spectra and edges. Made of additions and multiplications in a fixed
order, from a generator whose stream is fixed: the same bytes everywhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats

_SHAPES: Final = 40
_CHROMA: Final = 0.6
"""How much the channels differ, of what they have in common."""
_LEAST_CONTRAST: Final = 0.2
_CONTRASTS: Final = 0.16


class Uniform:
    """Numbers from 0 to 1 out of PCG64's raw words, whose stream NumPy keeps between versions."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(seed)

    def array(self, *shape: int) -> Floats:
        """Of this shape."""
        count = int(np.prod(shape, dtype=np.int64))
        words = self._words.random_raw(count) >> np.uint64(11)
        return (words.astype(np.float64) * 2.0**-53).reshape(shape)

    def one(self) -> float:
        """A single number."""
        return float(self.array(1)[0])


def picture(uniform: Uniform, rows: int, columns: int, channels: int) -> Floats:
    """[rows, columns, channels] from 0 to 1."""
    common = _noise(uniform, rows, columns, 1)
    own = _noise(uniform, rows, columns, channels)
    values = common + own * (_CHROMA if channels > 1 else 0.0)
    for _ in range(int(uniform.one() * _SHAPES)):
        _draw(uniform, values)
    flat = np.add.accumulate(values.reshape(-1))
    values -= flat[-1] / values.size
    square = np.add.accumulate((values * values).reshape(-1))[-1] / values.size
    contrast = _LEAST_CONTRAST + _CONTRASTS * uniform.one()
    values *= contrast / np.sqrt(max(float(square), 1e-12))
    values += 0.3 + 0.35 * uniform.one()
    clipped: Floats = np.clip(values, 0.0, 1.0)
    return clipped


def _noise(uniform: Uniform, rows: int, columns: int, channels: int) -> Floats:
    """Octaves of noise, each half as strong as the next coarser one."""
    total = np.zeros((rows, columns, channels))
    spacing = 1
    while True:
        coarse = uniform.array(rows // spacing + 2, columns // spacing + 2, channels) - 0.5
        total += spacing * _spread(coarse, rows, columns, spacing)
        if spacing >= max(rows, columns):
            return total / (2.0 * spacing)
        spacing *= 2


def _spread(coarse: Floats, rows: int, columns: int, spacing: int) -> Floats:
    """Linear between points ``spacing`` apart."""
    if spacing == 1:
        return coarse[:rows, :columns]
    tall = _between(coarse, rows, spacing)
    return _between(tall.swapaxes(0, 1), columns, spacing).swapaxes(0, 1)


def _between(values: Floats, count: int, spacing: int) -> Floats:
    whole, rest = np.divmod(np.arange(count), spacing)
    share = (rest / float(spacing)).reshape(-1, *([1] * (values.ndim - 1)))
    between: Floats = values[whole] * (1.0 - share) + values[whole + 1] * share
    return between


def _draw(uniform: Uniform, values: Floats) -> None:
    """A rectangle or disc of one colour, partly see-through."""
    rows, columns, channels = values.shape
    top, left, height, width, kind, cover = uniform.array(6)
    height, width = (0.05 + 0.45 * height) * rows, (0.05 + 0.45 * width) * columns
    y = np.arange(rows)[:, None] - top * rows
    x = np.arange(columns)[None, :] - left * columns
    if kind < 0.5:
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    else:
        inside = y * y * (width * width) + x * x * (height * height) < (height * width / 2) ** 2
    colour = uniform.array(channels) - 0.5
    cover = 0.3 + 0.7 * cover
    values[inside] = values[inside] * (1.0 - cover) + colour * cover
