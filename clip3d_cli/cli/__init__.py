"""The command line: the only package that uses Typer, Rich, stdout and exit codes."""
