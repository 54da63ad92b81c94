"""Galleries and subjects of record, as objects and as compacted segments."""
