"""SCRFD's nine outputs become faces in pixels of the photograph."""

import numpy as np
import pytest

from facegrid.domain.faces import Floats
from facegrid.vision.detectors.scrfd import ScrfdDetector
from facegrid.vision.manifest import PackError

SIZE = 64


class StagedScrfd:
    """A session that finds what a test stages, and keeps the last input.

    A find is (stride index, row, column, anchor, score, reach), with reach in strides to each edge.
    """

    output_shapes = [(None, width) for width in (1, 1, 1, 4, 4, 4, 10, 10, 10)]  # noqa: RUF012 never changed

    def __init__(self, *finds: tuple[int, int, int, int, float, float]) -> None:
        """Stage the finds."""
        self.input_shape = (None, 3, None, None)
        self.finds = finds
        self.seen = np.empty(0, np.float32)

    def most_items(self, numbers: int) -> int:  # noqa: ARG002  # as a small model's
        """Let any batch through."""
        return 64

    def run(self, batch: Floats) -> list[Floats]:
        """Return the staged finds as SCRFD states them."""
        self.seen = batch
        return [np.concatenate([output] * len(batch)) for output in self._outputs()]

    def _outputs(self) -> list[Floats]:
        cells = [SIZE // stride for stride in (8, 16, 32)]
        outputs = [np.zeros((2 * n * n, width), np.float32) for width in (1, 4, 10) for n in cells]
        for level, row, column, anchor, score, reach in self.finds:
            place = 2 * (row * cells[level] + column) + anchor
            outputs[level][place] = score
            outputs[3 + level][place] = reach
            outputs[6 + level][place] = np.arange(10) / 10
        return outputs


def detector(session: StagedScrfd) -> ScrfdDetector:
    """Return the detector under test."""
    return ScrfdDetector(session, input_size=(SIZE, SIZE), score_threshold=0.5, overlap_threshold=0.4)


@pytest.mark.parametrize(("height", "width", "scale"), [(128, 128, 0.5), (32, 16, 2.0), (64, 256, 0.25)])
def test_decoding(height: int, width: int, scale: float) -> None:
    """Boxes and landmarks lie where their anchor's stride says, in pixels of the photograph."""
    session = StagedScrfd((1, 1, 2, 0, 0.9, 0.5))
    (face,) = detector(session).detect(np.full((height, width, 3), 255, np.uint8))
    box = face.box
    assert (box.x, box.y, box.width, box.height) == pytest.approx(
        (24 / scale, 8 / scale, 16 / scale, 16 / scale)
    )
    offsets = np.arange(10).reshape(5, 2) / 10 * 16
    np.testing.assert_allclose(face.landmarks, (offsets + np.array([32, 16])) / scale, rtol=1e-5)
    assert face.detection_score == pytest.approx(0.9)
    assert face.landmarks.dtype == np.float32


def test_input() -> None:
    """The photograph fills the square from the top left, normalised; the rest is black."""
    session = StagedScrfd()
    assert detector(session).detect(np.full((32, 64, 3), (255, 127, 0), np.uint8)) == []
    assert session.seen.shape == (1, 3, SIZE, SIZE)
    np.testing.assert_allclose(session.seen[0, :, 0, 0], [127.5 / 128, -0.5 / 128, -127.5 / 128])
    np.testing.assert_allclose(session.seen[0, :, 40, 0], -127.5 / 128)


def test_order_and_suppression() -> None:
    """The best face comes first, one that it covers is dropped, one below the threshold never counts."""
    session = StagedScrfd(
        (0, 1, 1, 0, 0.6, 1.0), (0, 1, 1, 1, 0.7, 1.1), (2, 1, 1, 0, 0.95, 0.5), (0, 6, 1, 0, 0.49, 1.0)
    )
    found = detector(session).detect(np.zeros((64, 64, 3), np.uint8))
    assert [round(face.detection_score, 2) for face in found] == [0.95, 0.7]


def test_another_model() -> None:
    """A model with other outputs is refused with the remedy."""
    session = StagedScrfd()
    session.output_shapes = [(None, 1)] * 6
    with pytest.raises(PackError, match=r"no scrfd .* outputs are .*correct detector\.kind"):
        detector(session)


@pytest.mark.parametrize("shape", [(1, 1), (5, 2000), (2000, 1)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    """Tiny and elongated pictures have no face and do no harm."""
    assert detector(StagedScrfd()).detect(np.zeros((*shape, 3), np.uint8)) == []


def test_batch_of_photographs() -> None:
    """Photographs of different sizes share a run; each has its faces in its own pixels."""
    session = StagedScrfd((1, 1, 2, 0, 0.9, 0.5))
    sizes = [(64, 64), (128, 128)]
    scrfd = detector(session)
    (one,), (other,) = scrfd.look([scrfd.whole(np.zeros((*size, 3), np.uint8)) for size in sizes])
    assert session.seen.shape == (2, 3, SIZE, SIZE)
    np.testing.assert_allclose(other.landmarks, 2 * one.landmarks)
    assert other.box.x == 2 * one.box.x
