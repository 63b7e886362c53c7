"""Figures on paper or on a dark screen, drawn by matplotlib without a window."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clip3d_cli.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The first that a machine has for a letter draws it: names of classes may be of any script.
_FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Arial Unicode MS")
_PAD_INCHES = 0.22
# Two dots for each pixel of a web page, nearly: sharp on fine screens and on paper.
DOTS_PER_INCH = 200


@dataclass(frozen=True, slots=True)
class Theme:
    """The colors of a figure, each as hex.

    Attributes:
        surface: behind everything.
        ink: titles and numbers.
        muted: labels of axes, and what is said aside.
        line: grids and edges.
        series: of curves side by side; told apart by the color-blind as well.
        ramp: of a share from 0 to 1, the first near the surface.
    """

    surface: str
    ink: str
    muted: str
    line: str
    series: tuple[str, ...]
    ramp: tuple[str, ...]


LIGHT = Theme(
    surface="#ffffff",
    ink="#1a1d21",
    muted="#5c6570",
    line="#e3e6ea",
    series=("#283ba6", "#c6290f", "#16786e", "#513950", "#d28224", "#5b96b9"),
    ramp=("#ffffff", "#d6e6f4", "#abcfe6", "#6aaed6", "#3787c0", "#105ba4", "#08306b"),
)
DARK = Theme(
    surface="#15181c",
    ink="#eceff2",
    muted="#9aa4af",
    line="#2c3138",
    series=("#548bfd", "#d9a285", "#a5fad3", "#d14ea3", "#898524", "#38d0fc"),
    ramp=("#15181c", "#122b47", "#15446f", "#1f649c", "#3a8bc6", "#74b7e4", "#c8e6fb"),
)


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib as it comes, whatever a user's settings say, with text taken literally.

    Raises:
        SetupError: E_SYSTEM: matplotlib is not installed.
    """
    try:
        from matplotlib import font_manager, style
    except ImportError as error:
        raise SetupError(
            "E_SYSTEM",
            "matplotlib",
            "is not installed, and draws the pictures of a report",
            'Run pip install "clip3d[report]".',
        ) from error
    there = set(font_manager.get_font_names())
    ours = {
        "font.family": [name for name in _FONTS if name in there],
        # A dollar in the name of a class begins no formula.
        "text.parse_math": False,
        "axes.unicode_minus": True,
    }
    with style.context(["default", ours]), warnings.catch_warnings():
        # A letter that no font has is drawn as a box: no reason to stop or to complain.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def new_figure(width_in: float, height_in: float, theme: Theme) -> Figure:
    """An empty figure of a size in inches; see `drawing`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), facecolor=theme.surface)
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as PNG, cut to what is drawn; the same bytes for the same figure."""
    target = io.BytesIO()
    figure.savefig(
        target,
        format="png",
        dpi=DOTS_PER_INCH,
        bbox_inches="tight",
        pad_inches=_PAD_INCHES,
        metadata={"Software": None},
    )
    return target.getvalue()
