"""What only a server can do: refuse, be set up wrongly, hold large objects, and damage them."""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import minio.time
import pytest

from facegrid.domain.errors import ConfigurationError
from facegrid.storage.objects.s3 import S3ObjectStore
from facegrid.storage.objects.s3_client import S3Location
from facegrid.storage.objects.store import UnreadableObject
from s3_servers import KEYS, S3Server, make_server, running_s3
from stores import S3_KINDS

pytestmark = pytest.mark.integration


@pytest.fixture(params=S3_KINDS)
def server(request: pytest.FixtureRequest, s3_server: Callable[[str], S3Server]) -> S3Server:
    """Return a running server of each kind."""
    return s3_server(request.param)


def refused(location: S3Location) -> str:
    """Return what an operator is told who names this place."""
    store = S3ObjectStore(location, connections=1)
    with pytest.raises(ConfigurationError) as caught:
        store.get("facegrid.json")
    store.close()
    return str(caught.value)


def test_a_large_object_goes_in_parts(server: S3Server) -> None:
    """Beyond 32 MiB; it is read back whole and can be replaced."""
    store, data = server.store("large"), bytes(range(256)) * (2**17 + 1)
    store.put("a/large", data)
    assert store.get("a/large") == data
    assert "-2" in store._client.stat_object(bucket_name="tests", object_name="large/a/large").etag
    store.put("a/large", b"small")
    assert store.get("a/large") == b"small"
    store.close()


def test_thousands_of_keys_are_listed_and_removed(server: S3Server) -> None:
    """More than a page of either holds."""
    store, keys = server.store("many"), [f"a/{number:04}" for number in range(1100)]
    for key in keys:
        store.put_if_absent(key, b"")
    store.put("b", b"")
    assert list(store.keys("a/")) == keys
    store.delete_prefix("a/")
    assert list(store.keys("")) == ["b"]
    store.close()


def test_an_object_that_is_not_what_was_written_is_told_by_its_key(server: S3Server) -> None:
    """Each object carries its digest."""
    store = server.store("damaged")
    store._client.put_object(
        bucket_name="tests",
        object_name="damaged/a/one",
        data=io.BytesIO(b"half"),
        length=4,
        metadata={"sha256": "0" * 64},
    )
    with pytest.raises(UnreadableObject, match="a/one"):
        store.get("a/one")
    store.close()


def test_a_missing_bucket_is_named_with_the_setting_that_makes_it(server: S3Server) -> None:
    """It is not made unasked."""
    location = replace(S3Location.parse(server.url), bucket="none-such")
    assert "FACEGRID_STORE_CREATE_BUCKET" in refused(location)


@pytest.mark.parametrize("server", ["versitygw"], indirect=True)
def test_another_region_is_told_with_its_setting(server: S3Server) -> None:
    """Requests are signed for a region, which versitygw checks and MinIO does not."""
    assert "FACEGRID_STORE_REGION" in refused(S3Location.parse(server.url, region="mars-1"))


@pytest.mark.parametrize(
    ("name", "told"), [("AWS_ACCESS_KEY_ID", "access"), ("AWS_SECRET_ACCESS_KEY", "secret")]
)
def test_wrong_keys_are_refused_and_not_repeated(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    """The message says which one is wrong."""
    monkeypatch.setenv(name, "0-wrong-key")
    message = refused(S3Location.parse(server.url))
    assert f"the {told} key" in message
    assert "0-wrong-key" not in message


def test_keys_come_from_a_file_as_well(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is read again for each request, so that keys can change; a broken one is never quoted."""
    for name in KEYS:
        monkeypatch.delenv(name)
    assert "AWS_ACCESS_KEY_ID" in refused(S3Location.parse(server.url))
    file = tmp_path / "keys"
    location = S3Location.parse(f"{server.url}/file", credentials_file=file)
    assert str(file) in refused(location)
    file.write_text("aws_secret_access_key = 0-secret")
    assert "0-secret" not in refused(location)
    store = S3ObjectStore(location, connections=1)
    file.write_text("\n".join(["[default]", *(f"{name.lower()} = {value}" for name, value in KEYS.items())]))
    store.make_bucket()
    store.put("a", b"1")
    assert store.get("a") == b"1"
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in repr([vars(store), location, vars(store._client._provider)])
    store.close()


def test_another_time_is_told(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures hold for a quarter of an hour."""
    now = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: now() - timedelta(hours=1))
    assert "set the clocks" in refused(S3Location.parse(server.url))


@pytest.mark.parametrize(
    "url",
    ["bucket", "s3://bucket", "https://", "https://host", "https://k:0-secret@host/b", "https://host/b?0-secret",
     "https://host:port/b", "https://host/b//c", "https://host/../b"],
)  # fmt: skip
def test_what_names_no_bucket_is_refused(url: str) -> None:
    """The message shows the form, and not what was given: that may hold a secret."""
    with pytest.raises(ConfigurationError, match=r"https://HOST\[:PORT\]/BUCKET") as caught:
        S3Location.parse(url)
    assert "0-secret" not in str(caught.value)


def test_tls_needs_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    """A CA of one's own is named with a setting; without it the error says so."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here, which makes the certificate")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", certificates / "private.key", "-out", certificates / "public.crt"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    server = make_server("minio", tmp_path)
    server.command += ["--certs-dir", certificates]
    with running_s3(server):
        url = f"https://127.0.0.1:{server.port}/tests"
        assert "FACEGRID_STORE_CA" in refused(S3Location.parse(url))
        trusting = S3ObjectStore(S3Location.parse(url, ca_file=certificates / "public.crt"), connections=1)
        trusting.make_bucket()
        assert trusting.put_if_absent("a", b"1")
        assert trusting.get("a") == b"1"
        trusting.close()
    with pytest.raises(ConfigurationError, match="FACEGRID_STORE_CA"):
        S3ObjectStore(S3Location.parse(url, ca_file=certificates / "private.key"), connections=1)
