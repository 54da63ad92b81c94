"""Attribute models of InsightFace's shapes give what insightface 2.1 gives."""

import warnings
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute, FaceAttributes, GenderPresentation, Pose
from facegrid.domain.faces import Box, DetectedFace
from facegrid.vision import landmarks
from facegrid.vision.align import cut
from facegrid.vision.attributes import AttributeModel, GenderAgeModel
from facegrid.vision.inspection import inspect_model
from facegrid.vision.landmarks import Landmarks68Model, Landmarks106Model
from facegrid.vision.manifest import AttributeManifest, PackError
from facegrid.vision.session import Session
from seeded import write_table

MODELS = {model.kind: model for model in (GenderAgeModel, Landmarks106Model, Landmarks68Model)}
SIDES = {"genderage": 96, "landmark_2d_106": 192, "landmark_3d_68": 192}
NAMES = [attribute.value for attribute in Attribute]
COS, SIN = np.cos(np.radians(20)), np.sin(np.radians(20))
# A box in the middle, a flat one, a tiny one, one as large as the picture, and boxes that leave it.
BOXES = [
    (170.3, 60.1, 101.7, 140.2),
    (100.0, 200.0, 220.5, 31.5),
    (300.7, 300.2, 4.4, 5.1),
    (0.0, 0.0, 512.0, 512.0),
    (-60.2, -33.3, 150.0, 171.0),
    (430.9, 455.6, 180.4, 160.7),
]


def manifest(kind: str, side: int, mean: float, std: float) -> AttributeManifest:
    """Return what a manifest says of a model in m.onnx."""
    file = {"path": "m.onnx", "sha256": "0" * 64, "licence": "none", "source": "seeded"}
    return AttributeManifest.model_validate(
        {"kind": kind, "model": file, "side": side, "mean": mean, "std": std}
    )


def load(path: Path) -> AttributeModel:
    """Return the model of a file as a pack would, told from the file."""
    found = inspect_model(path)
    assert found.side
    return MODELS[found.kind](
        Session(path, threads=1), manifest(found.kind, found.side, found.mean, found.std)
    )


def seen(pixels: NDArray[np.uint8], box: tuple[float, ...], side: int) -> DetectedFace:
    """Return a face with its crop; the box as a detector states it, in single precision."""
    left, top, width, height = np.float32(box).tolist()
    right, bottom = np.float32([left + width, top + height]).tolist()
    face = DetectedFace(Box(left, top, right - left, bottom - top), np.zeros((5, 2), np.float32), 0.9)
    return replace(face, crops={f"box-{side}": cut(pixels, face, f"box-{side}")})


