"""How trainings went: one panel for each quantity, the curves of all runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clip3d_cli.pipelines.report.figures import Theme, drawing, new_figure, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_COLUMNS = 3
_PANEL_IN = (4.3, 2.6)
_LEGEND_ROW_IN = 0.212
_DASHES: tuple[tuple[float, Sequence[float]], ...] = (
    (0, ()),
    (0, (5, 1.6)),
    (0, (1.4, 1.2)),
    (0, (6, 1.2, 1.2, 1.2)),
)
# More points than a panel has pixels.
_MOST_POINTS = 2000
# The window of the mean, as a share of the curve; jumps of single steps tell nothing.
_WINDOW = 0.03
_LEAST_SMOOTHED = 40
# Beyond this ratio of a quantity's largest to its smallest, a linear axis hides its end.
_LOG_RATIO = 30.0
# Of single steps, so many outliers may lie beyond the panel's edge.
_OUTLIERS = 0.01
_FAINT, _FAINTER, _MANY = 0.32, 0.16, 3


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One quantity of one run.

    Attributes:
        run: its place among the runs: the color of it is the same in every panel.
        steps: (S,) float64, rising.
        values: (S,) float64, finite.
    """

    run: int
    steps: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity, of all runs that have it.

    Attributes:
        title: what is drawn.
        curves: at most one of each run.
        noisy: single steps jump: a mean is drawn over them.
    """

    title: str
    curves: tuple[Curve, ...]
    noisy: bool = True


def curves_png(panels: Sequence[Panel], runs: Sequence[str], theme: Theme) -> bytes:
    """A PNG of panels side by side, with a legend where there are several runs.

    Single steps are faint, their mean over a window lies on them. An axis is logarithmic where
    the quantity spans more than a factor of 30.

    Raises:
        SetupError: E_SYSTEM: matplotlib is not installed.
    """
    with drawing():
        columns = min(_COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        wide, high = columns * _PANEL_IN[0], rows * _PANEL_IN[1]
        legend_in = _legend_height(runs, wide)
        figure = new_figure(wide, high + legend_in, theme)
        top = 1 - legend_in / (high + legend_in)
        grid = figure.add_gridspec(rows, columns, hspace=0.42, wspace=0.2, top=top, bottom=0.0)
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(grid[divmod(number, columns)])
            _draw_panel(axes, panel, theme)
            if number + columns >= len(panels):
                axes.set_xlabel("step", color=theme.muted, fontsize=8.5, labelpad=3)
        if len(runs) > 1:
            _draw_legend(figure, runs, wide, theme)
        return png_of(figure)


def smoothed(values: Floats) -> Floats:
    """(S,) means over a bell-shaped window around each value, narrower at neither end.

    A curve of few values is returned as it is.
    """
    if len(values) < _LEAST_SMOOTHED:
        return values
    spread = max(_WINDOW * len(values) / 2, 1.0)
    reach = int(3 * spread)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    total = np.convolve(values, window, mode="full")[reach : reach + len(values)]
    weight = np.convolve(np.ones_like(values), window, mode="full")[reach : reach + len(values)]
    return np.asarray(total / weight, dtype=np.float64)


def thinned(curve: Curve) -> Curve:
    """The same curve in at most 2,000 points, each the mean of steps that follow each other."""
    if len(curve.steps) <= _MOST_POINTS:
        return curve
    edges = np.linspace(0, len(curve.steps), _MOST_POINTS + 1).astype(np.int64)
    counts = np.diff(edges)
    steps, values = (
        np.add.reduceat(numbers, edges[:-1]) / counts for numbers in (curve.steps, curve.values)
    )
    return Curve(curve.run, steps, values)


def _draw_panel(axes: Axes, panel: Panel, theme: Theme) -> None:
    means: list[Floats] = []
    singles: list[Floats] = []
    faint = _FAINT if len(panel.curves) < _MANY else _FAINTER
    for curve in map(thinned, panel.curves):
        color, style = _look(curve.run, theme)
        mean = smoothed(curve.values) if panel.noisy else curve.values
        if mean is not curve.values:
            axes.plot(curve.steps, curve.values, color=color, alpha=faint, linewidth=0.6)
            singles.append(curve.values)
        dot = "o" if len(mean) == 1 else ""
        axes.plot(
            curve.steps, mean, color=color, linestyle=style, linewidth=1.5, marker=dot, markersize=4
        )
        means.append(mean)
    _set_range(axes, np.concatenate(means), singles)
    _dress(axes, theme)
    axes.set_title(
        panel.title, loc="left", fontsize=10.5, fontweight="bold", color=theme.ink, pad=7
    )


def _set_range(axes: Axes, means: Floats, singles: Sequence[Floats]) -> None:
    """Show all of the means, and of single steps all but outliers."""
    ends = [
        np.quantile(values, (_OUTLIERS, 1 - _OUTLIERS)) for values in (*singles,) if len(values)
    ]
    low = min([float(means.min()), *(float(pair[0]) for pair in ends)])
    high = max([float(means.max()), *(float(pair[1]) for pair in ends)])
    if low > 0 and high / low > _LOG_RATIO:
        axes.set_yscale("log")
        margin = (high / low) ** 0.06
        axes.set_ylim(low / margin, high * margin)
    elif high > low:
        margin = 0.06 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _dress(axes: Axes, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter

    axes.set_facecolor(theme.surface)
    axes.grid(axis="y", color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.015)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(lambda step, _: short_count(step))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0, labelsize=8.5, colors=theme.muted, pad=4)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=theme.muted, linewidth=0.7)


def short_count(number: float) -> str:
    """A count in few letters: 950, 1.2k, 38k, 4.1M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            part = number / size
            return f"{part:.1f}".removesuffix(".0") + letter if part < 10 else f"{part:.0f}{letter}"
    return f"{number:.0f}"


def _look(run: int, theme: Theme) -> tuple[str, tuple[float, Sequence[float]]]:
    """The color and the dashes of a run: more runs than colors are told apart by dashes."""
    turn, place = divmod(run, len(theme.series))
    return theme.series[place], _DASHES[turn % len(_DASHES)]


def _legend_columns(runs: Sequence[str], wide: float) -> int:
    letters = max(len(name) for name in runs)
    return max(1, min(len(runs), int(wide / (0.55 + 0.083 * letters))))


def _legend_height(runs: Sequence[str], wide: float) -> float:
    if len(runs) < 2:
        return 0.0
    return -(-len(runs) // _legend_columns(runs, wide)) * _LEGEND_ROW_IN + 0.45


def _draw_legend(figure: Figure, runs: Sequence[str], wide: float, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for number in range(len(runs)):
        color, style = _look(number, theme)
        handles.append(Line2D([], [], color=color, linestyle=style, linewidth=2))
    legend = figure.legend(
        handles,
        [str(number) for number in range(len(runs))],
        loc="upper left",
        bbox_to_anchor=(figure.subplotpars.left - 0.012, 1.0),
        ncols=_legend_columns(runs, wide),
        frameon=False,
        fontsize=9.5,
        labelcolor=theme.ink,
        handlelength=1.9,
        columnspacing=1.8,
    )
    # Afterwards: a name that begins with an underscore would not be shown.
    for text, name in zip(legend.get_texts(), runs, strict=True):
        text.set_text(name)
