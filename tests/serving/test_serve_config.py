"""The Serve configurations in deploy/ say of the deployments what they need, and name no others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from facegrid.domain.errors import ConfigurationError
from facegrid.serving import ray_app
from facegrid.serving.deployments import Gateway, on_what_it_has
from facegrid.serving.ray_app import Arguments, build
from facegrid.serving.ray_environment import RAY_ENVIRONMENT
from facegrid.serving.ray_local import GATEWAY_NODE
from facegrid.settings import Settings
from ray_server import DEPLOYMENTS, deployments

GPU = DEPLOYMENTS.with_name("serve-gpu.yaml")
TIERS = {"Detector", "Embedder", "Attributes"}


@pytest.fixture(params=[DEPLOYMENTS, GPU], ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return one of the files."""
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text("utf-8"))
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
    assert deployments(config).keys() == {"Gateway", *TIERS}


def test_shares_of_gpus() -> None:
    """Tiers share a GPU in one of the files; their replicas have room on it beside each other."""
    tiers = deployments(yaml.safe_load(GPU.read_text("utf-8")))
    shares = [tiers[name]["ray_actor_options"]["num_gpus"] for name in sorted(TIERS)]
    assert all(0 < share < 1 for share in shares)
    assert sum(shares) <= 1
    assert "num_gpus" not in DEPLOYMENTS.read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "resources", "device"),
    [
        ({}, {"CPU": 1.0, "GPU": 0.25}, "cuda"),
        ({}, {"CPU": 1.0}, "cpu"),
        ({"device": "auto"}, {"GPU": 0.25}, "auto"),
        ({"device": "cuda"}, {"CPU": 1.0}, "cuda"),
    ],
)
def test_a_replica_runs_on_what_it_has(
    given: dict[str, Any], resources: dict[str, float], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share of a GPU it falls back to no CPU, unless the operator has set the device."""
    monkeypatch.delenv("FACEGRID_DEVICE", raising=False)
    assert on_what_it_has(Settings(**given), resources).device == device


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
