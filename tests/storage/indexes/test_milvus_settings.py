"""The settings of Milvus, each with its effect."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from pymilvus import MilvusClient

from facegrid.domain.errors import ConfigurationError, StoreUnavailable
from facegrid.storage.indexes import milvus_connection
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_connection import MilvusConnection, MilvusOptions
from facegrid.storage.indexes.milvus_schema import upsert_request
from index_rows import rows_of, subjects, unit_vectors
from milvus_server import milvus_programs, running_milvus


@pytest.fixture
def client(milvus_uri: str) -> Iterator[MilvusClient]:
    """Yield somebody else's client of the server."""
    made = MilvusClient(milvus_uri, dedicated=True)
    yield made
    made.close()


@pytest.mark.integration
async def test_collections_are_made_in_the_database_and_with_the_shards_that_are_set(
    milvus_uri: str, client: MilvusClient
) -> None:
    """Nothing of the gallery stands in the default database."""
    database, gallery = f"faces_{uuid4().hex}", uuid4().hex
    client.create_database(database)
    index = MilvusIndex(milvus_uri, MilvusOptions(database=database, shards=3))
    await index.open(gallery, "v1", 16)
    await index.add(gallery, rows_of(unit_vectors(5)))
    (hits,) = await index.search(gallery, unit_vectors(1), 1)
    assert subjects(hits) == [0]
    index.close()
    assert not client.has_collection(f"facegrid_{gallery}")
    inside = MilvusClient(milvus_uri, db_name=database, dedicated=True)
    assert inside.describe_collection(f"facegrid_{gallery}")["num_shards"] == 3
    inside.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (MilvusOptions(database="nowhere"), "FACEGRID_MILVUS_DATABASE"),
        (MilvusOptions(replicas=2), "FACEGRID_MILVUS_REPLICAS"),
    ],
)
async def test_what_the_server_cannot_give_is_told_with_its_setting(
    milvus_uri: str, options: MilvusOptions, words: str
) -> None:
    """A database that is not there, and more replicas than query nodes."""
    index = MilvusIndex(milvus_uri, options)
    with pytest.raises(ConfigurationError, match=words):
        await index.open(uuid4().hex, "v1", 16)
    index.close()


@pytest.mark.integration
async def test_a_strong_search_sees_what_somebody_else_has_just_written(
    milvus_uri: str, client: MilvusClient
) -> None:
    """Bounded ones would miss it for some 0.2 s."""
    gallery, index = uuid4().hex, MilvusIndex(milvus_uri, MilvusOptions(consistency="Strong"))
    await index.open(gallery, "v1", 16)
    index._opened[gallery].written = 0  # long ago: nothing of our own is under way
    rows, connection = rows_of(unit_vectors(10)), client._get_connection()
    for number in range(10):
        request = upsert_request(f"facegrid_{gallery}", rows.part(slice(number, number + 1)))
        connection.upsert("", [], upsert_param=request, schema={"fields": []})
        (hits,) = await index.search(gallery, rows.vectors[number : number + 1], 1)
        assert subjects(hits) == [number]
    index.close()


@pytest.mark.integration
async def test_an_untested_version_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the versions that were tested."""
    monkeypatch.setattr(milvus_connection, "_TESTED", milvus_connection.re.compile("0"))
    index = MilvusIndex(str(tmp_path / "milvus"))
    with structlog.testing.capture_logs() as logs:
        await index.check()
    index.close()
    (entry,) = logs
    assert entry["event"] == "untested Milvus"
    assert "2.3.5" in entry["tested"]
    assert "3.2" in entry["version"]


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certify(folder: Path) -> None:
    """Make a CA, and with it a certificate of the name milvus.test."""
    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    openssl(folder, *new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    openssl(folder, *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=milvus.test")
    (folder / "names").write_text("subjectAltName=DNS:milvus.test")
    signing = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl(folder, *signing, "-extfile", "names", "-out", "server.pem")


@pytest.mark.integration
async def test_tls_trusts_the_ca_and_the_name_that_are_set(tmp_path: Path) -> None:
    """Another name, no CA, and no TLS are refused by one side or the other."""
    certify(tmp_path)
    files = {"serverPemPath": "server.pem", "serverKeyPath": "server.key", "caPemPath": "ca.pem"}
    settings = {
        "common": {"security": {"tlsMode": 1}},
        "tls": {name: str(tmp_path / file) for name, file in files.items()},
    }
    ca = tmp_path / "ca.pem"
    with running_milvus(milvus_programs(), settings) as server:
        secure = server.uri.replace("http:", "https:")
        index = MilvusIndex(secure, MilvusOptions(ca_file=ca, server_name="milvus.test"))
        await index.open(uuid4().hex, "v1", 16)
        index.close()
        for uri, options in (
            (secure, MilvusOptions(ca_file=ca, server_name="other.test")),
            (secure, MilvusOptions(ca_file=ca)),
            (secure, MilvusOptions(server_name="milvus.test")),
            (server.uri, MilvusOptions()),
        ):
            index = MilvusIndex(uri, options)
            with pytest.raises(StoreUnavailable):
                await index.check()
            index.close()


def test_a_ca_needs_tls_and_a_file(tmp_path: Path) -> None:
    """Both are told before anything is connected."""
    with pytest.raises(ConfigurationError, match="https://"):
        MilvusIndex("http://127.0.0.1:9", MilvusOptions(ca_file=tmp_path))
    with pytest.raises(ConfigurationError, match="names no file"):
        MilvusIndex("https://127.0.0.1:9", MilvusOptions(ca_file=tmp_path / "missing.pem"))


class CountingConnection(MilvusConnection):
    """A connection that counts the attempts to make it."""

    attempts = 0

    def _connect(self) -> object:
        self.attempts += 1
        return super()._connect()


def test_a_dead_server_is_not_asked_by_every_caller() -> None:
    """Who comes within a second of a failure is told at once."""
    connection = CountingConnection("http://127.0.0.1:9", MilvusOptions())
    for _ in range(200):
        with pytest.raises(StoreUnavailable):
            connection.call(lambda client: client)
    assert 1 <= connection.attempts < 20
