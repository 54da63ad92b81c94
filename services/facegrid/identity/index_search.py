"""Searches of an index, as far into it as an answer needs."""

from facegrid.domain.faces import Floats
from facegrid.domain.filters import Restriction
from facegrid.domain.galleries import Gallery
from facegrid.domain.matching import Hit, best_per_subject, is_settled
from facegrid.identity.index_state import IndexState
from facegrid.identity.ports import Index

_OVERFETCH = 4


async def best_subjects(  # noqa: PLR0917  # as many as a search has
    index: Index, gallery: Gallery, state: IndexState, probes: Floats, top: int, restriction: Restriction
) -> list[list[Hit]]:
    """Return for each probe of (N, dimension) the `top` best subjects that are allowed, best first."""
    limit = top * _OVERFETCH
    while True:
        swaps = state.swaps
        found = await index.search(gallery.gallery_id, probes, limit, gallery.index, restriction=restriction)
        if state.swaps != swaps:
            continue  # a replacement went by: these rows may show its subject twice, or not at all
        seen = [[hit for hit in hits if hit.encounter_id not in state.hidden] for hits in found]
        if all(
            len(hits) < limit or is_settled(visible, top) for hits, visible in zip(found, seen, strict=True)
        ):
            return [best_per_subject(visible)[:top] for visible in seen]
        limit *= _OVERFETCH


async def samples_above(
    index: Index, gallery: Gallery, state: IndexState, probes: Floats, threshold: float
) -> list[list[Hit]]:
    """Return for each probe of (N, dimension) the samples that score a threshold or more, best first.

    Raises InvalidField where these are more than the index returns.
    """
    limit = _OVERFETCH**3
    while True:
        found = await index.search(gallery.gallery_id, probes, limit, gallery.index)
        if all(len(hits) < limit or hits[-1].score < threshold for hits in found):
            return [
                [hit for hit in hits if hit.score >= threshold and hit.encounter_id not in state.hidden]
                for hits in found
            ]
        limit *= _OVERFETCH
