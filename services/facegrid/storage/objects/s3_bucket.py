"""What a bucket must be like before anything is stored in it."""

from datetime import UTC, datetime, timedelta

from minio import Minio
from minio.error import S3Error

from facegrid.domain.errors import ConfigurationError

_HAVE_NO_VERSIONS = {"NotImplemented", "MethodNotAllowed", "VersioningNotConfigured"}


def refuse_versions(client: Minio, bucket: str, store: str) -> None:
    """Raise ConfigurationError where a bucket has kept, or locks, versions of what was deleted."""
    try:
        status = client.get_bucket_versioning(bucket_name=bucket).status
    except S3Error as error:
        if error.code not in _HAVE_NO_VERSIONS:
            raise
        return
    if status:
        raise ConfigurationError(
            f"the bucket of {store} has versioning {status.lower()} and so keeps what is deleted; take "
            "a bucket that never had versioning or object lock"
        )


def abort_stale_uploads(client: Minio, bucket: str, prefix: str, older_than: timedelta) -> None:
    """Remove the parts of uploads that began so long ago, which a crash broke off; MinIO does so by itself.

    Nothing happens where the server does not list them to this access key.
    """
    try:
        found = client._list_multipart_uploads(bucket).uploads  # noqa: SLF001  # there is no other way to them
    except S3Error:
        return
    for one in found:
        stale = one.initiated_time and one.initiated_time < datetime.now(UTC) - older_than
        if stale and one.upload_id and one.object_name.startswith(prefix):
            client._abort_multipart_upload(bucket, one.object_name, one.upload_id)  # noqa: SLF001  # likewise
