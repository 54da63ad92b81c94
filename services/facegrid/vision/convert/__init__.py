"""Model files made of other projects' weights."""
