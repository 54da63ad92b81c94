"""The object store that the settings name, opened as this process's own."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock, LocalObjectStore
from facegrid.storage.objects.lease import StoreLease
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.marker import claim_store

_LOCAL_THREADS, _CONNECTIONS = 8, 16
_LEASE_S = 30


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store, how many may wait for it at once, and what says that it is ours."""

    objects: ObjectStore
    connections: int
    announce: Callable[[str], None]
    close: Callable[[], None]


def open_store(settings: Settings, lock: FolderLock) -> OpenStore:
    """Open the folder below the locked data folder, or a bucket under a lease; waits while it is another's.

    Raises ConfigurationError, and OSError where the store fails.
    """
    if settings.store:
        return _open_s3(settings, lock)
    folder = settings.data / "objects"
    objects = LocalObjectStore(folder)
    claim_store(objects, str(folder))
    return OpenStore(objects, _LOCAL_THREADS, lock.announce, lambda: None)


def _open_s3(settings: Settings, lock: FolderLock) -> OpenStore:
    from facegrid.storage.objects.s3 import S3ObjectStore  # noqa: PLC0415  # minio takes half a second to import
    from facegrid.storage.objects.s3_client import S3Location  # noqa: PLC0415

    location = S3Location.parse(
        settings.store,
        region=settings.store_region,
        ca_file=settings.store_ca,
        credentials_file=settings.store_credentials,
    )
    own = S3ObjectStore(location, connections=1)
    if settings.store_create_bucket:
        own.make_bucket()
    own.prepare()
    claim_store(own, str(location))
    lease = StoreLease(own, lock.place, _stop_server, _LEASE_S)
    lease.acquire()
    objects = S3ObjectStore(location, _CONNECTIONS, lease.check)

    def announce(address: str) -> None:
        lock.announce(address)
        lease.announce(address)

    def close() -> None:
        with suppress(OSError):
            lease.close()
        own.close()
        objects.close()

    return OpenStore(objects, _CONNECTIONS, announce, close)


def _stop_server(holder: str) -> None:
    structlog.get_logger().error("the object store was taken over", holder=holder)
    os.kill(os.getpid(), signal.SIGTERM)
