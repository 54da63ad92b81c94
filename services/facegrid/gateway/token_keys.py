"""The public keys that tokens are signed with."""

import asyncio
import http.client
import ssl
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import structlog

from facegrid.domain.errors import ConfigurationError

# Signatures by a key pair alone: with HMAC a public key would sign as well as it verifies.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
_REFRESH_S, _REFRESH_AT_ONCE_S = 300.0, 10.0
_LONGEST_WAIT_S = 2.0  # of a call, for a set that is read meanwhile
_FETCH_S = 10
_LARGEST_SET = 1024 * 1024
_UNREADABLE = (OSError, ValueError, http.client.HTTPException, jwt.PyJWTError)
_Keys = Mapping[str | None, jwt.PyJWK]


class TokenKeys:
    """The keys of a JWKS (RFC 7517), from a file or a URL, read again as they grow old.

    Where they cannot be read again, those that were read before go on to count.
    """

    def __init__(self, source: str, ca_file: Path | None = None) -> None:
        """Read the set. Raises ConfigurationError where there is none."""
        self._source, self._ca_file = source, ca_file
        self._reading: asyncio.Task[None] | None = None
        try:
            self._keys, self._read_at = self._fetch(), time.monotonic()
        except _UNREADABLE as error:
            raise ConfigurationError(
                f"FACEGRID_AUTH_JWKS: no key set could be read from {source}: {error}"
            ) from None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return a key; an unknown one makes the set be read again, at most every ten seconds.

        A call waits where its key is not known, or the set so old that the key may have been withdrawn.
        """
        known = key_id in self._keys or (key_id is None and len(self._keys) == 1)
        age_s = time.monotonic() - self._read_at
        if age_s > (_REFRESH_S if known else _REFRESH_AT_ONCE_S):
            self._reading = self._reading or asyncio.create_task(self._refresh())
        if self._reading and not (known and age_s <= 2 * _REFRESH_S):
            await asyncio.wait({self._reading}, timeout=_LONGEST_WAIT_S)
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        try:
            self._keys = await asyncio.to_thread(self._fetch)
        except _UNREADABLE as error:
            structlog.get_logger().warning("key set not read", cause=type(error).__name__)
        finally:
            self._read_at, self._reading = time.monotonic(), None

    def _fetch(self) -> _Keys:
        try:
            keys = jwt.PyJWKSet.from_json(self._bytes().decode()).keys
        except (AttributeError, TypeError):
            raise ValueError("it is no JWKS") from None
        signing = [key for key in keys if key.public_key_use in {None, "sig"}]
        usable = {key.key_id: key for key in signing if key.algorithm_name in ALGORITHMS}
        if not usable:
            raise ValueError(f"it has no key for {', '.join(ALGORITHMS)}")
        return usable

    def _bytes(self) -> bytes:
        if "://" not in self._source:
            return Path(self._source).read_bytes()
        if not self._source.startswith("https://"):
            raise ValueError("use https://, or a file")
        trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self._ca_file))
        with urllib.request.build_opener(trust, _StayHere).open(self._source, timeout=_FETCH_S) as answer:
            data: bytes = answer.read(_LARGEST_SET)
            return data


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which may lead to where nobody proves who answers."""

    def redirect_request(self, *_: Any) -> None:
        return None
