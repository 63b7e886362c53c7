"""Help text with the options of a command in named groups."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

_WIDEST_NAME = 36


class GroupedCommand(TyperCommand):
    """A command whose help shows options under the panel they were given, in plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per panel, in order of appearance."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name, text = record
                argument = param.param_type_name == "argument"
                title = "Arguments" if argument else getattr(param, "rich_help_panel", None)
                # The type of an argument is written after its name, and is always a path or text.
                name = name.partition(" <")[0] if argument else name
                sections.setdefault(title or "Options", []).append((name, text))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=_WIDEST_NAME)
