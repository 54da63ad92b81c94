"""The keys that tokens are signed with: from a file or a URL, which may fail at the start and later."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority, Issuer
from facegrid.domain.errors import ConfigurationError
from facegrid.gateway import token_keys
from facegrid.gateway.token_keys import TokenKeys


class _Keys(BaseHTTPRequestHandler):
    """Answers with what its server holds."""

    def do_GET(self) -> None:
        """Send the set, once it may be had, or lead to another place, or send what is no HTTP."""
        self.server.asked += 1
        self.server.free.wait(10)
        if self.server.text == "broken":
            self.wfile.write(b"broken\r\n\r\n")
            return
        self.send_response(302 if self.path == "/moved" else 200 if self.server.text else 503)
        self.send_header("Location", "/jwks")
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _KeyServer(ThreadingHTTPServer):
    """An HTTPS server of a key set."""

    text, asked = "", 0

    def __init__(self, *given: Any) -> None:
        """Let sets be had at once."""
        self.free = threading.Event()
        self.free.set()
        super().__init__(*given)


@contextmanager
def _serving(authority: Authority) -> Iterator[_KeyServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue_server("keys"))
    with _KeyServer(("127.0.0.1", 0), _Keys) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def keys_at(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[_KeyServer]:
    """Serve an empty set, and let sets be read again at once."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(token_keys, "_REFRESH_AT_ONCE_S", 0.0)
    with _serving(authority) as server:
        yield server


def _url(server: _KeyServer, path: str = "jwks") -> str:
    return f"https://127.0.0.1:{server.server_port}/{path}"


def _set(issuer: Issuer, *key_ids: str) -> str:
    return json.dumps({"keys": [issuer.form(one) for one in key_ids]})


async def test_a_new_key_is_fetched_when_it_is_met(
    keys_at: _KeyServer, authority: Authority, issuer: Issuer
) -> None:
    """A key that is not known makes the set be read again, one that is known does not."""
    keys_at.text = _set(issuer, "ES256")
    keys = TokenKeys(_url(keys_at), authority.file)
    assert await keys.key("ES256")
    assert keys_at.asked == 1
    keys_at.text = _set(issuer, "ES256", "EdDSA")
    assert await keys.key("EdDSA")
    assert await keys.key("unknown") is None


@pytest.mark.parametrize(
    "later", ["", "broken", "garbage", "[]", '{"keys": []}', '{"keys": 7}', '{"keys": [{"kty": 1}]}']
)
async def test_keys_outlive_the_source(
    keys_at: _KeyServer, authority: Authority, issuer: Issuer, later: str
) -> None:
    """A URL that fails later, or holds nothing of use, takes no key away, and is asked again."""
    keys_at.text = _set(issuer, "ES256")
    keys = TokenKeys(_url(keys_at), authority.file)
    keys_at.text = later
    assert await keys.key("EdDSA") is None
    assert await keys.key("ES256")
    keys_at.text = _set(issuer, "EdDSA")
    assert await keys.key("EdDSA")
    assert await keys.key("ES256") is None


@pytest.mark.parametrize(
    "case", ["down", "failing", "broken", "without its CA", "moved", "in the clear", "missing file"]
)
def test_a_source_that_fails_at_the_start(
    keys_at: _KeyServer, authority: Authority, issuer: Issuer, tmp_path: Path, case: str
) -> None:
    """A server that could check no token does not start, and names the setting."""
    keys_at.text = {"failing": "", "broken": "broken"}.get(case, _set(issuer, "ES256"))
    source = {
        "down": "https://127.0.0.1:1/jwks",
        "moved": _url(keys_at, "moved"),
        "in the clear": _url(keys_at).replace("https", "http"),
        "missing file": str(tmp_path / "missing.json"),
    }.get(case, _url(keys_at))
    with pytest.raises(ConfigurationError, match="FACEGRID_AUTH_JWKS"):
        TokenKeys(source, None if case == "without its CA" else authority.file)


async def test_nobody_waits_long_for_a_source(
    keys_at: _KeyServer, authority: Authority, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is not known is so while the set is being read, which goes on."""
    monkeypatch.setattr(token_keys, "_LONGEST_WAIT_S", 0.01)
    keys_at.text = _set(issuer, "ES256")
    keys = TokenKeys(_url(keys_at), authority.file)
    keys_at.text = _set(issuer, "ES256", "EdDSA")
    keys_at.free.clear()
    assert await keys.key("EdDSA") is None
    assert await keys.key("ES256")
    keys_at.free.set()
    async with asyncio.timeout(10):
        while not await keys.key("EdDSA"):
            await asyncio.sleep(0)


async def test_a_key_that_was_withdrawn_opens_no_quiet_server(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first call after a long time waits for the keys as they are then."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(_set(issuer, "ES256", "EdDSA"))
    keys = TokenKeys(str(jwks))
    jwks.write_text(_set(issuer, "EdDSA"))
    assert await keys.key("ES256")
    monkeypatch.setattr(token_keys, "_REFRESH_S", 0.0)
    assert await keys.key("ES256") is None


def test_a_shared_secret_is_no_key(tmp_path: Path, issuer: Issuer) -> None:
    """Keys that both sides would have to know never count, nor those that are for encryption."""
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "RS256", "alg": "HS256"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [secret]}))
    with pytest.raises(ConfigurationError, match="no key for RS256, ES256, EdDSA"):
        TokenKeys(str(tmp_path / "jwks.json"))
    to_encrypt = issuer.form("RS256") | {"use": "enc"}
    kept = issuer.form("ES256") | {"use": "sig"}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [secret, to_encrypt, kept]}))
    assert TokenKeys(str(tmp_path / "jwks.json"))._keys.keys() == {"ES256"}
