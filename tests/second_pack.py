"""A pack beside the open one whose templates are of another version and tell the same people apart."""

import shutil
from pathlib import Path


def add_second_pack(models: Path, packs: Path) -> Path:
    """Copy the open pack to another folder, with a second one, "other", whose centre differs by a hair."""
    for name in ("open", "other"):
        shutil.copytree(models / "open", packs / name)
    manifest = packs / "other" / "manifest.toml"
    text = manifest.read_text("utf-8").replace('name = "open"', 'name = "other"')
    manifest.write_text(text.replace("-0.060925,", "-0.060926,"), "utf-8")
    return packs
