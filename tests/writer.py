"""A client that is the only writer of its subjects, and so knows what a server must show of them."""

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import numpy as np

from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub

GALLERY = "g"
_SUBJECTS, _DIMENSION = 4, 128
# What a call may end with when its server is killed; anything else is a fault.
_KILLED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}

Shown = dict[bytes, str]  # template → its encounter


@dataclass
class Mutation:
    """A call whose request id stays the same until it is answered, and what the subject shows after it."""

    method: str
    request: Any
    after: Shown


@dataclass
class Person:
    """One subject: what was acknowledged, and the mutation of which nobody knows whether it took place."""

    subject_id: str
    shown: Shown = field(default_factory=dict)
    doubt: Mutation | None = None


class Writer:
    """Enrols, replaces, deletes and searches at random, one call after the other."""

    timeout_s, looks = 30, 1

    def __init__(self, name: str, seed: int, version: str) -> None:
        """Own a few subjects whose ids begin with `name`; `version` is that of all templates."""
        self._random, self._version = random.Random(f"{name}{seed}"), version
        self._vectors = np.random.default_rng(self._random.getrandbits(64))
        self.people = [Person(f"{name}-{number}") for number in range(_SUBJECTS)]
        self.acknowledged = 0

    def settle(self, channel: grpc.Channel) -> None:
        """After a kill: nobody is half visible, and each call in doubt can be made again."""
        for person in self.people:
            if mutation := person.doubt:
                states, both = (set(person.shown), set(mutation.after)), person.shown | mutation.after
                seen = [self._look(channel, person, both) in states for _ in range(self.looks)]
                assert any(seen), f"{person.subject_id} is half there"
                self._mutate(channel, person, mutation)
            self._check(channel, person)

    def work(self, channel: grpc.Channel) -> None:
        """Go on until the server is killed."""
        while True:
            person = self._random.choice(self.people)
            try:
                if self._random.random() < 0.3:
                    self._check(channel, person)
                else:
                    self._mutate(channel, person, self._plan(person))
            except grpc.RpcError as error:
                if error.code() not in _KILLED:
                    raise
                return

    def _plan(self, person: Person) -> Mutation:
        if person.shown and self._random.random() < 0.4:
            return self._deletion(person)
        mode = self._random.choice([identity_pb.ENROLL_MODE_ADD, identity_pb.ENROLL_MODE_REPLACE])
        new = [self._vector() for _ in range(self._random.choice([1, 2]))]
        request = identity_pb.EnrollRequest(
            gallery=GALLERY,
            subject_id=person.subject_id,
            mode=mode,
            samples=[pb.Sample(template=self._template(vector)) for vector in new],
        )
        kept = person.shown if mode == identity_pb.ENROLL_MODE_ADD else {}
        return self._named(Mutation("Enroll", request, kept | dict.fromkeys(new, "")))

    def _deletion(self, person: Person) -> Mutation:
        subject = {"gallery": GALLERY, "subject_id": person.subject_id}
        if self._random.random() < 0.3:
            return self._named(Mutation("DeleteSubject", gallery_pb.DeleteSubjectRequest(**subject), {}))
        doomed = self._random.choice(sorted(set(person.shown.values())))
        request = gallery_pb.DeleteEncounterRequest(**subject, encounter_id=doomed)
        after = {vector: encounter for vector, encounter in person.shown.items() if encounter != doomed}
        return self._named(Mutation("DeleteEncounter", request, after))

    def _named(self, mutation: Mutation) -> Mutation:
        mutation.request.context.request_id = UUID(int=self._random.getrandbits(128)).hex
        return mutation

    def _mutate(self, channel: grpc.Channel, person: Person, mutation: Mutation) -> None:
        person.doubt = mutation
        stub = IdentityServiceStub(channel) if mutation.method == "Enroll" else GalleryServiceStub(channel)
        answer = getattr(stub, mutation.method)(mutation.request, timeout=self.timeout_s)
        if mutation.method == "Enroll":
            encounter = answer.encounter.encounter_id
            mutation.after = {vector: known or encounter for vector, known in mutation.after.items()}
        person.shown, person.doubt = mutation.after, None
        self.acknowledged += 1

    def _check(self, channel: grpc.Channel, person: Person) -> None:
        """Hold the subject, in searches and in its record, against what was acknowledged."""
        assert self._look(channel, person, person.shown) == set(person.shown), f"{person.subject_id} is lost"
        request = gallery_pb.GetSubjectRequest(gallery=GALLERY, subject_id=person.subject_id)
        try:
            subject = GalleryServiceStub(channel).GetSubject(request, timeout=self.timeout_s).subject
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            subject = pb.Subject()
        recorded = sorted(one.encounter_id for one in subject.encounters for _ in one.samples)
        assert recorded == sorted(person.shown.values()), f"the record of {person.subject_id} is another"

    def _look(self, channel: grpc.Channel, person: Person, templates: Shown) -> set[bytes]:
        """Return those of the templates that a search finds; somebody else's face is never found."""
        found = set()
        for vector in templates:
            request = identity_pb.IdentifyRequest(
                gallery=GALLERY, probes=[pb.Sample(template=self._template(vector))]
            )
            answer = IdentityServiceStub(channel).Identify(request, timeout=self.timeout_s)
            candidates = [one.subject_id for one in answer.results[0].candidates]
            assert candidates in ([], [person.subject_id]), f"{person.subject_id} was taken for {candidates}"
            found |= {vector} if candidates else set()
        return found

    def _vector(self) -> bytes:
        vector = self._vectors.standard_normal(_DIMENSION).astype("<f4")
        return (vector / np.linalg.norm(vector)).tobytes()

    def _template(self, vector: bytes) -> pb.Template:
        return pb.Template(template_version=self._version, vector=vector)
