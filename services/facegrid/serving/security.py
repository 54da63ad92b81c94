"""What keeps callers apart, as the settings say: certificates, tokens and the policy."""

import ssl
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from facegrid.domain.access import Grant, Permission, Policy, PurposeRule
from facegrid.domain.errors import ConfigurationError
from facegrid.gateway.access import AccessControl, Security
from facegrid.gateway.authentication import Authentication
from facegrid.gateway.tls import PeerTls, ServerCredentials, server_credentials
from facegrid.gateway.token_keys import TokenKeys
from facegrid.settings import Settings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Pattern = Annotated[str, Field(pattern=r"^\P{C}+$")]
_GalleryPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._*-]*$")]
_Exact = Annotated[str, Field(pattern=r"^[^*\p{C}]+$")]  # `*` would look like a pattern and match nobody


class _GrantForm(_Strict):
    role: str
    galleries: tuple[_GalleryPattern, ...] = Field(min_length=1)
    principals: tuple[_Pattern, ...] = ()
    groups: frozenset[_Exact] = frozenset()


class _PurposeForm(_Strict):
    galleries: tuple[_GalleryPattern, ...] = Field(min_length=1)
    allowed: tuple[_Pattern, ...] = Field(min_length=1)


class _PolicyForm(_Strict):
    roles: dict[str, frozenset[Permission]]
    grants: tuple[_GrantForm, ...]
    purposes: tuple[_PurposeForm, ...] = ()
    servers: frozenset[_Exact] = frozenset()


def open_security(settings: Settings) -> Security:
    """Read certificates, keys and policy. Raises ConfigurationError and OSError."""
    return Security(_credentials(settings), _access(settings), _peers(settings))


def inner_security(settings: Settings) -> Security:
    """Return what a server on a Unix socket of its own process needs: whoever reaches it may call."""
    return Security(peers=_peers(settings))


def load_policy(file: Path) -> Policy:
    """Read a policy (TOML). Raises ConfigurationError that names the place at fault, and OSError."""
    try:
        form = _PolicyForm.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is no TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{file}: {_fault(error.errors()[0])}") from None
    return Policy(
        [_grant(file, number, grant, form.roles) for number, grant in enumerate(form.grants)],
        [PurposeRule(rule.galleries, rule.allowed) for rule in form.purposes],
        form.servers,
    )


def _fault(error: ErrorDetails) -> str:
    place, given = ".".join(str(part) for part in error["loc"]), error["input"]
    return f"{place}: {f'{given!r}: ' if isinstance(given, str) else ''}{error['msg']}"


def _grant(file: Path, number: int, grant: _GrantForm, roles: dict[str, frozenset[Permission]]) -> Grant:
    if grant.role not in roles:
        raise ConfigurationError(f"{file}: grants.{number}.role: [roles] has no {grant.role!r}")
    if not (grant.principals or grant.groups):
        raise ConfigurationError(f"{file}: grants.{number}: name principals or groups that it is for")
    return Grant(roles[grant.role], grant.principals, grant.groups, grant.galleries)


def _credentials(settings: Settings) -> ServerCredentials | None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        if certificate or key or settings.tls_client_ca:
            raise ConfigurationError("set both FACEGRID_TLS_CERTIFICATE and FACEGRID_TLS_KEY")
        return None
    credentials = server_credentials(certificate, key, settings.tls_client_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")  # else a prompt
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"FACEGRID_TLS_CERTIFICATE and FACEGRID_TLS_KEY are no pair of PEM files: {error.reason}"
        ) from None
    for ca in filter(None, (settings.tls_client_ca, settings.tls_server_ca)):
        _check_ca(context, ca)
    return credentials


def _check_ca(context: ssl.SSLContext, ca: Path) -> None:
    text = ca.read_text("utf-8", "replace")
    try:
        context.load_verify_locations(cadata=text)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{ca} is no PEM file of certificates: {error.reason}") from None


def _peers(settings: Settings) -> PeerTls | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return PeerTls(settings.tls_certificate, settings.tls_key, settings.tls_server_ca)


def _access(settings: Settings) -> AccessControl | None:
    if not (settings.tls_client_ca or settings.auth_jwks):
        if settings.auth_policy:
            raise ConfigurationError(
                "FACEGRID_AUTH_POLICY is set and nothing says who calls; set FACEGRID_TLS_CLIENT_CA or "
                "FACEGRID_AUTH_JWKS as well"
            )
        return None
    if settings.auth_policy is None:
        raise ConfigurationError("nothing says what callers may do; set FACEGRID_AUTH_POLICY")
    if settings.auth_jwks and not settings.auth_audience:
        raise ConfigurationError("set FACEGRID_AUTH_AUDIENCE: tokens for other services must not count")
    policy = load_policy(settings.auth_policy)
    authentication = Authentication(
        TokenKeys(settings.auth_jwks, settings.auth_jwks_ca) if settings.auth_jwks else None,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        groups_claim=settings.auth_groups_claim,
        servers=policy.servers,
    )
    return AccessControl(authentication, policy)
