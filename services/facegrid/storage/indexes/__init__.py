"""The indexes that searches ask: in memory, or in Milvus."""
