"""Who may call: authentication, the policy, and what connections are made of, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from facegrid.domain.access import Permission, Policy, Rights
from facegrid.gateway.authentication import Authentication, Metadata
from facegrid.gateway.tls import PeerTls

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AccessControl:
    """Knows what a caller may do."""

    def __init__(self, authentication: Authentication, policy: Policy) -> None:
        """Take what tells callers apart, and what they may do."""
        self._authentication, self._policy = authentication, policy

    async def rights(self, context: _Context) -> Rights:
        """Return what the caller may do. Raises Unauthenticated."""
        return self._policy.of(await self._authentication.principal(context))

    async def reads(self, context: _Context, purpose: str) -> Callable[[str], bool]:
        """Return what says which galleries the caller may read of for a purpose. Raises Unauthenticated."""
        rights = await self.rights(context)
        return lambda gallery: rights.holds(Permission.VERIFY, gallery) and rights.opens(gallery, purpose)

    async def passed_on(self, context: _Context) -> Metadata:
        """Return what tells another server who calls this one. Raises Unauthenticated."""
        return await self._authentication.passed_on(context)


@dataclass(frozen=True, slots=True)
class Security:
    """How connections are encrypted, callers known, and other servers reached; None is not at all."""

    credentials: grpc.ServerCredentials | None = None
    access: AccessControl | None = None
    peers: PeerTls | None = None


OPEN = Security()
