"""The model packs of a folder, as the command line shows them."""

from pathlib import Path
from typing import Any

from facegrid.domain.errors import ConfigurationError, InvalidField, PackNotFound
from facegrid.vision.convert.open_pack import build_open_pack
from facegrid.vision.packs import PackFolder

__all__ = ["build_open_pack", "describe_packs", "verify_packs"]


def describe_packs(models: Path) -> list[dict[str, Any]]:
    """Return what each installed pack says of itself. Raises ConfigurationError."""
    folder = PackFolder(models)
    described = []
    for manifest in map(folder.manifest, folder.names()):
        pack = manifest.pack
        described.append(
            {
                "pack": pack.name,
                "detector": manifest.detector.kind,
                "template_version": pack.template_version,
                "dimension": pack.dimension,
                "verify_threshold": pack.thresholds.verify.value,
                "identify_threshold": pack.thresholds.identify.value,
                "licence": manifest.licence,
            }
        )
    return described


def verify_packs(models: Path, name: str) -> list[tuple[str, str]]:
    """Return (file, problem) for each file of a pack, or of all packs. Raises ConfigurationError."""
    folder = PackFolder(models)
    try:
        return [
            (f"{pack}/{report.path}", report.problem)
            for pack in ([name] if name else folder.names())
            for report in folder.verify(pack)
        ]
    except (InvalidField, PackNotFound) as error:
        raise ConfigurationError(error.message) from None
