from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_sample import eval_document, write_eval, write_run

from clip3d_cli.metrics.scores import metric_name
from clip3d_cli.pipelines.report import figures
from clip3d_cli.pipelines.report.page import frequent_errors
from clip3d_cli.pipelines.report.records import read_records
from clip3d_cli.pipelines.report.run import plan_report, write_report

NASTY = '<script>alert("x")</script> & $\\frac$ _車'


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is tested here, for which its figures need not be fine."""
    monkeypatch.setattr(figures, "DOTS_PER_INCH", 30)


class Seen(HTMLParser):
    """Texts of a page as a browser shows them, and addresses from which it would load more."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.sources += [
            value or "" for name, value in attributes if name in ("src", "srcset", "href")
        ]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append(text)

    @property
    def text(self) -> str:
        return "|".join(self.texts)


def report(paths: Sequence[Path], folder: Path) -> tuple[Seen, set[str]]:
    records = read_records(paths)
    write_report(records, plan_report(records, folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    return Seen(page), {path.name for path in folder.iterdir()}


def test_a_report_holds_all_in_one_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first")
    write_eval(run / "eval.val.json")
    paths = [run, write_run(tmp_path / "second", steps=20, rate=0.02)]
    seen, files = report(paths, tmp_path / "out" / "deep")
    assert files == {"report.html", "curves.png", "confusion-first-val.png"}
    assert seen.open == []
    assert len(seen.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in seen.sources)
    for text in (
        "5e" * 32, "first · val", "folder · val", "mini", "optimizer.learning_rate", "0.02",
        metric_name("present"), "65.7", "20 of 60", "from 20 m on",
        "folder · val. No evaluated point is of road",
    ):  # fmt: skip
        assert text in seen.texts
    # The same in both runs.
    assert "optimizer.steps" not in seen.texts


def test_one_run_shows_its_whole_configuration(tmp_path: Path) -> None:
    seen, _ = report([write_run(tmp_path / "first")], tmp_path / "out")
    assert {"first", "3 values", "optimizer.steps", "60"} <= set(seen.texts)


def test_a_run_without_a_step_has_no_figures(tmp_path: Path) -> None:
    seen, files = report([write_run(tmp_path / "a", steps=0)], tmp_path / "out")
    assert files == {"report.html"}
    assert "not finished" in seen.texts
    assert "img" not in seen.tags


def test_an_evaluation_of_no_point_has_no_figure(tmp_path: Path) -> None:
    empty = eval_document(counts=((0,) * 4,) * 3)
    nothing = dict.fromkeys(empty["scores"])
    path = write_eval(tmp_path / "e.json", {**empty, "scores": nothing})
    seen, files = report([path], tmp_path / "out")
    assert files == {"report.html"}
    assert "–" in seen.texts


def test_names_and_values_of_users_are_only_text(tmp_path: Path) -> None:
    nasty = dict.fromkeys(("dataset", "split", "text_encoder"), NASTY)
    nasty["metric"] = {"convention": "present", "name": NASTY}
    document = eval_document(classes=("car", NASTY, "_road"), changes=nasty)
    run = write_run(tmp_path / '_a&b$c$<i>" onload="x')
    write_eval(run / "eval.json", document)
    (run / "config.toml").write_text(f"'<u>' = '{NASTY}'\n", encoding="utf-8")
    start = {"began": NASTY, "after_step": 0, "clip3d": NASTY, "device": NASTY}
    (run / "versions.json").write_text(json.dumps([start]))
    seen, _ = report([run, write_run(tmp_path / "<b>")], tmp_path / "out")
    assert seen.texts.count(NASTY) == 8
    assert '_a&b$c$<i>" onload="x' in seen.texts
    assert not any(name.startswith("on") for name in seen.attributes)
    assert "<u>" in seen.texts
    assert seen.tags.count("script") == 1
    assert not {"b", "u"} & set(seen.tags)
    assert seen.open == []


def test_a_name_that_is_not_text_is_escaped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run\udcff", steps=0)
    seen, _ = report([run], tmp_path / "out")
    assert r"run\udcff" in seen.texts


def test_equal_names_get_files_of_their_own(tmp_path: Path) -> None:
    paths = [write_eval(tmp_path / name / "e?.json") for name in ("x", "X")]
    paths.append(write_eval(tmp_path / "?" / "_.json"))
    _, files = report(paths, tmp_path / "out")
    assert files == {"report.html", "confusion-x-e.png", "confusion-X-e-2.png", "confusion-_.png"}


def test_scores_that_cannot_be_compared_are_pointed_out(tmp_path: Path) -> None:
    warning = "and these are not all of the same."
    one = write_eval(tmp_path / "a.json")
    same = write_eval(tmp_path / "b.json")
    other = write_eval(tmp_path / "c.json", eval_document(changes={"split": "test"}))
    alike, _ = report([one, same], tmp_path / "alike")
    mixed, _ = report([one, other], tmp_path / "mixed")
    assert warning not in alike.text
    assert warning in mixed.text
    assert (alike.texts.count("Scores by class"), mixed.texts.count("Scores by class")) == (1, 2)


def test_the_best_of_comparable_scores_is_marked(tmp_path: Path) -> None:
    better = eval_document(counts=((10, 0, 0, 0), (0, 5, 0, 0), (0, 0, 0, 0)))
    paths = [write_eval(tmp_path / "a.json"), write_eval(tmp_path / "b.json", better)]
    report(paths, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    # mIoU, mAcc, fwIoU, accuracy and foreground mIoU of b, and the IoU of two of its classes.
    assert page.count('<td class="number best">') == 5 + 2
    assert page.count('<td class="number best">100.0</td>') == 5
    bar = '<td class="number{}"><i class="bar"><i style="width:{}%;background:rgb(0, 100, 200)">'
    assert bar.format(" best", "100.0") in page
    assert bar.format("", "60.0") in page
    assert page.index("</tbody>\n<tfoot>") < page.index("mean, all points")


def test_scores_that_cannot_be_compared_or_are_0_are_not_marked(tmp_path: Path) -> None:
    wrong = eval_document(counts=((0, 3, 0, 0), (3, 0, 0, 0), (0, 0, 0, 0)))
    paths = [write_eval(tmp_path / f"{name}.json", wrong) for name in "ab"]
    paths.append(write_eval(tmp_path / "c.json", eval_document(changes={"split": "test"})))
    report(paths, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<td class="number best">') == 0


def test_inputs_that_failed_are_named(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / "a"), write_run(tmp_path / "<b>")]
    (paths[1] / "config.toml").write_text("a = [")
    seen, _ = report(paths, tmp_path / "out")
    assert "1 training" in seen.texts
    (failure,) = (text for text in seen.texts if "is not TOML" in text)
    assert failure.startswith(f"error[E_CORRUPT]: {paths[1] / 'config.toml'}: ")


def test_the_most_frequent_errors_come_first(tmp_path: Path) -> None:
    (evaluation,) = read_records([write_eval(tmp_path / "e.json")]).evaluations
    errors = frequent_errors(evaluation, 99)
    assert [(each.truth.name, each.points, each.share) for each in errors] == [
        ("car", 2, 0.2), ("car", 1, 0.1), ("car", 1, 0.1),
    ]  # fmt: skip
    predictions = [each.prediction and each.prediction.name for each in errors]
    assert predictions == ["tree", "road", None]
    assert frequent_errors(evaluation, 2) == errors[:2]
