"""Certificates and tokens that tests make for themselves: keys and those of good callers once a session."""

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

AUDIENCE, ISSUER = "facegrid", "https://issuer.test"


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def uri(name: str) -> x509.UniformResourceIdentifier:
    """Return a SPIFFE id as a name of certificates."""
    return x509.UniformResourceIdentifier(f"spiffe://test/{name}")


class Authority:
    """A certificate authority with a file of its own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        """Make the authority's key and certificate."""
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        made = _builder(self._subject, self._subject, self._key).add_extension(constraints, critical=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *alternatives: x509.GeneralName,
        valid_for_s: float = 3600,
        folder: Path | None = None,
    ) -> tuple[Path, Path]:
        """Write a certificate and its key, into the authority's folder or another; returns the files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _builder(subject, self._subject, key, valid_for_s)
        if alternatives:
            made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate, secret = ((folder or self._folder) / f"{name}.{kind}" for kind in ("pem", "key"))
        signed = made.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(pem(key))
        return certificate, secret

    def issue_server(self, name: str = "server") -> tuple[Path, Path]:
        """Write a certificate of a server at 127.0.0.1, which is a client of others under its URI."""
        return self.issue(name, LOOPBACK, uri(f"server/{name}"))


class Issuer:
    """Signs tokens with a key of each algorithm, named after it; `jwks` is the file of the public keys."""

    def __init__(self, folder: Path) -> None:
        """Make the keys and publish them."""
        self.jwks = folder / "jwks.json"
        self.keys: dict[str, Any] = {
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "RS256": rsa.generate_private_key(65537, 2048),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }
        self.publish(*self.keys)

    def form(self, key_id: str) -> dict[str, str]:
        """Return a public key as a JWK."""
        algorithm = jwt.get_algorithm_by_name(key_id)
        return json.loads(algorithm.to_jwk(self.keys[key_id].public_key())) | {"kid": key_id, "alg": key_id}

    def publish(self, *key_ids: str) -> None:
        """Write the public keys of some ids."""
        self.jwks.write_text(json.dumps({"keys": [self.form(one) for one in key_ids]}))

    def token(self, subject: str, key_id: str = "ES256", algorithm: str = "", **changed: Any) -> str:
        """Return a token of a subject; claims may be changed, or left out with None."""
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
        claims = {"sub": subject, "aud": AUDIENCE, "iss": ISSUER, "exp": expires} | changed
        said = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(said, self.keys[key_id], algorithm or key_id, {"kid": key_id})


def _unsigned(_: Issuer) -> str:
    return jwt.encode(_CLAIMS, None, "none", {"kid": "ES256"})


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """Use as a secret what everyone knows; PyJWT itself refuses to make such a token."""
    public = issuer.keys["RS256"].public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "RS256"}, _CLAIMS)]
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return b".".join([*parts, _base64(hmac.sign(b".".join(parts), secret))]).decode()


def _signed_by_another_key(_: Issuer) -> str:
    other = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(_CLAIMS, other, "ES256", {"kid": "ES256"})


def _signed_by_an_unknown_key(issuer: Issuer) -> str:
    return jwt.encode(_CLAIMS, issuer.keys["ES256"], "ES256", {"kid": "unknown"})


def _signed_in_another_way(issuer: Issuer) -> str:
    """Name an algorithm that is accepted, and sign with a key of another one."""
    return jwt.encode(_CLAIMS, issuer.keys["RS256"], "RS256", {"kid": "ES256"})


def _signed_weakly(issuer: Issuer) -> str:
    return jwt.encode(_CLAIMS, issuer.keys["RS256"], "RS512", {"kid": "RS256"})


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


_CLAIMS = {"sub": "keeper", "aud": AUDIENCE, "iss": ISSUER, "exp": 2**32}
BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "no token": lambda _: "",
    "garbage": lambda _: "a.b.c",
    "expired": lambda issuer: issuer.token("keeper", exp=1),
    "not valid yet": lambda issuer: issuer.token("keeper", nbf=2**32),
    "without expiry": lambda issuer: issuer.token("keeper", exp=None),
    "for another audience": lambda issuer: issuer.token("keeper", aud="another"),
    "for no audience": lambda issuer: issuer.token("keeper", aud=None),
    "of another issuer": lambda issuer: issuer.token("keeper", iss="https://another.test"),
    "of nobody": lambda issuer: issuer.token(""),
    "of a name that breaks the log's lines": lambda issuer: issuer.token("keeper\n"),
    "algorithm none": _unsigned,
    "key confusion: HS256 with the public key": _signed_with_the_public_key,
    "signed by another key": _signed_by_another_key,
    "unknown kid": _signed_by_an_unknown_key,
    "signed with the algorithm of another key": _signed_in_another_way,
    "signed with an algorithm that is not accepted": _signed_weakly,
}


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid_for_s: float = 3600
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(seconds=valid_for_s))
    )
