"""Restrictions of a search in Milvus's language of expressions, and the labels that they are asked of.

Each type of value has keys of its own, so that values of two types are never equal (Milvus calls 1 and 1.0
so), and each leaf asks first whether its key exists: Milvus Lite would answer neither true nor false. Keys
and names follow the rule of names; values are JSON, without what is not printable. `in` is not for fields of
JSON in Milvus Lite 3.2, so that several values are several comparisons.
"""

import json
from collections.abc import Collection, Iterable
from typing import Any

from facegrid.domain.filters import (
    AllOf,
    AnyOf,
    Between,
    Equals,
    Filter,
    InSubGallery,
    NoneOf,
    OneOf,
    Restriction,
)
from facegrid.domain.labels import Labels, Value

_KINDS = {str: "text", int: "integer", float: "number", bool: "flag"}

_SUB_GALLERY = "in"


def labels_document(labels: Labels) -> dict[str, Any]:
    """Return what a JSON field `labels` holds of labels."""
    document: dict[str, Any] = {_key(key, type(value)): value for key, value in labels.metadata.items()}
    return document | {_sub_gallery(name): True for name in labels.sub_galleries}


def labels_of(document: dict[str, Any]) -> Labels:
    """Return what such a field says of metadata and sub-galleries."""
    metadata, sub_galleries = dict[str, Value](), list[str]()
    for name, value in document.items():
        kind, _, key = name.partition(":")
        if kind == _SUB_GALLERY:
            sub_galleries.append(key)
        else:
            metadata[key] = value
    return Labels(metadata, tuple(sub_galleries))


def expression(restriction: Restriction) -> str:
    """Return an expression over `subject_id` and `labels`; empty where all is allowed."""
    parts = []
    if restriction.subject_ids is not None:
        parts.append(f"subject_id in {_list(restriction.subject_ids)}")
    if restriction.excluded:
        parts.append(f"not (subject_id in {_list(restriction.excluded)})")
    if restriction.filter is not None:
        parts.append(_of_filter(restriction.filter))
    return _joined("and", parts) if parts else ""


def _of_filter(wanted: Filter) -> str:  # noqa: PLR0911  # one for each kind of filter
    match wanted:
        case Equals(key, value):
            return _equals(key, value)
        case OneOf(key, values):
            return _joined("or", (_equals(key, value) for value in values))
        case Between(key):
            return _between(key, wanted)
        case InSubGallery(names):
            return _joined("or", (f"exists {_field(_sub_gallery(name))}" for name in names))
        case AllOf(parts):
            return _joined("and", map(_of_filter, parts))
        case AnyOf(parts):
            return _joined("or", map(_of_filter, parts))
        case NoneOf(parts):
            return f"not ({_joined('or', map(_of_filter, parts))})"


def _equals(key: str, value: Value) -> str:
    field = _field(_key(key, type(value)))
    return f"(exists {field}) and ({field} == {_literal(value)})"


def _between(key: str, limits: Between) -> str:
    field = _field(_key(key, limits.kind))
    parts = [f"exists {field}"]
    if limits.minimum is not None:
        parts.append(f"{field} >= {_literal(limits.minimum)}")
    if limits.maximum is not None:
        parts.append(f"{field} <= {_literal(limits.maximum)}")
    return _joined("and", parts)


def _joined(word: str, parts: Iterable[str]) -> str:
    """Join parts by halves: Milvus 2.3.5 reads no expression that is nested 50 deep, as a chain would be."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(word, parts[:middle])}) {word} ({_joined(word, parts[middle:])})"


def _key(key: str, kind: type) -> str:
    return f"{_KINDS[kind]}:{key}"


def _sub_gallery(name: str) -> str:
    return f"{_SUB_GALLERY}:{name}"


def _field(key: str) -> str:
    return f"labels[{json.dumps(key)}]"


def _literal(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(names: Collection[str]) -> str:
    return json.dumps(sorted(names))
