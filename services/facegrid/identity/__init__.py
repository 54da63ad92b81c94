"""The use cases, one verb a file, and the ports that they need."""
