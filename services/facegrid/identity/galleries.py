"""Galleries: made, described, listed, deleted."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from facegrid.domain.attributes import Attribute
from facegrid.domain.calls import Call
from facegrid.domain.errors import (
    DamagedRecords,
    GalleryNotFound,
    InvalidField,
    PackChanged,
    PackNotFound,
    PackNotInstalled,
)
from facegrid.domain.galleries import Gallery
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings, check_index, check_nprobe
from facegrid.domain.matching import check_threshold
from facegrid.domain.names import check_name
from facegrid.domain.packs import Pack, Threshold, Thresholds, ThresholdSource, check_available
from facegrid.domain.quality import QualityRule, check_quality_rules
from facegrid.identity.extract import Extract
from facegrid.identity.ports import GalleryRecords
from facegrid.identity.projection import Projection
from facegrid.identity.writes import Writes

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1000


@dataclass(frozen=True, slots=True)
class GalleryStatus:
    """A gallery and what its index knows of it."""

    gallery: Gallery
    subject_count: int
    revision: int


class Galleries:
    """The galleries of this server."""

    def __init__(
        self, records: GalleryRecords, projection: Projection, extract: Extract, writes: Writes
    ) -> None:
        """Take the records, the projection, the extraction, which knows the packs, and the writes."""
        self._records, self._projection = records, projection
        self._extract, self._writes = extract, writes

    async def create(
        self,
        call: Call,
        name: str,
        *,
        pack_name: str,
        verify_threshold: float | None,
        identify_threshold: float | None,
        keep_photographs: bool,
        quality_rules: Sequence[QualityRule] = (),
        attributes: Sequence[Attribute] = (),
        index: IndexSettings = EXACT_INDEX,
    ) -> GalleryStatus:
        """Make an empty gallery.

        Raises InvalidField, AttributeNotAvailable, GalleryExists, PackNotFound and RequestIdReused.
        """
        pack = self._extract.pack(pack_name)
        check_available(attributes, pack)
        self._check_method(index)
        gallery = Gallery(
            name=check_name(name, "name"),
            gallery_id=secrets.token_hex(16),
            pack=pack.name,
            template_version=pack.template_version,
            dimension=pack.dimension,
            thresholds=Thresholds(
                threshold_or(verify_threshold, pack.thresholds.verify, "verify_threshold"),
                threshold_or(identify_threshold, pack.thresholds.identify, "identify_threshold"),
            ),
            keep_photographs=keep_photographs,
            created=datetime.now(UTC),
            key=secrets.token_bytes(32),
            quality_rules=check_quality_rules(quality_rules, pack),
            attributes=tuple(attributes),
            index=check_index(index),
        )
        create = partial(self._records.create_gallery, gallery, call)
        return await self._status(await self._writes.finish(create, call.deadline), call)

    async def recover(self) -> None:
        """Finish the deletions and creations that a crash broke off; before the first call only.

        An index that was not in use when a gallery was deleted lets go of it here.
        """
        for gallery_id in await self._records.deleted_galleries():
            await self._projection.drop(gallery_id)
        for gallery_id in await self._records.nameless_galleries():
            await self.remove(gallery_id)

    async def packs(self) -> set[str]:
        """Return the packs that galleries are bound to and that this server holds."""
        bound, held = {gallery.pack async for gallery in self.all()}, set()
        for name in bound:
            with suppress(PackNotFound):
                held.add(self._extract.pack(name).name)
        return held

    async def fill(self) -> dict[str, DamagedRecords]:
        """Fill the index of each gallery; return what is wrong with those whose records can't be read."""
        damaged = {}
        async for gallery in self.all():
            try:
                with suppress(GalleryNotFound):  # deleted while it was filled
                    await self._projection.fill(gallery)
            except DamagedRecords as error:
                damaged[gallery.name] = error
        return damaged

    async def get(self, name: str) -> Gallery:
        """Return a gallery's settings. Raises InvalidField and GalleryNotFound."""
        return await self._records.gallery(check_name(name, "gallery"))

    async def get_status(self, call: Call, name: str) -> GalleryStatus:
        """Return a gallery with its counts. Raises GalleryNotFound and IndexLoading."""
        with _field_is_name():
            gallery = await self._records.gallery(check_name(name, "name"))
        return await self._status(gallery, call)

    async def get_with_pack(self, name: str) -> tuple[Gallery, Pack]:
        """Return a gallery and the pack that it is bound to.

        Raises GalleryNotFound, PackNotInstalled and PackChanged.
        """
        gallery = await self.get(name)
        return gallery, self.pack_of(gallery)

    def pack_of(self, gallery: Gallery) -> Pack:
        """Return the pack that a gallery is bound to. Raises PackNotInstalled and PackChanged."""
        try:
            pack = self._extract.pack(gallery.pack)
        except PackNotFound:
            raise PackNotInstalled(
                f"gallery {gallery.name} is bound to pack {gallery.pack!r}, which this server does not "
                "hold; install it"
            ) from None
        if pack.template_version != gallery.template_version:
            raise PackChanged(
                f"gallery {gallery.name} holds templates of {gallery.template_version!r} and the installed "
                f"pack makes {pack.template_version!r}; install the pack that it was made with, or enrol "
                "into a new gallery"
            )
        return pack

    async def list(
        self, page_size: int, page_token: str, sees: Callable[[str], bool] = lambda _: True
    ) -> tuple[list[Gallery], str]:
        """Return a page of galleries that the caller sees, by their names, and the token of the next one."""
        limit = page_limit(page_size)
        after = check_name(page_token, "page_token") if page_token else ""
        found = await self._records.galleries(after, limit + 1, sees)
        return found[:limit], found[limit - 1].name if len(found) > limit else ""

    async def set_search_parameters(self, name: str, nprobe: int) -> Gallery:
        """Change how many of its index's lists a search of an approximate gallery reads.

        Raises InvalidField, also where the gallery is searched exactly, and GalleryNotFound.
        """
        check_nprobe(nprobe, "nprobe")
        if (await self.get(name)).index.exact:
            raise InvalidField(
                f"gallery {name} is searched exactly, which has no parameters; name an approximate one",
                field="gallery",
            )
        return await self._records.update_gallery(
            name, lambda gallery: replace(gallery, index=replace(gallery.index, nprobe=nprobe))
        )

    async def delete(self, call: Call, name: str) -> None:
        """Remove a gallery and all in it. Raises GalleryNotFound and RequestIdReused."""
        delete = partial(self._delete, call, check_name(name, "name"))
        await self._writes.finish(delete, call.deadline)

    async def erase_remains(self, gallery: Gallery) -> None:
        """Remove what was written to a gallery while it was deleted."""
        await self._records.erase_gallery(gallery.gallery_id)

    def _check_method(self, index: IndexSettings) -> None:
        if not (index.exact or self._projection.approximates):
            raise InvalidField(
                "index.method is APPROXIMATE and this server searches exactly; leave it out, or set "
                "FACEGRID_MILVUS to a Milvus server",
                field="index.method",
            )

    async def all(self) -> AsyncIterator[Gallery]:
        """Yield all galleries, each followed by its twin where it is moving to another pack."""
        page, token = await self.list(_LARGEST_PAGE, "")
        while page:
            for gallery in page:
                yield gallery
                if gallery.twin:
                    yield gallery.twin
            page, token = await self.list(_LARGEST_PAGE, token) if token else ([], "")

    async def _delete(self, call: Call, name: str) -> None:
        with _field_is_name():
            gallery_id = await self._records.unname_gallery(name, call)
        await self.remove(gallery_id)

    async def remove(self, gallery_id: str, *, moved: bool = False) -> None:
        """Remove what stands under an id that no name leads to; `moved` is for Projection.drop."""
        await self._projection.drop(gallery_id, moved=moved)
        await self._records.erase_gallery(gallery_id)

    async def _status(self, gallery: Gallery, call: Call) -> GalleryStatus:
        await self._projection.ready(gallery, call.deadline)
        return GalleryStatus(
            gallery, self._projection.subject_count(gallery), self._projection.revision(gallery)
        )


@contextmanager
def _field_is_name() -> Iterator[None]:
    """Name the field at fault as the calls do that are about a gallery itself."""
    try:
        yield
    except GalleryNotFound as error:
        error.field = "name"
        raise


def page_limit(page_size: int) -> int:
    """Return the size of a page, the default for 0. Raises InvalidField outside 0..1000."""
    if not 0 <= page_size <= _LARGEST_PAGE:
        raise InvalidField(f"page_size is {page_size}; ask for 1 to {_LARGEST_PAGE}", field="page_size")
    return page_size or _DEFAULT_PAGE


def threshold_or(value: float | None, default: Threshold, field: str) -> Threshold:
    """Return an operator's threshold, or the pack's where there is none. Raises InvalidField."""
    if value is None:
        return default
    return Threshold(check_threshold(value, field), ThresholdSource.OPERATOR)
