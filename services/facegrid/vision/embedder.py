"""From aligned crops to templates."""

import numpy as np

from facegrid.domain.faces import Floats, Pixels
from facegrid.domain.templates import Template, template_from_features
from facegrid.vision.manifest import EmbedderManifest, PackError
from facegrid.vision.session import Session


class OnnxEmbedder:
    """A face-recognition model behind the input contract of its manifest."""

    def __init__(self, session: Session, manifest: EmbedderManifest, template_version: str) -> None:
        """Check the model against its manifest. Raises PackError."""
        if [shape[-1] for shape in session.output_shapes] != [manifest.dimension]:
            raise PackError(
                f"{manifest.model.path} has outputs of shape {session.output_shapes} and embedder.dimension "
                f"is {manifest.dimension}; correct the manifest or give the model that it describes"
            )
        self._session = session
        self._contract = manifest.input
        self._mean = np.array(manifest.input.mean, np.float32)
        self._centre = manifest.centre_vector
        self._dimension = manifest.dimension
        self._version = template_version

    def features(self, crops: Pixels) -> Floats:
        """Return the raw features (N, dimension) of uint8 RGB crops (N, side, side, 3)."""
        if not len(crops):
            return np.empty((0, self._dimension), np.float32)
        ordered = crops if self._contract.colour == "RGB" else crops[..., ::-1]
        blob = (ordered.astype(np.float32) - self._mean) / np.float32(self._contract.std)
        features = self._session.run(np.ascontiguousarray(blob.transpose(0, 3, 1, 2)))[0]
        return features.reshape(len(crops), self._dimension)

    def embed(self, crops: Pixels) -> list[Template]:
        """Return a template for each of uint8 RGB crops (N, side, side, 3)."""
        return [
            template_from_features(self._version, features, self._centre) for features in self.features(crops)
        ]
