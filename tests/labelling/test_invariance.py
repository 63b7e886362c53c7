"""Labels do not depend on tiles, on the order of points, or on where the cloud lies.

The clouds have slopes and steps, and the dilation network reacts to the farthest voxel within
its reach, so that a halo, a ground or a lattice that is a little wrong changes a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import pytest
import torch
from dilation_network import CLASSES, SPACE, dilation_encoder
from native_twin import native_twin

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.voxels import voxelize
from clip3d_cli.encoders.input_channels import CloudContext, voxel_inputs
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.labelling.label import LabelOptions, embed_cloud, label_cloud
from clip3d_cli.sparse.tensor import SparseTensor

Engine = Callable[[PointEncoder], VoxelEncoder]
T = TypeVar("T")

VOXEL_M = 0.125
LANE_VOXELS = 292
# Three cells of the coarsest level: no signal crosses from lane to lane.
LANE_GAP_M = 48 * VOXEL_M


@pytest.fixture(params=["native", "torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Run a network on the engine of that name."""
    if request.param == "native":
        return native_twin
    return lambda network: network


def tiled_labels(cloud: PointCloud, encoder: VoxelEncoder, tile_m: float) -> Labels:
    """Label in tiles, and check that there are several."""
    counts = []

    def count(steps: Iterable[T], what: str) -> Iterable[T]:
        counts.append(len(list(steps)))
        return steps

    labels = label_cloud(cloud, encoder, CLASSES, LabelOptions(tile_m=tile_m), progress=count)
    assert counts[0] > 2
    return labels


def lanes(red_voxels: list[int], *, cut_voxel: float, axis: int) -> PointCloud:
    """Return rows of voxels along an axis, with one red point in each row.

    Every voxel has a point near its front and one near its back.

    Args:
        red_voxels: position of the red point's voxel in each row, 0 to LANE_VOXELS - 1.
        cut_voxel: where the cloud is halved, in voxels along the axis, at least LANE_VOXELS / 2.
        axis: 0, 1 or 2: the rows run along x, y or z.
    """
    along = np.arange(LANE_VOXELS) * VOXEL_M
    # A tile is halved in the middle between the least and the greatest coordinate: 0 and this.
    xyz, rgb = [np.array([[2 * cut_voxel * VOXEL_M, 0.1, 0.1]])], [np.zeros((1, 3), np.uint8)]
    for row, red in enumerate(red_voxels):
        for is_back in (False, True):
            points = np.full((LANE_VOXELS, 3), 0.1)
            points[:, 0] = along + (0.98 if is_back else 0.0) * VOXEL_M
            points[:, 1] += row % 8 * LANE_GAP_M
            points[:, 2] += row // 8 * LANE_GAP_M
            colors = np.zeros((LANE_VOXELS, 3), np.uint8)
            # The one of the two that is farther from the cut.
            if is_back == (red > cut_voxel):
                colors[red, 0] = 255
            xyz.append(points)
            rgb.append(colors)
    return PointCloud(np.roll(np.concatenate(xyz), axis, axis=1), np.concatenate(rgb))


def hillside() -> PointCloud:
    """Return a strip of 100 m by 2 m that rises by 30 %, with steps of 2 m, and boxes on it."""
    x, y = (
        grid.ravel() for grid in np.meshgrid(np.arange(0, 100, VOXEL_M), np.arange(0, 2, VOXEL_M))
    )
    ground = np.column_stack((x, y, 0.3 * x + 2 * np.floor(x / 20))) + VOXEL_M / 2
    boxes = [ground[np.abs(x - at) < 1] + [0, 0, 1.5] for at in (10.0, 57.0)]
    return PointCloud(np.concatenate((ground, *boxes)))


