"""``clip3d words``, and the words of ``clip3d label``, with the shipped weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine

from clip3d_cli.weights_files import DEFAULT_WEIGHTS, shipped_weights


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The shipped weights, which the fixture ``clip3d`` hides."""
    monkeypatch.delenv("CLIP3D_WEIGHTS", raising=False)
    return str(shipped_weights(DEFAULT_WEIGHTS))


def test_a_table_of_words(clip3d: CommandLine, weights: str) -> None:
    said = clip3d("words", "car,tyre,voiture", "--weights", weights)
    assert said.code == 0, said.err
    head, car, tyre, voiture = said.out.splitlines()
    assert head.split()[:2] == ["word", "known"]
    assert "IoU, simulated" in head
    assert car.split()[:3] == ["car", "known", "car"]
    assert car.rstrip().endswith("%")
    assert tyre.split()[:3] == ["tyre", "known", "tire"]
    assert voiture.split()[:2] == ["voiture", "unknown"]
    (warning,) = said.err.splitlines()
    assert warning.startswith("warning[W_UNKNOWN_WORD]: --classes: 'voiture' is an unknown word")


def test_a_document_of_words(clip3d: CommandLine, weights: str) -> None:
    said = clip3d("words", "cars,tyre,voiture", "--weights", weights, "--json")
    assert said.document["schema"] == "clip3d.words/1"
    car, tyre, voiture = said.document["words"]
    assert car["class"] == car["word"] == "cars"
    assert (car["known"], car["embedded"], car["nearest"]) == ("known", "car", "car")
    assert car["trained"]
    assert car["similarity"] == pytest.approx(1)
    assert 0 < car["iou"]["simulated"] <= 1
    assert (tyre["trained"], tyre["iou"]) == (False, {})
    assert voiture["known"] == "unknown"
    assert voiture["confused_with"] in {"cars", "tyre"}
    assert [each["code"] for each in said.document["warnings"]] == ["W_UNKNOWN_WORD"]
    assert said.err == ""


def test_words_of_a_vocabulary(clip3d: CommandLine, weights: str) -> None:
    said = clip3d("words", "--vocabulary", "semantickitti", "--weights", weights, "--json")
    assert said.code == 0, said.err
    assert {each["embedded"] for each in said.document["words"]} >= {"car", "truck"}
    # Words of a published list stand for themselves.
    assert all(each["embedded"] == each["word"] for each in said.document["words"])


def test_without_facts_their_columns_are_left_out(clip3d: CommandLine) -> None:
    said = clip3d("words", "car,tree")
    assert said.code == 0, said.err
    assert "IoU" not in said.out
    assert clip3d("words").code == 2


def test_words_are_questioned_before_labelling(
    clip3d: CommandLine, scan: Path, weights: str
) -> None:
    arguments = ("--weights", weights, "--device", "cpu", "--json")
    said = clip3d("label", scan, "--classes", "caar,road,road,automobile,car", *arguments)
    assert said.code == 0, said.err
    lines = said.err.splitlines()
    warned = [number for number, line in enumerate(lines) if line.startswith("warning[W_")]
    labelled = next(number for number, line in enumerate(lines) if "points in" in line)
    assert len(warned) == 3
    assert max(warned) < labelled
    assert [each["code"] for each in said.document["warnings"]] == [
        "W_SAME_CLASS",
        "W_UNKNOWN_WORD",
        "W_SAME_CLASS",
    ]
    assert set(said.document["warnings"][0]) == {"code", "where", "text", "hint"}


def test_words_of_a_vocabulary_are_not_questioned(
    clip3d: CommandLine, scan: Path, weights: str
) -> None:
    arguments = ("--weights", weights, "--device", "cpu", "--json")
    said = clip3d("label", scan, "--vocabulary", "scannet200", *arguments)
    assert said.code == 0, said.err
    assert said.document["warnings"] == []


@pytest.mark.parametrize(
    ("classes", "remedy"),
    [
        ("car;road", '"car,road"'),
        ("car|road", '"car,road"'),
        ("car; road ;tree", '"car,road,tree"'),
        ("car\troad", '"car,road"'),
        ("汽车，道路", '"汽车,道路"'),
        ("car,road;tree", '"road,tree"'),
        ("car road tree", '"car,road,tree"'),
    ],
)
def test_other_separators_are_refused(
    clip3d: CommandLine, scan: Path, weights: str, classes: str, remedy: str
) -> None:
    said = clip3d("label", scan, "--classes", classes, "--weights", weights, "--device", "cpu")
    assert said.code == 2
    error, hint = [line for line in said.err.splitlines() if not line.startswith("device")]
    assert error.startswith("error[E_CLASSES]")
    assert "without commas" in error
    assert remedy in hint
    assert not scan.with_name("scan.clip3d.ply").exists()


def names(said: object) -> list[str]:
    return [each["class"] for each in said.document["words"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("car,road,tree\n", ["car", "road", "tree"]),
        ("class\ncar\nroad\n", ["car", "road"]),
        ('car,"bag, plastic"\n"wall"\n', ["car", "bag, plastic", "wall"]),
        ("car;road\ntree\n", ["car", "road", "tree"]),
        ("\ufeffcar\r\n\r\ntree=bush|hedge\r\n", ["car", "tree"]),
    ],
)
def test_a_csv_file_is_a_list(
    clip3d: CommandLine, tmp_path: Path, content: str, expected: list[str]
) -> None:
    (tmp_path / "words.csv").write_text(content, encoding="utf-8", newline="")
    for argument in ("words.csv", "@words.csv"):
        said = clip3d("words", argument, "--json")
        assert said.code == 0, said.err
        assert names(said) == [
            word
            for name in expected
            for word in [name] * (3 if name == "tree" and "=" in content else 1)
        ]


def test_quoted_names_may_contain_commas(clip3d: CommandLine, tmp_path: Path) -> None:
    assert names(clip3d("words", '"bag, plastic",car', "--json")) == ["bag, plastic", "car"]
    (tmp_path / "list.txt").write_text('"bag, plastic"\ncar, tree\n')
    assert names(clip3d("words", "@list.txt", "--json")) == ["bag, plastic", "car", "tree"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["words.csv"], "there is no file words.csv"),
        (["words.txt"], "there is no file words.txt"),
        (["numbers.csv"], "has numbers, such as 1"),
        (['car,"tree'], "wrong quote"),
        (['"a"b,car'], "wrong quote"),
    ],
)
def test_other_lists_are_refused(
    clip3d: CommandLine, tmp_path: Path, arguments: list[str], fault: str
) -> None:
    (tmp_path / "numbers.csv").write_text("id,name\n1,car\n2,tree\n")
    said = clip3d("words", *arguments)
    assert said.code == 2
    assert "error[E_CLASSES]" in said.err
    assert fault in said.err
