"""A search of a collection in Milvus: what is asked, and the answer column by column.

pymilvus makes a dict of each row and a list of each vector, which takes it 1.5 ms for 64 rows of 512 numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from facegrid.domain.faces import Floats
from facegrid.domain.matching import Hit
from facegrid.domain.templates import round_score

_KEPT = ["subject_id", "encounter_id", "sample"]


@dataclass(frozen=True, slots=True)
class MilvusSearch:
    """The `rows` best of those that meet a condition, for each probe of (N, dimension).

    With nprobe the index is IVF_SQ8, which compares 8-bit vectors, and reads so many lists.
    """

    probes: Floats
    rows: int
    nprobe: int | None
    consistency: str
    condition: str

    def answer(self, client: Any, name: str, timeout_s: float) -> Any:
        """Return Milvus's SearchResultData."""
        from pymilvus.client.prepare import Prepare  # noqa: PLC0415  takes seconds
        from pymilvus.client.ts_utils import construct_guarantee_ts  # noqa: PLC0415  likewise
        from pymilvus.client.utils import check_status  # noqa: PLC0415  likewise

        # Only what pymilvus has below its client takes a request and gives its answer as it came.
        connection, context = client._get_connection(), client._generate_call_context()  # noqa: SLF001  # see above
        consistency: dict[str, Any] = {"consistency_level": self.consistency}
        construct_guarantee_ts(name, consistency, connection.server_address, context.get_db_name())
        request = Prepare.search_requests_with_expr(
            name,
            "vector",
            {"metric_type": "IP", "params": {} if self.nprobe is None else {"nprobe": self.nprobe}},
            self.rows,
            data=list(self.probes),
            expr=self.condition,
            output_fields=_KEPT if self.nprobe is None else [*_KEPT, "vector"],
            use_default_consistency=False,
            **consistency,
        )
        found = connection._stub.Search(  # noqa: SLF001  # likewise
            request, timeout=timeout_s, metadata=context.to_grpc_metadata()
        )
        check_status(found.status)
        return found.results

    def hits(self, results: Any, limit: int) -> list[list[Hit]]:
        """Return the `limit` best rows of an answer for each probe, with exact scores.

        FLAT has compared the float32 vectors, in float32: its scores differ from those of float64 by less
        than 3e-7 (measured with 64 to 2,048 numbers on Milvus 2.3.5 and Lite 3.2). With nprobe the vectors
        were fetched, of which Milvus 2.3.5 returns those that were stored, and are compared here.
        """
        columns = {field.field_name: field for field in results.fields_data}
        scores = np.array(results.scores, np.float64)
        parts = [slice(*ends) for ends in pairwise(accumulate(results.topks, initial=0))]
        if self.nprobe is not None and len(scores):
            vectors = _vectors(columns["vector"])
            for part, probe in zip(parts, self.probes, strict=True):
                scores[part] = vectors[part].astype(np.float64) @ probe.astype(np.float64)
        hits = list(_hits(columns, scores)) if len(scores) else []
        return [sorted(hits[part], key=lambda hit: -hit.score)[:limit] for part in parts]


def _vectors(column: Any) -> Floats:
    """Return vectors, through the wire form of packed numbers, which is that of bytes."""
    from pymilvus.grpc_gen.schema_pb2 import JSONArray  # noqa: PLC0415  takes seconds

    (raw,) = JSONArray.FromString(column.vectors.float_vector.SerializeToString()).data
    return np.frombuffer(raw, "<f4").reshape(-1, column.vectors.dim)


def _hits(columns: dict[str, Any], scores: np.ndarray) -> Iterator[Hit]:
    subjects, encounters = (columns[name].scalars.string_data.data for name in _KEPT[:2])
    samples = columns["sample"].scalars.int_data.data
    for subject, encounter, sample, score in zip(subjects, encounters, samples, scores.tolist(), strict=True):
        yield Hit(subject, encounter, sample, round_score(score))
