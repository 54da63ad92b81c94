"""Annotated copies of photographs: boxes, landmarks, names and scores, legible at any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from facegrid.v1 import types_pb2 as pb

_SHORTEST_LONG_SIDE = 640
_MATCH, _NO_MATCH, _TEXT = (0, 158, 115), (213, 94, 0), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A face, the words beside it, whether they name somebody, and points beside its own landmarks."""

    face: pb.DetectedFace
    label: str
    named: bool
    points: Sequence[pb.Point] = ()


class Annotator:
    """Writes annotated copies into a folder, never over a photograph."""

    def __init__(self, folder: Path, photographs: Sequence[Path]) -> None:
        """Make the folder where it is missing; no copy takes the place of one of the photographs."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._taken = {path.resolve() for path in photographs}

    def write(self, photograph: Path, annotations: Sequence[Annotation]) -> Path:
        """Write `<name>.annotated.jpg`, numbered where two photographs share a name."""
        with Image.open(photograph) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        scale = max(1.0, _SHORTEST_LONG_SIDE / max(picture.size))
        if scale > 1:
            picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(picture)
        for annotation in annotations:
            _draw_face(draw, picture.size, annotation, scale)
        path = self._free_path(photograph.stem)
        picture.save(path, quality=92)
        return path

    def _free_path(self, stem: str) -> Path:
        path, number = self._folder / f"{stem}.annotated.jpg", 2
        while path in self._taken:
            path, number = self._folder / f"{stem}-{number}.annotated.jpg", number + 1
        self._taken.add(path)
        return path


def _draw_face(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], annotation: Annotation, scale: float
) -> None:
    colour = _MATCH if annotation.named else _NO_MATCH
    line = max(2, round(max(size) / 320))
    box = annotation.face.box
    left, top = box.x * scale, box.y * scale
    right, bottom = left + box.width * scale, top + box.height * scale
    draw.rectangle((left, top, right, bottom), outline=colour, width=line)
    for points, size_px in ((annotation.points, line / 2), (annotation.face.landmarks, line)):
        for point in points:
            x, y = point.x * scale, point.y * scale
            draw.ellipse((x - size_px, y - size_px, x + size_px, y + size_px), fill=_TEXT, outline=colour)
    _draw_label(draw, size, annotation.label, (left, top, bottom), colour)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    label: str,
    place: tuple[float, float, float],
    colour: tuple[int, int, int],
) -> None:
    """Write above the box, below it where there is no room, always inside the picture."""
    left, top, bottom = place
    font = ImageFont.load_default(max(16.0, max(size) / 42))
    x0, y0, x1, y1 = draw.textbbox((0, 0), label, font=font)
    width, height = x1 - x0 + 12, y1 - y0 + 10
    x = min(max(0.0, left), max(0.0, size[0] - width))
    y = top - height if top >= height else min(bottom, size[1] - height)
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 6 - x0, y + 5 - y0), label, fill=_TEXT, font=font)
