"""Named fakes that several tests use."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute, FaceAttributes, Pose
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import InvalidPhotograph, PackNotFound
from facegrid.domain.faces import Box, DetectedFace, Detection, Floats, QualityMeasure
from facegrid.domain.packs import Pack, Threshold, Thresholds, ThresholdSource
from facegrid.domain.templates import Template, template_from_features

DIMENSION = 64
_SEED_BYTES = 8
_NOISE = 0.05


class FakeVision:
    """Sees people where a photograph's text names them.

    b"ann", b"ann#2" (another photograph of her), b"ann+bob" (two faces), b"tiny:ann" (a face of 8 px),
    b"far:ann" (of 40 px), b"wall" (no face), b"" (no photograph). Eyes are half a face's width apart.
    """

    def __init__(self) -> None:
        """Hold the pack "fake" alone; `asked` is how it was last asked to search."""
        self.packs = {"fake": fake_pack("fake", "fake-1")}
        self.asked = DetectionOptions()

    def pack(self, name: str) -> Pack:
        """Return a pack."""
        if name not in self.packs:
            raise PackNotFound(f"no model pack {name!r} is installed", field="pack")
        return self.packs[name]

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Return a face for each name, the first the largest."""
        self.pack(pack)
        self.asked = options
        if not photograph:
            raise InvalidPhotograph("the photograph is empty; send a file")
        distance, _, people = photograph.rpartition(b":")
        side = {b"tiny": 8.0, b"far": 40.0}.get(distance, 80.0)
        names = people.split(b"+")
        faces = [
            _face(name, place, side - place, alignments)
            for place, name in enumerate(names)
            if name != b"wall"
        ]
        return Detection(640, 480, tuple(faces))

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return the templates of the seeds that the crops hold."""
        version = self.pack(pack).template_version
        return [template_from_features(version, _features(crop), None) for crop in crops]

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> list[FaceAttributes]:
        """Return the attributes that a face's crop and place give away."""
        needed = set(map(self.pack(pack).attributes.__getitem__, attributes)) - {""}
        assert all(set(face.crops) == needed for face in faces)
        return [FaceAttributes.joined([_read(face)], attributes) for face in faces]


class TwoPackVision(FakeVision):
    """Holds the pack "new" as well, whose templates are shorter, so that no search mixes the two.

    It puts its boxes elsewhere by a little, and the largest face last. It sees none of `unseen`.
    """

    def __init__(self) -> None:
        """Hold both packs; `seen` counts the photographs that "new" has looked at."""
        super().__init__()
        self.packs["new"] = replace(fake_pack("new", "new-1"), dimension=DIMENSION // 2)
        self.unseen: set[bytes] = set()
        self.seen = 0

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Return a face for each name that the pack sees."""
        found = await super().detect(photograph, pack, alignments, options)
        if pack != "new":
            return found
        self.seen += 1
        faces = [replace(one, box=_moved(one.box)) for one in found.faces if photograph not in self.unseen]
        return replace(found, faces=tuple(reversed(faces)))

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return the first half of what FakeVision makes, for "new"."""
        found = await super().embed(crops, pack)
        if pack != "new":
            return found
        length = self.packs[pack].dimension
        return [template_from_features(one.version, one.vector[:length], None) for one in found]


def _moved(box: Box) -> Box:
    return Box(box.x + 5, box.y - 9, box.width, box.height + 20)


def fake_pack(name: str, version: str) -> Pack:
    """Return a pack whose match is a score of 0.5 (1:1) or 0.6 (1:N), and that reads four attributes."""
    thresholds = Thresholds(
        Threshold(0.5, ThresholdSource.PACK_DEFAULT), Threshold(0.6, ThresholdSource.PACK_DEFAULT)
    )
    attributes = dict.fromkeys((Attribute.AGE, Attribute.POSE), "fake-box-8")
    attributes |= {Attribute.LANDMARKS_106: "fake-box-16", Attribute.MASK: ""}
    return Pack(name, version, DIMENSION, "fake-8", thresholds, attributes=attributes)


def fake_template(photograph: bytes, version: str = "fake-1") -> Template:
    """Return the template that FakeVision makes of a photograph of one face."""
    return template_from_features(version, _features(_crop(photograph)), None)


def _face(name: bytes, place: int, side: float, alignments: Sequence[str]) -> DetectedFace:
    landmarks = np.arange(10, dtype=np.float32).reshape(5, 2) + 100 * place
    crops = {alignment: _crop(name) for alignment in alignments}
    quality = (QualityMeasure("inter_eye_distance", side / 2, side / 2, "fake"),)
    return DetectedFace(Box(100.0 * place, 10, side, side), landmarks, 0.9 - place / 100, quality, crops)


def _read(face: DetectedFace) -> FaceAttributes:
    return FaceAttributes(
        age=face.box.width / 2,
        pose=Pose(pitch=-3, yaw=face.box.x, roll=12.5),
        landmarks_106=np.full((106, 2), face.box.x, np.float32),
        mask=0.25,
    )


def _crop(name: bytes) -> NDArray[np.uint8]:
    """Hide two seeds in a picture: the person's, and the photograph's."""
    person, _, photograph = name.partition(b"#")
    seeds = hashlib.sha256(person).digest()[:_SEED_BYTES] + hashlib.sha256(photograph).digest()[:_SEED_BYTES]
    crop = np.zeros((8, 8, 3), np.uint8)
    crop.reshape(-1)[: 2 * _SEED_BYTES] = np.frombuffer(seeds, np.uint8)
    return crop


def _features(crop: NDArray[np.uint8]) -> Floats:
    person, photograph = (int.from_bytes(bytes(part)) for part in np.split(crop.reshape(-1)[:16], 2))
    features = np.random.default_rng(person).standard_normal(DIMENSION)
    noise = np.random.default_rng(photograph).standard_normal(DIMENSION)
    return (features + _NOISE * noise).astype(np.float32)
