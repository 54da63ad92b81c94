"""What is read of faces beside their identity: only what a request names and somebody allowed."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from facegrid.domain.attributes import Attribute, FaceAttributes, attribute_names
from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.errors import AttributeNotAllowed, InvalidField
from facegrid.domain.faces import DetectedFace, FaceSelection
from facegrid.domain.packs import Pack, check_available
from facegrid.identity.extract import Extract, naming
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import AttributeReader


@dataclass(frozen=True, slots=True)
class AnalyzedFace:
    """A face and what was read of it."""

    face: DetectedFace
    attributes: FaceAttributes


class Analyze:
    """Reads attributes of the faces of a photograph."""

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        reader: AttributeReader,
        allowed: Collection[Attribute],
    ) -> None:
        """Take the galleries, the extraction, the port, and the attributes that any request may name."""
        self._galleries, self._extract = galleries, extract
        self._reader, self._allowed = reader, frozenset(allowed)

    async def __call__(
        self,
        photograph: bytes,
        attributes: Collection[Attribute],
        selection: FaceSelection,
        *,
        pack_name: str,
        gallery_name: str,
        detection: DetectionOptions = SERVER_DEFAULT,
    ) -> list[AnalyzedFace]:
        """Return the faces that are meant with these attributes, best detection first.

        Raises InvalidField, AttributeNotAllowed, AttributeNotAvailable, what extraction raises, and for a
        gallery GalleryNotFound, PackNotInstalled and PackChanged.
        """
        if not attributes:
            raise InvalidField("attributes is empty; name at least one", field="attributes")
        pack, allowed = await self._permission(pack_name, gallery_name)
        _check_allowed(attributes, allowed)
        check_available(attributes, pack)
        alignments = {pack.attributes[attribute] for attribute in attributes} - {""}
        with naming("photograph"):
            faces = await self._extract.faces(photograph, pack, selection, sorted(alignments), detection)
        read = await self._reader.read(faces, pack.name, attributes)
        return [AnalyzedFace(replace(face, crops={}), one) for face, one in zip(faces, read, strict=True)]

    async def _permission(self, pack_name: str, gallery_name: str) -> tuple[Pack, frozenset[Attribute]]:
        """Return the pack to use, and all that the server and the gallery allow together."""
        if not gallery_name:
            return self._extract.pack(pack_name), self._allowed
        gallery, pack = await self._galleries.get_with_pack(gallery_name)
        if pack_name not in {"", pack.name}:
            raise InvalidField(
                f"pack is {pack_name[:80]!r} and gallery {gallery.name} is bound to {pack.name!r}; "
                "leave one of the two out",
                field="pack",
            )
        return pack, self._allowed.union(gallery.attributes)


def _check_allowed(attributes: Collection[Attribute], allowed: Collection[Attribute]) -> None:
    if refused := attribute_names(set(attributes).difference(allowed)):
        raise AttributeNotAllowed(
            f"{refused} is not allowed here; name a gallery that allows it, or let the server's operator set "
            "FACEGRID_ATTRIBUTES",
            field="attributes",
        )
