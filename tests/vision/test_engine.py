"""The engine serves the ports of the use cases."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegrid.domain.attributes import Attribute, FaceAttributes, Pose
from facegrid.domain.detection import SERVER_DEFAULT
from facegrid.domain.errors import InvalidPhotograph, Overloaded, PackNotFound, PhotographTooLarge
from facegrid.domain.faces import DetectedFace, Detection, Pixels
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detectors.contract import FaceDetector, Look
from facegrid.vision.detectors.mtcnn import MtcnnDetector
from facegrid.vision.engine import BatchLimits, VisionEngine
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import PackFolder


class CountingPacks(PackFolder):
    """A folder of packs that counts the detectors that it loads; it may be given what to load instead."""

    def __init__(
        self,
        root: Path,
        detector: FaceDetector | None = None,
        attributes: Mapping[str, "CountingModel"] | None = None,
    ) -> None:
        """Look below `root`."""
        super().__init__(root)
        self.loads, self._detector_given, self._attributes_given = 0, detector, attributes

    def load_detector(self, name: str) -> FaceDetector:
        """Count, then load."""
        self.loads += 1
        return self._detector_given or super().load_detector(name)

    def load_attributes(self, name: str) -> Any:
        """Load, without counting."""
        return self._attributes_given or super().load_attributes(name)


async def test_detect_and_embed(engine: VisionEngine, six_people: bytes) -> None:
    """A photograph becomes faces with crops and quality, and their crops become templates."""
    detection = await engine.detect(six_people, "open", ["arcface-112", "dlib-150"], SERVER_DEFAULT)
    assert (detection.width, detection.height, len(detection.faces)) == (1280, 886, 6)
    for face in detection.faces:
        assert {name: crop.shape for name, crop in face.crops.items()} == {
            "arcface-112": (112, 112, 3),
            "dlib-150": (150, 150, 3),
        }
        assert face.quality[0].measure == "inter_eye_distance"
    pack = engine.pack("open")
    templates = await engine.embed(np.stack([face.crops[pack.alignment] for face in detection.faces]), "open")
    assert [template.version for template in templates] == [pack.template_version] * 6
    assert all(template.vector.shape == (pack.dimension,) for template in templates)


async def test_errors(engine: VisionEngine, six_people: bytes) -> None:
    """Unknown packs and wrong photographs raise the errors of the ports."""
    with pytest.raises(PackNotFound):
        engine.pack("other")
    with pytest.raises(PackNotFound):
        await engine.detect(six_people, "other", [], SERVER_DEFAULT)
    with pytest.raises(PackNotFound):
        await engine.embed(np.zeros((1, 150, 150, 3), np.uint8), "other")
    with pytest.raises(InvalidPhotograph):
        await engine.detect(b"not a photograph", "open", [], SERVER_DEFAULT)


async def test_limits(open_pack_root: Path, six_people: bytes) -> None:
    """The engine holds photographs against the limits that it was given."""
    engine = VisionEngine(PackFolder(open_pack_root), PhotographLimits(max_pixels=1_000_000), workers=1)
    with pytest.raises(PhotographTooLarge):
        await engine.detect(six_people, "open", [], SERVER_DEFAULT)
    engine.close()


class CountingDetector:
    """Finds nothing, and keeps the sizes of the batches that it was given."""

    size, sure_px, eager_px = (64, 64), 20.0, None

    def __init__(self) -> None:
        """Start with no batch seen."""
        self.batches: list[int] = []

    def whole(self, pixels: Pixels, smallest_px: float = 0) -> Look:
        """Show the photograph on a canvas."""
        return Look(self.resized(pixels, 64 / max(pixels.shape)), np.ones(2, np.float32), smallest_px)

    def resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Leave pixels out."""
        step = max(1, round(1 / scale))
        return pixels[::step, ::step]

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Find nothing in each."""
        self.batches.append(len(looks))
        return [[] for _ in looks]


async def test_batches_of_photographs(open_pack_root: Path, six_people: bytes, portrait: bytes) -> None:
    """Calls that wait together share a run; each has its own size, and a bad photograph its own error."""
    detector = CountingDetector()
    packs = CountingPacks(open_pack_root, detector)
    engine = VisionEngine(packs, PhotographLimits(), workers=1, batches=BatchLimits(detector=4, embedder=4))
    await engine.warm("open")
    detector.batches.clear()
    photographs = [portrait, six_people, b"not a photograph", portrait]
    outcomes = await asyncio.gather(
        *(engine.detect(photograph, "open", [], SERVER_DEFAULT) for photograph in photographs),
        return_exceptions=True,
    )
    sizes = [outcome.width for outcome in outcomes if isinstance(outcome, Detection)]
    assert sizes == [512, 1280, 512]
    assert isinstance(outcomes[2], InvalidPhotograph)
    assert sum(detector.batches) == 6  # without a face, each is looked at once more
    assert len(detector.batches) < 6
    engine.close()


async def test_bad_crop_fails_alone(engine: VisionEngine) -> None:
    """Crops of a wrong size are refused, and those of another call in the same batch are embedded."""
    good, bad = np.zeros((3, 150, 150, 3), np.uint8), np.zeros((1, 149, 150, 3), np.uint8)
    outcomes = await asyncio.gather(
        engine.embed(good, "open"), engine.embed(bad, "open"), return_exceptions=True
    )
    assert isinstance(outcomes[0], list)
    assert len(outcomes[0]) == 3
    assert isinstance(outcomes[1], Exception)


class CountingModel:
    """Reads an age off each face's place, and keeps the sizes of the batches that it was given."""

    def __init__(self) -> None:
        """Start with no batch seen."""
        self.batches: list[int] = []

    def read(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """Read the age."""
        self.batches.append(len(faces))
        return [FaceAttributes(age=face.box.x, pose=Pose(1, 2, 3)) for face in faces]


async def test_attributes(open_pack_root: Path, six_people: bytes) -> None:
    """The faces of a photograph share a run of each model that is needed, and keep their order."""
    models = {kind: CountingModel() for kind in ("genderage", "landmark_2d_106", "landmark_3d_68")}
    engine = VisionEngine(CountingPacks(open_pack_root, attributes=models), PhotographLimits(), workers=2)
    faces = (await engine.detect(six_people, "open", ["box-96"], SERVER_DEFAULT)).faces
    assert {face.crops["box-96"].shape for face in faces} == {(96, 96, 3)}
    read = await engine.read(faces, "open", [Attribute.AGE])
    assert [one.age for one in read] == [face.box.x for face in faces]
    assert [one.pose for one in read] == [None] * 6
    assert {kind: model.batches for kind, model in models.items()} == {
        "genderage": [6],
        "landmark_2d_106": [],
        "landmark_3d_68": [],
    }
    masked = [replace(face, mask=0.5) for face in faces[:2]]
    assert [one.mask for one in await engine.read(masked, "open", [Attribute.MASK])] == [0.5, 0.5]
    assert sum(len(model.batches) for model in models.values()) == 1
    with pytest.raises(PackNotFound):
        await engine.read(faces, "other", [Attribute.AGE])
    engine.close()


async def test_pack_is_loaded_once(open_pack_root: Path, six_people: bytes) -> None:
    """Calls that come together share one load, and asking for the pack loads nothing."""
    packs = CountingPacks(open_pack_root)
    engine = VisionEngine(packs, PhotographLimits(), workers=4)
    assert engine.pack("open").name == "open"
    assert packs.loads == 0
    found = await asyncio.gather(*(engine.detect(six_people, "open", [], SERVER_DEFAULT) for _ in range(4)))
    assert packs.loads == 1
    assert {len(detection.faces) for detection in found} == {6}
    engine.close()


async def test_warm(open_pack_root: Path, six_people: bytes) -> None:
    """A warmed pack is not loaded again by its first call."""
    packs = CountingPacks(open_pack_root)
    engine = VisionEngine(packs, PhotographLimits(), workers=1)
    await engine.warm("open")
    assert packs.loads == 1
    await engine.detect(six_people, "open", [], SERVER_DEFAULT)
    assert packs.loads == 1
    engine.close()


async def test_detection_needs_no_embedder(open_pack_root: Path, tmp_path: Path, six_people: bytes) -> None:
    """Who asks for faces alone never loads an embedder, even one that is missing."""
    shutil.copytree(open_pack_root / "open", tmp_path / "open")
    (tmp_path / "open" / "dlib_resnet.onnx").unlink()
    engine = VisionEngine(PackFolder(tmp_path), PhotographLimits(), workers=1)
    await engine.warm_detector("open")
    assert len((await engine.detect(six_people, "open", [], SERVER_DEFAULT)).faces) == 6
    with pytest.raises(PackError, match=r"dlib_resnet\.onnx is missing"):
        await engine.warm_embedder("open")
    engine.close()


async def test_held_models_are_those_used_last(tmp_path: Path) -> None:
    """The ninth pack's model takes the place of the one that was not used for longest."""
    packs = CountingPacks(tmp_path, CountingDetector())
    engine = VisionEngine(packs, PhotographLimits(), workers=1)
    for name in [*"abcdefgh", "a", "i", "a"]:
        await engine.warm_detector(name)
    assert packs.loads == 9
    await engine.warm_detector("b")
    assert packs.loads == 10
    engine.close()


async def test_closed_engine_refuses(open_pack_root: Path, six_people: bytes) -> None:
    """After close no work is taken."""
    engine = VisionEngine(PackFolder(open_pack_root), PhotographLimits(), workers=1)
    engine.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await engine.detect(six_people, "open", [], SERVER_DEFAULT)


class FullDevice(MtcnnDetector):
    """A detector of which two looks at once do not fit."""

    def __init__(self) -> None:
        """Need no model."""
        self.size = (640, 640)

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Find nothing in one."""
        if len(looks) > 1:
            raise Overloaded("there is no memory left to run a model; retry after a moment")
        return [[]]


class PacksForAFullDevice(PackFolder):
    """A folder of packs whose detectors fill the device."""

    def load_detector(self, name: str) -> FaceDetector:  # noqa: ARG002  # whatever pack it is
        """Return the other detector."""
        return FullDevice()


async def test_device_without_room_for_a_batch(open_pack_root: Path) -> None:
    """Batches that do not fit are met while the pack is loaded, not by a request."""
    batches = BatchLimits(detector=2, embedder=1)
    engine = VisionEngine(PacksForAFullDevice(open_pack_root), PhotographLimits(), workers=1, batches=batches)
    with pytest.raises(PackError, match=r"^open: batches .* do not fit into the device's memory; free some"):
        await engine.warm("open")
    engine.close()
