"""A confusion matrix as a picture that can be read: what each class was taken for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.report.charts import short_count
from clip3d_cli.pipelines.report.figures import Theme, drawing, new_figure, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

UNLABELED_NAME = "unlabeled"
_LONGEST_NAME = 30
# Shares that would round to no percent are left blank.
_LEAST_SHARE = 0.005
# A tenth of a class gone wrong must be seen beside nine tenths that are right.
_GAMMA = 0.65
_POINTS_PER_INCH = 72
_INKS = ("#ffffff", "#14171a")
_BRIGHT = 0.52
# Counts stand so far below the middle of a cell that the percentage moves up by it.
_COUNT_ROOM = 0.13


@dataclass(frozen=True, slots=True)
class ConfusionChart:
    """What is drawn of one evaluation.

    Attributes:
        title: of which evaluation.
        aside: a second, smaller line.
        names: of the K classes.
        confusion: of K classes.
        iou: (K,) shown beside each row; NaN is shown as a dash.
    """

    title: str
    aside: str
    names: tuple[str, ...]
    confusion: ConfusionMatrix
    iou: Floats


@dataclass(frozen=True, slots=True)
class _Size:
    """What suits up to so many classes: a cell's edge, inches; letters, points.

    Letters of 0 points are not written.
    """

    classes: int
    cell_in: float
    title: float
    names: float
    percent: float
    counts: float


_SIZES = (
    _Size(13, 0.56, 13, 9, 9.5, 6.2),
    _Size(26, 0.40, 13, 8.5, 7.5, 0),
    _Size(60, 0.22, 13, 7.5, 5.5, 0),
    _Size(10**9, 0.105, 20, 6, 0, 0),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """The rows and columns that say anything: R classes, and C = R or, with unlabeled, R + 1."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    iou: Floats

    @property
    def points(self) -> npt.NDArray[np.int64]:
        """(R,) points that truly are of each class."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    @property
    def shares(self) -> Floats:
        """(R, C) the part of a row's points in each cell; 0 in a row without points."""
        return np.asarray(self.counts / np.maximum(self.points, 1)[:, None], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What is drawn on, and how."""

    figure: Figure
    axes: Axes
    size: _Size
    theme: Theme

    @property
    def high(self) -> float:
        """The height of all cells in points."""
        return _POINTS_PER_INCH * self.figure.get_figheight()

    @property
    def wide(self) -> float:
        """The width of all cells in points."""
        return _POINTS_PER_INCH * self.figure.get_figwidth()


def confusion_png(chart: ConfusionChart, theme: Theme) -> bytes:
    """A PNG: a row for each true class, the share of its points that took each class in percent.

    Classes neither there nor answered are left out; so is the column of points that took no class,
    where there are none. Few classes also show counts, many show colors only.

    Args:
        chart: of at least one point.
        theme: of the paper or the screen.

    Raises:
        SetupError: E_SYSTEM: matplotlib is not installed.
    """
    grid = _grid_of(chart)
    size = next(size for size in _SIZES if len(grid.names) <= size.classes)
    high, wide = (count * size.cell_in for count in grid.counts.shape)
    with drawing():
        figure = new_figure(wide, high, theme)
        sheet = _Sheet(figure, figure.add_axes((0.0, 0.0, 1.0, 1.0)), size, theme)
        _draw_cells(sheet, grid)
        _draw_names(sheet, grid)
        _draw_margin(sheet, grid)
        _draw_titles(sheet, chart)
        return png_of(figure)


def worst_confusions(confusion: ConfusionMatrix, most: int) -> list[tuple[int, int, int, float]]:
    """The commonest mistakes, the commonest first.

    Returns:
        true class, answered class (K = unlabeled), points, their share of the true class.
    """
    counts = confusion.counts.copy()
    points = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    places = [divmod(int(flat), counts.shape[1]) for flat in order]
    return [
        (true, answer, int(counts[true, answer]), float(counts[true, answer] / points[true]))
        for true, answer in places
        if counts[true, answer]
    ]


def _grid_of(chart: ConfusionChart) -> _Grid:
    counts = chart.confusion.counts
    answered = counts[:, :-1].sum(axis=0)
    kept = np.flatnonzero((counts.sum(axis=1) > 0) | (answered > 0))
    columns = np.append(kept, len(counts)) if counts[:, -1].any() else kept
    names = tuple(_shortened(chart.names[place]) for place in kept)
    more = (UNLABELED_NAME,) * (len(columns) - len(kept))
    return _Grid(names, (*names, *more), counts[np.ix_(kept, columns)], chart.iou[kept])


def _draw_cells(sheet: _Sheet, grid: _Grid) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    size, theme = sheet.size, sheet.theme
    ramp = LinearSegmentedColormap.from_list("share", theme.ramp)
    norm = PowerNorm(_GAMMA, vmin=0, vmax=1)
    shares = grid.shares
    rows, columns = (np.arange(count + 1) - 0.5 for count in shares.shape)
    mesh = sheet.axes.pcolormesh(columns, rows, shares, cmap=ramp, norm=norm)
    mesh.set(edgecolor=theme.line, linewidth=size.names / 15)
    sheet.axes.invert_yaxis()
    if not size.percent:
        _draw_scale(sheet, mesh)
        return
    for row, column in np.argwhere(shares >= _LEAST_SHARE).tolist():
        share = float(shares[row, column])
        look = {"color": _ink_on(ramp(norm(share))), "ha": "center", "va": "center"}
        weight = "bold" if column == row else "normal"
        up = _COUNT_ROOM if size.counts else 0.0
        text = sheet.axes.text(column, row - up, f"{100 * share:.0f}", fontsize=size.percent)
        text.set(fontweight=weight, **look)
        if size.counts:
            count = short_count(float(grid.counts[row, column]))
            sheet.axes.text(column, row + 2 * up, count, fontsize=size.counts).set(**look)


def _draw_names(sheet: _Sheet, grid: _Grid) -> None:
    axes, letters, theme = sheet.axes, sheet.size.names, sheet.theme
    axes.set_yticks(range(len(grid.names)), grid.names)
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.tick_params(length=0, labelsize=letters, labelcolor=theme.ink, pad=letters / 2)
    slanted = bool(sheet.size.percent)
    for label in axes.get_xticklabels():
        label.set(rotation=45 if slanted else 90)
        if slanted:
            label.set(ha="right", rotation_mode="anchor")
    axes.set_ylabel("truth", color=theme.muted, fontsize=letters + 1, labelpad=letters)
    axes.set_xlabel("answered as", color=theme.muted, fontsize=letters + 1, labelpad=letters)
    for spine in axes.spines.values():
        spine.set_color(theme.line)


def _draw_margin(sheet: _Sheet, grid: _Grid) -> None:
    """To the right of each row: the IoU of its class, and how many points truly are of it."""
    letters, theme = sheet.size.names, sheet.theme
    percents = ["–" if np.isnan(iou) else f"{100 * iou:.1f}" for iou in grid.iou]
    points = [short_count(float(count)) for count in grid.points]
    above = -0.5 - 0.6 * letters / _POINTS_PER_INCH / sheet.size.cell_in
    for right, title, numbers, color in (
        (4.2, "IoU", percents, theme.ink),
        (8.6, "points", points, theme.muted),
    ):
        place = 1 + right * letters / sheet.wide
        look = {"transform": sheet.axes.get_yaxis_transform(), "ha": "right", "fontsize": letters}
        sheet.axes.text(place, above, title).set(va="bottom", color=theme.muted, **look)
        for row, number in enumerate(numbers):
            sheet.axes.text(place, row, number).set(va="center", color=color, **look)


def _draw_titles(sheet: _Sheet, chart: ConfusionChart) -> None:
    axes, title, aside = sheet.axes, sheet.size.title, 0.72 * sheet.size.title
    for text, up, letters, weight, color in (
        (chart.title, 4.4 * aside, title, "bold", sheet.theme.ink),
        (chart.aside, 2.4 * aside, aside, "normal", sheet.theme.muted),
    ):
        line = axes.text(0, 1 + up / sheet.high, text, transform=axes.transAxes)
        line.set(fontsize=letters, fontweight=weight, color=color)


def _draw_scale(sheet: _Sheet, mesh: QuadMesh) -> None:
    """Which color is how much, for cells without numbers."""
    letters = sheet.size.title
    up, high = (part * letters / sheet.high for part in (1.9, 0.7))
    place = sheet.axes.inset_axes((0.82, 1 + up, 0.18, high))
    scale = sheet.figure.colorbar(mesh, cax=place, orientation="horizontal", ticks=(0, 0.1, 0.5, 1))
    place.set_xticklabels(("0 %", "10", "50", "100"))
    place.tick_params(length=0, labelsize=0.6 * letters, labelcolor=sheet.theme.muted)
    scale.outline.set(edgecolor=sheet.theme.line)


def _ink_on(color: tuple[float, float, float, float]) -> str:
    """Dark letters on a bright color, bright ones on a dark color."""
    red, green, blue, _ = color
    return _INKS[int(0.3 * red + 0.59 * green + 0.11 * blue > _BRIGHT)]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
