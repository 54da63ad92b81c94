"""deploy/serve.yaml says of the deployments what they need, and names no others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from facegrid.domain.errors import ConfigurationError
from facegrid.serving import ray_app
from facegrid.serving.deployments import Gateway
from facegrid.serving.ray_app import Arguments, build
from facegrid.serving.ray_environment import RAY_ENVIRONMENT
from facegrid.serving.ray_local import GATEWAY_NODE
from facegrid.settings import Settings
from ray_server import DEPLOYMENTS, deployments


@pytest.fixture
def config() -> dict[str, Any]:
    """Return the file."""
    loaded: dict[str, Any] = yaml.safe_load(DEPLOYMENTS.read_text("utf-8"))
    return loaded


def test_it_is_what_serve_reads(config: dict[str, Any]) -> None:
    """The file is a Serve configuration, leads to the application, and opens no port of Ray's proxies."""
    schema = ServeDeploySchema.model_validate(config)
    (application,) = schema.applications
    assert schema.proxy_location == "Disabled"
    assert application.import_path == f"{ray_app.__name__}:{build.__name__}"
    assert Arguments.model_validate(application.args) == Arguments()


def test_it_names_the_deployments(config: dict[str, Any]) -> None:
    """Each deployment has its numbers here, because it has none in the code."""
    assert deployments(config).keys() == {"Gateway", "Detector", "Embedder", "Attributes"}


def test_the_gateway_may_drain(config: dict[str, Any]) -> None:
    """Serve gives a gateway longer than it takes to drain, and one to each node that is for it."""
    gateway = deployments(config)["Gateway"]
    assert gateway["graceful_shutdown_timeout_s"] > Settings().drain_s
    assert gateway["ray_actor_options"]["resources"] == {GATEWAY_NODE: 1}


@pytest.mark.parametrize(("name", "fewest"), [("Detector", 1), ("Embedder", 1), ("Attributes", 0)])
def test_tiers_have_bounds(config: dict[str, Any], name: str, fewest: int) -> None:
    """What waits for a tier has a limit, and so have its replicas; attributes alone go down to none."""
    tier = deployments(config)[name]
    assert tier["max_queued_requests"] > 0
    assert tier["autoscaling_config"]["min_replicas"] == fewest < tier["autoscaling_config"]["max_replicas"]


def test_a_ray_without_our_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names each variable that a Ray process lacks, with its value."""
    for name, value in RAY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    build(Arguments())
    monkeypatch.delenv("RAY_SERVE_USE_GRPC_BY_DEFAULT")
    with pytest.raises(ConfigurationError, match="RAY_SERVE_USE_GRPC_BY_DEFAULT=1"):
        build(Arguments())


async def test_an_address_that_others_reach_needs_to_be_allowed() -> None:
    """Without authentication a gateway stays on loopback, unless the configuration insists."""
    replica, handles = SimpleNamespace(), [None, None, None]
    with pytest.raises(ConfigurationError, match="insecure"):
        await Gateway.__init__(replica, {}, "0.0.0.0:50051", *handles, insecure=False)


async def test_a_gateway_reads_its_policy(tmp_path: Path) -> None:
    """A gateway takes the same settings of security as a server of one process, and refuses the same."""
    replica, handles = SimpleNamespace(), [None, None, None]
    settings = {"auth_policy": str(tmp_path / "policy.toml")}
    with pytest.raises(ConfigurationError, match="nothing says who calls"):
        await Gateway.__init__(replica, settings, "127.0.0.1:0", *handles, insecure=False)
