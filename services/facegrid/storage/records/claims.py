"""Claims: which payload a request id stands for, and what became of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from facegrid.domain.calls import Call
from facegrid.domain.errors import RequestIdReused
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A claim as it stands in the store. `made` is the id of the encounter or gallery that it is bound to.

    `discarded` says that an enrolment that was broken off was removed; its mark does not count, should it
    come late.
    """

    made: str
    deleted: bool
    discarded: bool = False


class Claims:
    """The claims of an object store."""

    def __init__(self, store: ObjectStore) -> None:
        """Take the store."""
        self._store = store

    def find(self, key: str, call: Call) -> StoredClaim | None:
        """Return the claim of an earlier try of this call. Raises RequestIdReused."""
        try:
            fingerprint, claim = read(self._store, key, parse_claim)
        except ObjectMissing:
            return None
        check_fingerprint(fingerprint, call)
        return claim

    def make(self, key: str, call: Call, made: str, **more: str) -> StoredClaim | None:
        """Bind the call to what it is to make, or return the earlier try's claim. Raises RequestIdReused."""
        form = {
            **more,
            "made": made,
            "method": call.method,
            "fingerprint": call.fingerprint,
            "time": datetime.now(UTC).isoformat(),
            "state": "active",
        }
        return None if self._store.put_if_absent(key, to_json(form)) else self.find(key, call)

    def mark(self, key: str, state: str, **more: str) -> None:
        """Let the claim say what became of what it made; a deletion is for good: no retry undoes it."""
        try:
            form = read(self._store, key, dict)
        except ObjectMissing:
            return
        if form.get("state") not in {state, "deleted"}:
            self._store.put(key, to_json({**form, **more, "state": state}))


def check_fingerprint(fingerprint: str, call: Call) -> None:
    """Compare the payload of an earlier try, where it is known, with this one's. Raises RequestIdReused."""
    if fingerprint not in {"", call.fingerprint}:
        raise RequestIdReused(
            "the request id was used before with another payload; send a new one", field="context.request_id"
        )


def unknown_claim(made: str, state: str = "active") -> dict[str, str]:
    """Return the form of a claim for what had none, or lost it: of the call nothing is known."""
    now = datetime.now(UTC).isoformat()
    return {"made": made, "method": "", "fingerprint": "", "time": now, "state": state}


def parse_claim(form: Form) -> tuple[str, StoredClaim]:
    """Return the fingerprint of a claim's payload, and the claim."""
    return form["fingerprint"], StoredClaim(
        form["made"], form["state"] == "deleted", form["state"] == "discarded"
    )
