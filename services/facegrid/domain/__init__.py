"""Values and rules of face identity: no I/O, no logging, no framework."""
