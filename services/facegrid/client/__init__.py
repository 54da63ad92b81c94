"""The Python client of the gRPC API."""

from facegrid.client.client import Client
from facegrid.client.errors import CallFailed

__all__ = ["CallFailed", "Client"]
