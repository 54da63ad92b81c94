"""The application that a Serve configuration names by its import path."""

from typing import Any

from pydantic import BaseModel
from ray import serve

from facegrid.serving.deployments import Attributes, Detector, Embedder, Gateway
from facegrid.serving.ray_environment import check_environment


class Arguments(BaseModel):
    """What a Serve configuration may say under `args`; `settings` stand above the nodes' environment."""

    listen: str = "127.0.0.1:50051"
    insecure: bool = False
    settings: dict[str, Any] = {}


def build(arguments: Arguments) -> serve.Application:
    """Compose the tiers behind the gateway. Raises ConfigurationError."""
    check_environment()
    deployment: Any = serve.deployment
    tiers = [deployment(tier).bind(arguments.settings) for tier in (Detector, Embedder, Attributes)]
    gateway = deployment(Gateway).bind(
        arguments.settings, arguments.listen, *tiers, insecure=arguments.insecure
    )
    application: serve.Application = gateway
    return application
