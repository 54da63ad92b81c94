"""Generated from protos/facegrid/v1 by `make proto`."""
