"""The JSON forms of records."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np

from facegrid.domain.attributes import Attribute
from facegrid.domain.faces import Box, DetectedFace, Floats, QualityMeasure
from facegrid.domain.galleries import Encounter, Gallery, Sample
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings, SearchMethod
from facegrid.domain.labels import NO_LABELS, Labels, Status
from facegrid.domain.packs import Threshold, Thresholds, ThresholdSource
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import Template
from facegrid.storage.objects.forms import Form


def gallery_form(gallery: Gallery) -> dict[str, Any]:
    """Return a gallery's settings, its key in hex."""
    return {
        "name": gallery.name,
        "gallery_id": gallery.gallery_id,
        "pack": gallery.pack,
        "template_version": gallery.template_version,
        "dimension": gallery.dimension,
        "thresholds": {
            "verify": _threshold_form(gallery.thresholds.verify),
            "identify": _threshold_form(gallery.thresholds.identify),
        },
        "keep_photographs": gallery.keep_photographs,
        "created": gallery.created.isoformat(),
        "key": gallery.key.hex(),
        "quality_rules": [asdict(rule) for rule in gallery.quality_rules],
        "attributes": [attribute.value for attribute in gallery.attributes],
        "index": {"method": gallery.index.method.value, "nprobe": gallery.index.nprobe},
    }


def parse_gallery(form: Form) -> Gallery:
    """Return the gallery of a form."""
    return Gallery(
        name=form["name"],
        gallery_id=form["gallery_id"],
        pack=form["pack"],
        template_version=form["template_version"],
        dimension=form["dimension"],
        thresholds=Thresholds(
            _parse_threshold(form["thresholds"]["verify"]), _parse_threshold(form["thresholds"]["identify"])
        ),
        keep_photographs=form["keep_photographs"],
        created=datetime.fromisoformat(form["created"]),
        key=bytes.fromhex(form["key"]),
        quality_rules=tuple(QualityRule(**rule) for rule in form.get("quality_rules", [])),
        attributes=tuple(Attribute(name) for name in form.get("attributes", ())),
        index=_parse_index(form["index"]) if "index" in form else EXACT_INDEX,
    )


def _parse_index(form: Form) -> IndexSettings:
    return IndexSettings(SearchMethod(form["method"]), form["nprobe"])


def encounter_form(encounter: Encounter) -> dict[str, Any]:
    """Return an encounter without its templates and photographs."""
    return {
        "encounter_id": encounter.encounter_id,
        "subject_id": encounter.subject_id,
        "labels": labels_form(encounter.labels),
        "samples": [_sample_form(sample) for sample in encounter.samples],
        "created": encounter.created.isoformat(),
        "revision": encounter.revision,
        "request_id": encounter.request_id,
        "actor": encounter.actor,
        "replaces": list(encounter.replaces),
    }


def parse_encounter(form: Form, version: str) -> Encounter:
    """Return the encounter of a form; its templates are empty until `with_vectors` fills them."""
    return Encounter(
        encounter_id=form["encounter_id"],
        subject_id=form["subject_id"],
        samples=tuple(_parse_sample(sample, version) for sample in form["samples"]),
        created=datetime.fromisoformat(form["created"]),
        revision=form["revision"],
        request_id=form["request_id"],
        actor=form["actor"],
        replaces=tuple(form["replaces"]),
        labels=parse_labels(form["labels"]),
    )


def with_vectors(encounter: Encounter, vectors: Sequence[Floats]) -> Encounter:
    """Fill in an encounter's templates, one vector a sample."""
    samples = (
        replace(sample, template=replace(sample.template, vector=vector))
        for sample, vector in zip(encounter.samples, vectors, strict=True)
    )
    return replace(encounter, samples=tuple(samples))


def subject_form(first: Encounter) -> dict[str, Any]:
    """Return the form of a subject whose first encounter this is."""
    return {
        "subject_id": first.subject_id,
        "created": first.created.isoformat(),
        "request_id": first.request_id,
        "actor": first.actor,
    }


def parse_subject(form: Form) -> tuple[str, datetime]:
    """Return a subject's id and the time at which it was made."""
    return form["subject_id"], datetime.fromisoformat(form["created"])


def labels_form(labels: Labels) -> dict[str, Any]:
    """Return the form of labels."""
    return {
        "metadata": dict(labels.metadata),
        "sub_galleries": list(labels.sub_galleries),
        "status": labels.status.value,
    }


def parse_labels(form: Form) -> Labels:
    """Return the labels of a form; those that say nothing are all one object."""
    labels = Labels(form["metadata"], tuple(form["sub_galleries"]), Status(form["status"]))
    return NO_LABELS if labels == NO_LABELS else labels


def _threshold_form(threshold: Threshold) -> dict[str, Any]:
    return {"value": threshold.value, "source": threshold.source.value}


def _parse_threshold(form: Form) -> Threshold:
    return Threshold(form["value"], ThresholdSource(form["source"]))


def _sample_form(sample: Sample) -> dict[str, Any]:
    return {
        "sha256": sample.sha256,
        "photograph_kept": sample.photograph_kept,
        "norm": sample.template.norm,
        "face": None if sample.face is None else _face_form(sample.face),
    }


def _parse_sample(form: Form, version: str) -> Sample:
    return Sample(
        sha256=form["sha256"],
        face=None if form["face"] is None else _parse_face(form["face"]),
        template=Template(version, np.empty(0, np.float32), form["norm"]),
        photograph_kept=form["photograph_kept"],
    )


def _face_form(face: DetectedFace) -> dict[str, Any]:
    return {
        "box": asdict(face.box),
        "landmarks": face.landmarks.tolist(),
        "detection_score": face.detection_score,
        "quality": [asdict(measure) for measure in face.quality],
    }


def _parse_face(form: Form) -> DetectedFace:
    return DetectedFace(
        box=Box(**form["box"]),
        landmarks=np.array(form["landmarks"], np.float32),
        detection_score=form["detection_score"],
        quality=tuple(QualityMeasure(**measure) for measure in form["quality"]),
    )
