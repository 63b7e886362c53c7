"""Words that a user gives: which are questioned, and which vectors stand for them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.vocabulary import Vocabulary, load_vocabulary, vocabulary_names
from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import read_spec
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.labelling.words import WordChecker
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.weights_files import DEFAULT_WEIGHTS, find_weights

ROOT = Path(__file__).resolve().parents[2]

# Composed from dictionaries and lists of common misspellings, not from any list that the checks
# were chosen by.
MISSPELT = {
    "bilding": "building",
    "buidling": "building",
    "bulding": "building",
    "sidwalk": "sidewalk",
    "side wlak": "sidewalk",
    "pavment": "pavement",
    "vegatation": "vegetation",
    "vegitation": "vegetation",
    "bicylce": "bicycle",
    "bycycle": "bicycle",
    "motercycle": "motorcycle",
    "pedestrien": "pedestrian",
    "persson": "person",
    "pedestrain": "pedestrian",
    "cabnet": "cabinet",
    "fense": "fence",
    "tarffic light": "traffic light",
    "trafic sign": "traffic sign",
    "trafic sings": "traffic sign",
    "refridgerator": "refrigerator",
    "televison": "television",
    "moniter": "monitor",
    "curtian": "curtain",
    "cieling": "ceiling",
    "matress": "mattress",
    "toliet": "toilet",
    "bookshelv": "bookshelf",
    "wardrope": "wardrobe",
    "tabel": "table",
    "windwo": "window",
    "stiars": "stairs",
    "briddge": "bridge",
}
FOREIGN = (
    *("voiture", "arbre", "bâtiment", "trottoir", "fenêtre", "véhicule"),
    *("gebäude", "fahrrad", "straße", "gehweg", "fußgänger", "stuhl"),
    *("coche", "árbol", "edificio", "acera", "silla", "ventana"),
    *("macchina", "albero", "strada", "sedia", "finestra", "marciapiede"),
    *("汽车", "树", "建筑物", "машина", "дерево", "車", "자동차"),
    *("🚗", "🌳", "12", "asdfgh"),
)
SYNONYMS = (
    *(("car", "automobile"), ("sofa", "couch"), ("bicycle", "bike"), ("sidewalk", "pavement")),
    *(("person", "human"), ("person", "pedestrian"), ("trash can", "garbage can")),
    *(("television", "tv"), ("street light", "lamp post"), ("refrigerator", "fridge")),
)
SAME = (
    *(("car", "Car"), ("car", "cars"), ("tree", "trees"), ("a car", "the car")),
    *(("street light", "street_lights"), ("guardrail", "guard rail"), ("dog house", "Dog Houses")),
)
# Classes of scans as people name them: of data sets, and of the scans that weights are judged by.
ORDINARY = (
    "car,tire,plastic bag",
    "ground,vegetation,building",
    "ground,vegetation,building,bridge",
    "ground,vegetation,water",
    "ground,building,vegetation,car",
    "ground,building,tree,wire",
    "road,car,truck,bus,person,bicycle,motorcycle,bollard,building,vegetation,sidewalk",
    "wall,window,door",
    "road,vegetation,tree trunk,grass,pole,person,car",
    "wall,floor,cabinet,bed,sofa,table,door,window,desk,curtain,ceiling,refrigerator,television,"
    "nightstand",
    "wall,floor,cabinet,chair,sofa,table,door,window,picture,pillow,ceiling,lamp",
    "wall,floor,cabinet,door,counter,ceiling,refrigerator",
    "car,bicycle,person,road,sidewalk,building,fence,vegetation,tree trunk,grass,pole,traffic sign",
    "ceiling,floor,wall,beam,column,window,door,table,chair,sofa,bookcase,board,clutter",
    "grass,tree,pole,water,vehicle,asphalt,building,log,person,fence,bush,concrete,barrier,mud",
    "ground,low vegetation,medium vegetation,high vegetation,building,water,bridge",
    "roof,facade,chimney pot,garden wall,parked car,wooden bench,office chair",
)


@pytest.fixture(scope="module")
def spec() -> EncoderSpec:
    return read_spec(find_weights(DEFAULT_WEIGHTS))


@pytest.fixture(scope="module")
def checker(spec: EncoderSpec) -> WordChecker:
    return WordChecker(spec, MiniTextEncoder())


def codes(checker: WordChecker, *names: str) -> list[str]:
    return [each.code for each in checker.warnings(Vocabulary.from_names(names))]


@pytest.mark.parametrize("word", MISSPELT)
def test_misspelt_words_are_questioned(checker: WordChecker, word: str) -> None:
    (warning,) = checker.warnings(Vocabulary.from_names([word, "road"]))
    assert warning.code == "W_UNKNOWN_WORD"
    assert repr(MISSPELT[word]) in warning.text
    assert repr(MISSPELT[word]) in warning.remedy


@pytest.mark.parametrize("word", FOREIGN)
def test_words_that_are_not_english_are_questioned(checker: WordChecker, word: str) -> None:
    assert codes(checker, word, "road") == ["W_UNKNOWN_WORD"]


@pytest.mark.parametrize("names", ORDINARY)
def test_ordinary_lists_are_not_questioned(checker: WordChecker, names: str) -> None:
    assert codes(checker, *names.split(",")) == []


def test_lists_in_the_documentation_are_not_questioned(checker: WordChecker) -> None:
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "clip3d_cli").rglob("*.py"),
    ]
    listed = re.compile(r"clip3d label.*?--classes \"([^\"{}@]+)\"")
    lists = []
    for page in pages:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            # Weights of the user's own have other concepts.
            lists += [] if "--weights" in line or "not" in line else listed.findall(line)
    assert len(lists) > 5
    for names in lists:
        assert codes(checker, *names.split(",")) == [], names


@pytest.mark.parametrize("name", vocabulary_names())
def test_words_of_vocabularies_are_english(checker: WordChecker, name: str) -> None:
    vocabulary = load_vocabulary(name)
    # The weights have seen nothing like some of these; but none is misspelt, a list or negated.
    found = [each for each in checker.warnings(vocabulary) if each.code != "W_UNSEEN_WORD"]
    assert [each for each in found if each.code != "W_SAME_CLASS"] == []


@pytest.mark.parametrize(("first", "second"), SYNONYMS)
def test_two_names_of_one_thing_are_said(checker: WordChecker, first: str, second: str) -> None:
    (warning,) = checker.warnings(Vocabulary.from_names([first, "road", second]))
    assert warning.code == "W_SAME_CLASS"
    assert "by chance" in warning.text
    assert f"{first}={second}" in warning.remedy


@pytest.mark.parametrize(("first", "second"), SAME)
def test_one_word_written_twice_is_said(checker: WordChecker, first: str, second: str) -> None:
    classes = Vocabulary.from_names([first, "road", second])
    (warning,) = checker.warnings(classes)
    assert warning.code == "W_SAME_CLASS"
    assert f"{first!r} gets the points of both" in warning.text
    # The first of two equal vectors wins.
    words = [each.words for each in checker.embedded_vocabulary(classes).classes]
    assert words[0] == words[2]


def test_kinds_of_a_thing_are_different_classes(checker: WordChecker) -> None:
    assert codes(checker, "table", "coffee table") == []
    assert codes(checker, "wall", "brick wall") == []


@pytest.mark.parametrize("word", ["not a car", "no car", "non-ground", "anything but road"])
def test_negated_words_are_said(checker: WordChecker, word: str) -> None:
    assert codes(checker, word, "tree") == ["W_NEGATION"]
    assert codes(checker, "no parking sign", "tree") == []


def test_a_list_without_commas_is_refused(checker: WordChecker) -> None:
    for names in (["car road tree"], ["car", "road tree building sidewalk"]):
        with pytest.raises(UsageError, match="classes without commas") as raised:
            checker.warnings(Vocabulary.from_names(names))
        assert raised.value.code == "E_CLASSES"
    assert "road,tree,building,sidewalk" in raised.value.remedy
    assert codes(checker, "car road") == ["W_SEPARATOR"]
    assert codes(checker, "office building") == []


def test_things_that_the_weights_have_not_seen_are_said(spec: EncoderSpec) -> None:
    seen = Concept("pole", ("pole", "post"))
    unseen = Concept("fire hydrant", ("fire hydrant", "hydrant"), seen=False)
    checker = WordChecker(replace(spec, concepts=(seen, unseen)), MiniTextEncoder())
    assert codes(checker, "pole", "hydrants") == ["W_UNSEEN_WORD"]
    (warning,) = checker.warnings(Vocabulary.from_names(["fire hydrant"]))
    assert "nearest trained: 'pole'" in warning.text
    assert codes(checker, "violin", "utility pole") == ["W_UNSEEN_WORD"]


def test_weights_that_say_nothing_are_asked_nothing(spec: EncoderSpec) -> None:
    checker = WordChecker(replace(spec, concepts=()), MiniTextEncoder())
    assert codes(checker, "violin", "car", "automobile") == []
    assert codes(checker, "violin", "caar") == ["W_UNKNOWN_WORD"]
    (report, _) = checker.report(Vocabulary.from_names(["violin", "guitar"]))
    assert (report.nearest, report.similarity, report.confused_with) == (None, None, "guitar")


def test_other_languages_belong_to_other_spaces(spec: EncoderSpec) -> None:
    multilingual = replace(
        spec, concepts=(), space=replace(spec.space, name="openclip/xlm-roberta-base-ViT-B-32/x")
    )
    assert codes(WordChecker(multilingual, MiniTextEncoder()), "voiture", "汽车") == []


@pytest.mark.slow
def test_articles_plurals_case_and_synonyms_give_one_vector() -> None:
    labeller = Labeller.open(device="cpu")
    groups = (
        ("car", "cars", "a car", "The Car", "automobile", "CARS"),
        ("person", "human", "people", "pedestrians", "A Pedestrian"),
        ("garage door", "garage doors", "the Garage_Door"),
    )
    vectors = [[labeller.embed_classes([word]).vectors for word in group] for group in groups]
    for group in vectors:
        for each in group[1:]:
            np.testing.assert_array_equal(each, group[0])
    for first, second in combinations(vectors, 2):
        assert float((first[0] @ second[0].T).item()) < 0.95


@pytest.mark.slow
def test_published_words_are_embedded_as_they_are() -> None:
    labeller = Labeller.open(device="cpu")
    published = Vocabulary.from_names(["pedestrian", "cars"])
    as_published = labeller.embed_classes(published)
    expected = MiniTextEncoder()(["pedestrian", "cars"])
    np.testing.assert_allclose(as_published.vectors, expected, atol=1e-6)
    by_hand = labeller.embed_classes(published, by_hand=True)
    assert not np.allclose(by_hand.vectors, expected, atol=1e-3)
    assert by_hand.vocabulary is published


def test_classes_of_one_concept_keep_their_words(checker: WordChecker) -> None:
    classes = Vocabulary.from_names(["human", "pedestrians", "automobile"])
    words = [each.words for each in checker.embedded_vocabulary(classes).classes]
    assert words == [("human",), ("pedestrian",), ("car",)]


def test_synonyms_within_a_class_become_one_word(checker: WordChecker) -> None:
    classes = Vocabulary.from_names(["car=sedan|van|suv"])
    assert checker.embedded_vocabulary(classes).classes[0].words == ("car", "van")


def test_the_report(checker: WordChecker) -> None:
    reports = checker.report(Vocabulary.from_names(["car", "tyre", "voiture", "swivel chair leg"]))
    car, tyre, voiture, leg = reports
    assert [each.status for each in reports] == ["known", "known", "unknown", "by parts"]
    assert car.concept is car.nearest
    assert car.similarity == pytest.approx(1, abs=1e-4)
    assert tyre.concept is None
    assert tyre.nearest is not None
    assert tyre.nearest.name == "tire"
    assert tyre.iou == {}
    assert voiture.class_name == "voiture"
    assert leg.confused_with in {"car", "tyre", "voiture"}
