"""Points that fit none of the classes are unlabeled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.point_encoder import compare
from clip3d_cli.encoders.scoring import ClassQuery, RankedClasses, rank_by_similarity
from clip3d_cli.labelling.background import KINDS, Background, everyday_background
from clip3d_cli.labelling.labeller import Labeller

SPACE = FeatureSpace("test", 4)
SCALE = 10.0
AXES = np.eye(4, dtype=np.float32)
# Two classes, the first with two words: axes 0 and 1, and axis 2. Axis 3 is the background.
CLASSES = ClassEmbeddings(
    AXES[:3], np.array([0, 0, 1], np.int32), Vocabulary.from_names(["a", "b"]), SPACE
)


def both(voxels: np.ndarray, background: np.ndarray | None = None) -> list[RankedClasses]:
    """Rank voxels (M, 4) with numpy and with PyTorch."""
    query = ClassQuery.of(CLASSES, 2, background)
    single = voxels.astype(np.float32)
    return [
        rank_by_similarity(single @ query.words.T, query, SCALE),
        compare(torch.from_numpy(single), query, SCALE),
    ]


def test_a_voxel_fits_if_the_classes_together_are_more_probable_than_none() -> None:
    """Σ exp(logit) of the classes against exp(0) = 1."""
    half = np.log(0.5) / SCALE
    voxels = np.array(
        [
            [0.1, -1, -1, 0],  # e¹ > 1
            [-0.1, -1, -1, 0],  # e⁻¹ < 1
            [half + 0.01, -1, half + 0.01, 0],  # two halves and a little
            [half - 0.01, half - 0.01, -1, 0],  # two words of one class are no two classes
            [half - 0.01, -1, half - 0.01, 0],
        ]
    )
    for ranked in both(voxels):
        assert ranked.fits.tolist() == [True, False, True, False, False]


def test_a_background_word_wins_if_it_is_much_more_probable() -> None:
    lead = np.log(1.5) / SCALE
    voxels = np.array([[0.3, 0, 0.1, 0.3 + lead - 0.01], [0.3, 0, 0.1, 0.3 + lead + 0.01]])
    for ranked in both(voxels, AXES[3:]):
        assert ranked.fits.tolist() == [True, False]
        assert ranked.ranking.tolist() == [[0, 1], [0, 1]]
    for with_word, without in zip(both(voxels, AXES[3:]), both(voxels), strict=True):
        np.testing.assert_array_equal(with_word.score, without.score)
        assert without.fits.all()


def test_nearly_complete_classes_leave_no_point_unlabeled() -> None:
    nothing = np.empty((0, 4), np.float32)
    few, many = np.arange(100) >= 9, np.arange(100) >= 10
    everyday, own = Background(nothing, unless_complete=True), Background(nothing)
    assert not everyday.unlabeled(few).any()
    np.testing.assert_array_equal(everyday.unlabeled(many), ~many)
    np.testing.assert_array_equal(own.unlabeled(few), ~few)
    assert len(everyday.unlabeled(np.empty(0, bool))) == 0


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    return Labeller.open(device="cpu")


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("car", "vehicle"),
        ("sedan", "vehicle"),
        ("vegetation", "plant"),
        ("couch", "furniture"),
        ("pavement", "surface"),
        ("pedestrian", "person"),
        ("facade", "structure"),
    ],
)
def test_words_of_the_same_kind_do_not_compete(labeller: Labeller, asked: str, kind: str) -> None:
    background = labeller.embed_background("auto", labeller.embed_classes([asked]))
    assert background is not None
    assert background.unless_complete
    # As they are: by hand, "sign" stands for "traffic sign", which is of another kind as well.
    of_kind = labeller.embed_classes(Vocabulary.from_names(list(KINDS[kind]))).vectors
    assert len(background.vectors) >= 20
    assert (background.vectors @ of_kind.T).max() < 0.9999


def test_own_words_all_compete(labeller: Labeller) -> None:
    classes = labeller.embed_classes(["car"])
    background = labeller.embed_background(["truck", "tree"], classes)
    assert background is not None
    assert not background.unless_complete
    np.testing.assert_array_equal(
        background.vectors, labeller.embed_classes(["truck", "tree"]).vectors
    )
    assert labeller.embed_background("none", classes) is None


def test_selection_does_not_depend_on_the_length_of_a_common_part() -> None:
    """All vectors share a large part, as those of CLIP's text encoder do."""
    words = list(dict.fromkeys(word for kind in KINDS.values() for word in kind))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(words), 64)) + 5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    everyday = ClassEmbeddings(
        vectors,
        np.arange(len(words), dtype=np.int32),
        Vocabulary.from_names(words),
        FeatureSpace("test", 64),
    )
    one = ClassEmbeddings(
        vectors[[words.index("person")]],
        np.zeros(1, np.int32),
        Vocabulary.from_names(["anyone"]),
        everyday.space,
    )
    kept = everyday_background(one, everyday).vectors
    expected = [word for word in words if word not in KINDS["person"]]
    assert len(kept) == len(expected)
    more = replace(one, vectors=vectors[[words.index("lamp")]])
    assert len(everyday_background(more, everyday).vectors) == len(words) - len(
        set(KINDS["furniture"])
    )
