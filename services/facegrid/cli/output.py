"""How results look: JSON objects for programs, tables for people."""

from datetime import UTC
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Column, Table

from facegrid.v1 import types_pb2 as pb

AsJson = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]


def table(*columns: str) -> Table:
    """Return a table that folds what does not fit: an id that is cut short is no use."""
    return Table(*(Column(name, overflow="fold") for name in columns))


def number(value: float) -> float:
    """Return a float32 of the wire without the digits that it does not have."""
    return round(value, 6)


def face_json(face: pb.DetectedFace) -> dict[str, Any]:
    """Return a face as an object of `--json`."""
    box = face.box
    return {
        "box": [number(value) for value in (box.x, box.y, box.width, box.height)],
        "landmarks": [[number(point.x), number(point.y)] for point in face.landmarks],
        "detection_score": number(face.detection_score),
        "quality": [
            {
                "measure": one.measure,
                "value": number(one.value),
                "component": number(one.component),
                "algorithm": one.algorithm,
            }
            for one in face.quality
        ],
    }


def decision_json(
    template_version: str,
    decision: pb.Decision.ValueType,
    threshold: pb.Threshold,
    candidates: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what a search decided as the rest of a face's object."""
    return {
        "template_version": template_version,
        "decision": decision_name(decision),
        "threshold": number(threshold.value),
        "candidates": candidates,
    }


def candidate_json(subject: str, score: float, gallery: str = "") -> dict[str, Any]:
    """Return a candidate as an object of `--json`, with its gallery where several are searched."""
    return ({"gallery": gallery} if gallery else {}) | {"subject": subject, "score": number(score)}


def decision_name(decision: pb.Decision.ValueType) -> str:
    """Return MATCH or NO_MATCH."""
    return pb.Decision.Name(decision).removeprefix("DECISION_")


def threshold_source(threshold: pb.Threshold) -> str:
    """Return who set a threshold."""
    return pb.ThresholdSource.Name(threshold.source).removeprefix("THRESHOLD_SOURCE_")


def time_text(stamp: Timestamp) -> str:
    """Return a moment in ISO 8601, to the second."""
    return stamp.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds")
