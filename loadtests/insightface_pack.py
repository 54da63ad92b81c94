"""The pack of SCRFD-2.5GF and MobileFaceNet that insightface.toml describes."""

import shutil
from pathlib import Path

from facegrid.vision.packs import PackFolder


def copy_insightface_pack(models: Path, assets: Path) -> list[Path]:
    """Make the pack below `models` of the files in `assets`; return its files, the detector's first."""
    folder = models / "insightface"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("insightface.toml"), folder / "manifest.toml")
    manifest = PackFolder(models).manifest("insightface")
    for file in manifest.files:
        shutil.copy(assets / file.path, folder)
    return [folder / file.path for file in manifest.files]
