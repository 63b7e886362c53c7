"""Figures of a report as PNG: training curves and confusion matrices.

Importing this module imports matplotlib.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from clip3d_cli.pipelines.evaluate.document import Share
from clip3d_cli.pipelines.report.records import EvaluationRecord, Floats, Series

# About two dots for each pixel of a web page: sharp on fine screens and on paper.
DOTS_PER_INCH = 200
# Color-blind people can tell these apart, also through the filter of page.html for dark screens.
RUN_COLORS = ("#283ba6", "#c6290f", "#3ca2df", "#d29623", "#725ef0", "#aab0a6")
SHARE_COLORS = ("#ffffff", "#d6e6f4", "#abcfe6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")
SURFACE, INK, MUTED, LINE = "#ffffff", "#1a1d21", "#5c6570", "#e3e6ea"
UNLABELED = "unlabeled"

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.2)), (0, (6, 1.2, 1.2, 1.2)))
# Matplotlib takes each character from the first of these fonts that has it.
_FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Arial Unicode MS")
_STYLE: dict[str, Any] = {
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name does not begin a formula
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.xmargin": 0.015,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    **{f"axes.spines.{side}": False for side in ("top", "left", "right")},
    **{f"{axis}tick.labelcolor": MUTED for axis in "xy"},
    **{f"{axis}tick.labelsize": 8.5 for axis in "xy"},
    **{f"{axis}tick.{which}.size": 0 for axis in "xy" for which in ("major", "minor")},
}


class _Size(NamedTuple):
    """Sizes in a confusion matrix of up to ``classes`` classes.

    ``cell_in`` is the edge of a cell in inches. The other sizes are those of letters in points;
    0 means that there is no space for the text.
    """

    classes: int
    cell_in: float
    name_pt: float
    share_pt: float
    count_pt: float


_SIZES = (
    _Size(13, 0.56, 9, 9.5, 6.2),
    _Size(26, 0.40, 8.5, 7.5, 0),
    _Size(60, 0.22, 7.5, 5.5, 0),
    _Size(10**9, 0.105, 6, 0, 0),
)


def curves_png(runs: Mapping[str, Mapping[str, Series]]) -> bytes:
    """Draw a panel for each quantity, with the curves of all runs that have it.

    A line shows means over intervals of steps, and a band the middle 90 % of the single steps. An
    axis is logarithmic if the quantity spans more than a factor of 30.

    Args:
        runs: quantities of each run by name; at least one run has one. "seconds" is not drawn.
    """
    names = dict.fromkeys(name for series in runs.values() for name in series if name != "seconds")
    last = ("learning_rate", "gradient_norm")
    quantities = sorted(names, key=lambda name: name in last)
    columns = min(3, len(quantities))
    rows = -(-len(quantities) // columns)
    width_in, height_in = 3.7 * columns, 2.4 * rows
    with _style():
        figure = Figure(figsize=(width_in, height_in))
        figure.subplots_adjust(0, 0, 1, 1, wspace=0.2, hspace=0.42)
        for number, quantity in enumerate(quantities, start=1):
            axes = figure.add_subplot(rows, columns, number, title=quantity.replace("_", " "))
            curves = [(run, series.get(quantity)) for run, series in enumerate(runs.values())]
            drawn = {run: curve for run, curve in curves if curve is not None}
            # A learning rate that ends at nearly 0 would fill a logarithmic axis with its end.
            _draw_curves(axes, drawn, may_be_log=quantity != "learning_rate")
            if number + columns > len(quantities):
                axes.set_xlabel("step")
        if len(runs) > 1:
            entry_in = 0.55 + 0.083 * max(map(len, runs))  # the line, and each letter of the name
            figure.legend(
                [Line2D([], [], linewidth=2, **_look(run)) for run in range(len(runs))],
                list(runs),
                loc="lower left",
                bbox_to_anchor=(-0.012, 1 + 0.27 / height_in),
                ncols=max(1, min(len(runs), int(width_in / entry_in))),
                fontsize=9.5,
            )
        return _png(figure)


def confusion_png(evaluation: EvaluationRecord) -> bytes:
    """Draw a confusion matrix: each row shows how the points of one class were predicted.

    Shares of the row's points are colors and, up to 60 classes, percentages; up to 13 classes have
    counts too. Classes with neither points nor predictions are left out, and so is the column of
    unlabeled points if it is empty.

    Args:
        evaluation: K classes, and at least one point.
    """
    document = evaluation.document
    counts = document.confusion_matrix.counts  # (K, K + 1)
    points, predicted = counts.sum(axis=1), counts.sum(axis=0)
    kept = np.flatnonzero((points > 0) | (predicted[:-1] > 0))  # (R,) classes
    columns = np.append(kept, len(counts)) if predicted[-1] else kept  # (C,)
    size = next(size for size in _SIZES if len(kept) <= size.classes)
    names = [*(_shortened(entry.name) for entry in document.classes), UNLABELED]
    with _style():
        figure = Figure(figsize=(size.cell_in * len(columns), size.cell_in * len(kept)))
        axes = figure.add_axes((0, 0, 1, 1))
        _draw_cells(axes, counts[np.ix_(kept, columns)], points[kept], size)
        slant: Any = {"rotation": 45, "ha": "right"} if size.share_pt else {"rotation": 90}
        labels = [names[column] for column in columns]
        axes.set_xticks(range(len(columns)), labels, rotation_mode="anchor", **slant)
        rows = [f"{names[row]} ({short_count(float(points[row]))})" for row in kept]
        axes.set_yticks(range(len(kept)), rows)
        ious = axes.secondary_yaxis("right")
        ious.set_yticks(range(len(kept)), [percent(document.classes[row].iou) for row in kept])
        for side in (axes, ious):
            side.tick_params(length=0, labelsize=size.name_pt, labelcolor=INK)
        axes.set_xlabel("prediction", fontsize=size.name_pt + 1)
        axes.set_ylabel("ground truth (points)", fontsize=size.name_pt + 1)
        ious.set_ylabel("IoU %", fontsize=size.name_pt + 1, labelpad=8)
        title_pt = 13 if size.share_pt else 20
        axes.set_title(evaluation.name, fontsize=title_pt, y=1, pad=2.8 * title_pt)
        about = f"{document.dataset} · {document.split} · mIoU {percent(document.scores.miou)} %"
        axes.annotate(
            f"{about} · cells: % of the points of the row",
            (0, 1),
            (0, 1.3 * title_pt),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=0.7 * title_pt,
            color=MUTED,
        )
        return _png(figure)


class Intervals(NamedTuple):
    """A curve in B intervals of steps.

    Attributes:
        steps: (B,) mean step of each interval.
        means: (B,) mean value.
        lows: (B,) value that 5 % of the steps are below.
        highs: (B,) value that 5 % of the steps are above.
    """

    steps: Floats
    means: Floats
    lows: Floats
    highs: Floats


def in_intervals(series: Series, most: int = 50) -> Intervals:
    """Divide a curve into at most so many intervals of about equally many steps."""
    count = min(most, len(series.steps))
    steps, values = (np.array_split(each, count) for each in (series.steps, series.values))
    return Intervals(
        np.array([interval.mean() for interval in steps]),
        np.array([interval.mean() for interval in values]),
        *np.array([np.quantile(interval, (0.05, 0.95)) for interval in values]).T,
    )


def percent(share: Share) -> str:
    """Return a share as percent with one decimal; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f}"


