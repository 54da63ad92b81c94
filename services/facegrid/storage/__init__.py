"""Where galleries live: the object store of record, and the indexes that project it."""
