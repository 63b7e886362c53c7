"""Output of the command line: messages for people on stderr, results for programs on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from clip3d_cli.labelling.warnings import LabelWarning

T = TypeVar("T")

Color = tuple[int, int, int]
_LOG_COLUMNS = 120


def escaped(text: object) -> str:
    """Return the text with control characters, such as terminal escape codes, spelled out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in str(text)
    )


def count_of(number: int, thing: str) -> str:
    """Return a number and what it counts: ``1 image``, ``2,000 images``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def print_message(line: str) -> None:
    """Print one line on stderr, neither wrapped nor styled, so that it can be copied."""
    print(escaped(line), file=sys.stderr, flush=True)


def print_result(line: str = "") -> None:
    """Print one line on stdout."""
    print(escaped(line))


def print_json(document: object) -> None:
    """Print the JSON document of a command on stdout."""
    print(json.dumps(document, indent=2, allow_nan=False))


@dataclass(frozen=True, slots=True)
class Reporter:
    """Reports what happens to people on stderr.

    Attributes:
        quiet: report errors only.
        verbose: also report details.
        bars: show progress bars if stderr is a terminal.
    """

    quiet: bool = False
    verbose: bool = False
    bars: bool = True

    def info(self, line: str) -> None:
        """Report what happened, unless quiet."""
        if not self.quiet:
            print_message(line)

    def detail(self, line: str) -> None:
        """Report a detail, if verbose."""
        if self.verbose and not self.quiet:
            print_message(line)

    def warning(self, where: object, text: str) -> None:
        """Report what the user should look at, although the work goes on."""
        self.info(f"warning: {where}: {text}")

    def warn(self, warning: LabelWarning) -> None:
        """Report a warning about a scan or a word in one line."""
        self.info(str(warning))

    def busy(self, description: str) -> AbstractContextManager[object]:
        """Show a spinner during work whose steps cannot be counted."""
        if not self.shows_bars:
            return nullcontext()
        return stderr_console().status(description)

    def progress(self, steps: Iterable[T], description: str) -> Iterable[T]:
        """Return the same steps; show a progress bar if stderr is a terminal."""
        if not self.shows_bars:
            return steps
        from rich.progress import track

        return track(steps, description=description, console=stderr_console(), transient=True)

    @property
    def shows_bars(self) -> bool:
        """Whether progress bars are shown."""
        return self.bars and not self.quiet and sys.stderr.isatty()


def stderr_console() -> Console:
    """Return a console on stderr, 120 columns wide if stderr is no terminal."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else _LOG_COLUMNS
    return Console(stderr=True, width=width, highlight=False)


def stdout_console() -> Console:
    """Return a console on stdout, 120 columns wide if stdout is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _LOG_COLUMNS
    return Console(width=width, highlight=False)


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[Text | str]],
    *,
    numbers: int,
    remarks: int = 0,
) -> None:
    """Print a table without borders; markup in texts is printed as it is.

    Args:
        console: where to print.
        columns: column titles.
        rows: one cell for each column.
        numbers: how many columns hold numbers, counted from the right; they are right-aligned.
        remarks: how many columns of text follow to the right of the numbers.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    end = len(columns) - remarks
    for position, title in enumerate(columns):
        is_number = end - numbers <= position < end
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(cell)) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def with_color(name: str, color: Color) -> Text:
    """Return the name after a square of its color, if the terminal can show one."""
    from rich.text import Text

    console: Any = stderr_console()
    if not console.is_terminal or not console.encoding.startswith("utf"):
        return Text(escaped(name))
    red, green, blue = color
    return Text.assemble(("■ ", f"rgb({red},{green},{blue})"), escaped(name))
