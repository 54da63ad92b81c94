"""What every Ray process must find in its environment before it starts: Ray reads it when it is imported."""

import os
from collections.abc import Mapping

from facegrid.domain.errors import ConfigurationError

RAY_ENVIRONMENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Below `uv run`, Ray would pack up the working folder and make each process an environment of its own.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Tiers call each other by gRPC and by value: crops and templates are too small for the object store.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    # One event loop a process: nothing of ours blocks it, and a call that changes threads takes longer.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # Autoscaling sees the load of the last seconds; Ray's own default is 10.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    # Callers end before the tiers that they call, and have this long for it.
    "RAY_SERVE_SHUTDOWN_TIER_TIMEOUT_S": "120",
}

# For a Ray of this machine alone: its node has the address 127.0.0.1. (Ray means it for other systems.)
LOOPBACK_ONLY: Mapping[str, str] = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def check_environment() -> None:
    """Raise ConfigurationError where a Ray process was started without the variables above."""
    if missing := [f"{name}={value}" for name, value in RAY_ENVIRONMENT.items() if name not in os.environ]:
        raise ConfigurationError(f"set in the environment of every Ray process: {' '.join(missing)}")
