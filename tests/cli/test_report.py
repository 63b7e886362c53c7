from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine
from report_sample import write_eval, write_run


def test_runs_are_reported(clip3d: CommandLine) -> None:
    write_eval(write_run(Path("runs/a")) / "eval.val.json")
    write_run(Path("runs/b"), steps=7)
    said = clip3d("report", "runs/a", "runs/b")
    assert said.code == 0
    assert said.err == "2 runs and 1 evaluation -> report/report.html\n"
    assert said.out == ""
    assert sorted(path.name for path in Path("report").iterdir()) == [
        "confusion-a-val.png", "curves.png", "report.html",
    ]  # fmt: skip


def test_what_is_not_there_is_not_counted(clip3d: CommandLine) -> None:
    write_eval(Path("eval.json"))
    assert clip3d("report", "eval.json").err == "1 evaluation -> report/report.html\n"


def test_a_report_as_a_document(clip3d: CommandLine) -> None:
    write_run(Path("a"), steps=7)
    said = clip3d("report", "a", "-o", "out", "--json", "-q")
    assert said.err == ""
    assert said.document == {
        "schema": "clip3d.report/1",
        "page": "out/report.html",
        "files": ["out/report.html", "out/curves.png"],
        "runs": [{"name": "a", "folder": "a", "steps": 7, "finished": False}],
        "evaluations": [],
    }


def test_a_report_is_replaced_only_when_asked(clip3d: CommandLine) -> None:
    write_run(Path("a"), steps=7)
    page = Path("report/report.html")
    page.parent.mkdir()
    page.write_text("mine")
    said = clip3d("report", "a")
    assert said.code == 2
    assert said.err.startswith("error[E_EXISTS]: report/report.html: exists already")
    assert [path.name for path in page.parent.iterdir()] == [page.name]
    assert page.read_text() == "mine"
    assert clip3d("report", "a", "--overwrite").code == 0
    assert page.read_text().startswith("<!doctype html>")


REFUSALS: list[tuple[tuple[str, ...], int, str]] = [
    ((), 2, "error[E_USAGE]: clip3d report: Missing argument"),
    (("missing",), 1, "error[E_NOT_FOUND]: missing: does not exist"),
    (("runs",), 1, "error[E_NOT_FOUND]: runs: has neither a run nor an evaluation"),
    (("runs/a", "runs/a"), 2, "error[E_USAGE]: runs/a: is given twice"),
    (("cut.json",), 1, "error[E_CORRUPT]: cut.json: the JSON ends early, in line 1"),
    (("label.json",), 1, "error[E_UNSUPPORTED]: label.json: has the schema 'clip3d.label/1'"),
    (("runs/a", "-o", "cut.json"), 1, "error[E_NOT_WRITABLE]: cut.json: is not a folder"),
    (("runs/a", "-o", "cut.json/x"), 1, "error[E_NOT_WRITABLE]: cut.json: is not a folder"),
]


@pytest.mark.parametrize(("arguments", "code", "fault"), REFUSALS)
def test_what_cannot_be_reported_is_said_in_one_line(
    clip3d: CommandLine, arguments: tuple[str, ...], code: int, fault: str
) -> None:
    write_run(Path("runs/a"), steps=7)
    Path("cut.json").write_text('{"schema": "clip3d.ev')
    write_eval(Path("label.json"), {"schema": "clip3d.label/1"})
    said = clip3d("report", *arguments)
    assert said.code == code
    assert said.err.startswith(fault)
    lines = said.err.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["hint"]
    assert not Path("report").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named(
    clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    write_run(Path("a"), steps=7)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = clip3d("report", "a")
    assert said.code == 4
    assert said.err.splitlines() == [
        f"error[E_SYSTEM]: {package}: is not installed",
        'hint: Run pip install "clip3d[report]".',
    ]
    assert not Path("report").exists()


def test_a_report_that_cannot_be_drawn_leaves_nothing(
    clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise KeyboardInterrupt

    write_eval(write_run(Path("a"), steps=7) / "eval.val.json")
    monkeypatch.setattr("clip3d_cli.pipelines.report.figures.confusion_png", fail)
    assert clip3d("report", "a").code == 130
    assert not Path("report").exists()


def test_a_page_is_whole_or_not_there(clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(Path("a"), steps=7)
    write: Callable[..., int] = Path.write_text

    def fill_the_disk(path: Path, text: str, **options: str) -> int:
        if path.suffix == ".part":
            write(path, text[:100], **options)
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    said = clip3d("report", "a")
    assert (said.code, said.err[:18]) == (1, "error[E_NO_SPACE]:")
    assert [path.name for path in Path("report").iterdir()] == ["curves.png"]


def test_the_help_shows_two_examples(clip3d: CommandLine) -> None:
    examples = clip3d("report", "-h").out.partition("Examples:")[2].splitlines()[1:3]
    assert [line.split()[:2] for line in examples] == [["clip3d", "report"]] * 2


def test_one_broken_run_of_several_is_named(clip3d: CommandLine) -> None:
    write_run(Path("a"), steps=7)
    write_run(Path("b"), steps=7)
    Path("b/versions.json").write_text("[1]")
    said = clip3d("report", "a", "b", "c", "--json")
    assert said.code == 3
    assert [run["name"] for run in said.document["runs"]] == ["a"]
    assert [(each["code"], each["where"]) for each in said.document["failed"]] == [
        ("E_CORRUPT", "b/versions.json"), ("E_NOT_FOUND", "c"),
    ]  # fmt: skip
    assert "error[E_NOT_FOUND]: c: does not exist" in said.err
    assert "b/versions.json" in Path("report/report.html").read_text(encoding="utf-8")


def test_without_any_input_that_can_be_read_nothing_is_written(clip3d: CommandLine) -> None:
    said = clip3d("report", "a", "b")
    assert (said.code, said.out) == (1, "")
    assert [line.partition(":")[0] for line in said.err.splitlines()] == [
        "error[E_NOT_FOUND]", "hint",
    ] * 2  # fmt: skip
    assert not Path("report").exists()
