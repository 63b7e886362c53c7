from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_sample import eval_document, write_eval, write_run

from clip3d_cli.pipelines.report import figures
from clip3d_cli.pipelines.report.page import Cell, Page, Section, Table, page_html
from clip3d_cli.pipelines.report.run import plan_report, write_report
from clip3d_cli.pipelines.report.run_records import read_records

NASTY = '<script>alert("x")</script> & $\\frac$ _車'


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at here is the page: its pictures need not be fine."""
    monkeypatch.setattr(figures, "DOTS_PER_INCH", 30)


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
        "mIoU over present classes: a class without ground truth is left out",
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
