"""Makes a pack of a folder of ONNX files."""

import hashlib
import json
import tempfile
from pathlib import Path

from facegrid.domain.names import check_name
from facegrid.vision.inspection import DETECTORS, EMBEDDER, InspectedModel, content_of, inspect_model
from facegrid.vision.manifest import MANIFEST_FILE, READ_BY_KIND, PackError
from facegrid.vision.packs import PackFolder

# Side, score and overlap that the makers of each kind use by default: InsightFace's, and OpenCV's for YuNet.
_DETECTOR_SIDE = 640
_DETECTOR_THRESHOLDS = {"scrfd": (0.5, 0.4), "retinaface": (0.5, 0.4), "yunet": (0.9, 0.3)}

_Table = dict[str, object]


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

    Attribute models in `folder`, one of a kind, are taken along. The pack appears complete and loaded once,
    or not at all. Raises InvalidField and PackError.
    """
    target = root / check_name(name, "pack")
    if target.exists():
        raise PackError(f"a pack {name!r} is there already; remove its folder or choose another name")
    models = [inspect_model(path) for path in sorted(folder.glob("*.onnx"))]
    detector, embedder = _only(models, DETECTORS, "detector"), _only(models, (EMBEDDER,), "embedder")
    kinds = {model.kind for model in models}
    attributes = [_only(models, (kind,), kind) for kind in READ_BY_KIND if kind in kinds]
    chosen = [detector, embedder, *attributes]
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".adding-") as staging:
        staged = Path(staging) / name
        staged.mkdir()
        thresholds: _Table = {"value": threshold, "source": threshold_source}
        tables = [
            ("", {"schema_version": 1, "name": name, "licence": licence}),
            *(table for model in chosen for table in _tables(model, _copy(model, staged, licence))),
            ("[thresholds.verify]", thresholds),
            ("[thresholds.identify]", thresholds),
        ]
        text = "".join(f"{line}\n" for title, table in tables for line in _lines(title, table))
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


def _copy(model: InspectedModel, folder: Path, licence: str) -> _Table:
    content = content_of(model.path)
    (folder / model.path.name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"path": model.path.name, "sha256": digest, "licence": licence, "source": "added from a folder"}


def _tables(model: InspectedModel, file: _Table) -> list[tuple[str, _Table]]:
    if model.kind in DETECTORS:
        return [("[detector]", _detector(model)), ("[detector.model]", file)]
    contract: _Table = {"side": model.side, "mean": model.mean, "std": model.std}
    if model.kind != EMBEDDER:
        return [("[[attributes]]", {"kind": model.kind} | contract), ("[attributes.model]", file)]
    contract |= {"layout": "NCHW", "colour": "RGB", "mean": [model.mean] * 3}
    settings: _Table = {
        "kind": "onnx",
        "alignment": f"arcface-{model.side}",
        "dimension": model.dimension,
    }
    return [("[embedder]", settings), ("[embedder.model]", file), ("[embedder.input]", contract)]


def _detector(model: InspectedModel) -> _Table:
    score, overlap = _DETECTOR_THRESHOLDS[model.kind]
    return {
        "kind": model.kind,
        "input_size": model.side or _DETECTOR_SIDE,
        "score_threshold": score,
        "overlap_threshold": overlap,
        "mask": model.mask,
    }


def _lines(title: str, table: _Table) -> list[str]:
    """Return a TOML table; JSON's strings, numbers and lists are TOML's as well."""
    pairs = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    return [*([f"\n{title}"] if title else []), *pairs]
