"""``--quality best``: the mean similarity of three passes."""

from __future__ import annotations

import numpy as np
import pytest
from native_twin import native_twin
from small_network import INPUTS, SPACE, small_network

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.encoders.scoring import ClassQuery, rank_by_similarity
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.label import LabelOptions, label_cloud
from clip3d_cli.labelling.labeller import require_quality


@pytest.fixture(scope="module", params=["torch", "native"])
def encoder(request: pytest.FixtureRequest) -> VoxelEncoder:
    network = small_network(seed=2, voxel_sizes_m=(0.1, 0.2, 0.4))
    return native_twin(network) if request.param == "native" else network


@pytest.fixture(scope="module")
def classes() -> ClassEmbeddings:
    vectors = np.random.default_rng(1).normal(size=(4, SPACE.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vocabulary = Vocabulary.from_names(["a=b", "c", "d"])
    return ClassEmbeddings(vectors, np.array([0, 0, 1, 2], np.int32), vocabulary, SPACE)


@pytest.fixture(scope="module")
def cloud() -> PointCloud:
    """A street of 60 m with a wall, in coordinates of a national grid."""
    draw = np.random.default_rng(3)
    ground = np.column_stack((draw.uniform(0, 60, 4000), draw.uniform(0, 8, 4000), np.zeros(4000)))
    wall = np.column_stack((draw.uniform(0, 60, 2000), np.zeros(2000), draw.uniform(0, 5, 2000)))
    return PointCloud(np.concatenate((ground, wall)) + [5e5, 5e6, 80])


def test_it_is_the_mean_of_a_pass_and_two_over_the_turned_cloud(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    context = CloudContext(cloud)
    query = ClassQuery.of(classes, 2)
    passes = []
    for size_m, turn in ((0.2, 0.0), (0.2, np.pi / 2 + 0.1), (0.1, np.pi / 4 + 0.1)):
        x, y, z = cloud.xyz.T
        turned = [np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y, z]
        grid = voxelize(np.column_stack(turned), size_m)
        channels = voxel_inputs(INPUTS, cloud, grid, context)
        vectors = encoder.embed(grid.cells, channels)
        passes.append((vectors @ query.words.T)[grid.voxel_of_point])
    wanted = rank_by_similarity(np.mean(passes, axis=0), query, encoder.spec.logit_scale)
    labels = label_cloud(
        cloud, encoder, classes, LabelOptions(voxel_m=0.2, ranking=2, quality="best")
    )
    assert labels.ranking is not None
    assert labels.ranking_score is not None
    np.testing.assert_allclose(labels.ranking_score, wanted.score, atol=1e-5)
    assert (labels.ranking == wanted.ranking).mean() > 0.999
    fast = label_cloud(cloud, encoder, classes, LabelOptions(voxel_m=0.2))
    assert (fast.class_index != labels.class_index).any()


def test_it_does_not_depend_on_tiles(
    encoder: VoxelEncoder, classes: ClassEmbeddings, cloud: PointCloud
) -> None:
    # With the smallest voxels the halo of the turned passes is wider than that of one pass.
    whole = label_cloud(cloud, encoder, classes, LabelOptions(voxel_m=0.1, quality="best"))
    tiled = label_cloud(
        cloud, encoder, classes, LabelOptions(voxel_m=0.1, tile_m=12.0, quality="best")
    )
    np.testing.assert_allclose(tiled.score, whole.score, atol=1e-5)
    assert (tiled.class_index == whole.class_index).mean() > 0.999


def test_a_closed_head_has_one_quality() -> None:
    require_quality("fast", "closed")
    require_quality("best", "text")
    with pytest.raises(UsageError, match="--quality: best compares points with words"):
        require_quality("best", "closed")
