"""The norm of MobileFaceNet's templates tells quality, as the manifest in loadtests states."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegrid.domain.alignment import ALIGNMENTS
from facegrid.domain.quality import template_norm_measures
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack


@pytest.mark.parametrize("name", ["obama.jpg", "biden.jpg", "Rob_Lowe_0001.jpg"])
def test_the_norm_falls_as_a_face_is_blurred(insightface_pack: LoadedPack, assets: Path, name: str) -> None:
    """Step by step, from a component near 100 to one below 40, where nobody is recognised."""
    pixels = decode((assets / "faces" / name).read_bytes(), PhotographLimits())
    landmarks = insightface_pack.detector.detect(pixels)[0].landmarks
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    pictures = [cv2.GaussianBlur(pixels, (0, 0), step * eyes) for step in (0.01, 0.06, 0.1, 0.15, 0.25)]
    crops = [align(picture, landmarks, ALIGNMENTS["arcface-112"]) for picture in pictures]
    norms = [template.norm for template in insightface_pack.embedder.embed(np.stack(crops))]
    assert all(before > after for before, after in pairwise(norms))
    ((best,), (worst,)) = (
        template_norm_measures(norm, insightface_pack.pack) for norm in (norms[0], norms[-1])
    )
    assert best.component > 75
    assert worst.component < 40
