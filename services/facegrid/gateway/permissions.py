"""What each method needs, as the protos state it, and the check of a caller's rights against it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from facegrid.domain.access import Permission, Rights
from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import no_gallery
from facegrid.domain.names import check_name
from facegrid.identity.searching import MOST_GALLERIES
from facegrid.v1 import access_pb2 as pb
from facegrid.v1.types_pb2 import Sample

_PERMISSIONS = {pb.Permission.Value(f"PERMISSION_{one.name}"): one for one in Permission}


@dataclass(frozen=True, slots=True)
class Needs:
    """A method's permission, what fields and their values need beside it, and the fields that name galleries.

    `more` has a permission for a field that is set, `choices` one for each value of a field that needs one;
    templates in the fields of `compared` need TEMPLATE_READ, for their scores give away stored ones.
    """

    permission: Permission
    more: Mapping[str, Permission]
    choices: Mapping[tuple[str, int], Permission]
    galleries: tuple[str, ...]
    compared: tuple[str, ...]
    makes_gallery: bool

    def check(self, rights: Rights, request: Any) -> None:
        """Raise PermissionDenied, and GalleryNotFound where the caller may know nothing of a gallery.

        It depends on names alone, so it tells nobody what exists. Raises InvalidField for what is no name.
        """
        named = {check_name(name, field): field for name, field in self._named(request)}
        for name, field in named.items():
            if not (self.makes_gallery or rights.sees(name)):
                raise no_gallery(name, field)
        for permission in self._asked(rights, request):
            rights.check(permission, named)
        rights.check_purpose(request.context.purpose, named)

    def _named(self, request: Any) -> Iterator[tuple[str, str]]:
        """Yield each gallery with the field that names it."""
        for field in self.galleries:
            value = getattr(request, field)
            if isinstance(value, str):
                yield from ((name, field) for name in [value] if name)
                continue
            if len(value) >= MOST_GALLERIES:
                most = MOST_GALLERIES - 1
                raise InvalidField(f"{field} has {len(value)} entries; name up to {most}", field=field)
            yield from ((name, f"{field}[{number}]") for number, name in enumerate(value))

    def _asked(self, rights: Rights, request: Any) -> Iterator[Permission]:
        yield self.permission
        yield from (permission for field, permission in self.more.items() if getattr(request, field))
        for (field, value), permission in self.choices.items():
            if getattr(request, field) == value:
                yield permission
        if any(sample.HasField("template") for sample in self._samples(request)):
            yield Permission.TEMPLATE_READ
        if request.context.end_user not in {"", rights.principal.name}:
            yield Permission.ON_BEHALF

    def _samples(self, request: Any) -> Iterator[Sample]:
        for value in (getattr(request, field) for field in self.compared):
            yield from [value] if isinstance(value, Sample) else value


def needs_of(services: Iterable[ServiceDescriptor]) -> dict[str, Needs]:
    """Return what each method needs, by its full path. Raises ValueError where one states no permission."""
    return {
        f"/{service.full_name}/{method.name}": _needs(method)
        for service in services
        for method in service.methods
    }


def _needs(method: MethodDescriptor) -> Needs:
    permission = method.GetOptions().Extensions[pb.permission]
    if permission not in _PERMISSIONS:
        raise ValueError(f"{method.full_name} states no permission; give it the option in its proto")
    fields = method.input_type.fields
    options = [(field.name, field.GetOptions().Extensions) for field in fields]
    return Needs(
        _PERMISSIONS[permission],
        {name: _PERMISSIONS[one[pb.also_needs]] for name, one in options if one[pb.also_needs]},
        {key: permission for field in fields for key, permission in _choices(field)},
        tuple(name for name, one in options if one[pb.names_gallery]),
        tuple(name for name, one in options if one[pb.compared]),
        makes_gallery=method.name == "CreateGallery",
    )


def _choices(field: FieldDescriptor) -> Iterator[tuple[tuple[str, int], Permission]]:
    for value in field.enum_type.values if field.enum_type else ():
        if permission := value.GetOptions().Extensions[pb.choice_needs]:
            yield (field.name, value.number), _PERMISSIONS[permission]
