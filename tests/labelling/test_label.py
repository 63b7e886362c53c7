from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from native_twin import native_twin
from small_network import INPUTS, SPACE, small_network

from clip3d_cli.core import voxels
from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.voxels import choose_voxel_size, voxelize
from clip3d_cli.encoders import point_encoder as torch_encoder
from clip3d_cli.encoders.input_channels import CHANNELS, CloudContext, voxel_inputs
from clip3d_cli.encoders.point_encoder import PointEncoder, compare
from clip3d_cli.encoders.scoring import ClassQuery, rank_by_similarity
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.errors import InputError, SetupError
from clip3d_cli.labelling.label import LabelOptions, label_cloud
from clip3d_cli.sparse.tensor import SparseTensor

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> PointEncoder:
    return small_network()


@pytest.fixture(scope="module", params=["torch", "native"])
def engine(request: pytest.FixtureRequest) -> Callable[[PointEncoder], VoxelEncoder]:
    """Makes a network run on the engine of that name."""
    if request.param == "native":
        return native_twin
    return lambda network: network


@pytest.fixture(scope="module")
def encoder(network: PointEncoder, engine: Callable[[PointEncoder], VoxelEncoder]) -> VoxelEncoder:
    return engine(network)


@pytest.fixture(scope="module")
def cloud() -> PointCloud:
    """A street of 90 m with a wall on one side."""
    ground = np.column_stack((RNG.uniform(0, 90, 5000), RNG.uniform(0, 8, 5000), np.zeros(5000)))
    wall = np.column_stack((RNG.uniform(0, 90, 3000), np.zeros(3000), RNG.uniform(0, 5, 3000)))
    return PointCloud(np.concatenate((ground, wall)) + [5e5, 5e6, 80])


@pytest.fixture(scope="module")
def classes(network: PointEncoder, cloud: PointCloud) -> ClassEmbeddings:
    """Words along which the random network's answers differ, so that all classes occur."""
    grid = voxelize(cloud.xyz, 0.4)
    channels = voxel_inputs(INPUTS, cloud, grid, CloudContext(cloud))
    cells = np.pad(grid.cells, ((0, 0), (1, 0)))
    with torch.no_grad():
        spread = network(SparseTensor(torch.from_numpy(cells), torch.from_numpy(channels)))
    axes = torch.linalg.svd(spread - spread.mean(dim=0), full_matrices=False)[2][:3]
    vectors = torch.nn.functional.normalize(torch.cat((axes, -axes[:2])), dim=1).numpy()
    vocabulary = Vocabulary.from_names(["a=b", "c", "d", "e"])
    return ClassEmbeddings(vectors, np.array([0, 0, 1, 2, 3], np.int32), vocabulary, SPACE)


