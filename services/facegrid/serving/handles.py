"""The ports that models are behind, over the handles of the tiers."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from facegrid.domain.attributes import Attribute, FaceAttributes
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import ConfigurationError, FacegridError, ModelUnavailable, Overloaded
from facegrid.domain.faces import DetectedFace, Detection
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template
from facegrid.vision.packs import PackFolder

_Result = TypeVar("_Result")
Handle = DeploymentHandle[Any]
Answer: TypeAlias = _Result | FacegridError | ConfigurationError  # what a tier returns

# Three tries: a photograph that kills what decodes it must not kill a whole tier.
_PAUSES_S = (0.1, 0.5)


class RayVision:
    """Packs from this node's folder; Detector, Embedder and AttributeReader wherever Ray placed them.

    Inference changes nothing, so a call whose replica died is made again; the caller's deadline ends the
    tries, as it cancels the call that waits here and with it the one in the tier.
    """

    def __init__(self, packs: PackFolder, detector: Handle, embedder: Handle, attributes: Handle) -> None:
        """Take the handles of the three deployments."""
        self._folder = packs
        self._known: dict[str, Pack] = {}
        self._detect, self._embed, self._read = detector.detect, embedder.embed, attributes.read

    def pack(self, name: str) -> Pack:
        """Return a pack, which is read once. Raises PackNotFound."""
        if name not in self._known:
            self._known[name] = self._folder.manifest(name).pack
        return self._known[name]

    async def warm(self, pack: str) -> None:
        """Read a pack's manifest; the tiers load its models by themselves. Raises PackNotFound."""
        self.pack(pack)

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Let the Detector find faces; errors as those of the port, and ModelUnavailable and Overloaded."""
        detection: Detection = await _call(self._detect, photograph, pack, tuple(alignments), options)
        return detection

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Let the Embedder make templates; errors as those of the port, ModelUnavailable and Overloaded.

        Raises ConfigurationError where a replica holds another version of the pack than this node.
        """
        templates: list[Template] = await _call(self._embed, crops, pack)
        version = self.pack(pack).template_version
        if found := {template.version for template in templates} - {version}:
            raise ConfigurationError(
                f"pack {pack} is {version} here and {', '.join(found)} in the Embedder; give all nodes the "
                "same pack and restart those that had another"
            )
        return templates

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> list[FaceAttributes]:
        """Let Attributes read faces; errors as those of the port, ModelUnavailable and Overloaded."""
        read: list[FaceAttributes] = await _call(self._read, faces, pack, attributes)
        return read


async def _call(method: Handle, *arguments: Any) -> Any:
    answer = await _answered(method, arguments)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _answered(method: Handle, arguments: tuple[Any, ...]) -> Any:
    for pause in (*_PAUSES_S, None):
        try:
            return await method.remote(*arguments)
        except RayActorError:
            pass
        except asyncio.CancelledError:
            if _is_cancelled():  # by our caller; else the replica ended under the call
                raise
        except BackPressureError:
            raise Overloaded("too many calls wait for the models; retry after a moment") from None
        except RayTaskError as error:
            raise error.cause from None
        except RayServeException:
            break
        if pause is not None:
            await asyncio.sleep(pause)
    raise ModelUnavailable("no process that runs the models answered; retry after a moment")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
