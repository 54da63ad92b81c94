"""The manifest of a model pack: keys without a default are needed, none may be unknown, errors say which."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from facegrid.domain.alignment import Alignment, alignment_named
from facegrid.domain.attributes import Attribute
from facegrid.domain.errors import ConfigurationError, InvalidField
from facegrid.domain.faces import Floats
from facegrid.domain.names import check_name
from facegrid.domain.packs import NormQuality, Pack, Threshold, Thresholds, ThresholdSource

MANIFEST_FILE = "manifest.toml"

# Part of each template version: raise it with any change of code that moves templates.
_PREPROCESSING_VERSION = 1

# What the models of each kind read.
READ_BY_KIND = {
    "genderage": (Attribute.AGE, Attribute.GENDER_PRESENTATION),
    "landmark_2d_106": (Attribute.LANDMARKS_106,),
    "landmark_3d_68": (Attribute.LANDMARKS_68, Attribute.POSE),
}

_Text = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Numbers = Annotated[tuple[float, ...], Field(strict=False)]  # TOML's arrays are lists
_STRIDE = 32  # the coarsest of the detectors of one file
_REMEDIES = {"missing": "add this key", "extra_forbidden": "remove this key or correct its spelling"}


class PackError(ConfigurationError):
    """A model pack that cannot be used; the sentence names the file and what the operator should do."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _canvas(size: object) -> tuple[int, int]:
    """Return (width, height) of the side of a square, or of the two."""
    match size:
        case int():
            width = height = size
        case [int() as width, int() as height]:
            pass
        case _:
            raise ValueError(f"{size!r} is neither an integer nor [width, height]")
    if min(width, height) < _STRIDE or width % _STRIDE or height % _STRIDE:
        raise ValueError(f"{size!r} is not made of a multiple of {_STRIDE}, nor of two")
    return width, height


class ModelFile(_Table):
    """A file in the pack's own folder, what it must hash to, and whose work it is."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: _Text
    source: _Text


class OnePassManifest(_Table):
    """A detector of one file. The photograph is fitted into a canvas of `input_size` pixels.

    That is the side of a square, or [width, height]. A file that fixes its input needs that very size here.
    """

    kind: Literal["scrfd", "retinaface", "yunet"]
    model: ModelFile
    input_size: Annotated[tuple[int, int], PlainValidator(_canvas)]
    score_threshold: _Share
    overlap_threshold: _Share
    mask: bool = False  # whether the file states the probability of a mask

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The one file."""
        return (self.model,)


class MtcnnManifest(_Table):
    """An MTCNN detector.

    The photograph's longer side is scaled down to `input_size` pixels, if it is longer;
    `smallest_face` counts pixels after that. `score_thresholds` has one number a stage.
    """

    kind: Literal["mtcnn"]
    pnet: ModelFile
    rnet: ModelFile
    onet: ModelFile
    input_size: Annotated[int, Field(ge=32)]
    smallest_face: Annotated[int, Field(ge=12)]
    score_thresholds: Annotated[tuple[_Share, _Share, _Share], Field(strict=False)]
    mask: ClassVar[bool] = False

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files of the three stages."""
        return (self.pnet, self.rnet, self.onet)


class InputContract(_Table):
    """What an embedder is fed: (pixel - mean) / std, mean in the order of `colour`."""

    layout: Literal["NCHW"]
    colour: Literal["RGB", "BGR"]
    side: Annotated[int, Field(ge=1)]
    mean: Annotated[tuple[float, float, float], Field(strict=False)]
    std: Annotated[float, Field(gt=0)]


class CentreManifest(_Table):
    """The vector that is subtracted from raw features, and where it comes from."""

    values: _Numbers
    source: _Text


class NormQualityManifest(_Table):
    """The norms of templates that tell nothing of their person, and of good ones, with their measurement."""

    low: Annotated[float, Field(ge=0)]
    high: float
    source: _Text

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"high is {self.high}, not above low, {self.low}")
        return self


class EmbedderManifest(_Table):
    """An ONNX embedder. Only `centre` and `norm_quality` may be left out."""

    kind: Literal["onnx"]
    model: ModelFile
    input: InputContract
    alignment: str
    dimension: Annotated[int, Field(ge=1)]
    centre: CentreManifest | None = None
    norm_quality: NormQualityManifest | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        try:
            side = self.crop.side
        except InvalidField as error:
            raise ValueError(error.message) from error
        if self.input.side != side:
            raise ValueError(f"input.side is {self.input.side} and crops of {self.alignment} have {side}")
        if self.centre is not None and len(self.centre.values) != self.dimension:
            raise ValueError(f"centre.values has {len(self.centre.values)} of {self.dimension} numbers")
        return self

    @property
    def crop(self) -> Alignment:
        """How a face is cut for this embedder."""
        return alignment_named(self.alignment)

    @property
    def centre_vector(self) -> Floats | None:
        """The centre, float32 (dimension,)."""
        return None if self.centre is None else np.array(self.centre.values, np.float32)


class AttributeManifest(_Table):
    """A model that reads attributes off a crop of `side` pixels around the box, fed (pixel - mean) / std."""

    kind: Literal["genderage", "landmark_2d_106", "landmark_3d_68"]
    model: ModelFile
    side: Annotated[int, Field(ge=32)]
    mean: float
    std: Annotated[float, Field(gt=0)]

    @property
    def alignment(self) -> str:
        """The name of the crop."""
        return f"box-{self.side}"


class ThresholdManifest(_Table):
    """A score and the measurement that it comes from."""

    value: Annotated[float, Field(ge=-1, le=1)]
    source: _Text


class ThresholdsManifest(_Table):
    """The pack's own operating points."""

    verify: ThresholdManifest
    identify: ThresholdManifest


