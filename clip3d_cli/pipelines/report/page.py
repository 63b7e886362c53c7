"""A report as one HTML file that needs nothing else, on screens light and dark and on paper."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from clip3d_cli.pipelines.report.figures import DOTS_PER_INCH

Color = tuple[int, int, int]

_STYLE, _SCRIPT = (Path(__file__).with_suffix(suffix) for suffix in (".css", ".js"))
_PIXELS_PER_INCH = 96
# Wider ones keep their size, for their letters to be read, and scroll.
_WIDEST_SHRUNK = 1500
# What lies in this page is all that it may use.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says; any text, it is escaped.
        share: 0…1, drawn as a bar; NaN for no bar.
        color: of the bar, or of a square before the text.
        strong: the best of its kind.
        code: letters of equal width.
    """

    text: str
    share: float = math.nan
    color: Color | None = None
    strong: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under titles.

    Attributes:
        titles: of the columns.
        rows: as many cells each.
        numbers: how many columns, counted from the right, hold numbers.
        footer: how many rows, counted from the end, sum up the others.
        folded: with this line to unfold it; empty for always open.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: int = 0
    footer: int = 0
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as PNG for light screens and for dark ones; ``says`` is for who cannot see it."""

    light: bytes
    dark: bytes
    says: str


@dataclass(frozen=True, slots=True)
class Section:
    """A title, a line beside it, and what stands below."""

    title: str
    aside: str
    blocks: tuple[Table | Picture, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report: its title, a line below, its sections, and a last line."""

    title: str
    aside: str
    sections: tuple[Section, ...]
    foot: str


def page_html(page: Page) -> str:
    """The page as HTML with everything in it; texts are escaped."""
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{escape(page.title)}</title>",
            f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{escape(page.title)}</h1><p>{escape(page.aside)}</p></header>",
            "<main>",
            *(line for section in page.sections for line in _section(section)),
            "</main>",
            f"<footer>{escape(page.foot)}</footer>",
            f"<script>\n{_SCRIPT.read_text(encoding='utf-8')}</script>",
            "</body>",
            "</html>",
            "",
        )
    )


def _section(section: Section) -> Iterator[str]:
    yield f"<section><h2>{escape(section.title)}</h2>"
    if section.aside:
        yield f'<p class="aside">{escape(section.aside)}</p>'
    for block in section.blocks:
        yield from _picture(block) if isinstance(block, Picture) else _table(block)
    yield "</section>"


def _picture(picture: Picture) -> Iterator[str]:
    # Width and height stand at the same place in every PNG.
    wide, high = (
        round(int.from_bytes(picture.light[at : at + 4], "big") * _PIXELS_PER_INCH / DOTS_PER_INCH)
        for at in (16, 20)
    )
    kind = "scroll wide" if wide > _WIDEST_SHRUNK else "scroll"
    light, dark = (
        f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        for png in (picture.light, picture.dark)
    )
    yield f'<figure class="{kind}" tabindex="0"><picture>'
    yield f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    says = escape(picture.says)
    yield f'<img src="{light}" width="{wide}" height="{high}" alt="{says}"></picture></figure>'


def _table(table: Table) -> Iterator[str]:
    if table.folded:
        yield f"<details><summary>{escape(table.folded)}</summary>"
    yield '<div class="scroll" tabindex="0"><table><thead><tr>'
    first = len(table.titles) - table.numbers
    for place, title in enumerate(table.titles):
        kind = ' class="number"' if place >= first else ""
        yield f'<th scope="col"{kind}>{escape(title)}</th>'
    yield "</tr></thead><tbody>"
    body = len(table.rows) - table.footer
    for row in table.rows[:body]:
        yield _row(row, first)
    yield "</tbody>"
    if table.footer:
        yield f"<tfoot>{''.join(_row(row, first) for row in table.rows[body:])}</tfoot>"
    yield "</table></div>"
    if table.folded:
        yield "</details>"


def _row(row: tuple[Cell, ...], first: int) -> str:
    return f"<tr>{''.join(_cell(cell, place >= first) for place, cell in enumerate(row))}</tr>"


def _cell(cell: Cell, number: bool) -> str:
    kinds = [
        name
        for name, holds in (("number", number), ("strong", cell.strong), ("code", cell.code))
        if holds
    ]
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<td{kind}>{_content(cell)}</td>"


def _content(cell: Cell) -> str:
    """The text of a cell after its bar or its square of color."""
    text = escape(cell.text)
    color = "" if cell.color is None else f"background:rgb{cell.color}".replace(" ", "")
    if not math.isnan(cell.share):
        share = min(max(cell.share, 0.0), 1.0)
        bar = f'<i class="bar"><i style="width:{100 * share:.1f}%;{color}"></i></i>'
        return f'{bar}<span class="value">{text}</span>'
    return f'<i class="dot" style="{color}"></i>{text}' if color else text
