"""The fast mode finds on photographs what the reference finds, with the same templates."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.faces import DetectedFace, Detection
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detection import Job, detect_all
from facegrid.vision.packs import LoadedPack
from facegrid.vision.search import Search
from staged import overlap

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def photographs(assets: Path) -> list[bytes]:
    """Return every photograph of the assets."""
    files = sorted((assets / "faces").iterdir())
    return [path.read_bytes() for path in files if path.suffix in {".jpg", ".jpeg", ".png"}]


def detect(pack: LoadedPack, photographs: list[bytes], options: DetectionOptions) -> list[Detection]:
    """Return what a search finds in photographs, each alone as on a CPU."""
    jobs = [Job(photograph, ["arcface-112"], options) for photograph in photographs]
    search = Search(pack.detector, limit_px=20)
    found = [one for job in jobs for one in detect_all(search, [job], PhotographLimits())]
    return [one for one in found if isinstance(one, Detection)]


@pytest.fixture(scope="module")
def reference(insightface_pack: LoadedPack, photographs: list[bytes]) -> list[Detection]:
    """Return what the reference finds."""
    return detect(insightface_pack, photographs, DetectionOptions())


@pytest.mark.parametrize("smallest", [0, 40, 60])
def test_same_faces(
    insightface_pack: LoadedPack, photographs: list[bytes], reference: list[Detection], smallest: float
) -> None:
    """Each face of the reference and no other, with an IoU of at least 0.9 and a cosine of at least 0.99."""
    fast = detect(insightface_pack, photographs, DetectionOptions(DetectionMode.FAST, smallest))
    for ours, theirs in zip(fast, reference, strict=True):
        assert len(ours.faces) == len(theirs.faces)
        for face in theirs.faces:
            same = max(ours.faces, key=lambda other: overlap(face.box, other.box))
            assert overlap(face.box, same.box) >= 0.9
            assert template(insightface_pack, face) @ template(insightface_pack, same) >= 0.99


def template(pack: LoadedPack, face: DetectedFace) -> NDArray[np.float32]:
    """Return a face's vector."""
    return pack.embedder.embed(face.crops["arcface-112"][None])[0].vector
