"""insightface 2.1 doing what Extract does: read, detect at 640, align and embed each face."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import cv2


class InsightfaceReference:
    """Its own SCRFD and ArcFace classes on given model files."""

    def __init__(self, detector: Path, embedder: Path) -> None:
        """Load both models."""
        warnings.filterwarnings("ignore", module="insightface")
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX  # noqa: PLC0415  # warns at import
        from insightface.model_zoo.scrfd import SCRFD  # noqa: PLC0415

        self._detector, self._embedder = SCRFD(str(detector)), ArcFaceONNX(str(embedder))
        self._detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)

    def extract(self, photograph: Path) -> int:
        """Return the number of faces, each of which was embedded."""
        pixels = cv2.imread(str(photograph))
        _, landmarks = self._detector.detect(pixels)
        for points in landmarks:
            self._embedder.get(pixels, SimpleNamespace(kps=points))
        return len(landmarks)
