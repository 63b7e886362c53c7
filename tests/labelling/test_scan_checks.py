"""Warnings about scans: none for ordinary ones, one for each way to spoil them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.upright import ROTATION_OF_UP, better_up, find_tilt
from clip3d_cli.errors import InputError
from clip3d_cli.formats.cloud_file import ReadOptions, open_cloud, read_cloud
from clip3d_cli.labelling.preparation import prepare_cloud
from clip3d_cli.labelling.scan_checks import check_scan, estimate_noise

EXAMPLES = Path(__file__).parents[2] / "examples"
RNG = np.random.default_rng(0)
SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.fixture(scope="module", params=["street.ply", "town.laz"])
def xyz(request: pytest.FixtureRequest) -> np.ndarray:
    points = read_cloud(EXAMPLES / request.param).xyz
    return points - np.floor(np.median(points, axis=0))


def codes(points: np.ndarray, **options: object) -> list[str]:
    return [each.code for each in check_scan(PointCloud(points), "scan", **options)]  # type: ignore[arg-type]


def tilted(points: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    return np.ascontiguousarray(points @ rotation.T)


def test_ordinary_scans_have_no_warnings(xyz: np.ndarray) -> None:
    assert codes(xyz) == []
    assert codes(xyz[RNG.random(len(xyz)) < 0.3]) == []
    assert codes(np.concatenate((xyz, xyz))) == []


@pytest.mark.slow
def test_no_real_scan_of_the_workplace_has_warnings() -> None:
    paths = sorted(SHARED.glob("aerial/*.laz")) + sorted(SHARED.glob("driving/*/0*.npz"))
    if not paths:
        pytest.skip("no shared data beside this repository")
    for path in paths[:10]:
        assert codes(read_cloud(path).xyz) == [], path


@pytest.mark.parametrize("up", [up for up in ROTATION_OF_UP if up != "z"])
def test_a_turned_scan_is_found_and_turned_back(xyz: np.ndarray, up: str) -> None:
    turned = np.ascontiguousarray(xyz @ ROTATION_OF_UP[up])
    assert better_up(turned) == up
    [warning] = check_scan(PointCloud(turned), "scan")
    assert warning.code == "W_UP_AXIS"
    assert f"--up {up}" in warning.remedy
    for choice in (up, "auto"):
        upright, _ = prepare_cloud(PointCloud(turned), choice)  # type: ignore[arg-type]
        np.testing.assert_allclose(upright.xyz, xyz)
        assert codes(turned, up=choice) == []


def test_auto_does_not_turn_an_upright_scan(xyz: np.ndarray) -> None:
    np.testing.assert_array_equal(prepare_cloud(PointCloud(xyz), "auto")[0].xyz, xyz)


def test_a_tilt_is_taken_out(xyz: np.ndarray) -> None:
    assert find_tilt(xyz) is None
    spoiled = tilted(xyz, 20)
    found = find_tilt(spoiled)
    assert found is not None
    assert np.degrees(found[0]) == pytest.approx(20, abs=2.5)
    assert codes(spoiled) == ["W_TILT"]
    upright = prepare_cloud(PointCloud(spoiled))[0].xyz
    level = find_tilt(upright)
    assert level is None
    # The frames agree up to a turn about the vertical.
    assert np.abs(np.sort(upright[:, 2]) - np.sort(xyz[:, 2])).mean() < 2.5


def test_the_tilt_does_not_depend_on_the_order_of_points(xyz: np.ndarray) -> None:
    spoiled = tilted(xyz, 18)
    order = RNG.permutation(len(spoiled))
    found, again = find_tilt(spoiled), find_tilt(spoiled[order])
    assert found is not None
    assert again is not None
    np.testing.assert_array_equal(found[1], again[1])


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_other_units_are_suspected(xyz: np.ndarray, factor: float) -> None:
    [warning] = check_scan(PointCloud(xyz * factor), "scan")
    assert warning.code == "W_UNITS"
    assert "--units" in warning.remedy


def test_coarse_coordinates_are_named(xyz: np.ndarray) -> None:
    far = (xyz + [500_000.0, 5_400_000.0, 300.0]).astype(np.float32).astype(np.float64)
    [warning] = check_scan(PointCloud(far), "scan", voxel_m=0.2)
    assert warning.code == "W_PRECISION"
    assert "0.5 m" in warning.text
    assert codes(xyz + [500_000.0, 5_400_000.0, 300.0]) == []


def test_noise_is_estimated() -> None:
    street = read_cloud(EXAMPLES / "street.ply").xyz
    for noise_m in (0.05, 0.1):
        noisy = street + RNG.normal(0, noise_m, street.shape)
        assert estimate_noise(noisy) == pytest.approx(noise_m, rel=0.4)
    assert "W_NOISE" in codes(noisy)


def test_empty_returns_are_counted(xyz: np.ndarray) -> None:
    [warning] = check_scan(PointCloud(np.concatenate((xyz, np.zeros((900, 3))))), "scan")
    assert warning.code == "W_EMPTY_RETURNS"
    assert "900 of" in warning.text


def write_npy(folder: Path, points: np.ndarray) -> Path:
    np.save(folder / "scan.npy", points)
    return folder / "scan.npy"


def test_degrees_are_refused_in_every_format(tmp_path: Path, xyz: np.ndarray) -> None:
    degrees = xyz / [111_000.0, 70_000.0, 1.0] + [8.5, 47.4, 400.0]
    path = write_npy(tmp_path, degrees)
    with pytest.raises(InputError, match="degrees"):
        read_cloud(path, columns=("x", "y", "z"))
    # Whoever knows better may say so.
    known = ReadOptions(("x", "y", "z"), units="m")
    np.testing.assert_array_equal(open_cloud(path, known).read().xyz, degrees)


@pytest.mark.parametrize(
    ("units", "metres"), [("mm", 0.001), ("ft", 0.3048), ("us-ft", 12 / 39.37)]
)
def test_units_scale_files_that_state_none(
    tmp_path: Path, xyz: np.ndarray, units: str, metres: float
) -> None:
    path = write_npy(tmp_path, xyz / metres)
    read = open_cloud(path, ReadOptions(("x", "y", "z"), units=units)).read()
    np.testing.assert_allclose(read.xyz, xyz, atol=1e-9)


def test_units_of_a_file_that_states_its_own_are_kept() -> None:
    path = EXAMPLES / "town.laz"
    own: Callable[[str | None], np.ndarray] = lambda units: (  # noqa: E731
        open_cloud(path, ReadOptions(units=units)).read().xyz
    )
    if open_cloud(path).facts.crs is None:
        pytest.skip("the example states no system")
    np.testing.assert_array_equal(own("mm"), own(None))
