"""A chart of lines of points, both axes in powers of ten, drawn with Pillow."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 900, 560
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 40, 40, 60
_COLOURS = ("#1668b8", "#d9822b", "#4c8c4a", "#8a4fa3")


Point = tuple[float, float]


def draw_chart(
    path: Path, across: str, up: str, lines: Mapping[str, Sequence[Point]], marked: Sequence[Point] = ()
) -> None:
    """Write a PNG with a line for each name, and rings around the points that are marked."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    points = [point for line in lines.values() for point in line]
    width = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    height = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    for power in width.powers:
        pen.line([(width.at(power), _TOP), (width.at(power), _HEIGHT - _BOTTOM)], "#dddddd")
        pen.text((width.at(power), _HEIGHT - _BOTTOM + 8), f"{power:,.10g}", "black", font, "ma")
    for power in height.powers:
        pen.line([(_LEFT, height.at(power)), (_WIDTH - _RIGHT, height.at(power))], "#dddddd")
        pen.text((_LEFT - 8, height.at(power)), f"{power:,.10g}", "black", font, "rm")
    pen.text((_WIDTH / 2, _HEIGHT - 12), across, "black", font, "ms")
    pen.text((_LEFT, _TOP - 12), up, "black", font, "ls")
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number]
        placed = [(width.at(x), height.at(y)) for x, y in line]
        pen.line(placed, colour, width=3)
        for x, y in placed:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], colour)
        pen.text((_LEFT + 16, _TOP + 10 + 22 * number), name, colour, font)
    for x, y in [(width.at(x), height.at(y)) for x, y in marked]:
        pen.ellipse([x - 10, y - 10, x + 10, y + 10], outline="#d62728", width=3)
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
