"""What a face is worth for recognition."""

import numpy as np

from facegrid.domain.faces import Floats, QualityMeasure

_ALGORITHM = "facegrid/1"
# ISO/IEC 19794-5: the smallest inter-eye distance of a full-frontal image, in pixels.
_FULL_FRONTAL_EYES_PX = 90.0


def measure_quality(landmarks: Floats, detection_score: float) -> tuple[QualityMeasure, ...]:
    """Return the inter-eye distance in pixels and the detection score, each with its component."""
    eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
    return (
        QualityMeasure(
            "inter_eye_distance", eyes, min(100.0, 100 * eyes / _FULL_FRONTAL_EYES_PX), _ALGORITHM
        ),
        QualityMeasure("detection_score", detection_score, 100 * detection_score, _ALGORITHM),
    )
