"""Facegrid: enrol, verify and identify people over gRPC."""

__version__ = "0.1.0"
