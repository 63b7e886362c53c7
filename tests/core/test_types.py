from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.ground import Ground
from clip3d_cli.core.grouping import group_equal_rows
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.voxels import ANCHOR_CELLS, VoxelGrid, voxelize
from clip3d_cli.errors import InputError, SetupError, UsageError

RNG = np.random.default_rng(0)


def _points(count: int, extent: float = 10.0, at: float = 0.0) -> np.ndarray:
    return RNG.uniform(-extent, extent, (count, 3)) + at


def test_voxels_hold_their_points() -> None:
    xyz = _points(5000, at=5e6)
    grid = voxelize(xyz, 0.3)
    corner = grid.origin + grid.cells[grid.voxel_of_point] * grid.size_m
    assert ((xyz - corner) >= -1e-6).all()
    assert ((xyz - corner) < 0.3 + 1e-6).all()
    assert len(np.unique(grid.cells, axis=0)) == len(grid)
    assert (np.lexsort(grid.cells.T[::-1]) == np.arange(len(grid))).all()


def test_voxels_do_not_depend_on_order_or_company() -> None:
    xyz = _points(2000)
    grid = voxelize(xyz, 0.5)
    order = RNG.permutation(len(xyz))
    shuffled = voxelize(xyz[order], 0.5)
    np.testing.assert_array_equal(shuffled.cells, grid.cells)
    np.testing.assert_array_equal(shuffled.voxel_of_point, grid.voxel_of_point[order])
    part = xyz[xyz[:, 0] > 2]
    alone = voxelize(part, 0.5)
    shift = np.rint((alone.origin - grid.origin) / 0.5)
    np.testing.assert_array_equal(shift % ANCHOR_CELLS, 0)
    together = grid.cells[grid.voxel_of_point[xyz[:, 0] > 2]]
    np.testing.assert_array_equal(alone.cells[alone.voxel_of_point] + shift, together)


def test_voxels_of_nothing_and_of_duplicates() -> None:
    assert len(voxelize(np.zeros((0, 3)), 0.1)) == 0
    grid = voxelize(np.ones((7, 3)), 0.1)
    assert len(grid) == 1
    assert (grid.voxel_of_point == 0).all()


def test_voxels_refuse_a_span_they_cannot_count() -> None:
    with pytest.raises(InputError, match="E_VOXEL_RANGE"):
        voxelize(np.array([[0.0, 0, 0], [1e10, 0, 0]]), 0.1)


def _slope_with_house() -> tuple[np.ndarray, np.ndarray]:
    ground = RNG.uniform(0, 60, (20_000, 3))
    ground[:, 2] = 0.1 * ground[:, 0]
    roof = RNG.uniform(20, 30, (3000, 3))
    roof[:, 2] = 0.1 * roof[:, 0] + 6
    inside = (ground[:, :2] > 20).all(axis=1) & (ground[:, :2] < 30).all(axis=1)
    ground = ground[~inside]
    xyz = np.concatenate((ground, roof))
    return xyz, np.arange(len(xyz)) >= len(ground)


def test_ground_runs_under_a_house_on_a_slope() -> None:
    xyz, is_roof = _slope_with_house()
    above = xyz[:, 2] - Ground.estimate(xyz, cell_m=1, radius_m=8).z_at(xyz)
    assert abs(np.median(above[~is_roof])) < 0.2
    assert abs(np.median(above[is_roof]) - 6) < 0.5


def test_ground_ignores_echoes_from_below() -> None:
    xyz, _ = _slope_with_house()
    pit = np.array([[10.5, 10.5, -30.0]])
    with_pit = Ground.estimate(np.concatenate((xyz, pit)), cell_m=1, radius_m=8)
    without = Ground.estimate(xyz, cell_m=1, radius_m=8)
    difference = with_pit.z_at(xyz) - without.z_at(xyz)
    assert np.abs(difference).max() < 1


