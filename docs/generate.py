"""Write the references from the protos and the metrics: `make proto` does, and a test holds them equal."""

import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from facegrid.metrics import metrics_reference

_ROOT = Path(__file__).parents[1]
_PACKAGE = ".facegrid.v1."
_MESSAGES, _ENUMS, _SERVICES, _MEMBERS = 4, 5, 6, 2  # field numbers of FileDescriptorProto and its parts
_Field = FieldDescriptorProto


def api_reference() -> str:
    """Return the reference of all services, messages and enums."""
    sources = [_Source(file) for file in _described() if file.package == "facegrid.v1"]
    sections = [
        "# API reference",
        "Made from `protos/facegrid/v1` by `make proto`. Fields that are not required may be left out.",
        *(part for source in sources for part in source.services()),
        "# Messages",
        *(part for source in sources for part in source.messages()),
        "# Enums",
        *(part for source in sources for part in source.enums() if "ErrorReason" not in part.split("\n")[0]),
    ]
    return "\n\n".join(sections) + "\n"


def error_reference() -> str:
    """Return the table of error reasons."""
    source = next(one for one in map(_Source, _described()) if one.file.name.endswith("error_reason.proto"))
    (enum,) = source.file.enum_type
    rows = ["| reason | number | code | when |", "|---|---|---|---|"]
    for place, value in enumerate(enum.value):
        comment = source.comment(_ENUMS, 0, _MEMBERS, place)
        code, separator, when = comment.partition(": ")
        if separator:
            name = value.name.removeprefix("ERROR_REASON_")
            rows.append(f"| `{name}` | {value.number} | {code} | {when} |")
    return "\n\n".join(["# Errors", source.comment(_ENUMS, 0), "\n".join(rows)]) + "\n"


class _Source:
    """A proto file and what its comments say."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }

    def comment(self, *path: int) -> str:
        return self._comments.get(path, "")

    def services(self) -> Iterator[str]:
        for place, service in enumerate(self.file.service):
            yield f"# {service.name}\n\n{self.comment(_SERVICES, place)}"
            for number, method in enumerate(service.method):
                asked = f"{'stream ' * method.client_streaming}{_linked(method.input_type)}"
                answered = f"{'stream ' * method.server_streaming}{_linked(method.output_type)}"
                comment = self.comment(_SERVICES, place, _MEMBERS, number)
                yield f"## {method.name}\n\n{asked} → {answered}\n\n{comment}"

    def messages(self) -> Iterator[str]:
        for place, message in enumerate(self.file.message_type):
            maps = {
                f"{_PACKAGE}{message.name}.{entry.name}": entry.field
                for entry in message.nested_type
                if entry.options.map_entry
            }
            rows = [
                f"| {field.number} | `{field.name}` | {_type(field, maps)} | "
                f"{_behaviour(field)}{self.comment(_MESSAGES, place, _MEMBERS, number)} |"
                for number, field in enumerate(message.field)
            ]
            table = ["| | field | type | |", "|---|---|---|---|", *rows] if rows else ["It has no fields."]
            yield "\n".join([f"## {message.name}", "", self.comment(_MESSAGES, place), "", *table])

    def enums(self) -> Iterator[str]:
        for place, enum in enumerate(self.file.enum_type):
            rows = [
                f"| {value.number} | `{value.name}` | {self.comment(_ENUMS, place, _MEMBERS, number)} |"
                for number, value in enumerate(enum.value)
            ]
            head = [f"## {enum.name}", "", self.comment(_ENUMS, place), "", "| | value | |", "|---|---|---|"]
            yield "\n".join([*head, *rows])


def _behaviour(field: _Field) -> str:
    required = field_behavior_pb2.REQUIRED in field.options.Extensions[field_behavior_pb2.field_behavior]
    return "**Required.** " if required else ""


def _type(field: _Field, maps: dict[str, Sequence[_Field]]) -> str:
    if field.type_name in maps:
        key, value = maps[field.type_name]
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = _linked(field.type_name) if field.type_name else _Field.Type.Name(field.type)[5:].lower()
    return f"repeated {name}" if field.label == _Field.LABEL_REPEATED else name


def _linked(type_name: str) -> str:
    name = type_name.removeprefix(_PACKAGE)
    return f"[{name}](#{name.lower()})" if type_name.startswith(_PACKAGE) else name.removeprefix(".")


def _described() -> list[FileDescriptorProto]:
    """Return the project's proto files with their comments."""
    google = Path(field_behavior_pb2.__file__).parents[2]
    well_known = str(files("grpc_tools") / "_proto")
    protos = sorted(str(path) for path in (_ROOT / "protos").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "protos.bin")
        paths = [f"-I{_ROOT / 'protos'}", f"-I{google}", f"-I{well_known}"]
        failed = protoc.main(
            ["protoc", *paths, "--include_source_info", f"--descriptor_set_out={out}", *protos]
        )
        if failed:
            raise SystemExit(failed)
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


REFERENCES = {"api.md": api_reference, "errors.md": error_reference, "metrics.md": metrics_reference}


def main() -> None:
    """Write all."""
    for name, reference in REFERENCES.items():
        Path(__file__).with_name(name).write_text(reference())


if __name__ == "__main__":
    main()
