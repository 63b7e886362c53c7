from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor
from report_sample import eval_document

from clip3d_cli.pipelines.evaluate.document import EvaluationDocument
from clip3d_cli.pipelines.report import figures
from clip3d_cli.pipelines.report.figures import (
    DOTS_PER_INCH,
    RUN_COLORS,
    SHARE_COLORS,
    SURFACE,
    confusion_png,
    curves_png,
    in_intervals,
    short_count,
)
from clip3d_cli.pipelines.report.records import EvaluationRecord, Series
from clip3d_cli.schema import convert

Floats = npt.NDArray[np.float64]


def pixels(png: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def amount(png: bytes, color: str) -> int:
    """Return the number of pixels that have very nearly the color."""
    away = np.abs(pixels(png) - np.array(ImageColor.getrgb(color))).max(axis=-1)
    return int((away < 6).sum())


def curve(level: float = 1.0, steps: int = 50) -> dict[str, Series]:
    along = np.arange(1.0, steps + 1)
    return {"loss": Series(along, level + 1 / along)}


def test_every_run_has_a_curve_of_its_color() -> None:
    both = curves_png({"a": curve(1.0), "b": curve(2.0)})
    one = curves_png({"a": {}, "b": curve(2.0)})
    assert tuple(pixels(both)[0, 0]) == ImageColor.getrgb(SURFACE)
    # Without a curve, the run is only in the legend.
    assert amount(both, RUN_COLORS[0]) > 3 * amount(one, RUN_COLORS[0]) > 0
    assert amount(one, RUN_COLORS[1]) == pytest.approx(amount(both, RUN_COLORS[1]), rel=0.3)


# What dichromats see of linear RGB: Machado, Oliveira and Fernandes, 2009, severity 1.
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopes": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopes": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
# The matrix of hue-rotate(180deg): W3C, Filter Effects Module Level 1, section 9.
HALF_TURN = [[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]]


def oklab(linear: Floats) -> Floats:
    """Coordinates of linear RGB in which distances are as people see them (Ottosson, 2020)."""
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    lab = np.array(
        [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    )
    return np.cbrt(np.clip(linear, 0, 1) @ cones.T) @ lab.T


def on_dark_screens(colors: Floats) -> Floats:
    """Colors as the filter of the page shows them."""
    page = Path(figures.__file__).with_name("page.html").read_text(encoding="utf-8")
    assert "img { filter: invert(91%) hue-rotate(180deg); }" in page
    return np.clip((0.91 - 0.82 * colors) @ np.array(HALF_TURN).T, 0, 1)


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("dark", [False, True])
def test_the_color_blind_tell_curves_apart(dark: bool, eyes: str) -> None:
    colors = np.array([ImageColor.getrgb(color) for color in (*RUN_COLORS, SURFACE)]) / 255
    colors = on_dark_screens(colors) if dark else colors
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = oklab(linear @ np.array(SEEN_BY[eyes]).T)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    # 0.02 is just noticeable side by side.
    assert apart[~np.eye(len(seen), dtype=bool)].min() > 0.1


def test_more_runs_than_colors_can_be_drawn() -> None:
    runs = {f"run {number}": curve(steps=3) for number in range(3 * len(RUN_COLORS) + 1)}
    assert amount(curves_png(runs), RUN_COLORS[0])


def test_a_wide_span_gets_a_logarithmic_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    scales = []
    monkeypatch.setattr(Axes, "set_yscale", lambda _, scale: scales.append(scale))
    along = np.arange(1.0, 9.0)
    for values in (along, 0.01**along, 0.01**along - 1e-3, np.ones(8)):
        curves_png({"a": {"loss": Series(along, values)}})
    assert scales == ["log"]
    curves_png({"a": {"learning_rate": Series(along, 0.01**along)}})
    assert scales == ["log"]


def test_means_of_intervals_keep_a_line_and_calm_noise() -> None:
    line = np.linspace(0, 1, 400)
    curve = in_intervals(Series(400 * line, line))
    np.testing.assert_allclose(curve.means, curve.steps / 400, atol=1e-12)
    assert (curve.lows < curve.means).all()
    assert (curve.means < curve.highs).all()
    noise = Series(line, np.random.default_rng(0).normal(size=400))
    assert in_intervals(noise).means.std() < 0.4 * noise.values.std()
    few = in_intervals(Series(line[:10], noise.values[:10]))
    assert (few.means == noise.values[:10]).all()
    assert (few.lows == few.highs).all()


def test_a_long_curve_is_drawn_with_few_points() -> None:
    along = np.arange(120_000.0)
    curve = in_intervals(Series(along, along % 2))
    assert len(curve.steps) == 50
    assert curve.steps[0] == 1199.5
    np.testing.assert_allclose(curve.means, 0.5)
    np.testing.assert_allclose((curve.lows[0], curve.highs[0]), (0, 1))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (950, "950"), (999.6, "1k"), (1000, "1k"), (1250, "1.2k"), (38_400, "38k"),
     (999_700, "1M"), (4_100_000, "4.1M"), (2e9, "2G")],
)  # fmt: skip
def test_counts_are_written_in_few_characters(number: float, text: str) -> None:
    assert short_count(number) == text


def evaluation(counts: npt.NDArray[np.int64], name: str = "a") -> EvaluationRecord:
    classes = tuple(f"class {index}" for index in range(len(counts)))
    document = eval_document((name, *classes[1:]), tuple(map(tuple, counts.tolist())))
    return EvaluationRecord(name, convert(document, EvaluationDocument))


def half_right(classes: int, absent: int = 0) -> EvaluationRecord:
    """Half of each class is right, half is predicted as the next; the last are absent."""
    present = classes - absent
    counts = np.zeros((classes, classes + 1), dtype=np.int64)
    for index in range(present):
        counts[index, index] = counts[index, (index + 1) % present] = 50
    return evaluation(counts)


@pytest.mark.parametrize("classes", [3, 11, 19, 40])
def test_a_confusion_matrix_grows_with_its_classes(classes: int) -> None:
    high, wide, _ = pixels(confusion_png(half_right(classes))).shape
    letters_in = min(high, wide) / classes / DOTS_PER_INCH
    assert letters_in > 0.2
    assert max(high, wide) / DOTS_PER_INCH < 14


def test_classes_without_points_and_predictions_are_left_out() -> None:
    assert confusion_png(half_right(9, absent=4)) == confusion_png(half_right(5))


@pytest.mark.slow
def test_two_hundred_classes_stay_readable() -> None:
    # Names of 6 points need 0.083 inches a row.
    high, wide, _ = pixels(confusion_png(half_right(200))).shape
    assert min(high, wide) / DOTS_PER_INCH > 200 * 0.083


def test_the_color_of_a_cell_is_its_share() -> None:
    right = np.array([[100, 0, 0], [0, 100, 0]], dtype=np.int64)
    wrong = right // 2 + 50
    assert amount(confusion_png(evaluation(right)), SHARE_COLORS[-1]) > 2000
    assert amount(confusion_png(evaluation(wrong)), SHARE_COLORS[-1]) == 0


def test_a_user_s_settings_of_matplotlib_do_not_count() -> None:
    import matplotlib

    plain = curves_png({"a": curve()})
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9, "savefig.dpi": 20}):
        assert curves_png({"a": curve()}) == plain
        assert matplotlib.rcParams["savefig.dpi"] == 20


def test_names_are_drawn_whatever_they_contain() -> None:
    name = r"$\frac$ 車"
    assert confusion_png(evaluation(np.ones((1, 2), dtype=np.int64), name))
    assert curves_png({name: curve(), "_": curve()})