class Manifest(_Table):
    """All that a pack's folder says of itself."""

    schema_version: Literal[1]
    name: str
    licence: _Text
    detector: Annotated[OnePassManifest | MtcnnManifest, Field(discriminator="kind")]
    embedder: EmbedderManifest
    thresholds: ThresholdsManifest
    attributes: Annotated[tuple[AttributeManifest, ...], Field(strict=False)] = ()

    @field_validator("attributes")
    @classmethod
    def _has_one_of_a_kind(cls, models: tuple[AttributeManifest, ...]) -> tuple[AttributeManifest, ...]:
        if len({model.kind for model in models}) < len(models):
            raise ValueError("two models are of one kind; keep one of them")
        return models

    @model_validator(mode="after")
    def _is_named_well(self) -> Self:
        try:
            check_name(self.template_version, "name")
        except InvalidField as error:
            raise ValueError(f"name does not serve for a template version: {error.message}") from error
        return self

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """Every model file, the detector's first."""
        return (
            *self.detector.files,
            self.embedder.model,
            *(attributes.model for attributes in self.attributes),
        )

    @property
    def template_version(self) -> str:
        """The pack's name and a digest of all that moves its templates."""
        embedder = self.embedder.model_dump(include={"input", "alignment"})
        centre = None if self.embedder.centre is None else self.embedder.centre.values
        essence = [_PREPROCESSING_VERSION, self.embedder.model.sha256, embedder, centre]
        canonical = json.dumps(essence, sort_keys=True, separators=(",", ":"))
        return f"{self.name}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"

    @property
    def pack(self) -> Pack:
        """What the rest of the system needs to know."""
        verify, identify = self.thresholds.verify.value, self.thresholds.identify.value
        norm = self.embedder.norm_quality
        return Pack(
            name=self.name,
            template_version=self.template_version,
            dimension=self.embedder.dimension,
            alignment=self.embedder.alignment,
            thresholds=Thresholds(
                Threshold(verify, ThresholdSource.PACK_DEFAULT),
                Threshold(identify, ThresholdSource.PACK_DEFAULT),
            ),
            norm_quality=NormQuality(norm.low, norm.high) if norm else None,
            attributes={
                attribute: model.alignment
                for model in self.attributes
                for attribute in READ_BY_KIND[model.kind]
            }
            | ({Attribute.MASK: ""} if self.detector.mask else {}),
        )


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises PackError that names every wrong key."""
    shown = f"{path.parent.name}/{path.name}"
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        wrong = "; ".join(_sentence(found["loc"], found["type"], found["msg"]) for found in error.errors())
        raise PackError(f"{shown}: {wrong}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PackError(f"{shown} is not readable as TOML: {error}; correct the file") from error


def _sentence(place: tuple[int | str, ...], kind: str, message: str) -> str:
    # The discriminator stands in the path as if it were a key.
    kinds = {"scrfd", "retinaface", "yunet", "mtcnn"}
    key = ".".join(str(part) for part in place if part not in kinds) or "the whole"
    return f"{key}: {_REMEDIES.get(kind, f'{message}; correct this value')}"
