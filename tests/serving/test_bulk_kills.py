"""Bulk calls whose server is killed, and commands that are killed, and made again."""

import csv
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import skimage.data
from PIL import Image

from facegrid.client import Client
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest, ImportTemplatesResponse
from facegrid.v1.bulk_service_pb2_grpc import BulkServiceStub
from facegrid.v1.types_pb2 import RequestContext
from s3_servers import KEYS, S3Server
from server_process import ServerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
_BATCHES, _ROWS, _PHOTOGRAPHS = 40, 500, 12
Start = Callable[..., ServerProcess]


def requests(version: str) -> Iterator[ImportTemplatesRequest]:
    """Yield the messages of an import, always the same."""
    context = RequestContext(request_id="q")
    yield ImportTemplatesRequest(context=context, gallery="g", template_version=version)
    random = np.random.default_rng(0)
    for batch in range(_BATCHES):
        vectors = random.standard_normal((_ROWS, 128), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        subjects = [f"subject-{batch * _ROWS + row}" for row in range(_ROWS)]
        yield ImportTemplatesRequest(subject_ids=subjects, vectors=vectors.tobytes())
    yield ImportTemplatesRequest(total=_BATCHES * _ROWS)


def imported(server: ServerProcess, version: str) -> Iterator[ImportTemplatesResponse]:
    """Import and yield the answers."""
    with grpc.insecure_channel(server.address) as channel:
        yield from BulkServiceStub(channel).ImportTemplates(requests(version))


def exported(client: Client) -> Counter[str]:
    """Return the number of encounters of each subject."""
    answers = client.bulk.export_templates("g")
    return Counter(one.subject_id for answer in answers for one in answer.encounters)


def kill_after(server: ServerProcess, answers: Iterator[ImportTemplatesResponse], batches: int) -> None:
    """Kill the server once it has received some batches; beyond the last, once searches find the first."""
    for answer in answers:
        received = answer.received >= _ROWS * min(batches, _BATCHES)
        if received and (answer.searchable or batches <= _BATCHES):
            server.end(signal.SIGKILL)


@pytest.mark.parametrize("batches", [1, _BATCHES // 2, _BATCHES, _BATCHES + 1])
def test_an_import_whose_server_is_killed_is_whole_or_not_there(start: Start, batches: int) -> None:
    """After a restart the records have all or none, and the same call completes it once."""
    server = start()
    with Client(server.address) as client:
        version = client.create_gallery("g").template_version
    with pytest.raises(grpc.RpcError):
        kill_after(server, imported(server, version), batches)
    server = start()
    everybody = Counter(f"subject-{number}" for number in range(_BATCHES * _ROWS))
    with Client(server.address) as client:
        assert exported(client) in (Counter(), everybody)
        *_, last = imported(server, version)
        assert last.searchable == len(everybody)
        assert exported(client) == everybody
        assert client.get_gallery("g").subject_count == len(everybody)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Return a folder of photographs of three subjects, which all show one person in another light."""
    face = skimage.data.astronaut()[:256, 96:352]
    for number in range(_PHOTOGRAPHS):
        folder = tmp_path / "people" / f"subject-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(face, number, axis=1)).save(folder / f"{number}.jpg", quality=95)
    return tmp_path / "people"


def enroll(server: ServerProcess, source: Path, *options: str) -> subprocess.Popen[str]:
    """Start a bulk enrolment."""
    command = ["bulk", "enroll", str(source), "--gallery", "g", "--server", server.address, *options]
    return subprocess.Popen(
        [sys.executable, "-m", "facegrid.cli", *command],
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_enrolment_that_is_killed_again_and_again_does_each_photograph_once(
    start: Start, photographs: Path, tmp_path: Path
) -> None:
    """The command with kill -9, and the server as well; the report of the last run has all of them."""
    server, journal = start(), tmp_path / "people.g.journal"
    with Client(server.address) as client:
        client.create_gallery("g")
    for settled in (2, 6):
        with enroll(server, photographs) as command:
            while command.poll() is None and (
                not journal.exists() or journal.read_bytes().count(b"\n") <= settled
            ):
                time.sleep(0.01)
            command.kill()
    server.end(signal.SIGKILL)
    server = start()
    with enroll(server, photographs, "--report", str(tmp_path / "report.csv")) as command:
        assert command.communicate()[0] == f"enrolled {_PHOTOGRAPHS}, duplicate 0, failed 0\n"
    with Client(server.address) as client:
        assert exported(client) == Counter({f"subject-{number}": _PHOTOGRAPHS // 3 for number in range(3)})
    with (tmp_path / "report.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["outcome"] for line in lines} == {"enrolled"}
    assert len({line["encounter"] for line in lines}) == _PHOTOGRAPHS
    assert len(journal.read_text().splitlines()) == 1 + _PHOTOGRAPHS


def test_photographs_in_a_bucket(
    start: Start,
    photographs: Path,
    tmp_path: Path,
    s3_server: Callable[[str], S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A manifest names them by URL; one that is missing fails alone."""
    objects = s3_server("minio")
    store = objects.store("photographs")
    store.put("one.jpg", (photographs / "subject-0" / "0.jpg").read_bytes())
    endpoint, _, bucket = objects.url.rpartition("/")
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    manifest = tmp_path / "people.csv"
    url = f"s3://{bucket}/photographs"
    manifest.write_text(f"subject,photograph\nann,{url}/one.jpg\nbob,{url}/none.jpg\n")
    server = start()
    with Client(server.address) as client:
        client.create_gallery("g")
        with enroll(server, manifest, "--report", str(tmp_path / "report.csv")) as command:
            assert command.communicate()[0] == "enrolled 1, duplicate 0, failed 1\n"
        assert exported(client) == Counter(["ann"])
    assert "NoSuchKey" in (tmp_path / "report.csv").read_text()
