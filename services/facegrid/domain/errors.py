"""The errors that callers can act on; the gateway alone maps them to status codes.

FacegridError
├── InvalidInput          the request must change before it can succeed
│   ├── InvalidField          a name, id, number or enum outside its range
│   ├── InvalidPhotograph     not decodable, or a kind that is not accepted
│   ├── PhotographTooLarge    more bytes or pixels than the limit
│   ├── ManyFacesFound        several faces where exactly one was asked for
│   ├── QualityTooLow         a sample does not keep the gallery's quality rules
│   ├── InvalidTemplate       wrong length, not finite, or not normalised
│   └── NoFaceFound, FaceTooSmall, MessageTooLarge
├── NotFound              GalleryNotFound, SubjectNotFound, EncounterNotFound, PackNotFound
├── Conflict              GalleryExists, SubjectExists, RequestIdReused
├── Unauthenticated       nobody knows who calls
├── NotPermitted          nobody allowed it
│   ├── PermissionDenied      no grant of the policy allows the caller this
│   └── AttributeNotAllowed   neither the server nor the gallery allows an attribute
├── WrongState            the request is right, the system's state does not allow it
│   ├── TemplateVersionMismatch
│   ├── PackChanged           the gallery is bound to another version of its pack
│   ├── PackNotInstalled      the gallery is bound to a pack that this server does not hold
│   ├── AttributeNotAvailable the pack has no model that reads an attribute
│   ├── EncounterDeleted      a request id whose encounter was deleted
│   ├── MaintenanceRunning    another call does such work on the gallery
│   └── WrongMigrationState   the gallery's migration, or the lack of one, does not allow it
├── Unavailable           the same request may succeed later
│   ├── IndexLoading, RevisionNotReached, GalleryMoved
│   └── StoreUnavailable, ModelUnavailable, LeaderUnavailable, ServerStopping
└── StorageFull, Overloaded

ConfigurationError stands beside the tree: it is for whoever starts the program, never for a client.

Each leaf has a `reason`, which is the name of a value of `facegrid.v1.ErrorReason` without its prefix.
"""

from collections.abc import Mapping
from typing import ClassVar


class FacegridError(Exception):
    """An error with a reason from the API's vocabulary and a sentence that says what to do."""

    reason: ClassVar[str] = ""

    def __init__(self, message: str, *, field: str = "", metadata: Mapping[str, str] | None = None) -> None:
        """Keep the sentence for the client, the field (dotted path) at fault, and figures for programs."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.metadata = dict(metadata or {})

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a process border, field and figures included."""
        return _rebuild, (type(self), self.message, self.field, self.metadata)


def _rebuild(kind: type[FacegridError], message: str, field: str, metadata: dict[str, str]) -> FacegridError:
    return kind(message, field=field, metadata=metadata)


class ConfigurationError(Exception):
    """The program cannot start or go on as it is set up; the sentence names what to change."""


class DamagedRecords(ConfigurationError):
    """An object of the records can't be read; the sentence, for operators, names its key."""


class InvalidInput(FacegridError):
    """The request must change before it can succeed."""


class InvalidField(InvalidInput):
    """A name, id, number or enum is outside its range."""

    reason = "INVALID_FIELD"


class InvalidPhotograph(InvalidInput):
    """The bytes are not a photograph of an accepted kind."""

    reason = "INVALID_PHOTOGRAPH"


class PhotographTooLarge(InvalidInput):
    """The photograph has more bytes or pixels than the limit."""

    reason = "PHOTOGRAPH_TOO_LARGE"


class NoFaceFound(InvalidInput):
    """The photograph shows no face."""

    reason = "NO_FACE_FOUND"


class ManyFacesFound(InvalidInput):
    """The photograph shows several faces where exactly one was asked for."""

    reason = "MANY_FACES_FOUND"


class FaceTooSmall(InvalidInput):
    """The faces found are smaller than the limit."""

    reason = "FACE_TOO_SMALL"


class QualityTooLow(InvalidInput):
    """A sample does not keep the gallery's quality rules, or is a template, which cannot be judged."""

    reason = "QUALITY_TOO_LOW"


