"""Templates: centred, normalised, of one version."""

import numpy as np
import pytest

from facegrid.domain.errors import TemplateVersionMismatch
from facegrid.domain.templates import (
    SentTemplate,
    Template,
    cosine,
    pool_templates,
    template_from_client,
    template_from_features,
)


def test_features_are_centred_then_normalised() -> None:
    """The centre is taken away first; the norm is that of what is left."""
    template = template_from_features("v", np.array([4, 5], np.float32), np.array([1, 1], np.float32))
    np.testing.assert_allclose(template.vector, [0.6, 0.8], rtol=1e-6)
    assert template.norm == pytest.approx(5)


def test_features_that_equal_the_centre_make_no_division_by_zero() -> None:
    """A vector of length zero stays zero and finite."""
    template = template_from_features("v", np.ones(4, np.float32), np.ones(4, np.float32))
    assert not template.vector.any()


def test_templates_of_different_versions_never_compare() -> None:
    """Not even where the vectors are the same."""
    vector = np.array([1, 0], np.float32)
    assert cosine(Template("v", vector), Template("v", vector)) == 1.0
    with pytest.raises(TemplateVersionMismatch):
        cosine(Template("v", vector), Template("w", vector))


def test_a_template_survives_the_wire() -> None:
    """Bytes out, bytes in: the same vector."""
    sent = template_from_features("v", np.arange(8, dtype=np.float32), None)
    got = template_from_client(SentTemplate("v", sent.to_bytes(), sent.norm), "v", 8)
    np.testing.assert_array_equal(got.vector, sent.vector)
    assert got.norm == sent.norm


def test_pooled_templates_are_their_normalised_mean() -> None:
    """Two right angles make the diagonal, of length one."""
    one, other = (Template("v", np.eye(2, dtype=np.float32)[row]) for row in (0, 1))
    pooled = pool_templates([one, other])
    np.testing.assert_allclose(pooled.vector, [np.sqrt(0.5)] * 2, rtol=1e-6)
