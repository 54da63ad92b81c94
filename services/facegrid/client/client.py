"""A client of one server: plain arguments in, the API's messages out, `CallFailed` for a failure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, cast
from uuid import uuid4

import grpc

from facegrid.client.bulk import BulkCalls
from facegrid.client.channel import open_channel
from facegrid.client.credentials import Credentials
from facegrid.client.errors import call_failed
from facegrid.client.labels import Value, metadata_messages, update_request
from facegrid.client.maintenance import MaintenanceCalls
from facegrid.client.migrations import MigrationCalls
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from facegrid.v1.filter_pb2 import Filter
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub

_PAGE = 1000
_Answer = TypeVar("_Answer")


class Client:
    """Calls one server. Each call that changes something carries a random request id, so retries are safe."""

    def __init__(
        self,
        target: str,
        timeout_s: float = 120,
        *,
        credentials: Credentials | None = None,
        purpose: str = "",
    ) -> None:
        """Connect to `host:port` or `unix:path`, by TLS with credentials; calls end after `timeout_s`."""
        self._target, self._timeout_s = target, timeout_s
        self._channel = open_channel(target, credentials, purpose)
        self._faces = FaceServiceStub(self._channel)
        self._galleries = GalleryServiceStub(self._channel)
        self._identities = IdentityServiceStub(self._channel)
        self.maintenance = MaintenanceCalls(self._channel, target)
        self.migrations = MigrationCalls(self._channel, target, self._call, self._pages)
        self.bulk = BulkCalls(self._channel, target)

    def __enter__(self) -> Self:
        """Return the client, which closes at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _call(self, method: Callable[..., _Answer], request: Any) -> _Answer:
        request.context.request_id = request.context.request_id or uuid4().hex
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise call_failed(cast("grpc.Call", error), self._target) from None

    def _pages(self, method: Callable[..., _Answer], request: Any) -> Iterator[_Answer]:
        more = True
        while more:
            page: Any = self._call(method, request)
            yield page
            request.page_token = page.next_page_token
            more = bool(page.next_page_token)

    def detect(
        self, photograph: bytes, *, detection: pb.DetectionOptions | None = None
    ) -> face_pb.DetectResponse:
        """Find the faces of a photograph."""
        request = face_pb.DetectRequest(photograph=photograph, detection=detection)
        return self._call(self._faces.Detect, request)

    def extract(
        self,
        photograph: bytes,
        *,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        pack: str = "",
        detection: pb.DetectionOptions | None = None,
    ) -> face_pb.ExtractResponse:
        """Make a template of each face that is meant."""
        request = face_pb.ExtractRequest(photograph=photograph, faces=faces, pack=pack, detection=detection)
        return self._call(self._faces.Extract, request)

    def compare(
        self,
        first: bytes,
        second: bytes,
        *,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        detection: pb.DetectionOptions | None = None,
    ) -> face_pb.CompareResponse:
        """Score two photographs."""
        request = face_pb.CompareRequest(
            first=pb.Sample(photograph=first),
            second=pb.Sample(photograph=second),
            faces=faces,
            detection=detection,
        )
        return self._call(self._faces.Compare, request)

    def analyze(
        self,
        photograph: bytes,
        attributes: Sequence[pb.Attribute.ValueType],
        *,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        pack: str = "",
        gallery: str = "",
        detection: pb.DetectionOptions | None = None,
    ) -> face_pb.AnalyzeResponse:
        """Read attributes of each face that is meant, as the server or the gallery allows."""
        request = face_pb.AnalyzeRequest(
            photograph=photograph,
            attributes=attributes,
            faces=faces,
            pack=pack,
            gallery=gallery,
            detection=detection,
        )
        return self._call(self._faces.Analyze, request)

    def create_gallery(
        self,
        name: str,
        *,
        pack: str = "",
        verify_threshold: float | None = None,
        identify_threshold: float | None = None,
        keep_photographs: bool = True,
        quality_rules: Sequence[pb.QualityRule] = (),
        attributes: Sequence[pb.Attribute.ValueType] = (),
        index: pb.IndexSettings | None = None,
    ) -> pb.Gallery:
        """Make a gallery; thresholds that are None are the pack's."""
        request = gallery_pb.CreateGalleryRequest(
            name=name,
            pack=pack,
            verify_threshold=verify_threshold,
            identify_threshold=identify_threshold,
            keep_photographs=keep_photographs,
            quality_rules=quality_rules,
            attributes=attributes,
            index=index,
        )
        return self._call(self._galleries.CreateGallery, request).gallery

    def get_gallery(self, name: str) -> pb.Gallery:
        """Describe a gallery."""
        return self._call(self._galleries.GetGallery, gallery_pb.GetGalleryRequest(name=name)).gallery

    def list_galleries(self) -> Iterator[pb.Gallery]:
        """Yield all galleries in the order of their names."""
        request = gallery_pb.ListGalleriesRequest(page_size=_PAGE)
        for page in self._pages(self._galleries.ListGalleries, request):
            yield from page.galleries

    def delete_gallery(self, name: str) -> None:
        """Remove a gallery with all that stands in it."""
        self._call(self._galleries.DeleteGallery, gallery_pb.DeleteGalleryRequest(name=name))

    def get_subject(self, gallery: str, subject_id: str) -> pb.Subject:
        """Describe a subject with its encounters."""
        request = gallery_pb.GetSubjectRequest(gallery=gallery, subject_id=subject_id)
        return self._call(self._galleries.GetSubject, request).subject

    def list_subjects(self, gallery: str) -> Iterator[pb.Subject]:
        """Yield all subjects, without their encounters."""
        request = gallery_pb.ListSubjectsRequest(gallery=gallery, page_size=_PAGE)
        for page in self._pages(self._galleries.ListSubjects, request):
            yield from page.subjects

    def update_subject(
        self, gallery: str, subject_id: str, status: pb.Status.ValueType
    ) -> gallery_pb.UpdateSubjectResponse:
        """Change a subject's status."""
        request = gallery_pb.UpdateSubjectRequest(gallery=gallery, subject_id=subject_id, status=status)
        return self._call(self._galleries.UpdateSubject, request)

    def update_encounter(
        self,
        gallery: str,
        subject_id: str,
        encounter_id: str,
        *,
        metadata: Mapping[str, Value] | None = None,
        sub_galleries: Sequence[str] | None = None,
        status: pb.Status.ValueType | None = None,
    ) -> gallery_pb.UpdateEncounterResponse:
        """Change labels of an encounter: those that are not None, each as a whole."""
        request = update_request(metadata, sub_galleries, status)
        request.gallery, request.subject_id, request.encounter_id = gallery, subject_id, encounter_id
        return self._call(self._galleries.UpdateEncounter, request)

    def delete_subject(self, gallery: str, subject_id: str) -> str:
        """Remove a subject; returns the revision that no longer shows it."""
        request = gallery_pb.DeleteSubjectRequest(gallery=gallery, subject_id=subject_id)
        return self._call(self._galleries.DeleteSubject, request).revision

    def delete_encounter(self, gallery: str, subject_id: str, encounter_id: str) -> str:
        """Remove an encounter; returns the revision that no longer shows it."""
        request = gallery_pb.DeleteEncounterRequest(
            gallery=gallery, subject_id=subject_id, encounter_id=encounter_id
        )
        return self._call(self._galleries.DeleteEncounter, request).revision

    def enroll(
        self,
        gallery: str,
        photographs: Sequence[bytes],
        *,
        subject_id: str = "",
        mode: identity_pb.EnrollMode.ValueType = identity_pb.ENROLL_MODE_CREATE,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        detection: pb.DetectionOptions | None = None,
        metadata: Mapping[str, Value] | None = None,
        sub_galleries: Sequence[str] = (),
        status: pb.Status.ValueType = pb.STATUS_UNSPECIFIED,
        request_id: str = "",
    ) -> identity_pb.EnrollResponse:
        """Store one encounter of a subject, made of all the photographs or of none.

        With the `request_id` of an earlier call it is that call, made again.
        """
        request = identity_pb.EnrollRequest(
            context=pb.RequestContext(request_id=request_id),
            gallery=gallery,
            subject_id=subject_id,
            mode=mode,
            samples=[pb.Sample(photograph=photograph) for photograph in photographs],
            faces=faces,
            detection=detection,
            metadata=metadata_messages(metadata or {}),
            sub_galleries=sub_galleries,
            status=status,
        )
        return self._call(self._identities.Enroll, request)

    def verify(
        self,
        gallery: str,
        subject_id: str,
        photograph: bytes,
        *,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        min_revision: str = "",
        detection: pb.DetectionOptions | None = None,
    ) -> identity_pb.VerifyResponse:
        """Compare a photograph with one subject."""
        request = identity_pb.VerifyRequest(
            gallery=gallery,
            subject_id=subject_id,
            probe=pb.Sample(photograph=photograph),
            faces=faces,
            min_revision=min_revision,
            detection=detection,
        )
        return self._call(self._identities.Verify, request)

    def identify(
        self,
        gallery: str,
        photographs: Sequence[bytes],
        *,
        faces: pb.FaceSelection.ValueType = pb.FACE_SELECTION_EXACTLY_ONE,
        top: int | None = None,
        include_below_threshold: bool = False,
        min_revision: str = "",
        detection: pb.DetectionOptions | None = None,
        probe_subject_id: str = "",
        other_galleries: Sequence[str] = (),
        subject_ids: Sequence[str] = (),
        filter: Filter | None = None,  # noqa: A002  # the API's name
    ) -> identity_pb.IdentifyResponse:
        """Search galleries; several photographs show one person, and for none there is a subject."""
        request = identity_pb.IdentifyRequest(
            gallery=gallery,
            probes=[pb.Sample(photograph=photograph) for photograph in photographs],
            faces=faces,
            top=top,
            include_below_threshold=include_below_threshold,
            min_revision=min_revision,
            detection=detection,
            probe_subject_id=probe_subject_id,
            other_galleries=other_galleries,
            subject_ids=subject_ids,
            filter=filter,
        )
        return self._call(self._identities.Identify, request)
