"""Who calls, and how a call that is made again is recognised."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """What a request's context says, whichever way it came in.

    `fingerprint` is a digest of a mutation's payload: the same `request_id` with another one is refused.
    `timeout_s` is what is left of the caller's deadline; None where there is none.
    """

    method: str
    request_id: str
    fingerprint: str = ""
    timeout_s: float | None = None
    transaction_id: str = ""
    purpose: str = ""
    case_id: str = ""
    end_user: str = ""
