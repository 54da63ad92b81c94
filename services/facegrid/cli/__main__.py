"""`python -m facegrid.cli` is `facegrid`."""

from facegrid.cli.main import app

app()
