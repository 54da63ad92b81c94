"""Galleries of record: a name leads to a random id, and everything else stands under the id."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from facegrid.domain.calls import Call
from facegrid.domain.errors import GalleryExists, GalleryNotFound, RequestIdReused
from facegrid.domain.galleries import Gallery
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import Claims
from facegrid.storage.records.codec import gallery_form, parse_gallery
from facegrid.storage.records.layout import (
    CLAIMS,
    GALLERIES,
    NAMES,
    PAST_ALL,
    gallery_claim_key,
    gallery_prefix,
    gallery_settings_key,
    name_key,
)

_DELETION = "DeleteGallery"


class StoredGalleries:
    """The galleries of an object store; each method blocks.

    Making one: claim, settings, name. Deleting one: claim, name, and then all the rest. So a gallery is there
    from the moment its name is, and until its name goes.
    """

    def __init__(self, store: ObjectStore) -> None:
        """Take the store."""
        self._store, self._claims = store, Claims(store)
        self._naming = threading.Lock()
        self._known: dict[str, Gallery] = {}

    def create(self, gallery: Gallery, call: Call) -> Gallery:
        """Store a gallery, or return the one that an earlier try made.

        Raises GalleryExists and RequestIdReused.
        """
        key = gallery_claim_key(call.method, call.request_id)
        with self._naming:
            claim = self._claims.find(key, call)
            holder = self._named(gallery.name)
            if holder and (claim is None or claim.made != holder):
                raise _exists(gallery.name)
            if holder is None and claim and claim.deleted:
                raise RequestIdReused(
                    "the gallery that this request id made was deleted; send a new one",
                    field="context.request_id",
                )
            claim = claim or self._claims.make(key, call, gallery.gallery_id)
            return self._finish(replace(gallery, gallery_id=claim.made) if claim else gallery, call)

    def _finish(self, gallery: Gallery, call: Call) -> Gallery:
        form = {
            **gallery_form(gallery),
            "method": call.method,
            "request_id": call.request_id,
            "actor": call.end_user,
        }
        settings = gallery_settings_key(gallery.gallery_id)
        self._store.put_if_absent(settings, to_json(form))
        self._store.put_if_absent(name_key(gallery.name), to_json({"gallery_id": gallery.gallery_id}))
        if self._named(gallery.name) != gallery.gallery_id:
            raise _exists(gallery.name)
        return read(self._store, settings, parse_gallery)

    def known(self, name: str) -> Gallery | None:
        """Return a gallery that was read before, so that a search waits for no store."""
        return self._known.get(name)

    def get(self, name: str) -> Gallery:
        """Return a gallery by name. Raises GalleryNotFound."""
        with self._naming, suppress(ObjectMissing):
            gallery_id = read(self._store, name_key(name), _parse_id)
            self._known[name] = read(self._store, gallery_settings_key(gallery_id), parse_gallery)
            return self._known[name]
        raise _not_found(name)

    def update(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Store a gallery's settings as `change` returns them; of two writers' changes the last one stands.

        Raises GalleryNotFound.
        """
        with self._naming:
            gallery_id = self._named(name)
            if gallery_id is None:
                raise _not_found(name)
            key = gallery_settings_key(gallery_id)
            form = read(self._store, key, dict)
            gallery = change(parse_gallery(form))
            self._store.put(key, to_json({**form, **gallery_form(gallery)}))
            self._known[name] = gallery
            return gallery

    def page(self, after: str, limit: int) -> list[Gallery]:
        """Return up to `limit` galleries after a name. Keys sort otherwise than names, so all are listed."""
        names = sorted(key.removeprefix(NAMES).removesuffix(".json") for key in self._store.keys(NAMES))
        found: list[Gallery] = []
        for name in names:
            if name > after and len(found) < limit:
                with suppress(GalleryNotFound):
                    found.append(self.get(name))
        return found

    def unname(self, name: str, call: Call) -> str:
        """Take the name away and return the gallery's id. Raises GalleryNotFound and RequestIdReused."""
        key = gallery_claim_key(call.method, call.request_id)
        with self._naming:
            holder, claim = self._named(name), self._claims.find(key, call)
            gallery_id = claim.made if claim else holder
            if gallery_id is None:
                raise _not_found(name)
            if claim is None:
                self._claims.make(key, call, gallery_id)
            if holder == gallery_id:
                self._known.pop(name, None)
                self._claims.mark(self._creation_claim(gallery_id), "deleted")
                self._store.delete(name_key(name))
            return gallery_id

    def deleted(self) -> list[str]:
        """Return the ids of the galleries that were deleted."""
        claims = [read(self._store, key, _parse_claim) for key in self._store.keys(CLAIMS)]
        return [made for method, made in claims if method == _DELETION]

    def nameless(self) -> list[str]:
        """Return the ids that no name leads to."""
        named = {read(self._store, key, _parse_id) for key in self._store.keys(NAMES)}
        return [gallery_id for gallery_id in self._ids() if gallery_id not in named]

    def erase(self, gallery_id: str) -> None:
        """Remove every object under an id."""
        self._store.delete_prefix(gallery_prefix(gallery_id))

    def _ids(self) -> Iterator[str]:
        after = ""
        while key := next(self._store.keys(GALLERIES, after), ""):
            gallery_id = key.removeprefix(GALLERIES).partition("/")[0]
            after = gallery_prefix(gallery_id) + PAST_ALL
            yield gallery_id

    def _named(self, name: str) -> str | None:
        try:
            return read(self._store, name_key(name), _parse_id)
        except ObjectMissing:
            return None

    def _creation_claim(self, gallery_id: str) -> str:
        settings = gallery_settings_key(gallery_id)
        return read(self._store, settings, lambda form: gallery_claim_key(form["method"], form["request_id"]))


def _parse_claim(form: Form) -> tuple[str, str]:
    return form["method"], form["made"]


def _parse_id(form: Form) -> str:
    return str(form["gallery_id"])


def _exists(name: str) -> GalleryExists:
    return GalleryExists(f"gallery {name} exists; choose another name", field="name")


def _not_found(name: str) -> GalleryNotFound:
    return GalleryNotFound(f"no gallery is named {name}; make it first, or check the name", field="gallery")
