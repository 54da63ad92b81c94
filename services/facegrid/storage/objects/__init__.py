"""Bytes under keys: in a folder, or in an S3 bucket, and the right to write to them."""
