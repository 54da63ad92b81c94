"""Where records stand in the object store. No key holds personal data: subjects are keyed hashes."""

import hashlib
import hmac
from dataclasses import dataclass

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Gallery

TENANT = "tenants/default/"
NAMES = f"{TENANT}names/"
GALLERIES = f"{TENANT}galleries/"
CLAIMS = f"{TENANT}requests/"
PAST_ALL = "~"  # sorts after every character of a key
_HASH_DIGITS = 32


def name_key(name: str) -> str:
    """Return the key under which a gallery's name leads to its id."""
    return f"{NAMES}{name}.json"


def gallery_prefix(gallery_id: str) -> str:
    """Return the prefix of everything that belongs to a gallery, save its name."""
    return f"{GALLERIES}{gallery_id}/"


def gallery_settings_key(gallery_id: str) -> str:
    """Return the key of a gallery's settings."""
    return f"{gallery_prefix(gallery_id)}gallery.json"


def watermark_key(gallery_id: str) -> str:
    """Return the key of the object that says how far a gallery's index has come."""
    return f"{gallery_prefix(gallery_id)}index.json"


def gallery_claim_key(method: str, request_id: str) -> str:
    """Return the key of the claim of a call that makes or deletes a gallery."""
    digest = hashlib.sha256(f"{method}|{request_id}".encode()).hexdigest()
    return f"{CLAIMS}{digest[:_HASH_DIGITS]}.json"


@dataclass(frozen=True, slots=True)
class GalleryLayout:
    """The keys of one gallery's objects."""

    gallery: Gallery

    @property
    def settings(self) -> str:
        """The key of the gallery's settings."""
        return gallery_settings_key(self.gallery.gallery_id)

    @property
    def subjects(self) -> str:
        """The prefix of all subjects."""
        return f"{gallery_prefix(self.gallery.gallery_id)}subjects/"

    @property
    def tombstones(self) -> str:
        """The prefix of all tombstones."""
        return f"{gallery_prefix(self.gallery.gallery_id)}tombstones/"

    @property
    def amendments(self) -> str:
        """The prefix of all amendments."""
        return f"{gallery_prefix(self.gallery.gallery_id)}amendments/"

    @property
    def claims(self) -> str:
        """The prefix of the claims of all enrolments."""
        return f"{gallery_prefix(self.gallery.gallery_id)}requests/"

    @property
    def segments(self) -> str:
        """The prefix of the compacted records of the gallery's template version."""
        return f"{gallery_prefix(self.gallery.gallery_id)}segments/{self.gallery.template_version}/"

    @property
    def left_behind(self) -> str:
        """The prefix of what a migration could not bring into the gallery."""
        return f"{gallery_prefix(self.gallery.gallery_id)}left-behind/"

    def set_aside(self, sid: str = "", encounter_id: str = "") -> str:
        """Return the prefix of what a repair moved away: all of it, a subject's or an encounter's."""
        prefix = f"{gallery_prefix(self.gallery.gallery_id)}quarantine/"
        return prefix + "".join(f"{one}/" for one in (sid, encounter_id) if one)

    def subject(self, subject_id: str) -> str:
        """Return the prefix of a subject's objects."""
        return f"{self.subjects}{self.sid(subject_id)}/"

    def photograph(self, subject_id: str, encounter_id: str, sample: int) -> str:
        """Return the key of the photograph of a sample."""
        return f"{encounter_prefix(self.subject(subject_id), encounter_id)}{sample}/source"

    def sid(self, subject_id: str) -> str:
        """Return the keyed hash under which a subject stands."""
        return self._hash(subject_id)

    def claim(self, encounter_id: str) -> str:
        """Return the key of the claim of an enrolment."""
        return f"{self.claims}{encounter_id}.json"

    def request(self, call: Call) -> str:
        """Return the name under which a call's tombstone, amendment or import is remembered."""
        return self._hash(f"{call.method}|{call.request_id}")

    def _hash(self, text: str) -> str:
        return hmac.digest(self.gallery.key, text.encode(), "sha256").hex()[:_HASH_DIGITS]


def encounter_prefix(subject: str, encounter_id: str) -> str:
    """Return the prefix of an encounter's objects below its subject's prefix."""
    return f"{subject}encounters/{encounter_id}/"


def mark_key(subject: str, encounter_id: str) -> str:
    """Return the key of the object that commits an encounter."""
    return f"{encounter_prefix(subject, encounter_id)}encounter.json"
