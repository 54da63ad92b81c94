"""`facegrid bulk import` of N templates beside what a user would write instead, in turn.

Run `python loadtests/bulk.py [N]`, with `--milvus URI` for a server of Milvus. The import is the command as
it is run, from its start to its end: durable and searchable, in one process or, with Milvus, into its
collection. Beside it a loop reads the same file, adds it to faiss' flat index and saves it with numpy; or
upserts its rows into a collection of its own. While a server takes the import, Identify is timed as well.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facegrid.client import Client
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.identity_service_pb2 import IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from gallery_server import DIMENSION, build_wide_pack
from templates import CHUNK, TemplateSource

_COMMAND = [sys.executable, "-m", "facegrid.cli"]
_ROWS, _PROBES = 5_000, 200


def main() -> None:
    """Write the file, import it in turn with the loop, search while it is imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=int, nargs="?", default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--milvus", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_wide_pack(folder / "models")
        os.environ |= {"FACEGRID_MODELS": str(folder / "models"), "FACEGRID_PACK": "wide"}
        os.environ |= {"FACEGRID_DATA": str(folder / "data"), "FACEGRID_MILVUS": options.milvus}
        file = folder / "templates.parquet"
        write_file(file, options.templates, version())
        ours, bare = [], []
        for number in range(options.rounds):
            gallery = f"round-{number}"
            command("gallery", "create", gallery)
            ours.append(timed(lambda: command("bulk", "import", "--gallery", gallery, str(file))))  # noqa: B023
            command("gallery", "delete", gallery, "--yes")
            bare.append(timed(lambda: upsert(file, options.milvus) if options.milvus else add(file, folder)))
        report("facegrid bulk import, templates/s", options.templates / statistics.median(ours))
        report("bare loop, templates/s", options.templates / statistics.median(bare))
        report("ratio", statistics.median(b / o for o, b in zip(ours, bare, strict=True)))
        search_while_importing(folder, file)


def write_file(path: Path, templates: int, template_version: str) -> None:
    """Write templates like real ones, one a subject."""
    vector = pa.list_(pa.float32(), DIMENSION)
    schema = pa.schema([("subject", pa.string()), ("template", vector)])
    schema = schema.with_metadata({"facegrid.template_version": template_version})
    source = TemplateSource(DIMENSION, 1)
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, templates, CHUNK):
            vectors = source.chunk(first // CHUNK)[: templates - first]
            subjects = pa.array([f"subject-{first + number}" for number in range(len(vectors))])
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSION)
            writer.write_table(pa.Table.from_arrays([subjects, column], schema=schema))


def add(file: Path, folder: Path) -> None:
    """Read the file into faiss and save what was read."""
    index, parts = faiss.IndexFlatIP(DIMENSION), []
    for vectors, _ in batches(file):
        index.add(vectors)
        parts.append(vectors)
    np.save(folder / "bare.npy", np.concatenate(parts))


def upsert(file: Path, uri: str) -> None:
    """Read the file and upsert its rows, as the adapter's schema has them, into a new collection."""
    from pymilvus import MilvusClient  # noqa: PLC0415  # takes seconds

    from facegrid.storage.indexes.milvus_schema import make_index, make_schema  # noqa: PLC0415  # likewise

    client, name = MilvusClient(uri), f"bare_{uuid4().hex}"
    client.create_collection(name, schema=make_schema(DIMENSION))
    client.create_index(name, make_index(client, exact=True))
    client.load_collection(name)
    for vectors, subjects in batches(file):
        rows = zip(subjects, vectors, strict=True)
        named = (
            {"key": f"{one}/0", "subject_id": one, "encounter_id": one, "vector": row} for one, row in rows
        )
        client.upsert(name, [{**row, "sample": 0, "labels": {}} for row in named])
    client.drop_collection(name)
    client.close()


def batches(file: Path) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield the file's templates and subjects."""
    for batch in pq.ParquetFile(file).iter_batches(_ROWS):
        yield batch["template"].flatten().to_numpy().reshape(-1, DIMENSION), batch["subject"].to_pylist()


def search_while_importing(folder: Path, file: Path) -> None:
    """Time Identify in a gallery that is at rest, and while the file is imported once more."""
    with server(folder) as address, Client(address) as client:
        client.create_gallery("searched")
        command("bulk", "import", "--gallery", "searched", "--server", address, str(file))
        search = Search(client, address)
        idle = [search.timed_ms() for _ in range(_PROBES)]
        again = ["bulk", "import", "--again", "--gallery", "searched", "--server", address, str(file)]
        with subprocess.Popen([*_COMMAND, *again], stdout=subprocess.DEVNULL) as importing:
            busy = []
            while importing.poll() is None:
                busy.append(search.timed_ms())
    report("Identify at rest, p50 ms", statistics.median(idle))
    report("Identify while importing, p50 ms", statistics.median(busy))
    report("ratio", statistics.median(busy) / statistics.median(idle))


class Search:
    """Identify by template, one call after the other."""

    def __init__(self, client: Client, address: str) -> None:
        """Take the server."""
        import grpc  # noqa: PLC0415  # after the client, which sets it up

        self._stub = IdentityServiceStub(grpc.insecure_channel(address))
        self._version = client.get_gallery("searched").template_version
        self._probes = iter(TemplateSource(DIMENSION, 1).strangers(100_000))

    def timed_ms(self) -> float:
        """Return what the next search takes."""
        template = pb.Template(template_version=self._version, vector=next(self._probes).tobytes())
        request = IdentifyRequest(gallery="searched", probes=[pb.Sample(template=template)])
        return 1000 * timed(lambda: self._stub.Identify(request))


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Yield the address of a server of its own."""
    address = f"unix:{folder}/socket"
    with subprocess.Popen([*_COMMAND, "serve", "--listen", address], stderr=subprocess.DEVNULL) as process:
        try:
            _wait(address)
            yield address
        finally:
            process.terminate()


def _wait(address: str) -> None:
    with Client(address) as client:
        for _ in range(60):
            try:
                list(client.list_galleries())
            except Exception:  # noqa: BLE001  # it is not there yet
                time.sleep(1)
            else:
                return


def version() -> str:
    """Return the template version of the pack."""
    command("gallery", "create", "first")
    shown = subprocess.run(
        [*_COMMAND, "gallery", "show", "first", "--json"], capture_output=True, text=True, check=True
    )
    return shown.stdout.partition('"template_version": "')[2].partition('"')[0]


def command(*arguments: str) -> None:
    """Run the command line."""
    subprocess.run([*_COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(what: str, value: float) -> None:
    """Print a line of the table."""
    print(f"{what:<36}{value:12,.2f}", flush=True)


if __name__ == "__main__":
    main()
