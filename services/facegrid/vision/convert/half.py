"""Rewrites an ONNX model so that it calculates with 16 bits; its inputs and outputs keep 32."""

from pathlib import Path

from facegrid.vision.convert.derived import keep, kept
from facegrid.vision.manifest import PackError


def halved(path: Path, source: Path | bytes) -> Path | bytes:
    """Return the rewritten form of `source`, which is a model file or its batchable form.

    It is kept beside the file, or in memory alone where the folder cannot be written. Outputs differ from
    the source's by some thousandths of the largest. Raises PackError for a graph that cannot be rewritten.
    """
    if cache := kept(path, "half"):
        return cache
    try:
        return keep(path, "half", _rewritten(source))
    except Exception as error:  # the rewrite raises whatever an unusual graph leads it to
        raise PackError(
            f"{path.name} cannot be rewritten to 16 bits; set half_precision to false ({error})"
        ) from error


def _rewritten(source: Path | bytes) -> bytes:
    import onnx  # noqa: PLC0415  # both take long to import, and only GPUs need them
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
    content: bytes = convert_float_to_float16(model, keep_io_types=True).SerializeToString()
    return content
