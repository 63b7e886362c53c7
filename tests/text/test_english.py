from __future__ import annotations

import pytest

from clip3d_cli.text.english import (
    corrected_word,
    english_words,
    is_compound,
    is_english,
    nearest_spelling,
    normalized,
    singular_forms,
)


@pytest.mark.parametrize(
    "written", ["traffic light", "a traffic light", "The  Traffic_Light", "some TRAFFIC light"]
)
def test_case_articles_and_spaces_change_nothing(written: str) -> None:
    assert normalized(written) == "traffic light"


@pytest.mark.parametrize("article", ["a", "the", "an"])
def test_an_article_alone_is_a_word(article: str) -> None:
    assert normalized(article) == article


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("cars", "car"),
        ("benches", "bench"),
        ("boxes", "box"),
        ("bodies", "body"),
        ("shelves", "shelf"),
        ("knives", "knife"),
        ("houses", "house"),
        ("people", "person"),
        ("traffic lights", "traffic light"),
        ("potatoes", "potato"),
    ],
)
def test_plurals(plural: str, singular: str) -> None:
    assert singular in singular_forms(plural)


@pytest.mark.parametrize("word", ["bus", "glass", "chassis", "scissors", "car", "gas", "lens"])
def test_what_ends_like_a_plural_is_none(word: str) -> None:
    assert not [form for form in singular_forms(word) if form in english_words()]


@pytest.mark.parametrize(
    "token",
    ["car", "Kerb", "tyre", "aeroplane", "cars", "parked", "folding", "stopped", "façade", "and"]
    + ["bollards", "whiteboard", "suv"],
)
def test_english_words(token: str) -> None:
    assert is_english(token.lower())


@pytest.mark.parametrize(
    "token",
    ["caar", "vehcile", "voiture", "汽车", "🚗", "gebäude", "árbol", "macchina", "xyzzy"],
)
def test_other_words(token: str) -> None:
    assert not is_english(token)


@pytest.mark.parametrize("token", ["carport", "ductwork", "switchgear", "busstops", "carwindow"])
def test_two_words_written_as_one(token: str) -> None:
    assert is_compound(token)


@pytest.mark.parametrize("token", ["macchina", "cabnet", "car", "voiture"])
def test_what_is_two_words_by_chance(token: str) -> None:
    assert not is_compound(token)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("caar", "car"), ("chiar", "chair"), ("bycicle", "bicycle"), ("vehcile", "vehicle")],
)
def test_misspelt_words_are_corrected(written: str, meant: str) -> None:
    names = ["truck", "chair", "car", "cable", "vehicle", "bicycle"]
    assert nearest_spelling(written, names) == meant


def test_only_near_spellings_are_suggested() -> None:
    assert nearest_spelling("voiture", ["car", "picture"]) is None
    assert nearest_spelling("car", ["car"]) is None
    assert nearest_spelling("cart", ["car", "cat"]) == "car"
    assert nearest_spelling("abcdefgh", ["abxdefgy"], most=1) is None
    assert corrected_word("guitarr") == "guitar"
    assert corrected_word("voiture") is None
