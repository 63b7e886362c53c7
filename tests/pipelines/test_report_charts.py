from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor
from report_sample import COUNTS

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.report.charts import (
    Curve,
    Panel,
    curves_png,
    short_count,
    smoothed,
    thinned,
)
from clip3d_cli.pipelines.report.confusion_chart import (
    ConfusionChart,
    confusion_png,
    worst_confusions,
)
from clip3d_cli.pipelines.report.figures import DARK, DOTS_PER_INCH, LIGHT, Theme


def pixels(png: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def amount(png: bytes, color: str) -> int:
    """How many pixels have very nearly the color."""
    away = np.abs(pixels(png) - np.array(ImageColor.getrgb(color))).max(axis=-1)
    return int((away < 6).sum())


def panel(runs: Sequence[int], steps: int = 50) -> Panel:
    along = np.arange(1.0, steps + 1)
    return Panel("loss", tuple(Curve(run, along, 1.0 + run + 1 / along) for run in runs))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_run_has_a_curve_of_its_color(theme: Theme) -> None:
    both = curves_png([panel((0, 1))], ["a", "b"], theme)
    one = curves_png([panel((1,))], ["a", "b"], theme)
    assert tuple(pixels(both)[0, 0]) == ImageColor.getrgb(theme.surface)
    # Beside its curve, the run stands in the legend.
    assert amount(both, theme.series[0]) > 3 * amount(one, theme.series[0]) > 0
    assert amount(one, theme.series[1]) == pytest.approx(amount(both, theme.series[1]), rel=0.3)


# What dichromats see of linear RGB: Machado, Oliveira and Fernandes, 2009, severity 1.
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopes": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopes": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def oklab(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coordinates of linear RGB in which distances are as people see them (Ottosson, 2020)."""
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    lab = np.array(
        [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    )
    return np.cbrt(np.clip(linear, 0, 1) @ cones.T) @ lab.T


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_color_blind_tell_curves_apart(theme: Theme, eyes: str) -> None:
    colors = np.array([ImageColor.getrgb(color) for color in (*theme.series, theme.surface)]) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = oklab(linear @ np.array(SEEN_BY[eyes]).T)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    # 0.02 is just noticeable side by side.
    assert apart[~np.eye(len(seen), dtype=bool)].min() > 0.1


def test_more_runs_than_colors_can_be_drawn() -> None:
    runs = range(3 * len(LIGHT.series) + 1)
    assert amount(
        curves_png([panel(runs, steps=3)], [f"run {n}" for n in runs], LIGHT), LIGHT.series[0]
    )


def test_a_wide_span_gets_a_logarithmic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    scales = []
    monkeypatch.setattr(Axes, "set_yscale", lambda _, scale: scales.append(scale))
    along = np.arange(1.0, 9.0)
    for values in (along, 0.01**along, 0.01**along - 1e-3, np.ones(8)):
        curves_png([Panel("loss", (Curve(0, along, values),))], ["a"], LIGHT)
    assert scales == ["log"]


def test_a_mean_keeps_a_line_and_calms_noise() -> None:
    line = np.linspace(0, 1, 400)
    np.testing.assert_allclose(smoothed(line)[50:-50], line[50:-50], atol=1e-12)
    np.testing.assert_allclose(smoothed(np.ones(400)), 1)
    noise = np.random.default_rng(0).normal(size=400)
    assert smoothed(noise).std() < 0.4 * noise.std()
    assert (smoothed(noise[:10]) == noise[:10]).all()


def test_a_long_curve_is_thinned_to_means() -> None:
    along = np.arange(100_000.0)
    curve = thinned(Curve(0, along, along % 2))
    assert len(curve.steps) == 2000
    assert curve.steps[0] == 24.5
    np.testing.assert_allclose(curve.values, 0.5)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (950, "950"), (999.6, "1k"), (1000, "1k"), (1250, "1.2k"), (38_400, "38k"),
     (999_700, "1M"), (4_100_000, "4.1M"), (2e9, "2G")],
)  # fmt: skip
def test_counts_are_said_in_few_letters(number: float, said: str) -> None:
    assert short_count(number) == said


def chart(classes: int, absent: int = 0) -> ConfusionChart:
    """Every class half right, half taken for the next; the last ones neither there nor answered."""
    there = classes - absent
    counts = np.zeros((classes, classes + 1), dtype=np.int64)
    for place in range(there):
        counts[place, place] = counts[place, (place + 1) % there] = 50
    confusion = ConfusionMatrix(counts)
    names = tuple(f"class {place}" for place in range(classes))
    return ConfusionChart("title", "aside", names, confusion, confusion.iou)


@pytest.mark.parametrize("classes", [3, 11, 19, 40])
def test_a_confusion_matrix_grows_with_its_classes(classes: int) -> None:
    png = confusion_png(chart(classes), LIGHT)
    high, wide, _ = pixels(png).shape
    letters_in = min(high, wide) / classes / DOTS_PER_INCH
    assert letters_in > 0.2
    assert max(high, wide) / DOTS_PER_INCH < 14


def test_classes_that_say_nothing_are_left_out() -> None:
    assert confusion_png(chart(9, absent=4), LIGHT) == confusion_png(chart(5), LIGHT)


@pytest.mark.slow
def test_two_hundred_classes_stay_readable() -> None:
    # Names of 6 points need 0.083 inches a row.
    high, wide, _ = pixels(confusion_png(chart(200), DARK)).shape
    assert min(high, wide) / DOTS_PER_INCH > 200 * 0.083


def test_the_color_of_a_cell_is_its_share() -> None:
    counts = np.array([[100, 0, 0], [0, 100, 0]], dtype=np.int64)
    right = ConfusionChart("", "", ("a", "b"), ConfusionMatrix(counts), np.ones(2))
    wrong = ConfusionChart("", "", ("a", "b"), ConfusionMatrix(counts // 2 + 50), np.ones(2))
    assert amount(confusion_png(right, LIGHT), LIGHT.ramp[-1]) > 2000
    assert amount(confusion_png(wrong, LIGHT), LIGHT.ramp[-1]) == 0


def test_the_commonest_mistakes_come_first() -> None:
    confusion = ConfusionMatrix(np.array(COUNTS, dtype=np.int64))
    assert worst_confusions(confusion, 2) == [(0, 1, 2, 0.2), (0, 2, 1, 0.1)]
    assert worst_confusions(confusion, 99)[-1] == (0, 3, 1, 0.1)


def test_a_user_s_settings_of_matplotlib_do_not_count() -> None:
    import matplotlib

    plain = curves_png([panel((0,))], ["a"], LIGHT)
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9, "savefig.dpi": 20}):
        assert curves_png([panel((0,))], ["a"], LIGHT) == plain
        assert matplotlib.rcParams["savefig.dpi"] == 20


def test_names_are_drawn_whatever_they_hold() -> None:
    name = r"$\frac$ 車"
    confusion = ConfusionMatrix(np.ones((1, 2), dtype=np.int64))
    assert confusion_png(ConfusionChart(name, name, (name,), confusion, np.ones(1)), LIGHT)
    assert curves_png([panel((0, 1))], [name, "_"], LIGHT)