def test_ground_survives_a_far_outlier_and_any_order() -> None:
    xyz, _ = _slope_with_house()
    xyz = np.concatenate((xyz, [[1e9, -1e9, 50.0]]))
    ground = Ground.estimate(xyz, cell_m=1, radius_m=5)
    order = RNG.permutation(len(xyz))
    shuffled = Ground.estimate(xyz[order], cell_m=1, radius_m=5)
    np.testing.assert_array_equal(shuffled.z_at(xyz), ground.z_at(xyz))
    with pytest.raises(KeyError):
        ground.z_at(np.array([[1e6, 0.0, 0.0]]))


def test_types_refuse_what_they_do_not_promise() -> None:
    with pytest.raises(TypeError, match="xyz must be float64"):
        PointCloud(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="rgb"):
        PointCloud(np.zeros((3, 3)), rgb=np.zeros((2, 3), np.uint8))
    with pytest.raises(TypeError, match="cells"):
        VoxelGrid(np.zeros((1, 3), np.int64), np.zeros(1, np.int64), np.zeros(3), 0.1)


def test_class_numbers_in_files() -> None:
    vocabulary = Vocabulary.from_names(["car=sedan|van", "road"])
    assert vocabulary.classes[0].words == ("car", "sedan", "van")
    labels = Labels(np.array([1, -1, 0], np.int32), np.zeros(3, np.float32), vocabulary)
    assert labels.class_id.tolist() == [2, 0, 1]


@pytest.mark.parametrize("names", [[], [""], ["car", "car"], ["=van"]])
def test_vocabulary_refuses_names(names: list[str]) -> None:
    with pytest.raises(UsageError, match="E_CLASSES"):
        Vocabulary.from_names(names)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class = 3", "no \\[\\[class\\]\\]"),
        ("[[class]]\nname = 'car'\nprompt = 'x'", "unknown key 'prompt'"),
        ("[[class]]\nname = 'car'\nid = 'x'", "class 1 \\(car\\): id"),
        ("[[class]]\nname = 'car'\nid = 0", "class 1 \\(car\\): id"),
        ("[[class]]\nname = 'car'\ncolor = [1, 2]", "color"),
        ("[[class]]\nname = 'car'\nwords = 'car'", "words"),
        ("[[class]]\nname = ''", "name"),
        ("[[class]", "is not TOML"),
    ],
)
def test_vocabulary_file_refusals(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "v.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        Vocabulary.read(path)


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


def test_ground_by_hand() -> None:
    """The definition itself: lowest tenth of a cell, then four windows, each over its cells."""
    xyz = RNG.uniform(0, 30, (800, 3))
    cell = np.floor(xyz[:, :2] / 2).astype(int)
    height = {}
    for place in {tuple(row) for row in cell.tolist()}:
        z = np.sort(xyz[(cell == place).all(axis=1), 2])
        height[place] = z[int(len(z) * 0.1)]
    for pick in (min, max):
        for axis in (0, 1):
            height = {
                (x, y): pick(
                    value
                    for there, value in height.items()
                    if abs(there[axis] - (x, y)[axis]) <= 3 and there[1 - axis] == (x, y)[1 - axis]
                )
                for x, y in height
            }
    wanted = [height[tuple(row)] for row in cell.tolist()]
    ground = Ground.estimate(xyz, cell_m=2, radius_m=6)
    np.testing.assert_array_equal(ground.z_at(xyz), wanted)


@pytest.mark.parametrize("span", [5, 1 << 20, 1 << 40, 1 << 61])
def test_rows_are_grouped_in_order_however_far_apart(span: int) -> None:
    columns = [RNG.integers(-span, span, 300).repeat(2) for _ in range(3)]
    rows = np.stack(columns, axis=1)
    wanted, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found_first, found_group = group_equal_rows(columns)
    np.testing.assert_array_equal(found_first, first)
    np.testing.assert_array_equal(found_group, group.reshape(-1))
    np.testing.assert_array_equal(rows[found_first], wanted)


def test_ground_beside_the_last_column_is_an_error_too() -> None:
    """The searched cell sorts behind all others, so there is no next larger one."""
    ground = Ground.estimate(np.array([[0.5, 9.5, 0.0], [5.5, 0.5, 0.0]]), cell_m=1, radius_m=1)
    with pytest.raises(KeyError):
        ground.z_at(np.array([[5.5, 5.5, 0.0]]))
