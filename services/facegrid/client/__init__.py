"""The Python client of the gRPC API."""

from facegrid.client.client import Client
from facegrid.client.credentials import Credentials
from facegrid.client.errors import CallFailed
from facegrid.client.labels import Value, from_value, to_value
from facegrid.client.patience import Patience, is_passing

__all__ = [
    "CallFailed",
    "Client",
    "Credentials",
    "Patience",
    "Value",
    "from_value",
    "is_passing",
    "to_value",
]
