"""How attributes are named on the command line."""

import typer

from facegrid.v1 import types_pb2 as pb

_KNOWN = {name.removeprefix("ATTRIBUTE_").lower(): number for name, number in pb.Attribute.items() if number}
ATTRIBUTES_HELP = f"With commas between: {', '.join(_KNOWN)}; or all."


def attributes_named(names: str) -> list[pb.Attribute.ValueType]:
    """Return the attributes of a comma-separated list. Raises BadParameter for a name that is none."""
    wanted = list(_KNOWN) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in _KNOWN:
            raise typer.BadParameter(f"{name!r} is no attribute; known are {', '.join(_KNOWN)}, and all")
    return [_KNOWN[name] for name in wanted]


def attribute_names(attributes: list[pb.Attribute.ValueType]) -> list[str]:
    """Return the names of attributes."""
    return [name for name, number in _KNOWN.items() if number in attributes]
