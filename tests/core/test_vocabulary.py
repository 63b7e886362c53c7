from __future__ import annotations

from pathlib import Path

import pytest

from clip3d_cli.core.vocabulary import (
    Vocabulary,
    load_vocabulary,
    vocabulary_names,
    vocabulary_path,
)
from clip3d_cli.errors import InputError, UsageError

COUNTS = {
    "nuscenes16": 16,
    "semantickitti19": 19,
    "scannet20": 20,
    "scannet200": 200,
    "pandaset": 42,
}
# Numbers that other programs fix: the first, one from the middle, and the last.
OFFICIAL = {
    "nuscenes16": {"barrier": 1, "driveable surface": 11, "vegetation": 16},
    "semantickitti19": {"car": 10, "road": 40, "traffic-sign": 81},
    "scannet20": {"wall": 1, "desk": 14, "otherfurniture": 39},
    "scannet200": {"wall": 1, "object": 1163, "mattress": 1191},
    "pandaset": {"Smoke": 1, "Car": 13, "Other Static Object": 42},
    "asprs": {"ground": 2, "building": 6, "bridge deck": 17},
}


@pytest.mark.parametrize("name", vocabulary_names())
def test_reads_and_numbers_and_words_are_unique(name: str) -> None:
    vocabulary = load_vocabulary(name)
    numbers = [entry.class_id for entry in vocabulary.classes]
    assert len(set(numbers)) == len(numbers)
    assert 0 not in numbers
    # A word of two classes would be a tie that position decides.
    words = [word for entry in vocabulary.classes for word in entry.words]
    assert len(set(words)) == len(words)
    assert all(word == word.strip() and word.isprintable() for word in words)


@pytest.mark.parametrize("name", vocabulary_names())
def test_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    vocabulary = load_vocabulary(name)
    assert vocabulary.title
    assert "Words: clip3d." in vocabulary.source or "colors: clip3d." in vocabulary.source


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_has_all_the_classes_of_its_benchmark(name: str, count: int) -> None:
    assert len(load_vocabulary(name)) == count


@pytest.mark.parametrize(("name", "numbers"), OFFICIAL.items())
def test_numbers_are_the_official_ones(name: str, numbers: dict[str, int]) -> None:
    number_of_name = {entry.name: entry.class_id for entry in load_vocabulary(name).classes}
    assert {each: number_of_name[each] for each in numbers} == numbers


def test_pandaset_is_the_dataset_s_own_list(shared_data: Path) -> None:
    import json

    path = shared_data / "driving" / "pandaset_001" / "classes.json"
    expected = {int(number): name for number, name in json.loads(path.read_text()).items()}
    vocabulary = load_vocabulary("pandaset")
    assert {entry.class_id: entry.name for entry in vocabulary.classes} == expected


def test_the_number_of_classes_may_be_left_out_where_it_is_clear() -> None:
    assert vocabulary_path("semantickitti") == vocabulary_path("semantickitti19")
    with pytest.raises(UsageError, match="there is no 'scannet'") as caught:
        vocabulary_path("scannet")
    assert "scannet20, scannet200" in caught.value.remedy


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_vocabulary("nuscense16")
    assert "Did you mean nuscenes16?" in caught.value.remedy


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{ name = "a", wrods = ["b"] }', "unknown key 'wrods'"),
        ('{ nam = "a" }', "class 1 has an unknown key 'nam'"),
        ('{ name = "" }', "name must be text"),
        ('{ name = "a\\nelement face 9" }', "without control characters"),
        ('{ name = "a", id = -1 }', "id must be"),
        ('{ name = "a", words = "b" }', "words must be"),
        ('{ name = "a", color = [1, 2] }', "color must be"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tmp_path: Path, row: str, fault: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"class = [{row}]")
    with pytest.raises(InputError, match="class 1") as caught:
        Vocabulary.read(path)
    assert fault in caught.value.fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [("class = [1, 2]", r"no \[\[class\]\]"), ("a = " + "[" * 9999, "is not TOML")],
    ids=["numbers", "nested"],
)
def test_a_file_without_tables_of_classes_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        Vocabulary.read(path)


@pytest.mark.parametrize("names", [[], [""], ["car", "car"], ["=van"]])
def test_vocabulary_refuses_names(names: list[str]) -> None:
    with pytest.raises(UsageError, match="E_CLASSES"):
        Vocabulary.from_names(names)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class = 3", "no \\[\\[class\\]\\]"),
        ("[[class]]\nname = 'car'\nprompt = 'x'", "unknown key 'prompt'"),
        ("[[class]]\nname = 'car'\nid = 'x'", "class 1 \\(car\\): id"),
        ("[[class]]\nname = 'car'\nid = 0", "class 1 \\(car\\): id"),
        ("[[class]]\nname = 'car'\ncolor = [1, 2]", "color"),
        ("[[class]]\nname = 'car'\nwords = 'car'", "words"),
        ("[[class]]\nname = ''", "name"),
        ("[[class]", "is not TOML"),
    ],
)
def test_vocabulary_file_refusals(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "v.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        Vocabulary.read(path)
