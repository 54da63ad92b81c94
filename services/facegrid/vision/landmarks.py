"""InsightFace's dense landmarks, and the pose that the mean shape has in them."""

from importlib import resources

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.alignment import box_transform
from facegrid.domain.attributes import FaceAttributes, Pose
from facegrid.domain.faces import Box, Floats
from facegrid.vision.attributes import AttributeModel
from facegrid.vision.manifest import AttributeManifest
from facegrid.vision.session import Session

_MEAN_SHAPE_FILE = "mean_shape_68.txt"


class Landmarks106Model(AttributeModel):
    """106 points (x, y), from -1 to 1 across the crop."""

    kind, length = "landmark_2d_106", 212

    def _decode(self, row: Floats, box: Box) -> FaceAttributes:
        return FaceAttributes(landmarks_106=_in_photograph(row.reshape(-1, 2), box, self._side))


class Landmarks68Model(AttributeModel):
    """1103 points (x, y, z), of which the last 68 are the usual ones."""

    kind, length = "landmark_3d_68", 3309

    def __init__(self, session: Session, manifest: AttributeManifest) -> None:
        """Check the model and read the mean shape. Raises PackError."""
        super().__init__(session, manifest)
        text = resources.files(__package__).joinpath(_MEAN_SHAPE_FILE).read_text("utf-8")
        mean_shape = np.loadtxt(text.splitlines())
        self._fit = np.linalg.pinv(np.column_stack([mean_shape, np.ones(len(mean_shape))]))

    def _decode(self, row: Floats, box: Box) -> FaceAttributes:
        points = _in_photograph(row.reshape(-1, 3)[-68:], box, self._side)
        return FaceAttributes(landmarks_68=points, pose=_pose((self._fit @ points).T[:, :3]))


def _in_photograph(points: Floats, box: Box, side: int) -> Floats:
    """Return points (N, 2 or 3) in pixels of the photograph; the third number is stretched as the others."""
    matrix, pixels = box_transform(box, side), points.copy()
    pixels[:, :2] += 1
    pixels *= side // 2
    shift = [*matrix[:, 2], 0][: points.shape[1]]
    return np.asarray((pixels - shift) / matrix[0, 0], np.float32)


def _pose(affine: NDArray[np.float64]) -> Pose:
    """Return the angles of the affine map (3, 3) from the mean shape, read off its first two rows.

    As InsightFace: the rows are taken for those of a rotation, though nothing makes them orthogonal.
    """
    across, down = (row / max(float(np.linalg.norm(row)), 1e-12) for row in affine[:2])
    depth = np.cross(across, down)
    pitch = np.arctan2(depth[1], depth[2])
    yaw = np.arctan2(-depth[0], np.hypot(across[0], down[0]))
    roll = np.arctan2(down[0], across[0])
    return Pose(*np.degrees([pitch, yaw, roll]).tolist())
