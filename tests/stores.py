"""The kinds of object store that tests run on."""

from collections.abc import Callable

import pytest

from facegrid.storage.objects.store import ObjectStore

S3_KINDS = ("minio", "versitygw")
STORES = ["folder", *(pytest.param(kind, marks=pytest.mark.integration) for kind in S3_KINDS)]
MakeStore = Callable[[str], ObjectStore]
