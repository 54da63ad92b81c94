"""A folder of model packs: what is installed, whether it is whole, and how it is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facegrid.domain.errors import Overloaded, PackNotFound
from facegrid.domain.faces import Box, DetectedFace
from facegrid.domain.names import check_name
from facegrid.domain.packs import Pack
from facegrid.vision.attributes import AttributeModel, GenderAgeModel
from facegrid.vision.convert.derived import sha256_of, spoiled_files
from facegrid.vision.detectors.contract import FaceDetector
from facegrid.vision.detectors.mtcnn import MtcnnDetector
from facegrid.vision.detectors.onepass import OnePassDetector
from facegrid.vision.detectors.retinaface import RetinaFaceDetector
from facegrid.vision.detectors.scrfd import ScrfdDetector
from facegrid.vision.detectors.yunet import YunetDetector
from facegrid.vision.device import CPU, Device
from facegrid.vision.embedder import OnnxEmbedder
from facegrid.vision.external import weights_elsewhere
from facegrid.vision.landmarks import Landmarks68Model, Landmarks106Model
from facegrid.vision.manifest import (
    MANIFEST_FILE,
    AttributeManifest,
    Manifest,
    ModelFile,
    MtcnnManifest,
    OnePassManifest,
    PackError,
    read_manifest,
)
from facegrid.vision.session import Session

ONE_PASS_DETECTORS: dict[str, type[OnePassDetector]] = {
    detector.kind: detector for detector in (ScrfdDetector, RetinaFaceDetector, YunetDetector)
}
_ATTRIBUTE_MODELS: dict[str, type[AttributeModel]] = {
    model.kind: model for model in (GenderAgeModel, Landmarks106Model, Landmarks68Model)
}


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack whose models are in memory, those of attributes by their kind."""

    pack: Pack
    detector: FaceDetector
    embedder: OnnxEmbedder
    attributes: Mapping[str, AttributeModel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileReport:
    """How a model file stands: `problem` is empty where it is what the manifest says."""

    path: str
    problem: str


class PackFolder:
    """The packs below one folder, each in a folder of its name."""

    def __init__(self, root: Path, *, threads: int = 2, device: Device = CPU) -> None:
        """Look below `root`; on a CPU, a run that has no other beside it uses `threads` threads."""
        self._root, self._threads, self._device = root, threads, device

    def names(self) -> list[str]:
        """Return the names of the installed packs, sorted."""
        return sorted(path.parent.name for path in self._root.glob(f"*/{MANIFEST_FILE}"))

    def manifest(self, name: str) -> Manifest:
        """Return what a pack says of itself. Raises InvalidField, PackNotFound and PackError."""
        path = self._root / check_name(name, "pack") / MANIFEST_FILE
        if not path.is_file():
            installed = ", ".join(self.names()) or "there is none"
            raise PackNotFound(f"no model pack {name!r} is installed; installed: {installed}", field="pack")
        manifest = read_manifest(path)
        if manifest.name != name:
            raise PackError(
                f"{name}/{MANIFEST_FILE}: name is {manifest.name!r}; name it as its folder, {name!r}"
            )
        return manifest

    def verify(self, name: str) -> list[FileReport]:
        """Hold every file against the manifest's sha256, and what was made of them against its own.

        Raises as `manifest` does.
        """
        files = self.manifest(name).files
        return [
            *(FileReport(file.path, self._problem(name, file)) for file in files),
            *(
                FileReport(path.name, "was changed after it was made; remove it, and it is made again")
                for path in spoiled_files(self._root / name)
            ),
        ]

    def load(self, name: str) -> LoadedPack:
        """Load all models of a pack. Raises as `manifest` does."""
        return LoadedPack(
            self.manifest(name).pack,
            self.load_detector(name),
            self.load_embedder(name),
            self.load_attributes(name),
        )

    def load_detector(self, name: str) -> FaceDetector:
        """Load a pack's detector, whose files are what its manifest says, and run it once.

        A file that cannot be fed as the manifest says fails here, not at the first request. Raises as
        `manifest` does.
        """
        manifest = self.manifest(name)
        self._check(name, manifest.detector.files)
        with _blamed(f"{name}, detector ({', '.join(file.path for file in manifest.detector.files)})"):
            detector = self._detector(name, manifest.detector)
            detector.detect(np.zeros((64, 64, 3), np.uint8))
        return detector

    def load_embedder(self, name: str) -> OnnxEmbedder:
        """Load a pack's embedder as `load_detector` does its detector."""
        manifest = self.manifest(name)
        embedding = manifest.embedder.model
        self._check(name, [embedding])
        with _blamed(f"{name}, embedder ({embedding.path})"):
            session, version = self._session(name, embedding), manifest.template_version
            embedder = OnnxEmbedder(session, manifest.embedder, version)
            embedder.features(
                np.zeros((1, manifest.embedder.input.side, manifest.embedder.input.side, 3), np.uint8)
            )
        return embedder

    def load_attributes(self, name: str) -> dict[str, AttributeModel]:
        """Load a pack's attribute models, by their kinds, as `load_detector` does its detector."""
        attributes = self.manifest(name).attributes
        self._check(name, [one.model for one in attributes])
        return {one.kind: self._attribute_model(name, one) for one in attributes}

    def _check(self, name: str, files: Sequence[ModelFile]) -> None:
        for file in files:
            if problem := self._problem(name, file):
                raise PackError(f"{name}/{file.path} {problem}")

    def _problem(self, name: str, file: ModelFile) -> str:
        path = self._root / name / file.path
        if not path.is_file():
            return "is missing; copy or build the pack again"
        if (found := sha256_of(path)) != file.sha256:
            return f"has sha256 {found} and the manifest says {file.sha256}; copy or build the pack again"
        if elsewhere := weights_elsewhere(path):
            return (
                f"keeps weights in {', '.join(elsewhere)}, which no sha256 of the manifest covers; make the "
                "pack with: facegrid models add, which takes them in"
            )
        return ""

    def _session(self, name: str, file: ModelFile) -> Session:
        return Session(self._root / name / file.path, self._threads, self._device)

    def _detector(self, name: str, manifest: OnePassManifest | MtcnnManifest) -> FaceDetector:
        if isinstance(manifest, OnePassManifest):
            session = self._session(name, manifest.model)
            detector = ONE_PASS_DETECTORS[manifest.kind](
                session,
                input_size=manifest.input_size,
                score_threshold=manifest.score_threshold,
                overlap_threshold=manifest.overlap_threshold,
            )
            if manifest.mask and not detector.states_mask(session.output_shapes):
                raise PackError("the model states no mask; remove detector.mask or give another file")
            return detector
        pnet, rnet, onet = (
            self._session(name, file) for file in (manifest.pnet, manifest.rnet, manifest.onet)
        )
        return MtcnnDetector(
            (pnet, rnet, onet),
            input_size=manifest.input_size,
            smallest_face=manifest.smallest_face,
            score_thresholds=manifest.score_thresholds,
        )

    def _attribute_model(self, name: str, manifest: AttributeManifest) -> AttributeModel:
        crop = np.zeros((manifest.side, manifest.side, 3), np.uint8)
        face = DetectedFace(Box(0, 0, 1, 1), np.zeros((5, 2), np.float32), 0, (), {manifest.alignment: crop})
        with _blamed(f"{name}, {manifest.kind} ({manifest.model.path})"):
            model = _ATTRIBUTE_MODELS[manifest.kind](self._session(name, manifest.model), manifest)
            for size in model.batch_sizes:
                model.read([face] * size)
        return model


@contextmanager
def _blamed(where: str) -> Iterator[None]:
    try:
        yield
    except PackError as error:
        raise PackError(f"{where}: {error}") from error
    except Overloaded as error:
        raise PackError(
            f"{where} does not fit into the device's memory; free some, or choose another device or a "
            "smaller pack"
        ) from error
    except Exception as error:  # ONNX Runtime's own errors have no public base class
        raise PackError(
            f"{where} does not run as the manifest says; correct the manifest or give another file ({error})"
        ) from error
