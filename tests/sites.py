"""A server as a client sees it who looks at several of one store."""

import time
from collections.abc import Callable
from uuid import uuid4

import grpc
import numpy as np
from numpy.typing import NDArray

from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub

_DIMENSION, _TIMEOUT_S, _LONGEST_S = 128, 30, 90


class Site:
    """One server as a client sees it."""

    def __init__(self, address: str) -> None:
        """Connect."""
        self.channel = grpc.insecure_channel(address)
        self.galleries, self.identities = GalleryServiceStub(self.channel), IdentityServiceStub(self.channel)

    def create(self, gallery: str) -> str:
        """Make a gallery; returns its template version."""
        request = gallery_pb.CreateGalleryRequest(name=gallery)
        answer = self.galleries.CreateGallery(_named(request), timeout=_TIMEOUT_S)
        return str(answer.gallery.template_version)

    def drop(self, gallery: str) -> None:
        """Delete a gallery."""
        request = gallery_pb.DeleteGalleryRequest(name=gallery)
        self.galleries.DeleteGallery(_named(request), timeout=_TIMEOUT_S)

    def wait_for_leader(self) -> float:
        """Wait until mutations have somebody who does them; returns the seconds that it took."""
        start = time.monotonic()
        while outcome(lambda: self.delete("none", "none")) == "UNAVAILABLE":
            assert time.monotonic() < start + _LONGEST_S
            time.sleep(0.05)
        return time.monotonic() - start

    def enrol(self, gallery: str, subject: str, template: pb.Template, mode: str = "CREATE") -> str:
        """Enrol a template; returns the revision."""
        request = identity_pb.EnrollRequest(
            gallery=gallery,
            subject_id=subject,
            samples=[pb.Sample(template=template)],
            mode=identity_pb.EnrollMode.Value(f"ENROLL_MODE_{mode}"),
        )
        return str(self.identities.Enroll(_named(request), timeout=_TIMEOUT_S).revision)

    def delete(self, gallery: str, subject: str) -> str:
        """Delete a subject; returns the revision."""
        request = gallery_pb.DeleteSubjectRequest(gallery=gallery, subject_id=subject)
        return str(self.galleries.DeleteSubject(_named(request), timeout=_TIMEOUT_S).revision)

    def found(self, gallery: str, template: pb.Template, min_revision: str = "") -> list[str]:
        """Identify a template."""
        request = identity_pb.IdentifyRequest(
            gallery=gallery, probes=[pb.Sample(template=template)], min_revision=min_revision
        )
        answer = self.identities.Identify(request, timeout=_TIMEOUT_S)
        return [candidate.subject_id for candidate in answer.results[0].candidates]

    def has(self, gallery: str, subject: str) -> bool:
        """Say whether the record of a subject is there."""
        request = gallery_pb.GetSubjectRequest(gallery=gallery, subject_id=subject)
        try:
            return bool(self.galleries.GetSubject(request, timeout=_TIMEOUT_S).subject.encounters)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017  # anything else is a fault
            return False


class Faces:
    """Templates of different people."""

    def __init__(self, version: str) -> None:
        """Take the version of them all."""
        self._version, self._random = version, np.random.default_rng(7)

    def one(self) -> pb.Template:
        """Return the template of somebody new."""
        vector: NDArray[np.float32] = self._random.standard_normal(_DIMENSION).astype("<f4")
        return pb.Template(template_version=self._version, vector=(vector / np.linalg.norm(vector)).tobytes())


def outcome(call: Callable[[], object]) -> str:
    """Return the name of the status code that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _named(request: object) -> object:
    request.context.request_id = uuid4().hex  # type: ignore[attr-defined]  # every mutation has a context
    return request
