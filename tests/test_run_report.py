from __future__ import annotations

import io
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageColor
from report_sample import COUNTS, eval_document, write_eval, write_run

from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.pipelines.run_records import read_records
from clip3d_cli.pipelines.run_report import plan_report, write_report
from clip3d_cli.view.charts import Curve, Panel, curves_png, short_count, smoothed, thinned
from clip3d_cli.view.confusion_chart import ConfusionChart, confusion_png, worst_confusions
from clip3d_cli.view.figures import DARK, DOTS_PER_INCH, LIGHT, Theme
from clip3d_cli.view.report_page import Cell, Page, Section, Table, page_html

NASTY = '<script>alert("x")</script> & $\\frac$ _車'


class Seen(HTMLParser):
    """What a browser would see of a page: its texts, and where it would look for more."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [
            value or "" for name, value in attributes if name in ("src", "srcset", "href")
        ]
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append(text)


def report(paths: Sequence[Path], folder: Path) -> tuple[Seen, set[str]]:
    records = read_records(paths)
    write_report(records, plan_report(records, folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    return Seen(page), {path.name for path in folder.iterdir()}


def pixels(png: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def amount(png: bytes, color: str) -> int:
    """How many pixels have very nearly the color."""
    away = np.abs(pixels(png) - np.array(ImageColor.getrgb(color))).max(axis=-1)
    return int((away < 6).sum())


def panel(runs: Sequence[int], steps: int = 50) -> Panel:
    along = np.arange(1.0, steps + 1)
    return Panel("loss", tuple(Curve(run, along, 1.0 + run + 1 / along) for run in runs))


def test_a_report_holds_all_in_one_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    write_eval(run / "eval.val.json")
    paths = [run, write_run(tmp_path / "second", steps=20, rate=0.02)]
    seen, files = report(paths, tmp_path / "out" / "deep")
    assert files == {"report.html", "curves.png", "confusion-first-val.png"}
    assert seen.open == []
    assert len(seen.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in seen.sources)
    for text in (
        "5e" * 32, "first · val", "folder · val", "mini", "optimizer.learning_rate", "0.02",
        "mIoU over present classes: a class that no judged point truly has is left out",
        "65.7", "20 of 60", "from 20 m on", "folder · val. No judged point is of road",
    ):  # fmt: skip
        assert text in seen.texts
    # The same in both: not what anybody looks for.
    assert "optimizer.steps" not in seen.texts


def test_one_run_shows_its_whole_configuration(tmp_path: Path) -> None:
    seen, _ = report([write_run(tmp_path / "first")], tmp_path / "out")
    assert {"first", "all 3 keys", "optimizer.steps", "60"} <= set(seen.texts)


def test_a_run_without_a_step_is_told_without_pictures(tmp_path: Path) -> None:
    seen, files = report([write_run(tmp_path / "a", steps=0)], tmp_path / "out")
    assert files == {"report.html"}
    assert "not finished" in seen.texts
    assert "img" not in seen.tags


def test_an_evaluation_of_no_point_is_told_without_a_picture(tmp_path: Path) -> None:
    empty = eval_document(counts=((0,) * 4,) * 3)
    nothing = dict.fromkeys(empty["scores"])
    path = write_eval(tmp_path / "e.json", {**empty, "scores": nothing})
    seen, files = report([path], tmp_path / "out")
    assert files == {"report.html"}
    assert "–" in seen.texts


def test_names_of_users_are_text_and_nothing_else(tmp_path: Path) -> None:
    document = eval_document(classes=("car", NASTY, "_road"))
    run = write_run(tmp_path / "_a&b$c$<i>")
    write_eval(run / "eval.json", document)
    seen, _ = report([run, write_run(tmp_path / "<b>")], tmp_path / "out")
    assert NASTY in seen.texts
    assert "_a&b$c$<i>" in seen.texts
    assert seen.tags.count("script") == 1
    assert seen.tags.count("b") == 0


def test_equal_names_get_files_of_their_own(tmp_path: Path) -> None:
    paths = [write_eval(tmp_path / name / "e?.json") for name in ("x", "X")]
    paths.append(write_eval(tmp_path / "?" / "_.json"))
    _, files = report(paths, tmp_path / "out")
    assert files == {"report.html", "confusion-x-e.png", "confusion-X-e-2.png", "confusion-_.png"}


def test_figures_that_may_not_be_compared_are_said_to(tmp_path: Path) -> None:
    said = "only figures that do may be held against each other."
    one = write_eval(tmp_path / "a.json")
    same = write_eval(tmp_path / "b.json")
    other = write_eval(tmp_path / "c.json", eval_document(changes={"split": "test"}))
    alike, _ = report([one, same], tmp_path / "alike")
    mixed, _ = report([one, other], tmp_path / "mixed")
    assert not any(said in text for text in alike.texts)
    assert any(said in text for text in mixed.texts)
    assert (alike.texts.count("Class by class"), mixed.texts.count("Class by class")) == (1, 2)


def test_a_table_marks_what_is_best_and_draws_shares() -> None:
    cells = (Cell("a", color=(1, 2, 3)), Cell("50.0", share=0.5, strong=True), Cell("9", share=7.0))
    table = Table(("class", "IoU", "x"), (cells, cells), numbers=2, footer=1)
    page = page_html(Page("t", "", (Section("s", "", (table,)),), ""))
    assert page.count('<td class="number strong"><i class="bar"><i style="width:50.0%;">') == 2
    assert "width:100.0%" in page
    assert page.count("background:rgb(1,2,3)") == 2
    assert page.index("</tbody>") < page.index("<tfoot><tr>")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_run_has_a_curve_of_its_color(theme: Theme) -> None:
    both = curves_png([panel((0, 1))], ["a", "b"], theme)
    one = curves_png([panel((1,))], ["a", "b"], theme)
    assert tuple(pixels(both)[0, 0]) == ImageColor.getrgb(theme.surface)
    # Beside its curve, the run stands in the legend.
    assert amount(both, theme.series[0]) > 3 * amount(one, theme.series[0]) > 0
    assert amount(one, theme.series[1]) == pytest.approx(amount(both, theme.series[1]), rel=0.3)


def test_more_runs_than_colors_can_be_drawn() -> None:
    runs = range(3 * len(LIGHT.series) + 1)
    assert amount(curves_png([panel(runs, steps=3)], [f"run {n}" for n in runs], LIGHT), "#0068a8")


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
    assert smoothed(noise[:10]) is not None
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
