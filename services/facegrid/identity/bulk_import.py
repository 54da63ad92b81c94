"""Import: encounters whose templates exist already come into a gallery, all of them or none."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from facegrid.domain.calls import Call
from facegrid.domain.columns import SentColumns, TemplateColumns, columns_from_client
from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    GalleryNotFound,
    InvalidField,
    RequestIdReused,
    TemplateVersionMismatch,
    Unavailable,
    WrongMigrationState,
)
from facegrid.domain.galleries import Gallery
from facegrid.domain.quality import check_quality
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records, TemplateImport
from facegrid.identity.projection import Projection

_REPORT_S, _PAUSE_S = 0.5, 2.0


@dataclass(slots=True)
class ImportProgress:
    """How many templates of an import were received and how many are searched; the revision at its end.

    It is `repeated` where an earlier try of the call has stored the encounters.
    """

    gallery: Gallery
    received: int = 0
    searchable: int = 0
    revision: int = 0
    repeated: bool = False


class ImportTemplates:
    """Stores encounters of templates."""

    def __init__(self, galleries: Galleries, records: Records, projection: Projection) -> None:
        """Take the galleries, the records and the projection."""
        self._galleries, self._records, self._projection = galleries, records, projection

    async def __call__(
        self, call: Call, gallery_name: str, template_version: str, batches: AsyncIterator[SentColumns]
    ) -> AsyncGenerator[ImportProgress]:
        """Store all encounters; yields its progress, which is complete when all is durable and searched.

        Raises InvalidField, InvalidTemplate, TemplateVersionMismatch, QualityTooLow and RequestIdReused.
        """
        gallery, _ = await self._galleries.get_with_pack(gallery_name)
        _check_version(gallery, template_version)
        _check_settled(gallery)
        check_quality(None, gallery.quality_rules, "vectors")
        await self._projection.ready(gallery, call.deadline)
        progress, digest = ImportProgress(gallery), hashlib.sha256(template_version.encode())
        with ExitStack() as revising:
            revision = revising.enter_context(self._projection.revise(gallery))
            incoming = await self._records.begin_import(gallery, call, revision)
            try:
                async for sent in batches:
                    columns = await asyncio.to_thread(_checked, sent, gallery.dimension, digest)
                    await incoming.add(columns)
                    progress.received += len(columns.vectors)
                    yield progress
                _check_any(progress)
            except BaseException:
                revising.close()  # nothing was changed
                await asyncio.shield(incoming.discard())
                raise
            sealed = replace(call, fingerprint=digest.hexdigest())
            commit = asyncio.create_task(
                self._commit(sealed, incoming, progress, revision, revising.pop_all())
            )
        while not (await asyncio.wait([commit], timeout=_REPORT_S))[0]:
            yield progress
        await commit
        yield progress

    async def _commit(
        self,
        call: Call,
        incoming: TemplateImport,
        progress: ImportProgress,
        wanted: int,
        revising: ExitStack,
    ) -> None:
        """Publish and show what was written; it goes on where the caller does not wait for it."""
        gallery = progress.gallery
        try:
            with revising:
                try:
                    revision = await incoming.publish(call)
                except RequestIdReused:
                    revising.close()  # likewise
                    raise
                progress.repeated = revision != wanted
                await self._show(gallery, incoming, progress)
            await self._projection.reached(gallery, revision)
            progress.searchable, progress.revision = progress.received, revision
        except (FacegridError, ConfigurationError):
            if not self._projection.is_dropped(gallery):
                await incoming.discard()
                raise
        if self._projection.is_dropped(gallery):
            await self._galleries.erase_remains(gallery)
            raise GalleryNotFound(f"gallery {gallery.name} was deleted meanwhile", field="gallery")

    async def _show(self, gallery: Gallery, incoming: TemplateImport, progress: ImportProgress) -> None:
        """Bring what counts by now to the index, again until it takes it."""
        while True:
            try:
                async for count in self._projection.add_rows(gallery, incoming.rows()):
                    progress.searchable = min(progress.searchable + count, progress.received)
            except Unavailable:
                await asyncio.sleep(_PAUSE_S)
            else:
                return


def _check_settled(gallery: Gallery) -> None:
    if gallery.twin:
        raise WrongMigrationState(
            f"gallery {gallery.name} is moving to another pack, which cannot make templates of templates; "
            "finish or cancel the migration first"
        )


def _check_version(gallery: Gallery, version: str) -> None:
    if version != gallery.template_version:
        raise TemplateVersionMismatch(
            f"the templates are of version {version[:80]!r} and gallery {gallery.name} holds "
            f"{gallery.template_version!r}; import them into a gallery of their own pack",
            field="template_version",
        )


def _check_any(progress: ImportProgress) -> None:
    if not progress.received:
        raise InvalidField("no template was sent; send at least one", field="subject_ids")


def _checked(sent: SentColumns, dimension: int, digest: "hashlib._Hash") -> TemplateColumns:
    """Check columns and add all that they say to a digest of the payload."""
    columns = columns_from_client(sent, dimension)
    labels = [(sorted(one.metadata.items()), one.sub_galleries, one.status.value) for one in sent.labels]
    words = (list(sent.subject_ids), columns.sample_counts.tolist(), labels)
    for part in (repr(words).encode(), columns.norms.tobytes(), sent.vectors):
        digest.update(part)
    return columns
