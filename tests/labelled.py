"""Random labels and filters, of few keys and values, so that they often meet."""

from hypothesis import given, settings
from hypothesis import strategies as st

from facegrid.domain.filters import AllOf, AnyOf, Between, Equals, Filter, InSubGallery, NoneOf, OneOf
from facegrid.domain.labels import Labels

KEYS = st.sampled_from(["country", "born", "a.b-c_d"])
NAMES = st.sampled_from(["north", "south", "east"])
TEXTS = st.sampled_from(["", "DE", "FR", "日本", "1", "true", 'a"] or true or x == ["b', "\\", "é'%_"])
INTEGERS = st.sampled_from([0, 1, -1, 1980, 2**53, 2**53 + 1, 2**63 - 1, 1 - 2**63])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -0.1, 1980.0, 5e-324, 1.7976931348623157e308])
VALUES = TEXTS | INTEGERS | NUMBERS | st.booleans()
LABELS = st.builds(
    Labels,
    st.dictionaries(KEYS, VALUES, max_size=3),
    st.lists(NAMES, max_size=2).map(tuple),
)


def random_labels(count: int) -> list[Labels]:
    """Return random labels, the same every time."""
    found: list[Labels] = []

    @settings(max_examples=count, database=None, derandomize=True)
    @given(LABELS)
    def collect(labels: Labels) -> None:
        found.append(labels)

    collect()
    return found


def _ranges(kind: st.SearchStrategy[str] | st.SearchStrategy[int] | st.SearchStrategy[float]) -> object:
    some = st.tuples(kind, kind) | st.tuples(st.none(), kind) | st.tuples(kind, st.none())
    return st.builds(lambda key, limits: Between(key, *limits), KEYS, some)


_LEAVES = st.one_of(
    st.builds(Equals, KEYS, VALUES),
    st.builds(OneOf, KEYS, st.lists(VALUES, min_size=1, max_size=4).map(tuple)),
    *(_ranges(kind) for kind in (TEXTS, INTEGERS, NUMBERS)),
    st.builds(InSubGallery, st.lists(NAMES, min_size=1, max_size=2).map(tuple)),
)


def _combined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.one_of(*(st.builds(kind, several) for kind in (AllOf, AnyOf, NoneOf)))


FILTERS = st.recursive(_LEAVES, _combined, max_leaves=6)
