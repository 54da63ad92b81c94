"""How an S3-compatible server is reached: the store's URL, its keys, TLS, time-outs and retries."""

import configparser
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import AWSConfigProvider, EnvAWSProvider, Provider
from urllib3 import PoolManager, Retry, Timeout

from facegrid.domain.errors import ConfigurationError
from facegrid.storage.objects.store import check_key

_CONNECT_S, _READ_S = 2, 5
_TRANSIENT = (409, 429, 500, 502, 503, 504)  # 409: two conditional writes of one key at once
_FORM = "write https://HOST[:PORT]/BUCKET[/PREFIX], and the keys elsewhere"


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket of a server, and the prefix within it that is ours: empty, or ending with `/`.

    Without a region the server is asked for the bucket's; without a CA file the system's are trusted;
    without a credentials file the environment has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """

    endpoint: str
    secure: bool
    bucket: str
    prefix: str = ""
    region: str = ""
    ca_file: Path | None = None
    credentials_file: Path | None = None

    @classmethod
    def parse(
        cls, url: str, *, region: str = "", ca_file: Path | None = None, credentials_file: Path | None = None
    ) -> Self:
        """Read a URL. Raises ConfigurationError, which does not repeat it: it may hold a secret."""
        try:
            parts = urlsplit(url)
            _, endpoint = parts.port, parts.netloc
            bucket, _, prefix = parts.path.strip("/").partition("/")
            check_key(f"{bucket}/{prefix}")
        except ValueError:
            raise ConfigurationError(f"FACEGRID_STORE is no URL of a bucket; {_FORM}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "@" in endpoint:
            raise ConfigurationError(f"FACEGRID_STORE is no URL of a bucket; {_FORM}")
        secure = parts.scheme == "https"
        prefix = f"{prefix}/" if prefix else ""
        return cls(endpoint, secure, bucket, prefix, region, ca_file, credentials_file)

    def __str__(self) -> str:
        """Return the URL."""
        return f"http{'s' * self.secure}://{self.endpoint}/{self.bucket}/{self.prefix}"


def http_pool(
    location: S3Location, connections: int, check_owner: Callable[[], None] = lambda: None
) -> PoolManager:
    """Return at most so many connections, each request tried again in vain for 3 s, or 10 s where it stalls.

    `check_owner` raises before a further try where the store is no longer ours: one try ends within 7 s.
    Raises ConfigurationError where the CA file can't be read.
    """

    class OwnersRetry(Retry):  # urllib3 makes copies of it, by its class
        def increment(self, *args: Any, **kwargs: Any) -> Self:
            check_owner()
            return super().increment(*args, **kwargs)

    try:
        trust = ssl.create_default_context(cafile=location.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"FACEGRID_STORE_CA: {location.ca_file} is no readable file of PEM certificates"
        ) from None
    retries = OwnersRetry(
        total=4,
        read=1,
        backoff_factor=0.2,
        backoff_jitter=0.2,
        backoff_max=2,
        status_forcelist=_TRANSIENT,
        allowed_methods=None,  # each of our requests may be sent twice
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for minutes
    )
    timeout = Timeout(connect=_CONNECT_S, read=_READ_S)
    return PoolManager(maxsize=connections, block=True, timeout=timeout, retries=retries, ssl_context=trust)


def connect(location: S3Location, http: PoolManager) -> Minio:
    """Return a client, which addresses buckets by path, save those of AWS. Nothing is sent yet."""
    return Minio(
        endpoint=location.endpoint,
        secure=location.secure,
        region=location.region or None,
        http_client=http,
        credentials=_Keys(location.credentials_file),
    )


class _Keys(Provider):
    """Credentials, read again for each request, so that a file can be replaced while the server runs."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._source = AWSConfigProvider(filename=str(file)) if file else EnvAWSProvider()

    def retrieve(self) -> Credentials:
        """Return the credentials. Raises ConfigurationError, which holds nothing of them."""
        try:
            return self._source.retrieve()
        except (ValueError, OSError, configparser.Error):
            where = (
                f"{self._file} holds no [default] section with aws_access_key_id and aws_secret_access_key"
                if self._file
                else "there are no keys for the object store; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or FACEGRID_STORE_CREDENTIALS"
            )
            raise ConfigurationError(where) from None
