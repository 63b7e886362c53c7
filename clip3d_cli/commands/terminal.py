"""What is said to people on stderr, and what is given to programs on stdout."""

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

T = TypeVar("T")

Color = tuple[int, int, int]
_LOG_COLUMNS = 120


def plain(text: object) -> str:
    """The text with what a terminal would obey, such as escape codes, spelled out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in str(text)
    )


def counted(number: int, thing: str) -> str:
    """A number and what it counts: ``1 image``, ``2,000 images``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def say(line: str) -> None:
    """Print one line on stderr, neither wrapped nor styled: it can be copied and searched."""
    print(plain(line), file=sys.stderr, flush=True)


def give(line: str = "") -> None:
    """Print one line on stdout."""
    print(plain(line))


def give_json(document: object) -> None:
    """Print the one JSON document of a command on stdout."""
    print(json.dumps(document, indent=2, allow_nan=False))


@dataclass(frozen=True, slots=True)
class Voice:
    """How much is said to people, and whether bars move.

    Attributes:
        quiet: only errors.
        verbose: also what was chosen, and why.
        bars: show progress where stderr is a terminal.
    """

    quiet: bool = False
    verbose: bool = False
    bars: bool = True

    def note(self, line: str) -> None:
        """Say what happened, unless quiet."""
        if not self.quiet:
            say(line)

    def detail(self, line: str) -> None:
        """Say what only a curious user wants to know."""
        if self.verbose and not self.quiet:
            say(line)

    def warn(self, where: object, text: str) -> None:
        """Say what the user should look at; the work goes on."""
        self.note(f"warning: {where}: {text}")

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show that something goes on that cannot be counted."""
        if not self.shows_bars:
            return nullcontext()
        return stderr_console().status(what)

    def progress(self, steps: Iterable[T], what: str) -> Iterable[T]:
        """The same steps, with a bar on stderr where that is a terminal."""
        if not self.shows_bars:
            return steps
        from rich.progress import track

        return track(steps, description=what, console=stderr_console(), transient=True)

    @property
    def shows_bars(self) -> bool:
        """Whether bars move: stderr is a terminal, and nobody asked for less."""
        return self.bars and not self.quiet and sys.stderr.isatty()


def stderr_console() -> Console:
    """A console on stderr that is not narrow where nobody sees it."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else _LOG_COLUMNS
    return Console(stderr=True, width=width, highlight=False)


def stdout_console() -> Console:
    """A console on stdout that is not narrow where nobody sees it."""
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
    """Print a table without borders; markup in texts is shown, not obeyed.

    Args:
        console: where to.
        columns: titles.
        rows: as many cells each.
        numbers: how many columns, counted from the right, hold numbers.
        remarks: how many columns on the right of these hold text again.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    end = len(columns) - remarks
    for position, title in enumerate(columns):
        right = end - numbers <= position < end
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def swatched(name: str, color: Color) -> Text:
    """The name after a square of its color, where the terminal can show one."""
    from rich.text import Text

    console: Any = stderr_console()
    if not console.is_terminal or not console.encoding.startswith("utf"):
        return Text(plain(name))
    red, green, blue = color
    return Text.assemble(("■ ", f"rgb({red},{green},{blue})"), plain(name))