class InvalidTemplate(InvalidInput):
    """A template has the wrong length, is not finite or is not normalised."""

    reason = "INVALID_TEMPLATE"


class MessageTooLarge(InvalidInput):
    """The request is larger than the server accepts."""

    reason = "MESSAGE_TOO_LARGE"


class NotFound(FacegridError):
    """What the request names is not there."""


class GalleryNotFound(NotFound):
    """No gallery has this name."""

    reason = "GALLERY_NOT_FOUND"


class SubjectNotFound(NotFound):
    """The gallery has no subject with this id."""

    reason = "SUBJECT_NOT_FOUND"


class EncounterNotFound(NotFound):
    """The subject has no encounter with this id."""

    reason = "ENCOUNTER_NOT_FOUND"


class PackNotFound(NotFound):
    """No model pack of this name is installed."""

    reason = "PACK_NOT_FOUND"


class Conflict(FacegridError):
    """What the request would make is already there."""


class GalleryExists(Conflict):
    """A gallery of this name exists."""

    reason = "GALLERY_EXISTS"


class SubjectExists(Conflict):
    """The subject exists and the mode is CREATE."""

    reason = "SUBJECT_EXISTS"


class RequestIdReused(Conflict):
    """The request id was used before with another payload."""

    reason = "REQUEST_ID_REUSED"


class Unauthenticated(FacegridError):
    """Nobody knows who calls."""

    reason = "UNAUTHENTICATED"


class NotPermitted(FacegridError):
    """Nobody allowed what the request asks for."""


class PermissionDenied(NotPermitted):
    """No grant of the policy allows the caller this."""

    reason = "PERMISSION_DENIED"


class AttributeNotAllowed(NotPermitted):
    """Neither the server nor the gallery allows an attribute."""

    reason = "ATTRIBUTE_NOT_ALLOWED"


class WrongState(FacegridError):
    """The request is right, but the state of the system does not allow it."""


class TemplateVersionMismatch(WrongState):
    """Templates of different versions never compare."""

    reason = "TEMPLATE_VERSION_MISMATCH"


class PackChanged(WrongState):
    """The gallery is bound to another version of its pack than the installed one."""

    reason = "PACK_CHANGED"


class PackNotInstalled(WrongState):
    """The gallery is bound to a pack that this server does not hold."""

    reason = "PACK_NOT_INSTALLED"


class AttributeNotAvailable(WrongState):
    """The pack has no model that reads an attribute."""

    reason = "ATTRIBUTE_NOT_AVAILABLE"


class EncounterDeleted(WrongState):
    """The encounter of this request id was deleted and is never enrolled again."""

    reason = "ENCOUNTER_DELETED"


class WrongMigrationState(WrongState):
    """The gallery has no migration or another one, or this one has to go on first."""

    reason = "WRONG_MIGRATION_STATE"


class MaintenanceRunning(WrongState):
    """Another call does work on the gallery of which one runs at a time."""

    reason = "MAINTENANCE_RUNNING"


class Unavailable(FacegridError):
    """The same request may succeed later."""


class IndexLoading(Unavailable):
    """The gallery's index is still being filled."""

    reason = "INDEX_LOADING"


class RevisionNotReached(Unavailable):
    """The gallery did not reach the asked revision within the deadline."""

    reason = "REVISION_NOT_REACHED"


class StoreUnavailable(Unavailable):
    """The object store or the index did not answer."""

    reason = "STORE_UNAVAILABLE"


class ModelUnavailable(Unavailable):
    """No process that runs the models answered."""

    reason = "MODEL_UNAVAILABLE"


class LeaderUnavailable(Unavailable):
    """Of the servers on one store, the one that may change it can't be reached from here."""

    reason = "LEADER_UNAVAILABLE"


class ServerStopping(Unavailable):
    """The server takes no more calls."""

    reason = "SERVER_STOPPING"


class GalleryMoved(Unavailable):
    """A migration of the gallery ended while the call was under way."""

    reason = "GALLERY_MOVED"


class StorageFull(FacegridError):
    """The object store has no room, or no quota, left."""

    reason = "STORAGE_FULL"


class Overloaded(FacegridError):
    """The server is at its limit; retry after a while."""

    reason = "OVERLOADED"