def short_count(number: float) -> str:
    """Return a count in few characters: 950, 1.2k, 38k, 4.1M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            part = number / size
            return f"{part:.1f}".removesuffix(".0") + letter if part < 10 else f"{part:.0f}{letter}"
    return f"{number:.0f}"


def _draw_curves(axes: Axes, curves: Mapping[int, Series], *, may_be_log: bool) -> None:
    """Draw the curves of one quantity, by the index of their run."""
    ends = []
    for run, series in curves.items():
        curve = in_intervals(series)
        marker = "o" if len(curve.steps) == 1 else ""
        axes.plot(curve.steps, curve.means, linewidth=1.5, marker=marker, **_look(run))
        band: Any = {"color": _look(run)["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(curve.steps, curve.lows, curve.highs, **band)
        # A mean may lie outside of its band, where one step is far from the others.
        ends += [end(part) for part in (curve.means, curve.lows, curve.highs) for end in (min, max)]
    low, high = float(min(ends)), float(max(ends))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    if may_be_log and low > 0 and high / low > 30:
        axes.set_yscale("log")
        axes.set_ylim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
    elif high > low:
        axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(lambda step, _: short_count(step))
    axes.set_xlim(left=0)
    axes.grid(axis="y")


def _look(run: int) -> dict[str, Any]:
    """Return color and dashes of a run: more runs than colors differ in their dashes."""
    turn, index = divmod(run, len(RUN_COLORS))
    return {"color": RUN_COLORS[index], "linestyle": _DASHES[turn % len(_DASHES)]}


def _draw_cells(
    axes: Axes, cells: npt.NDArray[np.int64], points: npt.NDArray[np.int64], size: _Size
) -> None:
    """Color the cells by their share, and write percentages and counts that have space.

    Args:
        axes: an empty plot.
        cells: (R, C) points of the class of each row, by predicted class.
        points: (R,) points of each class.
        size: sizes of cells and letters.
    """
    shares = cells / np.maximum(points, 1)[:, None]
    # A power below 1 makes a tenth of a class visible beside nine tenths.
    colors, norm = LinearSegmentedColormap.from_list("shares", SHARE_COLORS), PowerNorm(0.65, 0, 1)
    edges = [np.arange(count + 1) - 0.5 for count in cells.shape]
    mesh = axes.pcolormesh(edges[1], edges[0], shares, cmap=colors, norm=norm)
    mesh.set(edgecolor=LINE, linewidth=size.name_pt / 15)
    axes.invert_yaxis()
    if not size.share_pt:
        bar = axes.inset_axes((0.82, 1.027, 0.18, 0.01))
        axes.figure.colorbar(mesh, cax=bar, orientation="horizontal", ticks=(0, 0.1, 0.5, 1))
        bar.set_xticklabels(("0 %", "10", "50", "100"), fontsize=12)
        return
    up = 0.13 if size.count_pt else 0.0  # part of a cell, which makes space for the count
    for row, column in np.argwhere(shares >= 0.005).tolist():  # less would be written as 0
        share = float(shares[row, column])
        red, green, blue, _ = colors(norm(share))
        is_bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.52
        look: Any = {"ha": "center", "va": "center", "color": INK if is_bright else SURFACE}
        text = axes.text(column, row - up, f"{100 * share:.0f}", fontsize=size.share_pt, **look)
        text.set_fontweight("bold" if row == column else "normal")
        if size.count_pt:
            count = short_count(float(cells[row, column]))
            axes.text(column, row + 2 * up, count, fontsize=size.count_pt, **look)


def _shortened(name: str, longest: int = 30) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


@contextmanager
def _style() -> Iterator[None]:
    """Set the style of the figures, whatever the user's settings of matplotlib are."""
    installed = set(font_manager.get_font_names())
    fonts = [name for name in _FONTS if name in installed]
    with style.context(["default", {**_STYLE, "font.family": fonts}]), warnings.catch_warnings():
        # A character that no font has is drawn as a box, which is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def _png(figure: Figure) -> bytes:
    """Return a figure as PNG, cut to what was drawn; equal figures give equal bytes."""
    target = io.BytesIO()
    options: Any = {"bbox_inches": "tight", "pad_inches": 0.22, "metadata": {"Software": None}}
    figure.savefig(target, format="png", dpi=DOTS_PER_INCH, **options)
    return target.getvalue()
