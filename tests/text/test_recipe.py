from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from weights.recipe.text.evaluation import retrieval
from weights.recipe.text.kernel import assign_folds, predict_folds
from weights.recipe.text.lexicon import compress
from weights.recipe.text.name_lists import plurals
from weights.recipe.text.phrases import draw_holdout, name_keys, read_phrases
from weights.recipe.text.wordnet import Nouns


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("traffic light", "traffic_light"),
        ("flip-flop", "Flip flops"),
        ("crab (animal)", "crab"),
        ("tench, Tinca tinca", "tinca tinca"),
        ("cherry", "cherries"),
        ("box", "boxes"),
        ("monitor/tv", "TV"),
    ],
)
def test_spellings_of_one_name_share_a_key(one: str, other: str) -> None:
    assert name_keys(one) & name_keys(other)


def test_other_names_share_none() -> None:
    assert not name_keys("car") & name_keys("cart")
    assert not name_keys("glass") & name_keys("gla")


def test_held_out_names_are_nowhere_else(shared_data: Path) -> None:
    phrases = read_phrases(shared_data / "clip_b32_text.npz")
    drawn, kept_away = draw_holdout(phrases)
    assert drawn.sum() == 200
    assert {phrases.sources[r] for r in np.flatnonzero(drawn)} == {"lvis"}
    assert not (drawn & ~kept_away).any()
    held = set().union(*(name_keys(phrases.names[r]) for r in np.flatnonzero(drawn)))
    taught = set().union(*(name_keys(phrases.names[r]) for r in np.flatnonzero(~kept_away)))
    assert not held & taught


def test_prompts_are_those_the_vectors_were_made_from(shared_data: Path) -> None:
    phrases = read_phrases(shared_data / "clip_b32_text.npz")
    vector_of: dict[str, np.ndarray] = {}
    shared = 0
    for prompt, vector in zip(phrases.prompts, phrases.vectors, strict=True):
        first = vector_of.setdefault(prompt.lower(), vector)
        shared += first is not vector
        # Some sources wrote "an" before a vowel, which moves a vector by up to three thousandths.
        assert float(first @ vector) > 0.995, prompt
    assert shared > 400


def test_left_out_folds_are_predicted_as_if_fitted_without_them() -> None:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(12, 3)))
    gram = torch.exp(-torch.cdist(points, points))
    targets = torch.from_numpy(rng.normal(size=(12, 2)))
    folds = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0, 1, 2, 0, 1])
    noise = torch.tensor(0.3)
    predicted = predict_folds(gram, noise, targets, folds)
    for fold in range(3):
        out, kept = folds == fold, folds != fold
        fitted = gram[kept][:, kept] + noise * torch.eye(int(kept.sum()))
        expected = gram[out][:, kept] @ torch.linalg.solve(fitted, targets[kept])
        torch.testing.assert_close(predicted[out], expected)


def test_spellings_share_a_fold() -> None:
    folds = assign_folds(("car", "a car", "cars", "tree", "Tree (plant)", "car, tree"), 100, 0)
    assert folds[0] == folds[2] == folds[3] == folds[4] == folds[5]


def test_ranks_by_hand() -> None:
    candidates = np.array([[1, 0], [0.9995, 0.0316], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    answers = np.array([[0.9, 0.1], [0.5, 0.9]], np.float32)
    # The first answer is nearest to candidate 1, which equals candidate 0 and is no rival; the
    # second is nearest to candidate 4, its own is the second nearest.
    scores = retrieval(answers, np.array([0, 2]), candidates, np.zeros(2, np.float32))
    assert scores["top1"] == 0.5
    assert scores["top5"] == 1.0
    cosines = [0.9 / 0.82**0.5, 0.9 / 1.06**0.5]
    assert scores["cosine"] == pytest.approx(np.mean(cosines), abs=1e-6)


def test_compressed_offsets_are_near_the_true_ones() -> None:
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(400, 512)) * np.exp(-np.arange(512) / 60)
    tensors = compress(offsets.astype(np.float32))
    again = tensors["coordinates"].float() * tensors["scales"].float() @ tensors["axes"].float()
    cosines = torch.nn.functional.cosine_similarity(again, torch.from_numpy(offsets).float(), dim=1)
    assert float(cosines.min()) > 0.99


def test_plurals() -> None:
    assert plurals(["car", "bush", "cherry", "key", "glasses"]) == [
        "cars",
        "bushes",
        "cherries",
        "keys",
    ]


def test_wordnet_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(
        "  1 licence\n"
        "00000001 03 n 01 entity 0 000 | that which is\n"
        "00000002 18 n 01 Crane 0 001 @i 00000001 n 0000 | a writer; he wrote\n"
        "00000003 06 n 02 crane 0 derrick 0 001 @ 00000001 n 0000 | lifts loads; see it\n"
    )
    (tmp_path / "index.noun").write_text(
        "  1 licence\ncrane n 2 1 @ 2 1 00000002 00000003  \nentity n 1 1 @ 1 1 00000001  \n"
    )
    (tmp_path / "noun.exc").write_text("geese goose\n")
    nouns = Nouns(tmp_path)
    assert nouns.names() == ["crane"]
    sense = nouns.best_sense("Cranes")
    assert sense == 3
    assert nouns.synsets[3].gloss == "lifts loads"
    assert nouns.ancestors(3) == {3: 0, 1: 1}
    assert nouns.best_sense("goose") is None
