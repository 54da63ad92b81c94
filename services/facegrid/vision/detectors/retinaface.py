"""RetinaFace (Deng et al., 2020) in its public ONNX forms."""

from collections.abc import Sequence

import numpy as np

from facegrid.domain.faces import Floats, Pixels
from facegrid.vision.detectors.onepass import Level, OnePassDetector, Shape, planes, rows

# InsightFace's RetinaFace-R50 and its mobile form: anchors of 16 px times a scale around pixel 7.5.
_ANCHORS = (Level(8, 7.5, (32, 16)), Level(16, 7.5, (128, 64)), Level(32, 7.5, (512, 256)))
# The PyTorch form: prior boxes in the middle of each cell, with variances 0.1 and 0.2.
_PRIORS = (Level(8, 4, (16, 32)), Level(16, 8, (64, 128)), Level(32, 16, (256, 512)))
_VARIANCES = np.array([0.1, 0.1, 0.2, 0.2], np.float32)
# Channels of the maps: probabilities, boxes, landmarks, and those of the form that knows masks.
_CHANNELS = [4, 4, 4, 8, 8, 8, 20, 20, 20]
_CHANNELS_WITH_MASK = [4, 4, 4, 6, 6, 6, 8, 8, 8, 20, 20, 20]
# That form's landmarks are stated in fifths (InsightFace's retinaface_anticov, network "net3l").
_FIFTH = np.float32(0.2)
_LAST_PIXEL = np.array([0.5, 0.5, -0.5, -0.5], np.float32)
_MEAN = np.array([104, 117, 123], np.float32)[:, None, None]  # of ImageNet, blue first


class RetinaFaceDetector(OnePassDetector):
    """Nine or twelve maps (strided heads), or three tables (prior boxes); the outputs tell which.

    Maps are probabilities N×4×h×w, boxes N×8×h×w and landmarks N×20×h×w of RGB from 0 to 255, at strides
    in any order. InsightFace's anti-Covid form adds N×6×h×w, whose last two are the probabilities that a
    mask covers the face in either box of a cell. Tables are N×K×4, N×K×2 and N×K×10 of BGR minus a mean.
    """

    kind = "retinaface"

    @staticmethod
    def levels(outputs: Sequence[Shape]) -> tuple[Level, ...]:
        """Return the lattice of each form."""
        ranks = {len(shape) for shape in outputs}
        if ranks == {4} and _channels(outputs) in (_CHANNELS, _CHANNELS_WITH_MASK):
            return _ANCHORS
        if ranks == {3} and sorted(shape[2] or 0 for shape in outputs) == [2, 4, 10]:
            return _PRIORS
        return ()

    @staticmethod
    def states_mask(outputs: Sequence[Shape]) -> bool:
        """Return whether it is the anti-Covid form."""
        return _channels(outputs) == _CHANNELS_WITH_MASK

    @property
    def _has_maps(self) -> bool:
        return self._levels is _ANCHORS

    @property
    def _has_masks(self) -> bool:
        return self._has_maps and self.states_mask(self._session.output_shapes)

    def _blob(self, canvas: Pixels) -> Floats:
        if self._has_maps:
            return planes(canvas)
        return planes(canvas[..., ::-1]) - _MEAN

    def _heads(self, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        if self._has_maps:
            odds, offsets, landmarks = (_maps(outputs, width) for width in (4, 8, 20))
            if self._has_masks:
                landmarks = landmarks * _FIFTH
            # Of a cell's four numbers the first two are those of the background.
            return odds[:, 2:].ravel(), offsets.reshape(-1, 4), landmarks.reshape(-1, 10)
        offsets, odds, landmarks = (
            rows([output]) for width in (4, 2, 10) for output in outputs if output.shape[-1] == width
        )
        return odds[:, 1], offsets * _VARIANCES, landmarks * _VARIANCES[0]

    def _masks(self, outputs: list[Floats]) -> Floats | None:
        return _maps(outputs, 6)[:, 4:].ravel() if self._has_masks else None

    def _boxes(self, centres: Floats, sizes: Floats, offsets: Floats) -> Floats:
        corners = super()._boxes(centres, sizes, offsets)
        # InsightFace's anchors count their last pixel as inside.
        return corners + _LAST_PIXEL if self._has_maps else corners


def _channels(outputs: Sequence[Shape]) -> list[int]:
    return sorted(shape[1] or 0 for shape in outputs)


def _maps(outputs: list[Floats], width: int) -> Floats:
    """Return the cells (n, width) of the maps with so many channels, the finest stride first."""
    chosen = sorted((output for output in outputs if output.shape[1] == width), key=lambda x: -x.shape[2])
    return rows([output.transpose(0, 2, 3, 1) for output in chosen])
