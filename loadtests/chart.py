"""A line chart as a PNG, drawn with Pillow alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 1000, 640
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 80, 700, 560
_TICKS = 5
_INK, _GRID = "#222222", "#dddddd"
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#888888")
_SCALE = 2  # drawn larger, then reduced: Pillow's lines have no smooth edges


class LineChart:
    """Curves over 0 to 1 on both axes, the upright one stretched to the highest value."""

    def __init__(self, title: str, across: str, upright: str, highest: float) -> None:
        """Draw the frame, `highest` being the end of the upright axis."""
        self._picture = Image.new("RGB", (_SCALE * _WIDTH, _SCALE * _HEIGHT), "white")
        self._pen = ImageDraw.Draw(self._picture)
        self._highest = highest
        self._text(_LEFT, 20, title, 18)
        self._text((_LEFT + _RIGHT) / 2, _BOTTOM + 40, across, 15, "mt")
        self._text(_LEFT, _TOP - 8, upright, 15, "ls")
        for place in range(_TICKS + 1):
            self._tick(place / _TICKS)

    def draw(self, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """Draw curves of (x, y), with a legend in the order of the mapping."""
        for number, (name, points) in enumerate(curves.items()):
            colour, y = _COLOURS[number % len(_COLOURS)], _TOP + 28 * number
            self._line([self._at(*point) for point in points], colour, 2.5)
            self._line([(_RIGHT + 20, y), (_RIGHT + 50, y)], colour, 2.5)
            self._text(_RIGHT + 60, y, name, 15, "lm")

    def save(self, path: Path) -> None:
        """Write the picture."""
        self._picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(path)

    def _tick(self, share: float) -> None:
        x, y = self._at(share, share * self._highest)
        self._line([(x, _TOP), (x, _BOTTOM)], _GRID, 1)
        self._line([(_LEFT, y), (_RIGHT, y)], _GRID, 1)
        self._text(x, _BOTTOM + 10, f"{share:.1f}", 13, "mt")
        self._text(_LEFT - 10, y, f"{share * self._highest:.2f}", 13, "rm")

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return _LEFT + x * (_RIGHT - _LEFT), _BOTTOM - y / self._highest * (_BOTTOM - _TOP)

    def _line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        scaled = [(_SCALE * x, _SCALE * y) for x, y in points]
        self._pen.line(scaled, colour, round(_SCALE * width), joint="curve")

    def _text(self, x: float, y: float, words: str, size: int, anchor: str = "la") -> None:
        font = ImageFont.load_default(_SCALE * size)
        self._pen.text((_SCALE * x, _SCALE * y), words, _INK, font, anchor)
