"""The model packs of a folder, as the command line shows them."""

from functools import partial
from pathlib import Path
from typing import Any

from facegrid.domain.errors import ConfigurationError, InvalidField, PackNotFound
from facegrid.vision.adding import add_pack
from facegrid.vision.convert.open_pack import build_open_pack
from facegrid.vision.download import Downloader, Progress
from facegrid.vision.install import PackInstaller
from facegrid.vision.packs import PackFolder

__all__ = ["add_pack", "build_open_pack", "describe_packs", "pack_installer", "verify_packs"]


_UNMEASURED = (
    0.45,
    "not measured for this pack: that of another ArcFace model; calibrate before relying on it",
)


def pack_installer(models: Path, name: str, progress: Progress) -> PackInstaller:
    """Return what installs a pack of InsightFace's. Raises ConfigurationError."""
    threshold, source = _UNMEASURED
    add = partial(
        add_pack,
        models,
        name,
        licence="non-commercial research only (InsightFace)",
        threshold=threshold,
        threshold_source=source,
    )
    return PackInstaller(models, name, add=add, fetch=Downloader(progress).fetch)


def describe_packs(models: Path) -> list[dict[str, Any]]:
    """Return what each installed pack says of itself, or its problem."""
    folder = PackFolder(models)
    return [_describe(folder, name) for name in folder.names()]


def _describe(folder: PackFolder, name: str) -> dict[str, Any]:
    try:
        manifest = folder.manifest(name)
    except ConfigurationError as error:
        return {"pack": name, "problem": str(error)}
    pack = manifest.pack
    return {
        "pack": name,
        "detector": manifest.detector.kind,
        "template_version": pack.template_version,
        "dimension": pack.dimension,
        "attributes": [attribute.value for attribute in pack.attributes],
        "verify_threshold": pack.thresholds.verify.value,
        "identify_threshold": pack.thresholds.identify.value,
        "licence": manifest.licence,
    }


def verify_packs(models: Path, name: str) -> list[tuple[str, str]]:
    """Return (file, problem) for each file of a pack, or of all packs."""
    folder = PackFolder(models)
    return [row for pack in ([name] if name else folder.names()) for row in _verify(folder, pack)]


def _verify(folder: PackFolder, name: str) -> list[tuple[str, str]]:
    try:
        return [(f"{name}/{report.path}", report.problem) for report in folder.verify(name)]
    except (ConfigurationError, InvalidField, PackNotFound) as error:
        return [(name, str(error))]
