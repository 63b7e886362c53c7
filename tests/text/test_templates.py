from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary
from clip3d_cli.errors import UsageError
from clip3d_cli.text.embed import embed_vocabulary, find_truncated_words
from clip3d_cli.text.templates import (
    fill_templates,
    load_template_sets,
    load_templates,
    read_templates,
)


class TableEncoder:
    """Answers from a table, so that means can be computed by hand."""

    space = FeatureSpace("test/table", 2)
    table: ClassVar[dict[str, tuple[float, float]]] = {
        "a car": (1.0, 0.0),
        "the car": (0.0, 1.0),
        "a van": (0.6, 0.8),
        "the van": (0.6, 0.8),
        "a tree": (0.0, -1.0),
        "the tree": (-0.8, -0.6),
    }

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        return np.array([self.table[prompt] for prompt in prompts], np.float32)

    def is_truncated(self, prompt: str) -> bool:
        return len(prompt) > 7


VOCABULARY = Vocabulary(
    "two",
    (
        SemanticClass("car", ("car", "van"), 1, (0, 0, 0)),
        SemanticClass("tree", ("tree",), 2, (0, 0, 0)),
    ),
)


def test_words_are_means_over_templates_made_unit_length() -> None:
    classes = embed_vocabulary(VOCABULARY, TableEncoder(), ["a {}", "the {}"])
    half = 0.5**0.5
    # tree: the mean of (0, -1) and (-0.8, -0.6) is (-0.4, -0.8), of length sqrt(0.8).
    expected = [[half, half], [0.6, 0.8], [-0.4 / 0.8**0.5, -0.8 / 0.8**0.5]]
    np.testing.assert_allclose(classes.vectors, expected, atol=1e-6)
    assert classes.class_of_vector.tolist() == [0, 0, 1]
    assert classes.vectors.dtype == np.float32
    assert classes.class_of_vector.dtype == np.int32
    assert classes.space == TableEncoder.space


def test_words_too_long_for_the_longest_template() -> None:
    assert find_truncated_words(VOCABULARY, TableEncoder(), ["a {}", "the {}"]) == ["tree"]


def test_named_sets() -> None:
    sets = load_template_sets()
    assert {name: len(templates) for name, templates in sets.items()} == {
        "none": 1,
        "photo": 1,
        "scene": 1,
        "clip2scene": 85,
    }
    for templates in sets.values():
        assert len(set(templates)) == len(templates)
        assert all(template.count("{}") == 1 for template in templates)
    assert fill_templates(load_templates("photo"), "tire") == ["a photo of a tire."]


def test_an_unknown_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="clip2scenes") as caught:
        load_templates("clip2scenes")
    assert "Did you mean clip2scene?" in caught.value.remedy


def test_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# of mine\na {} seen from above\n\n{}\n", encoding="utf-8")
    assert read_templates(path) == ("a {} seen from above", "{}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a car\n", "mine.txt:1: 'a car' has {} 0 times"),
        (b"{}\na {} and a {}\n", "mine.txt:2: 'a {} and a {}' has {} 2 times"),
        (b"# nothing\n\n", "mine.txt: holds no template"),
        (b"\xff\xfe{}", "mine.txt: cannot be read"),
    ],
    ids=["none", "two", "empty", "not text"],
)
def test_refused_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_templates(path)
    assert caught.value.code == "E_TEMPLATES"
    assert message in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_templates(tmp_path / "none.txt")
    assert caught.value.code == "E_TEMPLATES"


def test_a_template_without_a_place_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        embed_vocabulary(VOCABULARY, TableEncoder(), ["a car"])
    assert caught.value.code == "E_TEMPLATES"
