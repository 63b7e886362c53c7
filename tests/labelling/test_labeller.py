"""The Python interface, as a notebook uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import plyfile
import pytest

import clip3d_cli as clip3d
from clip3d_cli.cli.app import app
from clip3d_cli.cli.errors import run

ROOT = Path(__file__).resolve().parents[2]
STREET = ROOT / "examples" / "street.ply"
CLASSES = ["road", "car=sedan|van", "tree", "building"]


@pytest.fixture(scope="module")
def labeller() -> clip3d.Labeller:
    return clip3d.Labeller.open(device="cpu")


@pytest.fixture(scope="module")
def cloud() -> clip3d.PointCloud:
    """The part of the example within 20 m of its middle: labels in a moment."""
    whole = clip3d.read_cloud(STREET)
    middle = np.median(whole.xyz, axis=0)
    return whole.select(np.flatnonzero((np.abs(whole.xyz - middle)[:, :2] < 20).all(axis=1)))


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, json, clip3d_cli as clip3d\n"
        "before = sorted(sys.modules)\n"
        "assert 'Labeller' in dir(clip3d)\n"
        "clip3d.Clip3DError\n"
        "print(json.dumps([before, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for modules in json.loads(done.stdout):
        assert not {"torch", "numpy", "typer", "rich"} & set(modules)


def test_every_public_name_exists() -> None:
    assert set(clip3d.__all__) == {*clip3d._MODULE_OF_NAME, "__version__"}
    for name in clip3d.__all__:
        assert getattr(clip3d, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Labeler'"):
        clip3d.Labeler  # noqa: B018


def test_api_and_command_give_the_same_labels(tmp_path: Path, labeller: clip3d.Labeller) -> None:
    for suffix in (".ply", ".npz"):
        by_api = tmp_path / f"api-{suffix[1:]}{suffix}"
        by_command = tmp_path / f"command-{suffix[1:]}{suffix}"
        cloud = clip3d.read_cloud(STREET)
        labels = labeller.label(cloud, CLASSES)
        written = clip3d.write_labels(labels, STREET, by_api)
        assert written[0] == by_api
        arguments = ["label", STREET, "--classes", ",".join(CLASSES), "-o", by_command, "-q"]
        assert run(app, [*map(str, arguments), "--device", "cpu"]) == 0
        assert by_api.read_bytes() == by_command.read_bytes()
    vertex = plyfile.PlyData.read(tmp_path / "api-ply.ply")["vertex"]
    np.testing.assert_array_equal(vertex["scalar_label"], labels.class_index + 1)
    np.testing.assert_array_equal(vertex["scalar_score"], labels.score)
    assert labels.vocabulary.names == ("road", "car", "tree", "building")


def test_classes_can_be_given_in_several_ways(
    labeller: clip3d.Labeller, cloud: clip3d.PointCloud
) -> None:
    vocabulary = clip3d.Vocabulary.from_names(["road", "tree"])
    wanted = labeller.label(cloud, ["road", "tree"])
    by_name = labeller.label(cloud, "road, tree")
    np.testing.assert_array_equal(by_name.class_index, wanted.class_index)
    np.testing.assert_array_equal(by_name.score, wanted.score)
    # A vocabulary is taken as complete: every point gets its nearest class.
    unlabeled = wanted.class_index == -1
    assert 0 < unlabeled.sum() < len(cloud)
    for classes in (vocabulary, labeller.embed_classes(vocabulary)):
        labels = labeller.label(cloud, classes)
        assert (labels.class_index >= 0).all()
        np.testing.assert_array_equal(
            labels.class_index[~unlabeled], wanted.class_index[~unlabeled]
        )
        np.testing.assert_array_equal(labels.score, wanted.score)
    for nothing in (None, [], "", " , "):
        with pytest.raises(clip3d.UsageError, match="no class"):
            labeller.label(cloud, nothing)


def test_options_of_labelling_reach_the_labels(
    labeller: clip3d.Labeller, cloud: clip3d.PointCloud
) -> None:
    plain = labeller.label(cloud, CLASSES)
    strict = labeller.label(cloud, CLASSES, unknown_threshold=0.8, ranking=2)
    assert strict.ranking is not None
    assert strict.ranking.shape == (len(cloud), 2)
    kept = plain.score >= 0.8
    assert 0 < kept.sum() < len(cloud)
    np.testing.assert_array_equal(strict.class_index, np.where(kept, plain.class_index, -1))
    coarse = labeller.label(cloud, CLASSES, voxel_m=0.8)
    assert (coarse.class_index != plain.class_index).any()
    tiled = labeller.label(cloud, CLASSES, tile_m=10.0)
    np.testing.assert_array_equal(tiled.class_index, plain.class_index)


def test_features_give_the_labels(labeller: clip3d.Labeller, cloud: clip3d.PointCloud) -> None:
    classes = labeller.embed_classes(["road", "car", "tree", "building"])
    features = labeller.embed(cloud)
    assert features.space == classes.space
    assert features.vectors.shape == (len(features.cells), classes.space.dim)
    np.testing.assert_allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-5)
    similarity = features.vectors @ classes.vectors.T
    labels = labeller.label(cloud, classes)
    best = similarity.argmax(axis=1)[features.voxel_of_point]
    assert (best == labels.class_index).mean() > 0.9999
    tiled = labeller.embed(cloud, tile_m=12.0, voxel_m=features.voxel_m)
    np.testing.assert_array_equal(tiled.cells, features.cells)
    np.testing.assert_allclose(tiled.vectors, features.vectors, atol=1e-6)


def test_points_without_coordinates_have_no_voxel(labeller: clip3d.Labeller) -> None:
    xyz = np.random.default_rng(0).uniform(-3, 3, (300, 3))
    xyz[[5, 77], 1] = np.nan
    features = labeller.embed(clip3d.PointCloud(xyz))
    assert np.flatnonzero(features.voxel_of_point < 0).tolist() == [5, 77]
    nowhere = labeller.embed(clip3d.PointCloud(np.full((4, 3), np.nan)))
    assert nowhere.vectors.shape == (0, 512)
    assert (nowhere.voxel_of_point == -1).all()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(clip3d.UsageError, match="there is no 'gpu'"):
        clip3d.Labeller.open(device="gpu")
    with pytest.raises(clip3d.UsageError, match="there is no 'minni'"):
        clip3d.Labeller.open(text_encoder="minni").embed_classes(["car"])
    with pytest.raises(clip3d.SetupError, match="no-such-weights"):
        clip3d.Labeller.open("no-such-weights")
    with pytest.raises(clip3d.SetupError, match="has no closed head"):
        clip3d.Labeller.open(head="closed")
