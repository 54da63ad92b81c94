"""The object store of a deployment: a bucket, or a prefix in one, of MinIO or any S3-compatible server."""

import hashlib
import io
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from facegrid.storage.objects.s3_bucket import abort_stale_uploads, refuse_versions
from facegrid.storage.objects.s3_client import S3Location, connect, http_pool
from facegrid.storage.objects.s3_errors import s3_errors, s3_failure
from facegrid.storage.objects.store import ObjectMissing, UnreadableObject, check_key

_PART_BYTES = 32 * 1024 * 1024
_PAGE = 1000
_STALE_AFTER = timedelta(days=1)
_SIGNED_FOR = timedelta(minutes=20)  # beyond the 15 minutes by which S3 lets clocks differ
_DIGEST, _DIGEST_HEADER = "sha256", "x-amz-meta-sha256"
_OK, _PRECONDITION_FAILED = 200, 412
_RACE_PAUSES_S = (0.01, 0.03, 0.1, 0.3)
_ABSENT = {"NoSuchKey", "XMinioParentIsObject", "ObjectParentIsFile", "ParentNotDirectory"}

T = TypeVar("T")


class S3ObjectStore:
    """Objects of a bucket below a prefix.

    A server that can't be reached is tried again for some 3 s, one that stalls for some 10 s; then each
    method raises OSError, or ConfigurationError for what an operator must mend. A write that fails so may
    yet be done by the server, then or a moment later.
    """

    def __init__(
        self, location: S3Location, connections: int, check_owner: Callable[[], None] = lambda: None
    ) -> None:
        """Take the place, the most connections at once, and what raises where the store is no longer ours.

        Nothing is sent yet. Raises ConfigurationError where the CA file can't be read.
        """
        self._name, self._bucket, self._prefix = str(location), location.bucket, location.prefix
        self._check_owner = check_owner
        self._http = http_pool(location, connections)
        self._client = connect(location, self._http)

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def make_bucket(self) -> None:
        """Make the bucket where it is missing."""
        with self._guarded():
            if not self._client.bucket_exists(bucket_name=self._bucket):
                self._client.make_bucket(bucket_name=self._bucket)

    def prepare(self, stale_after: timedelta = _STALE_AFTER) -> None:
        """Remove what broken uploads left. Raises ConfigurationError where the bucket has versions."""
        with self._guarded():
            refuse_versions(self._client, self._bucket, self._name)
            abort_stale_uploads(self._client, self._bucket, self._prefix, stale_after)

    def get(self, key: str) -> bytes:
        """Return an object. Raises ObjectMissing, and UnreadableObject where it is not what was written."""
        with self._guarded():
            for _ in range(2):  # it may be torn on its way alone
                data, digest = _again(partial(self._read, key))
                if digest in {None, hashlib.sha256(data).hexdigest()}:
                    return data
        raise UnreadableObject(f"the object {key} is damaged; restore it from a backup")

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object, less where it ends before. Raises ObjectMissing."""
        with self._guarded():
            try:
                return _again(partial(self._read, key, start, max(length, 1)))[0][:length]  # 0 means all
            except S3Error as error:
                if error.code != "InvalidRange":  # the object ends before
                    raise
                return b""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over one that is there; a large one in parts."""
        with self._guarded():
            _despite_races(partial(self._put, key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one is there; say whether it was written."""
        with self._guarded():
            answer = _despite_races(partial(self._put_new, key, data))
            if answer.status == _OK:
                return True
            # Where the request was sent again, the object that is there may be ours.
            return bool(answer.retries and answer.retries.history) and self._holds(key, data)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._guarded():
            self._client.remove_object(bucket_name=self._bucket, object_name=self._prefix + check_key(key))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below a prefix, a thousand a request, in any order; a crash may leave some."""
        doomed = (DeleteObject(self._prefix + key) for key in self.keys(check_key(prefix)))
        with self._guarded():
            for error in self._client.remove_objects(bucket_name=self._bucket, delete_object_list=doomed):
                raise s3_failure(self._name, error.code, _OK)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys below a prefix that sort after `after`, lazily, in the order of their characters."""
        page = [after]
        while page:
            page = self._page(prefix, page[-1])
            yield from page

    def _guarded(self) -> AbstractContextManager[None]:
        """Check at each call: one may have waited for its thread, or its process have been stopped."""
        self._check_owner()
        return s3_errors(self._name)

    def _page(self, prefix: str, after: str) -> list[str]:
        with self._guarded():
            found = self._client.list_objects(
                bucket_name=self._bucket,
                prefix=self._prefix + prefix,
                start_after=self._prefix + after,
                recursive=True,
            )
            return [entry.object_name.removeprefix(self._prefix) for entry in islice(found, _PAGE)]

    def _read(self, key: str, start: int = 0, length: int = 0) -> tuple[bytes, str | None]:
        """Return an object or part of it, and the digest of the whole where one was written beside it."""
        try:
            answer = self._client.get_object(
                bucket_name=self._bucket,
                object_name=self._prefix + check_key(key),
                offset=start,
                length=length,
            )
        except S3Error as error:
            if error.code in _ABSENT:
                raise ObjectMissing(key) from None
            raise
        try:
            return answer.read(), answer.headers.get(_DIGEST_HEADER)
        finally:
            answer.close()
            answer.release_conn()

    def _put(self, key: str, data: bytes) -> None:
        self._client.put_object(
            bucket_name=self._bucket,
            object_name=self._prefix + check_key(key),
            data=io.BytesIO(data),
            length=len(data),
            metadata={_DIGEST: hashlib.sha256(data).hexdigest()},
            part_size=_PART_BYTES,
            num_parallel_uploads=1,
        )

    def _put_new(self, key: str, data: bytes) -> BaseHTTPResponse:
        """Send a PUT with If-None-Match, which minio-py's put_object would store as a remark."""
        url = self._client.get_presigned_url(
            method="PUT",
            bucket_name=self._bucket,
            object_name=self._prefix + check_key(key),
            expires=_SIGNED_FOR,
        )
        answer = self._http.request("PUT", url, body=data, headers={"If-None-Match": "*"})
        if answer.status not in {_OK, _PRECONDITION_FAILED}:
            raise S3Error.fromxml(answer)
        return answer

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self._read(key)[0] == data
        except ObjectMissing:
            return False


def _again(read: Callable[[], T]) -> T:
    """Read once more where the answer was short or stalled on its way."""
    try:
        return read()
    except (ProtocolError, ReadTimeoutError):
        return read()


def _despite_races(write: Callable[[], T]) -> T:
    """Write again where MinIO says AccessDenied: it does so while it removes a folder that is needed."""
    for pause in _RACE_PAUSES_S:
        try:
            return write()
        except S3Error as error:
            if error.code != "AccessDenied":
                raise
        time.sleep(random.uniform(0, pause))  # noqa: S311  # jitter, no secret
    return write()
