from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import SetupError


def test_spaces_of_equal_width_are_not_equal() -> None:
    with pytest.raises(SetupError, match=r"openclip/a \(512\).*openclip/b \(512\)"):
        FeatureSpace("openclip/b", 512).require(FeatureSpace("openclip/a", 512), "words")


def test_embeddings_must_be_unit_and_complete() -> None:
    space, vocabulary = FeatureSpace("s", 2), Vocabulary.from_names(["a", "b"])
    rows = np.array([[1, 0], [0, 1]], np.float32)
    ClassEmbeddings(rows, np.array([0, 1], np.int32), vocabulary, space)
    with pytest.raises(ValueError, match="unit"):
        ClassEmbeddings(rows * 2, np.array([0, 1], np.int32), vocabulary, space)
    with pytest.raises(ValueError, match="every class"):
        ClassEmbeddings(rows, np.array([0, 0], np.int32), vocabulary, space)
