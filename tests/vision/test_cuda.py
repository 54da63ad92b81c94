"""What a machine with a GPU does; `make test-gpu` runs these."""

from pathlib import Path

import numpy as np
import pytest

import seeded_models
from facegrid.domain.errors import ConfigurationError
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.device import CPU, Device, choose_device
from facegrid.vision.engine import BATCHES, VisionEngine
from facegrid.vision.packs import PackFolder
from facegrid.vision.session import Session

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=[False, True], ids=["32 bits", "16 bits"])
def cuda(request: pytest.FixtureRequest) -> Device:
    """Return CUDA, with and without 16 bits."""
    try:
        return choose_device("cuda", half_precision=request.param)
    except ConfigurationError as error:
        pytest.skip(str(error))


def test_sessions_run_on_the_gpu(cuda: Device, tmp_path: Path) -> None:
    """CUDA is the first provider of a session, and its outputs are those of the CPU for each item."""
    path = seeded_models.embedder(tmp_path / "m.onnx")
    here, there = Session(path, 1, CPU), Session(path, 1, cuda)
    assert there._alone.get_providers()[0] == "CUDAExecutionProvider"
    batch = np.random.default_rng(0).uniform(-1, 1, (5, 3, 112, 112)).astype(np.float32)
    (expected,), (found,) = here.run(batch), there.run(batch)
    tolerance = (1e-2 if cuda.half_precision else 1e-4) * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    alone = np.concatenate([there.run(item[None])[0] for item in batch])
    np.testing.assert_allclose(found, alone, rtol=0, atol=tolerance if cuda.half_precision else 1e-5)


async def test_the_open_pack(cuda: Device, open_pack_root: Path, six_people: bytes) -> None:
    """A photograph shows the same faces with the same templates as on the CPU."""
    vectors = []
    for device in (CPU, cuda):
        folder = PackFolder(open_pack_root, device=device)
        engine = VisionEngine(folder, PhotographLimits(), workers=2, batches=BATCHES[device.kind])
        await engine.warm("open")
        faces = (await engine.detect(six_people, "open", ["dlib-150"])).faces
        crops = np.stack([face.crops["dlib-150"] for face in faces])
        vectors.append([template.vector for template in await engine.embed(crops, "open")])
        engine.close()
    assert len(vectors[0]) == len(vectors[1]) == 6
    assert (np.array(vectors[0]) @ np.array(vectors[1]).T).max(axis=1).min() >= 0.99
