"""Labels and filters at the command line: `country=DE`, `born>=1980`, `country=DE,FR`, `country!=DE`."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from facegrid.client.labels import Value, to_value
from facegrid.v1 import filter_pb2, types_pb2

_VALUE = r'"[^"]*"|[^",]*'
_CONDITION = re.compile(
    rf"(?P<key>[A-Za-z0-9._-]+)(?P<sign>=|!=|>=|<=)(?P<values>(?:{_VALUE})(?:,(?:{_VALUE}))*)"
)

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="CONDITION",
        help="Search encounters of these labels alone, as country=DE, country=DE,FR, country!=DE, "
        "'born>=1980' or 'born<=1990'; repeat it, and all must hold. 7 is an integer, 7.5 a number, true and "
        'false are flags; anything else is text, as is what stands in "quotes".',
    ),
]
SubGalleries = Annotated[
    list[str] | None,
    typer.Option("--sub-gallery", metavar="NAME", help="Part of the gallery; repeat it for several."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="What to note of it, as born=1980; repeat it."),
]


def parse_metadata(entries: Sequence[str]) -> dict[str, Value]:
    """Return metadata. Raises typer.BadParameter."""
    found: dict[str, Value] = {}
    for entry in entries:
        key, sign, value = entry.partition("=")
        if not sign or key in found:
            raise typer.BadParameter(f"--metadata {entry!r}: write KEY=VALUE, each key once")
        found[key] = _parse_value(value)
    return found


def parse_filter(conditions: Sequence[str], sub_galleries: Sequence[str]) -> filter_pb2.Filter | None:
    """Return the filter under which all conditions hold; None for none. Raises typer.BadParameter."""
    parts = [_parse_condition(condition) for condition in conditions]
    if sub_galleries:
        parts.append(filter_pb2.Filter(sub_galleries=filter_pb2.SubGalleries(names=sub_galleries)))
    if len(parts) > 1:
        return filter_pb2.Filter(all_of=filter_pb2.Filters(filters=parts))
    return parts[0] if parts else None


def _parse_condition(condition: str) -> filter_pb2.Filter:
    found = _CONDITION.fullmatch(condition)
    if not found:
        raise typer.BadParameter(f"--filter {condition!r}: write 'country=DE' or 'born>=1980'")
    key, sign = found["key"], found["sign"]
    values = [to_value(_parse_value(one)) for one in _split(found["values"])]
    if sign in {"=", "!="}:
        wanted = filter_pb2.Filter(one_of=filter_pb2.Membership(key=key, values=values))
        return wanted if sign == "=" else filter_pb2.Filter(none_of=filter_pb2.Filters(filters=[wanted]))
    if len(values) > 1:
        raise typer.BadParameter(f"--filter {condition!r}: a limit is one value")
    limit = {"minimum" if sign == ">=" else "maximum": values[0]}
    return filter_pb2.Filter(range=filter_pb2.Range(key=key, **limit))


def _split(values: str) -> list[str]:
    """Split at the commas outside quotes."""
    return re.findall(rf"(?:^|,)({_VALUE})", values)


def _parse_value(text: str) -> Value:
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?", text):
        return float(text)
    return text[1:-1] if re.fullmatch(r'"[^"]*"', text) else text


def plain_metadata(metadata: Mapping[str, types_pb2.Value]) -> dict[str, Value]:
    """Return metadata as plain values, in the order of its keys."""
    return {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in sorted(metadata.items())}


def status_name(status: types_pb2.Status.ValueType) -> str:
    """Return active or inactive."""
    return types_pb2.Status.Name(status).removeprefix("STATUS_").lower()
