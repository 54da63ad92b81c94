"""Makes a pack of a folder of ONNX files."""

import hashlib
import json
import tempfile
from pathlib import Path

from facegrid.domain.names import check_name
from facegrid.vision.external import content_of
from facegrid.vision.inspection import DETECTORS, EMBEDDER, InspectedModel, inspect_model
from facegrid.vision.manifest import MANIFEST_FILE, PackError
from facegrid.vision.packs import PackFolder

# Side, score and overlap that the makers of each kind use by default: InsightFace's, and OpenCV's for YuNet.
_DETECTOR_SIDE = 640
_DETECTOR_THRESHOLDS = {"scrfd": (0.5, 0.4), "retinaface": (0.5, 0.4), "yunet": (0.9, 0.3)}


def add_pack(
    root: Path,
    name: str,
    folder: Path,
    *,
    licence: str,
    threshold: float,
    threshold_source: str = "given when the pack was added",
) -> Path:
    """Make the pack `name` below `root` of the one detector and one embedder in `folder`; return its folder.

    Attribute models in `folder` are left out, because no request uses them. The pack appears complete and
    loaded once, or not at all. Raises InvalidField and PackError.
    """
    target = root / check_name(name, "pack")
    if target.exists():
        raise PackError(f"a pack {name!r} is there already; remove its folder or choose another name")
    models = [inspect_model(path) for path in sorted(folder.glob("*.onnx"))]
    detector, embedder = _only(models, DETECTORS, "detector"), _only(models, (EMBEDDER,), "embedder")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding-") as staging:
        staged = Path(staging) / name
        staged.mkdir()
        digests = [_copy(model, staged) for model in (detector, embedder)]
        thresholds = {"value": threshold, "source": threshold_source}
        text = _manifest(name, detector, embedder, digests, licence=licence, thresholds=thresholds)
        (staged / MANIFEST_FILE).write_text(text, "utf-8")
        PackFolder(Path(staging)).load(name)
        staged.rename(target)
    return target


def _only(models: list[InspectedModel], kinds: tuple[str, ...], wanted: str) -> InspectedModel:
    chosen = [model for model in models if model.kind in kinds]
    if len(chosen) != 1:
        found = ", ".join(f"{model.path.name} ({model.kind})" for model in models) or "no *.onnx file"
        raise PackError(f"the folder needs exactly one {wanted} and has {len(chosen)}; it holds {found}")
    return chosen[0]


def _copy(model: InspectedModel, folder: Path) -> str:
    content = content_of(model.path)
    (folder / model.path.name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _manifest(
    name: str,
    detector: InspectedModel,
    embedder: InspectedModel,
    digests: list[str],
    *,
    licence: str,
    thresholds: dict[str, object],
) -> str:
    score, overlap = _DETECTOR_THRESHOLDS[detector.kind]
    tables: dict[str, dict[str, object]] = {
        "": {"schema_version": 1, "name": name, "licence": licence},
        "detector": {
            "kind": detector.kind,
            "input_size": detector.side or _DETECTOR_SIDE,
            "score_threshold": score,
            "overlap_threshold": overlap,
        },
        "detector.model": _file(detector, digests[0], licence),
        "embedder": {
            "kind": "onnx",
            "alignment": f"arcface-{embedder.side}",
            "dimension": embedder.dimension,
        },
        "embedder.model": _file(embedder, digests[1], licence),
        "embedder.input": {
            "layout": "NCHW",
            "colour": "RGB",
            "side": embedder.side,
            "mean": [embedder.mean] * 3,
            "std": embedder.std,
        },
        "thresholds.verify": thresholds,
        "thresholds.identify": thresholds,
    }
    return "\n".join(line for title, table in tables.items() for line in _lines(title, table))


def _file(model: InspectedModel, digest: str, licence: str) -> dict[str, object]:
    return {"path": model.path.name, "sha256": digest, "licence": licence, "source": "added from a folder"}


def _lines(title: str, table: dict[str, object]) -> list[str]:
    """Return a TOML table; JSON's strings, numbers and lists are TOML's as well."""
    pairs = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    return [*([f"\n[{title}]"] if title else []), *pairs]
