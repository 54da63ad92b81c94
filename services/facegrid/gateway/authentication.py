"""Who calls: the certificate of the connection, a bearer token, or whom another server calls for."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import grpc
import jwt

from facegrid.domain.access import Principal
from facegrid.domain.errors import Unauthenticated
from facegrid.gateway.token_keys import ALGORITHMS, TokenKeys

PRINCIPAL = "facegrid-principal-bin"  # metadata of a call that a server passes on: for whom it is
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
_CLOCK_SKEW_S = 60
_LONGEST_NAME = 256  # that of a request's end_user
_AUTHORIZATION, _BEARER = "authorization", "bearer "
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Authentication:
    """Tells who calls; a token counts before a certificate."""

    def __init__(
        self,
        keys: TokenKeys | None,
        *,
        issuer: str,
        audience: str,
        groups_claim: str,
        servers: frozenset[str] = frozenset(),
    ) -> None:
        """Take the keys that sign tokens, if tokens are accepted, and what a token must say.

        `servers` are the names in certificates of servers, which say for whom they call.
        """
        self._keys, self._groups_claim, self._servers = keys, groups_claim, servers
        self._issuer, self._audience = issuer or None, audience

    async def principal(self, context: _Context) -> Principal:
        """Return the caller. Raises Unauthenticated."""
        if self._keys and (token := _token(context)):
            return await self._of_token(self._keys, token)
        name = _name_of_certificate(context)
        asserted = _only(context, PRINCIPAL)
        if (name in self._servers) != isinstance(asserted, bytes):
            raise Unauthenticated(
                "the servers that the policy names say for whom they call, and no other caller"
            )
        if not isinstance(asserted, bytes):
            return Principal(name)
        return Principal(_checked(asserted.decode(errors="replace")))

    async def passed_on(self, context: _Context) -> Metadata:
        """Return what tells another server who calls: a token speaks for itself. Raises Unauthenticated."""
        caller = await self.principal(context)
        return () if self._keys and _token(context) else ((PRINCIPAL, caller.name.encode()),)

    async def _of_token(self, keys: TokenKeys, token: str) -> Principal:
        try:
            key = await keys.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise Unauthenticated("the token is signed by a key that is not known; get a new token")
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_CLOCK_SKEW_S,
                options={"require": ["exp", "sub", "aud"], "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired; get a new one") from None
        except jwt.PyJWTError:
            raise Unauthenticated("the token is not valid here; get one for this service") from None
        return Principal(_checked(claims["sub"]), self._groups(claims))

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        groups = claims.get(self._groups_claim, [])
        named = groups if isinstance(groups, list) else [groups]
        return frozenset(one for one in named if isinstance(one, str))


def _token(context: _Context) -> str:
    header = _only(context, _AUTHORIZATION)
    if isinstance(header, str) and header[: len(_BEARER)].lower() == _BEARER:
        return header[len(_BEARER) :]
    return ""


def _only(context: _Context, key: str) -> str | bytes | None:
    """Return the value of a key of the metadata. Raises Unauthenticated where there are several."""
    values = [value for name, value in context.invocation_metadata() or () if name == key]
    if len(values) > 1:
        raise Unauthenticated(f"the call has several values of {key}; send one")
    return values[0] if values else None


def _name_of_certificate(context: _Context) -> str:
    """Return the subject alternative name that stands for the client, which TLS has verified.

    That is its only URI, such as a SPIFFE id, or else its first DNS name or e-mail address.
    """
    known = context.auth_context()
    match known.get("peer_uri", ()), (*known.get("peer_dns", ()), *known.get("peer_email", ())):
        case ([name], _) | ([], [name, *_]):
            return _checked(name.decode(errors="replace"))
    raise Unauthenticated("nothing says who calls; send a bearer token, or connect with a certificate")


def _checked(name: str) -> str:
    """Return the name of a caller. Raises Unauthenticated for one that could not be written down."""
    if not (name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME):
        raise Unauthenticated("the caller's name is empty, too long or not printable; get another one")
    return name
