"""What an S3 server's failures mean: it is full, or gone, or an operator has something to mend."""

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from facegrid.domain.errors import ConfigurationError

_FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"}
_TO_MEND = {
    "InvalidAccessKeyId": "does not know the access key; check the credentials",
    "XAdminUserNotFound": "does not know the access key; check the credentials",
    "SignatureDoesNotMatch": "refuses the secret key; check the credentials",
    "ExpiredToken": "says that the session token expired; renew the credentials",
    "AccessDenied": "does not allow this; the key must list, read, write, delete, and read the versioning",
    "NoSuchBucket": "has no such bucket; make it, or allow that with FACEGRID_STORE_CREATE_BUCKET=true",
    "InvalidBucketName": "says that this is no name of a bucket",
    "RequestTimeTooSkewed": "has another time than this machine; set the clocks",
    "AuthorizationHeaderMalformed": "has this bucket in another region; set FACEGRID_STORE_REGION",
    "InvalidRegion": "has this bucket in another region; set FACEGRID_STORE_REGION",
    "PermanentRedirect": "has this bucket in another region; set FACEGRID_STORE_REGION",
}
_INSUFFICIENT_STORAGE = 507


class S3Failure(OSError):
    """The server failed, or can't be reached, and may be asked again; its errno says how."""


@contextmanager
def s3_errors(store: str) -> Iterator[None]:
    """Turn what minio-py raises into S3Failure or ConfigurationError, naming the store.

    What a request's answer says of an object, such as NoSuchKey, the caller handles within.
    """
    try:
        yield
    except S3Error as error:
        raise s3_failure(store, error.code or "", error.response.status) from error
    except (InvalidResponseError, ServerError, SyntaxError) as error:  # the last is XML's ParseError
        raise S3Failure(errno.EIO, "the answer is not that of an S3 server", store) from error
    except HTTPError as error:
        raise _unreachable(store, error) from error


def s3_failure(store: str, code: str, status: int) -> Exception:
    """Return what an error code and status of the server mean."""
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return S3Failure(errno.ENOSPC, "the object store is full", store)
    if code in _TO_MEND:
        return ConfigurationError(f"the object store {store} {_TO_MEND[code]}")
    return S3Failure(errno.EIO, f"the object store answers {status} {code}", store)


def _unreachable(store: str, error: HTTPError) -> Exception:
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, SSLError) and isinstance(reason.args[0], ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"the certificate of the object store {store} is not trusted "
            f"({reason.args[0].verify_message}); name its CA with FACEGRID_STORE_CA"
        )
    if isinstance(reason, SSLError):
        return S3Failure(errno.EPROTO, f"TLS failed ({getattr(reason.args[0], 'reason', reason)})", store)
    kind = type(reason).__name__
    if isinstance(reason, NewConnectionError):
        return S3Failure(errno.ECONNREFUSED, f"the object store can't be reached ({kind})", store)
    if isinstance(reason, ConnectTimeoutError | ReadTimeoutError):
        return S3Failure(errno.ETIMEDOUT, f"the object store does not answer ({kind})", store)
    return S3Failure(errno.EIO, f"the connection to the object store broke ({kind})", store)
