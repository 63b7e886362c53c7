"""The only door: Typer, Rich, stdout and exit codes."""
