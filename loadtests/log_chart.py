"""A chart of milliseconds over gallery size, both in powers of ten, drawn with Pillow."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 900, 560
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 40, 40, 60
_COLOURS = ("#1668b8", "#d9822b", "#4c8c4a", "#8a4fa3")


def draw_chart(path: Path, sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    """Write a PNG with a line for each name, whose values are milliseconds at the sizes."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    across = _Axis(sizes, _LEFT, _WIDTH - _RIGHT)
    up = _Axis([value for values in lines.values() for value in values], _HEIGHT - _BOTTOM, _TOP)
    for power in across.powers:
        pen.line([(across.at(power), _TOP), (across.at(power), _HEIGHT - _BOTTOM)], "#dddddd")
        pen.text((across.at(power), _HEIGHT - _BOTTOM + 8), f"{power:,.0f}", "black", font, "ma")
    for power in up.powers:
        pen.line([(_LEFT, up.at(power)), (_WIDTH - _RIGHT, up.at(power))], "#dddddd")
        pen.text((_LEFT - 8, up.at(power)), f"{power:g} ms", "black", font, "rm")
    pen.text((_WIDTH / 2, _HEIGHT - 12), "templates in the gallery", "black", font, "ms")
    for number, (name, values) in enumerate(lines.items()):
        colour = _COLOURS[number]
        points = [(across.at(size), up.at(value)) for size, value in zip(sizes, values, strict=True)]
        pen.line(points, colour, width=3)
        for x, y in points:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], colour)
        pen.text((_LEFT + 16, _TOP + 10 + 22 * number), name, colour, font)
    image.save(path)


class _Axis:
    """A logarithmic axis between the powers of ten around some values."""

    def __init__(self, values: Sequence[float], start: int, end: int) -> None:
        self._first, self._last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self._start, self._end = start, end

    @property
    def powers(self) -> list[float]:
        return [10.0**power for power in range(self._first, self._last + 1)]

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._first) / max(1, self._last - self._first)
        return self._start + share * (self._end - self._start)
