"""`facegrid bulk`: galleries by the million, in and out."""

import typer

from facegrid.cli.bulk_enroll import enroll
from facegrid.cli.bulk_export import export_templates
from facegrid.cli.bulk_import import import_templates

bulk_app = typer.Typer(no_args_is_help=True, help="Enrol, import and export whole galleries.")
bulk_app.command("enroll")(enroll)
bulk_app.command("import")(import_templates)
bulk_app.command("export")(export_templates)