def lanes_around(cut_voxel: float, reach: int, *, axis: int) -> PointCloud:
    """Return lanes whose red points influence the voxel at the cut, just or not any more.

    How far a voxel reaches depends on its position among the 16 voxels of a coarsest cell, so
    there are lanes for 16 distances, on both sides of the cut.
    """
    distances = (*range(reach - 15, reach + 1), reach // 2, reach // 5)
    red_voxels = [int(cut_voxel) + side * distance for distance in distances for side in (-1, 1)]
    return lanes(red_voxels, cut_voxel=cut_voxel, axis=axis)


# Voxels 146 and 157 are the farthest that voxels 252 and 51 influence: 106 voxels away.
@pytest.mark.parametrize("cut_voxel", [146.01, 146.5, 150.0, 157.5, 157.97])
@pytest.mark.parametrize(
    ("engine", "axis"),
    [("native", 0), ("native", 1), ("native", 2), ("torch", 0)],
    indirect=["engine"],
)
def test_every_voxel_in_reach_is_in_the_tile(engine: Engine, axis: int, cut_voxel: float) -> None:
    network = dilation_encoder("red", over=-1.0, voxel_m=VOXEL_M)
    cloud = lanes_around(cut_voxel, network.reach, axis=axis)
    encoder = engine(network)
    whole = label_cloud(cloud, encoder, CLASSES)
    tiled = tiled_labels(cloud, encoder, tile_m=20.0)
    np.testing.assert_array_equal(tiled.class_index, whole.class_index)
    np.testing.assert_allclose(tiled.score, whole.score, atol=1e-6)


def test_every_voxel_in_the_corners_of_a_turned_reach_is_in_the_tile() -> None:
    """With `quality="best"`, the receptive field of the last pass is a cube on its edge."""
    x, y = (each.ravel() for each in np.mgrid[0:56:VOXEL_M, 0:30:VOXEL_M] + VOXEL_M / 2)
    xyz = np.column_stack((x, y, np.full(len(x), 0.1)))
    network = dilation_encoder("red", over=-1.0, voxel_m=VOXEL_M)
    # Tiles meet at x = 28 m. The reach ends between the red point and them, its corner beyond.
    red_m = 28 - 1.15 * network.reach * VOXEL_M
    rgb = np.zeros((len(x), 3), np.uint8)
    rgb[np.hypot(x - red_m, y - 15).argmin(), 0] = 255
    encoder = native_twin(network)
    whole, tiled = (
        label_cloud(
            PointCloud(xyz, rgb), encoder, CLASSES, LabelOptions(tile_m=tile_m, quality="best")
        )
        for tile_m in (None, 30.0)
    )
    assert np.ptp(whole.score[x > 28]) > 0.01
    np.testing.assert_allclose(tiled.score, whole.score, atol=1e-6)


@pytest.mark.parametrize("engine", ["native", "torch"], indirect=True)
@pytest.mark.parametrize("cut_voxel", [146.5, 157.5])
def test_features_do_not_depend_on_tiles(engine: Engine, cut_voxel: float) -> None:
    """A voxel that two tiles share has points in both, and gets the same vector from both."""
    network = dilation_encoder("red", over=-1.0, voxel_m=VOXEL_M)
    cloud, encoder = lanes_around(cut_voxel, network.reach, axis=0), engine(network)
    whole = embed_cloud(cloud, encoder)
    tiled = embed_cloud(cloud, encoder, tile_m=20.0)
    np.testing.assert_array_equal(tiled.cells, whole.cells)
    np.testing.assert_allclose(tiled.vectors, whole.vectors, atol=1e-6)


@pytest.mark.parametrize("engine", ["native", "torch"], indirect=True)
@pytest.mark.parametrize(("channel", "over_m"), [("height_near", 0.5), ("height_far", 4.0)])
def test_tiles_share_the_ground_of_the_whole_cloud(
    engine: Engine, channel: str, over_m: float
) -> None:
    """The ground under one tile alone is too low at its upper end, within the reach of others."""
    over = over_m / 3 if channel == "height_near" else np.log1p(over_m) / 2
    encoder = engine(dilation_encoder(channel, over=over, voxel_m=VOXEL_M, same_voxel=True))
    whole = label_cloud(hillside(), encoder, CLASSES)
    # Something stands on the ground, and something does not.
    assert 0.1 < whole.class_index.mean() < 0.9
    tiled = tiled_labels(hillside(), encoder, tile_m=25.0)
    np.testing.assert_array_equal(tiled.class_index, whole.class_index)
    np.testing.assert_allclose(tiled.score, whole.score, atol=1e-6)


def random_network() -> PointEncoder:
    """Return a network with random weights that looks at heights and at the shape in a voxel."""
    torch.manual_seed(2)
    spec = EncoderSpec(
        architecture="minkunet",
        config={"layers": 14, "width": 0.125},
        inputs=("one", "height_near", "height_far", "z_spread", "z_offset"),
        voxel_sizes_m=(VOXEL_M,),
        space=SPACE,
        text_encoder="mini",
        logit_scale=5.0,
    )
    return PointEncoder(spec).eval()


def rough_hillside() -> PointCloud:
    """Return the hillside with points scattered in steps of 1/128 m, which shifts keep exactly."""
    cloud = hillside()
    scatter = np.random.default_rng(0).integers(-4, 5, cloud.xyz.shape) / 128
    return PointCloud(np.rint(cloud.xyz * 128) / 128 + scatter)


@pytest.fixture(scope="module")
def random_classes() -> ClassEmbeddings:
    """Words along which the random network's vectors differ, so that all classes occur."""
    cloud = rough_hillside()
    network = random_network()
    grid = voxelize(cloud.xyz, VOXEL_M)
    channels = voxel_inputs(network.spec.inputs, cloud, grid, CloudContext(cloud))
    cells = np.pad(grid.cells, ((0, 0), (1, 0)))
    with torch.no_grad():
        vectors = network(SparseTensor(torch.from_numpy(cells), torch.from_numpy(channels)))
    axes = torch.linalg.svd(vectors - vectors.mean(dim=0), full_matrices=False)[2][:2]
    words = torch.cat((axes, -axes)).numpy()
    return ClassEmbeddings(
        words, np.arange(4, dtype=np.int32), Vocabulary.from_names(["a", "b", "c", "d"]), SPACE
    )


@pytest.mark.parametrize("engine", ["native", "torch"], indirect=True)
@pytest.mark.parametrize("tile_m", [None, 25.0])
def test_labels_do_not_depend_on_the_order_of_points(
    engine: Engine, random_classes: ClassEmbeddings, tile_m: float | None
) -> None:
    encoder, cloud = engine(random_network()), rough_hillside()
    order = np.random.default_rng(1).permutation(len(cloud))
    options = LabelOptions(tile_m=tile_m)
    labels = label_cloud(cloud, encoder, random_classes, options)
    assert len(np.unique(labels.class_index)) == 4
    shuffled = label_cloud(cloud.select(order), encoder, random_classes, options)
    np.testing.assert_array_equal(shuffled.class_index, labels.class_index[order])
    np.testing.assert_array_equal(shuffled.score, labels.score[order])


@pytest.mark.parametrize("engine", ["native", "torch"], indirect=True)
@pytest.mark.parametrize("shift_m", [(4.0, 0.0, 0.0), (-8.0, 4.0, 12.0), (5e5, 5e6, -64.0)])
def test_labels_move_with_the_cloud(
    engine: Engine, random_classes: ClassEmbeddings, shift_m: tuple[float, float, float]
) -> None:
    """A shift by whole cells of the coarsest level (2 m) and of the ground's grids (1 m, 4 m)."""
    encoder, cloud = engine(random_network()), rough_hillside()
    assert encoder.stride * VOXEL_M == 2.0
    still = label_cloud(cloud, encoder, random_classes)
    moved = label_cloud(PointCloud(cloud.xyz + shift_m), encoder, random_classes)
    np.testing.assert_array_equal(moved.class_index, still.class_index)
    np.testing.assert_array_equal(moved.score, still.score)


@pytest.mark.parametrize("engine", ["native", "torch"], indirect=True)
@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_labels_turn_with_the_cloud(engine: Engine, quarter_turns: int) -> None:
    """The dilation network has no preferred direction, and a quarter turn keeps the lattice."""
    over = 1 / 3
    encoder = engine(dilation_encoder("height_near", over=over, voxel_m=VOXEL_M, same_voxel=True))
    cloud = hillside()
    still = label_cloud(cloud, encoder, CLASSES)
    assert 0.1 < still.class_index.mean() < 0.9
    cosine, sine = ((0, 1), (-1, 0), (0, -1))[quarter_turns - 1]
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    turned = label_cloud(PointCloud(cloud.xyz @ turn.T), encoder, CLASSES)
    np.testing.assert_array_equal(turned.class_index, still.class_index)
    np.testing.assert_allclose(turned.score, still.score, atol=1e-6)
