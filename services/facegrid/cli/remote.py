"""Photographs in S3 buckets, with the credentials of the environment."""

import os
import threading
from typing import Any
from urllib.parse import urlsplit


class RemoteObjects:
    """Objects of s3://BUCKET/KEY, at `AWS_ENDPOINT_URL` where that is set."""

    def __init__(self) -> None:
        """Connect to nothing yet: minio takes half a second to import."""
        self._connecting = threading.Lock()
        self._connected: Any = None

    def read(self, url: str) -> bytes:
        """Return an object. Raises OSError."""
        from minio.error import MinioException  # noqa: PLC0415  # see above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # likewise

        parts = urlsplit(url)
        try:
            response = self._client().get_object(parts.netloc, parts.path.lstrip("/"))
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()
        except (MinioException, HTTPError, ValueError) as error:
            code = getattr(error, "code", None) or type(error).__name__
            raise OSError(f"the bucket's server does not give it: {code}") from None

    def _client(self) -> Any:
        from minio import Minio  # noqa: PLC0415  # see above
        from minio.credentials.providers import EnvAWSProvider  # noqa: PLC0415  # likewise

        with self._connecting:
            if self._connected is None:
                endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com")
                self._connected = Minio(
                    endpoint.netloc,
                    credentials=EnvAWSProvider(),
                    region=os.environ.get("AWS_REGION") or None,
                    secure=endpoint.scheme == "https",
                )
            return self._connected
