"""The object store that the settings name, opened as this process's own."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock, LocalObjectStore
from facegrid.storage.objects.lease import StoreInUse, StoreLease
from facegrid.storage.objects.read_only import ReadOnlyStore
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.marker import claim_store

_LOCAL_THREADS, _CONNECTIONS = 8, 16
_LEASE_S = 12  # two thirds of it outlast one try of a write: 7 s


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store, how many may wait for it at once, and what says that it is ours.

    Where it is another's that may be followed, it is read-only, and `succeed` waits until it is ours: it
    returns the store to write to, or None where it was closed, and tells the owner's address meanwhile.
    """

    objects: ObjectStore
    connections: int
    announce: Callable[[str], None]
    close: Callable[[], None]
    check_owner: Callable[[], None] = lambda: None
    succeed: "Callable[[Callable[[str], None]], OpenStore | None] | None" = None


def open_store(settings: Settings, lock: FolderLock) -> OpenStore:
    """Open the folder below the locked data folder, or a bucket under a lease.

    A bucket that is another server's can be followed where that one's index is a Milvus server too. Raises
    ConfigurationError, and OSError where the store fails.
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
    objects = S3ObjectStore(location, _CONNECTIONS, lease.check)

    def announce(address: str) -> None:
        lock.announce(address)
        lease.announce(address)

    def close() -> None:
        with suppress(OSError):
            lease.close()
        own.close()
        objects.close()

    opened = OpenStore(objects, _CONNECTIONS, announce, close, lease.check)
    try:
        lease.acquire()
    except StoreInUse:
        if "://" not in settings.milvus:
            raise
        followed = ReadOnlyStore(S3ObjectStore(location, _CONNECTIONS))
        return replace(opened, objects=followed, succeed=lambda heed: opened if lease.succeed(heed) else None)
    return opened


def _stop_server(holder: str) -> None:
    structlog.get_logger().error("the object store was taken over", holder=holder)
    os.kill(os.getpid(), signal.SIGTERM)
