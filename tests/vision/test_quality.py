"""What a face is worth."""

import numpy as np
import pytest

from facegrid.vision.quality import measure_quality


@pytest.mark.parametrize(("distance", "component"), [(0, 0), (45, 50), (90, 100), (200, 100)])
def test_inter_eye_distance(distance: float, component: float) -> None:
    """The component rises to 100 at 90 px between the eyes, the least of a full-frontal image."""
    landmarks = np.zeros((5, 2), np.float32)
    landmarks[1] = distance * np.array([0.6, 0.8])
    eyes, _ = measure_quality(landmarks, 0.5)
    assert (eyes.measure, eyes.algorithm) == ("inter_eye_distance", "facegrid/1")
    assert (eyes.value, eyes.component) == pytest.approx((distance, component), rel=1e-5)


def test_detection_score() -> None:
    """The detector's score counts in percent."""
    _, score = measure_quality(np.zeros((5, 2), np.float32), 0.87)
    assert (score.measure, score.value, score.component) == ("detection_score", 0.87, pytest.approx(87))
