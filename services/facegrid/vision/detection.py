"""From photographs to faces with crops: decoding, the search, quality and the cutting of crops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.errors import FacegridError
from facegrid.domain.faces import Box, DetectedFace, Detection, Pixels
from facegrid.vision.align import crop_scale, cut
from facegrid.vision.decode import PhotographLimits, decode, decode_reduced
from facegrid.vision.looks import CLOSE_PX, Plan, carry_out, together
from facegrid.vision.quality import QUALITY_ALIGNMENT, measure_quality
from facegrid.vision.search import Search

# A photograph is decoded at a part of its size where even then it has so many pixels, across and down, for
# each one of the finest canvas and of every crop that is made of it. On photographs enlarged 2 and 3 times,
# templates of crops of the reduced pixels keep a cosine of 0.996 and more to those of the full ones.
_SPARE = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """A photograph, the alignments to cut its faces for, and how to search for them."""

    photograph: bytes
    alignments: Sequence[str]
    options: DetectionOptions


def detect_all(
    search: Search, jobs: Sequence[Job], limits: PhotographLimits
) -> list[Detection | FacegridError]:
    """Return the detection of each photograph, or why there is none; their looks share runs of the model."""
    return carry_out(together([_detection(search, job, limits) for job in jobs]), search.detector)


def _detection(search: Search, job: Job, limits: PhotographLimits) -> Plan[Detection | FacegridError]:
    def reduction(longer_side: int) -> float:
        return _reduction(search, job.options, longer_side)

    try:
        decoded = decode_reduced(job.photograph, limits, reduction)
        faces = yield from search.plan(decoded.pixels, job.options, decoded.reduction)
        pixels, factor = decoded.pixels, decoded.reduction
        if factor > 1 and not all(_suffices(face, job.alignments) for face in faces):
            faces, pixels, factor = (
                [_enlarged(face, factor) for face in faces],
                decode(job.photograph, limits),
                1,
            )
    except FacegridError as error:  # this photograph's own, and no reason to try the others again
        return error
    finished = tuple(_finished(face, pixels, factor, job.alignments) for face in faces)
    return Detection(width=decoded.width, height=decoded.height, faces=finished)


def _reduction(search: Search, options: DetectionOptions, longer_side: int) -> float:
    """Return how far a photograph may be reduced for the search; the reference's pixels are not touched."""
    if options.mode is not DetectionMode.FAST:
        return 1
    smallest = options.smallest_face_px
    finest = max(max(search.detector.size) / longer_side, CLOSE_PX / smallest if smallest else 0.0)
    return 1 / (_SPARE * finest)


def _suffices(face: DetectedFace, alignments: Sequence[str]) -> bool:
    """Return whether every crop of a face is so much smaller than the face that the pixels suffice."""
    return max(crop_scale(face, name) for name in (QUALITY_ALIGNMENT, *alignments)) <= 1 / _SPARE


def _finished(face: DetectedFace, pixels: Pixels, factor: int, alignments: Sequence[str]) -> DetectedFace:
    """Return a face of reduced pixels in those of the photograph, rated and cut from the same pixels."""
    return replace(
        _enlarged(face, factor),
        quality=measure_quality(pixels, face, factor),
        crops={name: cut(pixels, face, name) for name in alignments},
    )


def _enlarged(face: DetectedFace, factor: int) -> DetectedFace:
    """Return a face in pixels of which `factor` × `factor` are one of those that it is stated in."""
    shift = (factor - 1) / 2
    box = Box(*(factor * value for value in (face.box.x, face.box.y, face.box.width, face.box.height)))
    return replace(
        face,
        box=replace(box, x=box.x + shift, y=box.y + shift),
        landmarks=factor * face.landmarks + np.float32(shift),
    )
