"""Galleries of record: a name leads to a random id, and everything else stands under the id."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace

from facegrid.domain.calls import Call
from facegrid.domain.errors import GalleryExists, GalleryNotFound, RequestIdReused, WrongMigrationState
from facegrid.domain.galleries import Gallery, Migration, MigrationState, Watermark, no_gallery
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import Claims
from facegrid.storage.records.codec import gallery_form, parse_gallery, parse_watermark
from facegrid.storage.records.layout import (
    CLAIMS,
    GALLERIES,
    NAMES,
    PAST_ALL,
    gallery_claim_key,
    gallery_prefix,
    gallery_settings_key,
    name_key,
    watermark_key,
)

_DELETIONS = {"DeleteGallery", "FinishMigration", "CancelMigration"}


class StoredGalleries:
    """The galleries of an object store; each method blocks.

    Making one: claim, settings, name. Deleting one: claim, name, and then all the rest. So a gallery is there
    from the moment its name is, and until its name goes. During a migration one name leads to two galleries,
    of which one is searched; they are exchanged by writing the name's object.
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
            gallery = replace(gallery, gallery_id=claim.made) if claim else gallery
            self._known[gallery.name] = self._finish(gallery, call)
            return self._known[gallery.name]

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
        """Return a gallery that was read or made before, so that a search waits for no store."""
        return self._known.get(name)

    def get(self, name: str) -> Gallery:
        """Return a gallery by name. Raises GalleryNotFound."""
        with self._naming:
            return self._read(name)

    def _read(self, name: str) -> Gallery:
        try:
            form = read(self._store, name_key(name), dict)
            gallery = self._settings(form["gallery_id"])
            if moving := form.get("migration"):
                twin, state = self._settings(moving["twin_id"]), MigrationState(moving["state"])
                gallery = replace(gallery, migration=Migration(twin, state, moving["shadow"]))
        except ObjectMissing:
            raise no_gallery(name) from None
        self._known[name] = gallery
        return gallery

    def _settings(self, gallery_id: str) -> Gallery:
        return read(self._store, gallery_settings_key(gallery_id), parse_gallery)

    def migrate(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Let a name lead to what `change` makes of its gallery and migration, in one step.

        A twin that is new gets the settings of its gallery. Raises GalleryNotFound.
        """
        with self._naming:
            old = self._read(name)
            new = change(old)
            if new.twin and old.twin is None:
                form = read(self._store, gallery_settings_key(old.gallery_id), dict)
                settings = to_json({**form, **gallery_form(new.twin)})
                self._store.put(gallery_settings_key(new.twin.gallery_id), settings)
            self._store.put(name_key(name), to_json(_name_form(new)))
            self._known[name] = new
            return new

    def end_migration(self, name: str, call: Call, check: Callable[[Gallery], None]) -> str:
        """Take the twin's name away and return its id, if `check` raises nothing; a repeated call, again.

        Raises GalleryNotFound and RequestIdReused.
        """
        key = gallery_claim_key(call.method, call.request_id)
        with self._naming:
            gallery, claim = self._read(name), self._claims.find(key, call)
            if claim is None:
                check(gallery)
            if gallery.twin and (claim is None or claim.made == gallery.twin.gallery_id):
                claim = claim or self._claims.make(key, call, gallery.twin.gallery_id)
                self._store.put(name_key(name), to_json({"gallery_id": gallery.gallery_id}))
                self._known[name] = replace(gallery, migration=None)
                return gallery.twin.gallery_id
            return claim.made if claim else ""

    def update(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Store a gallery's settings as `change` returns them; of two writers' changes the last one stands.

        Raises GalleryNotFound.
        """
        with self._naming:
            gallery_id = self._named(name)
            if gallery_id is None:
                raise no_gallery(name)
            key = gallery_settings_key(gallery_id)
            form = read(self._store, key, dict)
            self._store.put(key, to_json({**form, **gallery_form(change(parse_gallery(form)))}))
            return self._read(name)

    def page(self, after: str, limit: int, sees: Callable[[str], bool]) -> list[Gallery]:
        """Return up to `limit` galleries after a name that `sees` accepts.

        Keys sort otherwise than names, so all are listed.
        """
        names = sorted(key.removeprefix(NAMES).removesuffix(".json") for key in self._store.keys(NAMES))
        found: list[Gallery] = []
        for name in names:
            if name > after and len(found) < limit and sees(name):
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
                raise no_gallery(name)
            if gallery_id == holder and self._read(name).twin:
                raise WrongMigrationState(
                    f"gallery {name} is moving to another pack; finish or cancel that first", field="name"
                )
            if claim is None:
                self._claims.make(key, call, gallery_id)
            if holder == gallery_id:
                self._known.pop(name, None)
                self._claims.mark(self._creation_claim(gallery_id), "deleted")
                self._store.delete(name_key(name))
            return gallery_id

    def deleted(self) -> list[str]:
        """Return the ids of the galleries that were deleted, not of those whose deletion has only begun."""
        claims, named = (
            [read(self._store, key, _parse_claim) for key in self._store.keys(CLAIMS)],
            self._led_to(),
        )
        return [made for method, made in claims if method in _DELETIONS and made not in named]

    def nameless(self) -> list[str]:
        """Return the ids that no name leads to."""
        named = self._led_to()
        return [gallery_id for gallery_id in self._ids() if gallery_id not in named]

    def watermark(self, gallery_id: str) -> Watermark | None:
        """Return how far a gallery's index had come."""
        try:
            return read(self._store, watermark_key(gallery_id), parse_watermark)
        except ObjectMissing:
            return None

    def set_watermark(self, gallery_id: str, watermark: Watermark) -> None:
        """Write down how far a gallery's index has come."""
        self._store.put(watermark_key(gallery_id), to_json(asdict(watermark)))

    def _led_to(self) -> set[str]:
        """Return the ids that names lead to."""
        forms = [read(self._store, key, dict) for key in self._store.keys(NAMES)]
        twins = {form["migration"]["twin_id"] for form in forms if "migration" in form}
        return {form["gallery_id"] for form in forms} | twins

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
            return str(read(self._store, name_key(name), dict)["gallery_id"])
        except ObjectMissing:
            return None

    def _creation_claim(self, gallery_id: str) -> str:
        settings = gallery_settings_key(gallery_id)
        return read(self._store, settings, lambda form: gallery_claim_key(form["method"], form["request_id"]))


def _parse_claim(form: Form) -> tuple[str, str]:
    return form["method"], form["made"]


def _name_form(gallery: Gallery) -> dict[str, object]:
    form: dict[str, object] = {"gallery_id": gallery.gallery_id}
    if (moving := gallery.migration) is not None:
        state, twin_id = moving.state.value, moving.twin.gallery_id
        form["migration"] = {"twin_id": twin_id, "state": state, "shadow": moving.shadow}
    return form


def _exists(name: str) -> GalleryExists:
    return GalleryExists(f"gallery {name} exists; choose another name", field="name")
