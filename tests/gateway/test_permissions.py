"""Each method of the API needs exactly the permission that its proto states."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2

from facegrid.domain.access import Grant, Permission, Policy, Principal, PurposeRule, Rights
from facegrid.domain.errors import FacegridError, GalleryNotFound, InvalidField, PermissionDenied
from facegrid.gateway.permissions import needs_of
from facegrid.gateway.server import SERVED
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1.bulk_service_pb2 import ExportTemplatesRequest
from facegrid.v1.face_service_pb2 import AnalyzeRequest, CompareRequest
from facegrid.v1.gallery_service_pb2 import GetGalleryRequest
from facegrid.v1.types_pb2 import Sample

_PROTOS = Path(__file__).parents[2] / "protos" / "facegrid" / "v1"
_METHODS = {f"/{service.full_name}/{method.name}": method for service in SERVED for method in service.methods}
_NEEDS = needs_of(SERVED)
_PHOTOGRAPH, _TEMPLATE = Sample(photograph=b"photograph"), Sample(template={"template_version": "t"})
_IDENTIFY, _ENROLL = (f"/facegrid.v1.IdentityService/{name}" for name in ("Identify", "Enroll"))


def _rights(*permissions: Permission, galleries: tuple[str, ...] = ("*",)) -> Rights:
    grant = Grant(frozenset(permissions), ("caller",), frozenset(), galleries)
    return Policy([grant]).of(Principal("caller"))


def _request(method: MethodDescriptor, gallery: str) -> Any:
    """Return a request that names a gallery wherever it can."""
    request = method.input_type._concrete_class()
    for field in _NEEDS[f"/{method.containing_service.full_name}/{method.name}"].galleries:
        if method.input_type.fields_by_name[field].is_repeated:
            getattr(request, field).append(gallery)
        else:
            setattr(request, field, gallery)
    return request


def _outcome(path: str, rights: Rights, gallery: str) -> str:
    try:
        _NEEDS[path].check(rights, _request(_METHODS[path], gallery))
    except FacegridError as error:
        return error.reason
    return "in"


@pytest.mark.parametrize("path", _METHODS)
def test_each_method_needs_exactly_its_permission_in_its_gallery(path: str) -> None:
    """Of all permissions one lets in, in the galleries of the pattern; others do not exist for the caller."""
    needs = _NEEDS[path]
    outside = "PERMISSION_DENIED" if needs.makes_gallery else "GALLERY_NOT_FOUND"
    for permission, (pattern, seen) in product(
        Permission,
        {"*": True, "border-*": True, "border-1": True, "border-2": False, "staff-*": False}.items(),
    ):
        if needs.galleries and not seen:
            expected = outside
        else:
            expected = "in" if permission is needs.permission else "PERMISSION_DENIED"
        rights = _rights(permission, galleries=(pattern,))
        assert _outcome(path, rights, "border-1") == expected, (permission, pattern)
    others = [one for one in Permission if one is not needs.permission]
    assert _outcome(path, _rights(*others), "border-1") == "PERMISSION_DENIED"


def test_every_service_of_the_api_is_served() -> None:
    """No service of the protos is left out of what is checked."""
    stated = {
        name
        for file in _PROTOS.glob("*.proto")
        for name in re.findall(r"^service (\w+)", file.read_text(), re.MULTILINE)
    }
    assert {service.name for service in SERVED} == stated


@pytest.mark.parametrize("path", _METHODS)
def test_the_reference_names_the_permission(path: str) -> None:
    """The comment at a method, which becomes the reference, says what its option says."""
    method = _METHODS[path]
    text = (_PROTOS.parents[1] / method.containing_service.file.name).read_text()
    comment = text[: text.index(f"  rpc {method.name}(")].rpartition("\n\n")[2]
    named = re.search(r"Permission: ([a-z_]+(?:\.read)?)", comment)
    assert named
    assert named[1] == _NEEDS[path].permission.value


def test_no_gallery_goes_unmarked() -> None:
    """Every field that is called a gallery is one that permissions are checked in."""
    unmarked = [
        f"{path}: {field.name}"
        for path, method in _METHODS.items()
        for field in method.input_type.fields
        if "galler" in field.name and field.name not in {*_NEEDS[path].galleries, "sub_galleries"}
    ]
    assert unmarked == []


def test_a_service_without_permissions_is_not_served() -> None:
    """A new method that states none keeps the server from starting."""
    with pytest.raises(ValueError, match="Check states no permission"):
        needs_of([health_pb2.DESCRIPTOR.services_by_name["Health"]])


@pytest.mark.parametrize(
    ("path", "request_", "more"),
    [
        (
            _IDENTIFY,
            identity_pb.IdentifyRequest(gallery="g", include_below_threshold=True),
            Permission.INVESTIGATE,
        ),
        (_ENROLL, identity_pb.EnrollRequest(gallery="g", mode="ENROLL_MODE_REPLACE"), Permission.DELETE),
        (_ENROLL, identity_pb.EnrollRequest(gallery="g", extracted=[{}]), Permission.ADMIN),
        (
            "/facegrid.v1.BulkService/ExportTemplates",
            ExportTemplatesRequest(gallery="g", include_photographs=True),
            Permission.IMAGE_READ,
        ),
        *(
            (f"/facegrid.v1.{method}", request, Permission.TEMPLATE_READ)
            for method, request in (
                ("IdentityService/Verify", identity_pb.VerifyRequest(gallery="g", probe=_TEMPLATE)),
                (
                    "IdentityService/Identify",
                    identity_pb.IdentifyRequest(gallery="g", probes=[_PHOTOGRAPH, _TEMPLATE]),
                ),
                ("FaceService/Compare", CompareRequest(first=_TEMPLATE, second=_PHOTOGRAPH)),
                ("FaceService/Compare", CompareRequest(first=_PHOTOGRAPH, second=_TEMPLATE)),
            )
        ),
        (
            "/facegrid.v1.GalleryService/GetGallery",
            GetGalleryRequest(name="g", context={"end_user": "another"}),
            Permission.ON_BEHALF,
        ),
    ],
)
def test_what_a_request_asks_for_may_need_more(path: str, request_: Any, more: Permission) -> None:
    """Candidates below the threshold, replacing, own faces or templates, photographs, another end user."""
    needs = _NEEDS[path]
    with pytest.raises(PermissionDenied, match=more.value):
        needs.check(_rights(needs.permission), request_)
    with pytest.raises(PermissionDenied, match=needs.permission.value):
        needs.check(_rights(more), request_)
    needs.check(_rights(needs.permission, more), request_)


def test_a_caller_may_name_itself_as_the_end_user_and_add_to_subjects() -> None:
    """Neither needs more than the call."""
    request = identity_pb.EnrollRequest(gallery="g", mode="ENROLL_MODE_ADD", context={"end_user": "caller"})
    _NEEDS[_ENROLL].check(_rights(Permission.ENROLL), request)


def test_photographs_are_compared_and_templates_enrolled_without_more() -> None:
    """Neither tells what a stored template is."""
    verify = identity_pb.VerifyRequest(gallery="g", probe=_PHOTOGRAPH)
    _NEEDS["/facegrid.v1.IdentityService/Verify"].check(_rights(Permission.VERIFY), verify)
    enroll = identity_pb.EnrollRequest(gallery="g", samples=[_TEMPLATE])
    _NEEDS[_ENROLL].check(_rights(Permission.ENROLL), enroll)


def test_no_sample_goes_unmarked() -> None:
    """Every sample of a request is one that is compared, or one that is stored."""
    unmarked = [
        f"{path}: {field.name}"
        for path, method in _METHODS.items()
        for field in method.input_type.fields
        if field.message_type is Sample.DESCRIPTOR and field.name not in _NEEDS[path].compared
    ]
    assert unmarked == [f"{_ENROLL}: samples"]


def test_an_optional_gallery_may_be_left_out() -> None:
    """Without one the permission must be held somewhere."""
    needs = _NEEDS["/facegrid.v1.FaceService/Analyze"]
    needs.check(_rights(needs.permission, galleries=("border",)), AnalyzeRequest())


@pytest.mark.parametrize(("pattern", "name"), [("gate-?", "gate-7"), ("gate-[0-9]", "gate-7")])
def test_nothing_but_a_star_stands_for_anything(pattern: str, name: str) -> None:
    """A question mark and brackets are what they are."""
    policy = Policy([Grant(frozenset(Permission), (pattern,), frozenset(), ("*",))])
    assert not policy.of(Principal(name)).grants
    assert policy.of(Principal(pattern)).grants


def test_every_gallery_of_a_search_counts() -> None:
    """The permission must be held in each; one that may not be known of is named as a missing one is."""
    rights = Policy(
        [
            Grant(frozenset({Permission.IDENTIFY}), ("caller",), frozenset(), ("a", "b")),
            Grant(frozenset({Permission.VERIFY}), (), frozenset({"gates"}), ("c",)),
        ]
    ).of(Principal("caller", frozenset({"gates"})))
    needs = _NEEDS[_IDENTIFY]
    needs.check(rights, identity_pb.IdentifyRequest(gallery="a", other_galleries=["b"]))
    with pytest.raises(PermissionDenied, match="identify is not yours in gallery c"):
        needs.check(rights, identity_pb.IdentifyRequest(gallery="a", other_galleries=["b", "c"]))
    with pytest.raises(GalleryNotFound) as missing:
        needs.check(rights, identity_pb.IdentifyRequest(gallery="a", other_galleries=["b", "d"]))
    assert missing.value.field == "other_galleries[1]"


def test_too_many_galleries_are_not_looked_at() -> None:
    """A call names at most as many as a search takes, whatever they are called."""
    needs, rights = _NEEDS[_IDENTIFY], _rights(Permission.IDENTIFY)
    needs.check(rights, identity_pb.IdentifyRequest(gallery="a", other_galleries=["b"] * 31))
    with pytest.raises(InvalidField, match="32 entries") as refused:
        needs.check(rights, identity_pb.IdentifyRequest(gallery="a", other_galleries=[" "] * 32))
    assert refused.value.field == "other_galleries"


def test_what_is_no_name_is_not_repeated_to_the_caller() -> None:
    """An answer does not grow with what was sent."""
    with pytest.raises(InvalidField) as refused:
        _NEEDS[_IDENTIFY].check(
            _rights(Permission.IDENTIFY), identity_pb.IdentifyRequest(gallery="x" * 10**6)
        )
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("purpose", "galleries", "allowed"),
    [
        ("border-entry", ["border-1"], True),
        ("border-exit", ["border-1", "staff"], True),
        ("", ["border-1"], False),
        ("curiosity", ["border-1"], False),
        ("curiosity", ["staff", "border-1"], False),
        ("", ["staff"], True),
    ],
)
def test_a_gallery_may_require_a_purpose(purpose: str, galleries: list[str], allowed: bool) -> None:
    """Each gallery of a call must be open for the purpose that it states."""
    grant = Grant(frozenset(Permission), ("caller",), frozenset(), ("*",))
    rights = Policy([grant], [PurposeRule(("border-*",), ("border-*",))]).of(Principal("caller"))
    first, *others = galleries
    request = identity_pb.IdentifyRequest(gallery=first, other_galleries=others, context={"purpose": purpose})
    if allowed:
        _NEEDS[_IDENTIFY].check(rights, request)
    else:
        with pytest.raises(PermissionDenied) as refused:
            _NEEDS[_IDENTIFY].check(rights, request)
        assert refused.value.field == "context.purpose"
