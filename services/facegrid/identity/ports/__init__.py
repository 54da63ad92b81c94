"""What the use cases need from the world. Adapters fit these by shape and inherit nothing."""

from facegrid.identity.ports.indexes import Index, SharedIndex
from facegrid.identity.ports.models import AttributeReader, Detector, Embedder, Packs
from facegrid.identity.ports.records import Claim, GalleryRecords, Hold, Records, TemplateImport

__all__ = [
    "AttributeReader",
    "Claim",
    "Detector",
    "Embedder",
    "GalleryRecords",
    "Hold",
    "Index",
    "Packs",
    "Records",
    "SharedIndex",
    "TemplateImport",
]
