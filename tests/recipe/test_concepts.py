"""What is written into point weights about the words that they were trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from clip3d_cli.encoders.concepts import Concept, concept_of_word
from clip3d_cli.encoders.weights_file import read_spec, read_weights
from clip3d_cli.weights_files import shipped_weights
from weights.recipe.points.concepts import concepts_of, seen_leaves
from weights.recipe.points.scan_lists import ListedScan
from weights.recipe.points.taxonomy import Group, Taxonomy
from weights.recipe.points.write_concepts import with_iou, write_concepts

TAXONOMY = Taxonomy(
    words_of_leaf={
        "tree crown": ("tree", "foliage"),
        "bush": ("bush", "shrub"),
        "wall": ("wall", "brick wall"),
        "indoor wall": ("wall", "room wall"),
        "boat": ("boat", "ship"),
        "tire": ("tire", "wheel"),
    },
    groups=(
        Group(frozenset({"tree crown", "bush"}), ("vegetation", "foliage", "plants"), 0.5),
        Group(frozenset({"tree crown"}), ("foliage", "tree"), 0.5),
    ),
    under={},
    usual=frozenset(),
    only_if_known=frozenset({"tire"}),
    never_added=frozenset(),
)


def scan(source: str, *leaves: tuple[str, ...], points: int) -> ListedScan:
    """A scan with as many points of each label."""
    counts = {"|".join(each): points for each in leaves}
    return ListedScan("s.npz", source, "", points * len(leaves), 0.2, points, counts)


def test_leaves_without_points_or_among_many_are_not_seen() -> None:
    many = ("boat", "wall", "indoor wall", "bush")
    scans = [scan("a", ("tree crown",), many, points=10), scan("b", ("bush",), points=10)]
    assert seen_leaves(scans, {"a": 0.5, "b": 0.5}, TAXONOMY) == {"tree crown", "bush", "tire"}


def test_leaves_that_are_hardly_drawn_are_not_seen() -> None:
    scans = [scan("a", ("tree crown",), points=10), scan("b", ("bush",), points=10)]
    assert seen_leaves(scans, {"a": 1, "b": 1e-6}, TAXONOMY) == {"tree crown", "tire"}


def test_concepts_are_named_by_their_usual_words() -> None:
    concepts = concepts_of(TAXONOMY, {"tree crown", "indoor wall"})
    assert concepts == (
        Concept("tree", ("tree", "foliage"), seen=True),
        Concept("bush", ("bush", "shrub"), seen=False),
        Concept("wall", ("wall", "brick wall", "room wall"), seen=True),
        Concept("boat", ("boat", "ship"), seen=False),
        Concept("tire", ("tire", "wheel"), seen=False),
        Concept("vegetation", ("vegetation", "plants"), seen=True),
    )
    with_figures = with_iou(with_iou(concepts, "real", {"wall": 0.256}), "simulated", {"wall": 1})
    assert with_figures[2].iou == {"real": 0.26, "simulated": 1}
    assert with_figures[0].iou == {}


def test_the_taxonomy_gives_every_word_one_concept() -> None:
    taxonomy = Taxonomy.read()
    concepts = concepts_of(taxonomy, set(taxonomy.words_of_leaf))
    words = [word for concept in concepts for word in concept.words]
    assert sorted(words) == sorted(taxonomy.all_words)
    assert len({concept.name for concept in concepts}) == len(concepts)


def test_the_shipped_weights_say_what_they_were_trained_on() -> None:
    found = concept_of_word(read_spec(shipped_weights("points-default")).concepts)
    assert set(found) <= set(Taxonomy.read().all_words)
    assert not found["airplane"].seen
    assert found["pedestrian"].name == "person"
    assert found["road"].iou["real"] == pytest.approx(0.75, abs=0.01)


def test_writing_concepts_changes_no_tensor(tmp_path: Path) -> None:
    before = shipped_weights("points-default")
    after = tmp_path / "points.safetensors"
    shutil.copyfile(before, after)
    write_concepts(after, (Concept("car", ("car",)),))
    assert read_spec(after).concepts == (Concept("car", ("car",)),)
    assert read_spec(after).provenance == read_spec(before).provenance
    read_weights(after)
    with safe_open(before, "np") as old, safe_open(after, "np") as new:
        assert set(old.keys()) == set(new.keys())
        for name in old.keys():  # noqa: SIM118
            first, second = old.get_tensor(name), new.get_tensor(name)
            assert (first.dtype, first.tobytes()) == (second.dtype, second.tobytes())