def test_labels_follow_the_points_not_their_order(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    labels = label_cloud(cloud, encoder, classes)
    assert len(np.unique(labels.class_index)) > 1
    order = RNG.permutation(len(cloud))
    shuffled = label_cloud(PointCloud(cloud.xyz[order]), encoder, classes)
    np.testing.assert_array_equal(shuffled.class_index, labels.class_index[order])
    np.testing.assert_array_equal(shuffled.score, labels.score[order])


def test_labels_do_not_depend_on_tiles(
    engine: Callable[[PointEncoder], VoxelEncoder], classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    small = engine(small_network(seed=1, voxel_sizes_m=(0.05,)))
    whole = label_cloud(cloud, small, classes)
    tiled = label_cloud(cloud, small, classes, LabelOptions(tile_m=20.0))
    assert (whole.class_index == tiled.class_index).mean() > 0.9999
    np.testing.assert_allclose(tiled.score, whole.score, atol=1e-4)


def test_tiles_are_really_cut(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    counted: list[int] = []

    def count(steps: object, what: str) -> object:
        counted.append(len(steps))  # type: ignore[arg-type]
        return steps

    label_cloud(cloud, encoder, classes, LabelOptions(tile_m=20.0), progress=count)  # type: ignore[arg-type]
    assert counted == [8]


def test_points_without_coordinates_stay_unlabeled_and_in_place(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    broken = cloud.xyz.copy()
    broken[7, 0], broken[100, 2] = np.nan, np.inf
    keep = np.isfinite(broken).all(axis=1)
    labels = label_cloud(PointCloud(broken), encoder, classes)
    alone = label_cloud(PointCloud(broken[keep]), encoder, classes)
    assert (labels.class_index[~keep] == -1).all()
    assert (labels.score[~keep] == 0).all()
    np.testing.assert_array_equal(labels.class_index[keep], alone.class_index)


@pytest.mark.parametrize(
    "xyz",
    [
        np.zeros((0, 3)),
        np.full((3, 3), np.nan),
        np.ones((1, 3)),
        np.ones((500, 3)),
        np.column_stack((np.linspace(0, 9, 300), np.zeros(300), np.zeros(300))),
        np.array([[0.0, 0, 0], [1e9, 0, 0], [0, 0, -1e9]]),
    ],
    ids=["none", "no coordinates", "one", "same", "line", "far"],
)
def test_odd_clouds(encoder: VoxelEncoder, classes: ClassEmbeddings, xyz: np.ndarray) -> None:
    labels = label_cloud(PointCloud(xyz), encoder, classes)
    known = np.isfinite(xyz).all(axis=1)
    assert len(labels) == len(xyz)
    assert (labels.class_index[known] >= 0).all()
    assert (labels.score[known] > 0).all()


@pytest.mark.parametrize("width", [1, 2, 4])
def test_scores_by_hand(classes: ClassEmbeddings, width: int) -> None:
    voxel = torch.nn.functional.normalize(torch.arange(16.0)[None] - 7, dim=1)
    question = ClassQuery.of(classes, width)
    similarity = classes.vectors @ voxel[0].numpy()
    of_class = np.array([max(similarity[:2]), *similarity[2:]])
    share = np.exp(5 * of_class) / (1 + np.exp(5 * of_class).sum())
    for answer in (
        compare(voxel, question, 5.0),
        rank_by_similarity(similarity[None], question, 5.0),
    ):
        assert answer.ranking.dtype == np.int32
        assert answer.score.dtype == np.float32
        np.testing.assert_array_equal(answer.ranking[0], np.argsort(-of_class)[:width])
        np.testing.assert_allclose(answer.score[0], np.sort(share)[::-1][:width], rtol=1e-5)


def test_words_of_a_class_may_come_apart(classes: ClassEmbeddings) -> None:
    order = np.array([3, 0, 4, 1, 2])
    mixed = replace(
        classes, vectors=classes.vectors[order], class_of_vector=classes.class_of_vector[order]
    )
    similarity = RNG.uniform(-1, 1, (50, 5)).astype(np.float32)
    plain = rank_by_similarity(similarity, ClassQuery.of(classes, 4), 5.0)
    question = ClassQuery.of(mixed, 4)
    np.testing.assert_array_equal(question.words[2:], classes.vectors[2:])
    again = rank_by_similarity(similarity[:, [1, 0, 2, 3, 4]], question, 5.0)
    np.testing.assert_array_equal(again.ranking, plain.ranking)


def test_threshold_and_ranking(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    plain = label_cloud(cloud, encoder, classes)
    limit = float(np.median(plain.score))
    labels = label_cloud(cloud, encoder, classes, LabelOptions(unknown_threshold=limit, ranking=3))
    np.testing.assert_array_equal(labels.class_index == -1, plain.score < limit)
    assert labels.ranking is not None
    assert labels.ranking_score is not None
    np.testing.assert_array_equal(labels.ranking[:, 0], plain.class_index)
    assert (np.diff(labels.ranking_score, axis=1) <= 0).all()
    assert plain.ranking is None


def test_words_of_another_space_are_refused(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    other = replace(classes, space=FeatureSpace("elsewhere", 16))
    with pytest.raises(SetupError, match=r"elsewhere.*test"):
        label_cloud(cloud, encoder, other)


def test_voxel_size_suits_the_density() -> None:
    sizes = (0.05, 0.1, 0.2, 0.4)
    plane = np.column_stack((RNG.uniform(0, 20, (4000, 2)), np.zeros(4000)))
    # Ten points a square metre: 1.6 of them share a voxel of 0.4 m, hardly any one of 0.2 m.
    assert choose_voxel_size(plane, sizes) == 0.4
    assert choose_voxel_size(plane * 0.1, sizes) == 0.05
    assert choose_voxel_size(plane * 100, sizes) == 0.4


def test_voxel_size_of_a_large_cloud_is_that_of_its_middle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(voxels, "_SAMPLE_POINTS", 4000)
    plane = np.column_stack((RNG.uniform(0, 100, (40_000, 2)), np.zeros(40_000)))
    sizes = (0.1, 0.2, 0.8, 1.6)
    assert choose_voxel_size(plane, sizes) == 0.8
    assert choose_voxel_size(plane[RNG.permutation(len(plane))], sizes) == 0.8


def test_many_words_are_compared_in_small_parts(
    classes: ClassEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(50, SPACE.dim), dim=1)
    question = ClassQuery.of(classes, 2)
    at_once = compare(vectors, question, 5.0)
    monkeypatch.setattr(torch_encoder, "_SIMILARITIES", 3 * 4 * 2)
    in_parts = compare(vectors, question, 5.0)
    np.testing.assert_array_equal(in_parts.ranking, at_once.ranking)
    np.testing.assert_allclose(in_parts.score, at_once.score, atol=1e-6)
    nothing = compare(vectors[:0], question, 5.0)
    assert nothing.ranking.shape == nothing.score.shape == (0, 2)


def test_every_channel_is_finite_and_repeatable(cloud: PointCloud) -> None:
    colored = PointCloud(
        cloud.xyz,
        RNG.integers(0, 256, cloud.xyz.shape, dtype=np.uint8),
        RNG.uniform(0, 1, len(cloud)).astype(np.float32),
    )
    order = RNG.permutation(len(cloud))
    assert colored.rgb is not None
    assert colored.intensity is not None
    moved = PointCloud(colored.xyz[order], colored.rgb[order], colored.intensity[order])
    names = list(CHANNELS)
    channels = [
        voxel_inputs(names, c, voxelize(c.xyz, 0.4), CloudContext(c)) for c in (colored, moved)
    ]
    assert np.isfinite(channels[0]).all()
    assert np.abs(channels[0]).max() < 8
    np.testing.assert_array_equal(channels[0], channels[1])


def test_missing_channels_are_named(cloud: PointCloud) -> None:
    grid, ground = voxelize(cloud.xyz, 0.4), CloudContext(cloud)
    with pytest.raises(InputError, match="no colors"):
        voxel_inputs(["red"], cloud, grid, ground)
    with pytest.raises(InputError, match="no intensity"):
        voxel_inputs(["intensity"], cloud, grid, ground)
    with pytest.raises(SetupError, match="'sonar'"):
        voxel_inputs(["sonar"], cloud, grid, ground)


def test_height_stands_on_the_ground(cloud: PointCloud) -> None:
    grid = voxelize(cloud.xyz, 0.4)
    height = voxel_inputs(["height_near"], cloud, grid, CloudContext(cloud))[:, 0] * 3
    middle = grid.centers[:, 2] - 80
    assert np.abs(height - np.clip(middle, 0, 6)).max() < 0.45


def test_labels_have_the_clouds_length(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    labels = label_cloud(cloud, encoder, classes)
    assert isinstance(labels, Labels)
    assert labels.class_index.shape == (len(cloud),)
