"""What a server says of its health."""

import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def wait_for_health(address: str, expected: dict[str, str]) -> None:
    """Poll until the services that are named so have these states."""
    deadline = time.monotonic() + 60
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            answers = {name: stub.Check(health_pb2.HealthCheckRequest(service=name)) for name in expected}
            states = {
                name: health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                for name, answer in answers.items()
            }
            if states == expected:
                return
            assert time.monotonic() < deadline, states
            time.sleep(0.2)
