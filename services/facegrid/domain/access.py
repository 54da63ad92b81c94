"""Who may do what in which galleries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from facegrid.domain.errors import PermissionDenied


class Permission(Enum):
    """One thing that a role may allow; the values are the words of policies."""

    VERIFY = "verify"
    IDENTIFY = "identify"
    INVESTIGATE = "investigate"
    ENROLL = "enroll"
    UPDATE = "update"
    DELETE = "delete"
    IMAGE_READ = "image.read"
    TEMPLATE_READ = "template.read"
    AUDIT = "audit"
    ADMIN = "admin"
    ATTRIBUTES = "attributes"
    ON_BEHALF = "on_behalf"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that is known, by a certificate or a token, and the groups that a token puts it in."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """A role's permissions for principals or groups, in galleries; only `*` is special in a pattern."""

    permissions: frozenset[Permission]
    principals: tuple[str, ...]
    groups: frozenset[str]
    galleries: tuple[str, ...]

    def holds_for(self, principal: Principal) -> bool:
        """Say whether the grant is the principal's."""
        return _matches(principal.name, self.principals) or not self.groups.isdisjoint(principal.groups)

    def covers(self, gallery: str) -> bool:
        """Say whether the grant is for a gallery."""
        return _matches(gallery, self.galleries)


@dataclass(frozen=True, slots=True)
class PurposeRule:
    """Patterns of galleries, and of the purposes that calls on these must state one of."""

    galleries: tuple[str, ...]
    allowed: tuple[str, ...]

    def forbids(self, gallery: str, purpose: str) -> bool:
        """Say whether the rule is for a gallery and the purpose is missing or another."""
        return _matches(gallery, self.galleries) and not (purpose and _matches(purpose, self.allowed))


@dataclass(frozen=True, slots=True)
class Policy:
    """All grants: what none allows is refused. `servers` say for whom they call."""

    grants: Sequence[Grant]
    purposes: Sequence[PurposeRule] = ()
    servers: frozenset[str] = frozenset()

    def of(self, principal: Principal) -> "Rights":
        """Return what a principal may do."""
        return Rights(principal, [one for one in self.grants if one.holds_for(principal)], self.purposes)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one principal may do."""

    principal: Principal
    grants: Sequence[Grant]
    purposes: Sequence[PurposeRule] = ()

    def sees(self, gallery: str) -> bool:
        """Say whether the principal may do anything in a gallery, and so know of it."""
        return any(grant.covers(gallery) for grant in self.grants)

    def holds(self, permission: Permission, gallery: str) -> bool:
        """Say whether the principal has a permission in a gallery."""
        return any(permission in grant.permissions and grant.covers(gallery) for grant in self.grants)

    def check(self, permission: Permission, galleries: Collection[str]) -> None:
        """Raise PermissionDenied where a permission is not held in all galleries or, with none, anywhere."""
        missing = next((name for name in galleries if not self.holds(permission, name)), "")
        if missing or not any(permission in grant.permissions for grant in self.grants):
            where = f" in gallery {missing}" if missing else ""
            raise PermissionDenied(
                f"the permission {permission.value} is not yours{where}; ask who keeps the policy"
            )

    def opens(self, gallery: str, purpose: str) -> bool:
        """Say whether no rule closes a gallery for a purpose, or for the lack of one."""
        return not any(rule.forbids(gallery, purpose) for rule in self.purposes)

    def check_purpose(self, purpose: str, galleries: Collection[str]) -> None:
        """Raise PermissionDenied where a gallery asks for another purpose than the one that is stated."""
        for name in galleries:
            if not self.opens(name, purpose):
                raise PermissionDenied(
                    f"gallery {name} is not open for this purpose; state yours in context.purpose, or ask "
                    "who keeps the policy",
                    field="context.purpose",
                )


def _matches(name: str, patterns: Collection[str]) -> bool:
    literal = (pattern.replace("[", "[[]").replace("?", "[?]") for pattern in patterns)
    return any(fnmatchcase(name, pattern) for pattern in literal)