@pytest.fixture(params=["portrait", "noise"])
def pixels(request: pytest.FixtureRequest, astronaut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a photograph, or noise, in which a crop that is off by a hair differs everywhere."""
    noise = np.random.default_rng(5).integers(0, 256, (480, 640, 3), np.uint8)
    return astronaut if request.param == "portrait" else noise


class Recorder:
    """A session that keeps the last batch, in insightface's calls as in ours."""

    def __init__(self, path: Path) -> None:
        """Load a file twice: as insightface would, and as we do."""
        self.theirs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.ours = Session(path, threads=1)
        self.output_shapes = self.ours.output_shapes
        self.get_inputs, self.get_outputs = self.theirs.get_inputs, self.theirs.get_outputs

    def run(self, *arguments: Any) -> Any:
        """Keep the batch, then run."""
        if len(arguments) == 1:
            (self.batch,) = arguments
            return self.ours.run(*arguments)
        (self.batch,) = arguments[1].values()
        return self.theirs.run(*arguments)


@pytest.mark.parity
@pytest.mark.parametrize("normalises", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("genderage", "attribute.Attribute"),
        ("landmark_2d_106", "landmark.Landmark"),
        ("landmark_3d_68", "landmark.Landmark"),
    ],
)
def test_reading_as_insightface_does(
    tmp_path: Path, pixels: NDArray[np.uint8], kind: str, name: str, normalises: bool
) -> None:
    """The model is fed the same numbers; landmarks differ by 1e-4 px and pose by 1e-4 degrees at most."""
    path = write_table(tmp_path / "m.onnx", SIDES[kind], MODELS[kind].length, normalises=normalises)
    recorder, model = Recorder(path), load(path)
    model._session = recorder
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    module, reference = name.split(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo = pytest.importorskip(f"insightface.model_zoo.{module}", exc_type=ImportError)
        common = pytest.importorskip("insightface.app.common", exc_type=ImportError)
        theirs = getattr(zoo, reference)(str(path), session=recorder)
    for box in BOXES:
        face = seen(pixels, box, SIDES[kind])
        left, top, width, height = astuple(face.box)
        expected = common.Face(bbox=np.float32([left, top, left + width, top + height]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.get(bgr, expected)
        fed = recorder.batch
        (read,) = model.read([face])
        np.testing.assert_array_equal(recorder.batch, fed)
        assert_same(read, expected)


def assert_same(read: FaceAttributes, expected: dict[str, Any]) -> None:
    """Expect what insightface wrote into its face, and nothing else."""
    assert ATTRIBUTES[frozenset(expected) - {"bbox"}] == {
        name for name in NAMES if getattr(read, name) is not None
    }
    if read.age is not None and read.gender_presentation is not None:
        assert round(read.age) == expected["age"]
        odds = astuple(read.gender_presentation)
        assert np.argmax(odds) == expected["gender"]
        assert sum(odds) == pytest.approx(1)
    if read.landmarks_106 is not None:
        np.testing.assert_allclose(read.landmarks_106, expected["landmark_2d_106"], rtol=0, atol=1e-4)
    if read.landmarks_68 is not None and read.pose is not None:
        np.testing.assert_allclose(read.landmarks_68, expected["landmark_3d_68"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(astuple(read.pose), expected["pose"], rtol=0, atol=1e-4)


ATTRIBUTES = {
    frozenset({"age", "gender"}): {"age", "gender_presentation"},
    frozenset({"landmark_2d_106"}): {"landmarks_106"},
    frozenset({"landmark_3d_68", "pose"}): {"landmarks_68", "pose"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_faces_of_one_batch(tmp_path: Path, pixels: NDArray[np.uint8], kind: str) -> None:
    """What is read of a face does not depend on the faces that are read with it."""
    model = load(write_table(tmp_path / "m.onnx", SIDES[kind], MODELS[kind].length))
    faces = [seen(pixels, box, SIDES[kind]) for box in BOXES]
    for face, together in zip(faces, model.read(faces), strict=True):
        (alone,) = model.read([face])
        for name in NAMES:
            one, other = (_numbers(getattr(read, name)) for read in (together, alone))
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def _numbers(value: Any) -> Any:
    if isinstance(value, Pose | GenderPresentation):
        return astuple(value)
    return [] if value is None else value


class FixedRow:
    """A session that says the same of every face."""

    def __init__(self, row: Any) -> None:
        """Keep the row."""
        self.row = np.float32(row).reshape(-1)
        self.output_shapes = [(None, self.row.size)]

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the row for each item."""
        return [np.repeat(self.row[None], len(batch), axis=0)]


def reading(kind: str, row: Any, box: tuple[float, ...] = (10, 20, 64, 50)) -> FaceAttributes:
    """Return what a row says of a face in a box."""
    model = MODELS[kind](FixedRow(row), manifest(kind, SIDES[kind], 0.0, 1.0))
    (read,) = model.read([seen(np.zeros((100, 100, 3), np.uint8), box, SIDES[kind])])
    return read


def test_age_and_gender_presentation() -> None:
    """The age comes in years, the two classes as the softmax of their numbers."""
    read = reading("genderage", [1, 3, 0.345])
    assert read.age == pytest.approx(34.5)
    assert read.gender_presentation is not None
    assert read.gender_presentation.feminine == pytest.approx(1 / (1 + np.exp(2)))
    assert read.gender_presentation.masculine == pytest.approx(1 / (1 + np.exp(-2)))


def test_landmarks_in_the_photograph() -> None:
    """The crop's middle is the box's, and its edge lies three quarters of the longer side from there."""
    row = np.zeros((106, 2))
    row[1] = -1, 1
    read = reading("landmark_2d_106", row)
    assert read.landmarks_106 is not None
    np.testing.assert_allclose(read.landmarks_106[:2], [(42, 45), (42 - 48, 45 + 48)], atol=1e-4)


@pytest.mark.parametrize(
    ("turn", "pose"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (0, 0, 0)),
        # The tip of the nose, which is nearest to the viewer, goes up,
        ([[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]], (20, 0, 0)),
        # to the right,
        ([[COS, 0, SIN], [0, 1, 0], [-SIN, 0, COS]], (0, 20, 0)),
        # or stays, and the right of the face goes down.
        ([[COS, -SIN, 0], [SIN, COS, 0], [0, 0, 1]], (0, 0, 20)),
    ],
)
def test_signs_of_the_pose(turn: list[list[float]], pose: tuple[float, ...]) -> None:
    """Up, to the right of the picture, and clockwise are positive, in degrees."""
    shape = np.loadtxt(Path(landmarks.__file__).with_name("mean_shape_68.txt")) @ np.transpose(turn)
    read = reading("landmark_3d_68", np.vstack([np.ones((1035, 3)), shape]))
    assert read.pose is not None
    assert astuple(read.pose) == pytest.approx(pose, abs=1e-3)


def test_landmarks_that_coincide() -> None:
    """Points without extent have some pose, not an error."""
    read = reading("landmark_3d_68", np.zeros(3309))
    assert read.pose is not None
    assert np.isfinite(astuple(read.pose)).all()


def test_model_of_another_length() -> None:
    """A file that is of another kind than its manifest says is refused."""
    with pytest.raises(PackError, match=r"^m\.onnx has outputs of shape .*212.* one of 3309 numbers"):
        Landmarks68Model(FixedRow(np.zeros(212)), manifest("landmark_3d_68", 192, 0.0, 1.0))


def test_names_of_attributes() -> None:
    """Each attribute names a field, and each field is an attribute."""
    assert [field.name for field in fields(FaceAttributes)] == NAMES


def test_what_is_not_wanted_is_left_out() -> None:
    """Of what a model reads only what a request names goes on, whichever model read it."""
    readings = [
        FaceAttributes(age=30, gender_presentation=GenderPresentation(1, 0)),
        FaceAttributes(mask=0.5),
    ]
    joined = FaceAttributes.joined(readings, [Attribute.AGE, Attribute.POSE])
    assert [name for name in NAMES if getattr(joined, name) is not None] == ["age"]
