"""A session runs batches, whether the file allows them or not."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facegrid.domain.faces import Floats
from facegrid.vision.detectors.scrfd import ScrfdDetector
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session
from seeded import write_scrfd


def doubling_model(path: Path, batch: int | str) -> Path:
    """Write a model with the outputs 2x and the sum of each row."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("ReduceSum", ["x", "axis"], ["sum"]),
        ],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [
            helper.make_tensor_value_info("double", TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [batch, 1]),
        ],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("count", [1, 4])
def test_batch(tmp_path: Path, batch: int | str, count: int) -> None:
    """The outputs are those of each item, in order, also where the file's batch is fixed at one."""
    session = Session(doubling_model(tmp_path / "m.onnx", batch), threads=1)
    rows = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    double, total = session.run(rows)
    assert session.runs_batches
    assert [shape[-1] for shape in session.output_shapes] == [3, 1]
    np.testing.assert_array_equal(double, 2 * rows)
    np.testing.assert_array_equal(total[:, 0], rows.sum(axis=1))


def test_runs_side_by_side(tmp_path: Path) -> None:
    """Runs of several threads, alone on all cores or beside each other, each give their own outputs."""
    session = Session(doubling_model(tmp_path / "m.onnx", "N"), threads=2)
    inputs = [np.full((2, 3), number, np.float32) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        found = [double[0, 0] for double, _ in pool.map(session.run, inputs)]
    assert found == [2 * number for number in range(200)]


def test_not_a_model(tmp_path: Path) -> None:
    """A file that is no model is named, without the folder that it lies in."""
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(PackError, match=r"^broken\.onnx does not load .* build the file again"):
        Session(tmp_path / "broken.onnx", threads=1)


def test_nothing_is_kept_or_reported_about_the_machine(open_pack_root: Path, tmp_path: Path) -> None:
    """Running a model leaves the home folder as empty as it was."""
    code = (
        "import sys; from pathlib import Path; import numpy as np; "
        "from facegrid.vision.packs import PackFolder; "
        "PackFolder(Path(sys.argv[1])).load('open').detector.detect(np.zeros((64, 64, 3), np.uint8))"
    )
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code, str(open_pack_root)], env=environment, check=True)
    assert not list(tmp_path.iterdir())


class Counting(Session):
    """A session that notes how many items it is given at a time."""

    sizes: tuple[int, ...] = ()

    def run(self, batch: Floats) -> list[Floats]:
        """Run the batch."""
        self.sizes += (len(batch),)
        return super().run(batch)


def test_large_pictures_run_a_few_at_a_time(tmp_path: Path) -> None:
    """However many tiles a photograph has, one run of the model holds few of them in memory."""
    session = Counting(write_scrfd(tmp_path / "scrfd.onnx"), threads=1)
    detector = ScrfdDetector(session, input_size=(640, 640), score_threshold=0.5, overlap_threshold=0.4)
    looks = [detector.whole(np.full((64, 64, 3), grey, np.uint8)) for grey in range(0, 250, 50)]
    assert len(detector.look(looks)) == len(looks)
    assert session.sizes == (2, 2, 1)
