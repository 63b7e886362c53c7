"""Whole simulated scans: a random scene, a random sensor, and one file per seed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.aerial_scans import aerial_scan
from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.driving_scans import driving_scan
from weights.recipe.simulate.indoor_scans import indoor_scan
from weights.recipe.simulate.labelled_scan import Scan
from weights.recipe.simulate.mobile_scans import mobile_scan
from weights.recipe.simulate.primitives import F32, Rng

MAX_POINTS = 170_000
SCENES = ("driving", "mobile", "aerial", "indoor")


def make_scan(scene: str, rng: Rng, meshes: Path | None) -> Scan:
    """Return a random scan.

    Args:
        scene: "driving" (a street from a vehicle), "mobile" (facades and streets from near),
            "aerial" (a town) or "indoor" (rooms).
        rng: decides everything.
        meshes: folder with archives of ready-made meshes, or None.
    """
    if scene == "aerial":
        return aerial_scan(rng)
    if scene == "mobile":
        return mobile_scan(rng, meshes)
    if scene == "indoor":
        return indoor_scan(rng, meshes)
    return driving_scan(rng, meshes)


def scan_path(folder: Path, scene: str, seed: int) -> Path:
    """Return the path of the file of a seed."""
    return folder / f"{scene}_{seed:06d}.npz"


def write_scan(job: tuple[str, int, Path, Path | None]) -> str:
    """Write the scan of one seed as ``SCENE_SEED.npz`` and return a line for the log.

    The file has ``xyz``, ``label``, ``concepts`` (the names of the labels), ``sensor`` (the
    description) and, where the sensor has them, ``rgb`` (uint8) and ``intensity`` (float32 in
    0…1). Points are at most `MAX_POINTS`, at a random place and heading.

    Args:
        job: scene, seed, folder to write to, and folder of ready-made meshes or None.
    """
    scene, seed, folder, meshes = job
    start = time.perf_counter()
    # With the scene's name in the seed, scenes of different kinds draw different numbers.
    rng = np.random.default_rng([seed, sum(scene.encode())])
    scan = make_scan(scene, rng, meshes)
    kept = np.sort(rng.permutation(len(scan.xyz))[:MAX_POINTS])
    arrays: dict[str, NDArray[Any]] = {
        "xyz": _in_file_axes(scan, rng)[kept],
        "label": scan.label[kept],
        "concepts": np.array(concept_names()),
        "sensor": np.array(scan.description),
    }
    if scan.rgb is not None:
        arrays["rgb"] = scan.rgb[kept]
    if scan.intensity is not None:
        arrays["intensity"] = scan.intensity[kept]
    if scan.empty_rows:
        arrays |= _with_empty_rows(arrays, scan.empty_rows, rng)
    path = scan_path(folder, scene, seed)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, allow_pickle=False, **arrays)
    part.rename(path)
    seconds = time.perf_counter() - start
    return f"{path.name} {len(kept)} points {scan.description} {seconds:.1f}s"


def _in_file_axes(scan: Scan, rng: Rng) -> F32:
    """Return (N, 3) float32 points at a random place and heading, or around the sensor."""
    yaw, origin = rng.uniform(0, 2 * np.pi), rng.uniform(-200, 200, 3) * [1, 1, 0.1]
    rotation = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    if scan.sensor is not None and (scan.empty_rows or rng.random() < 0.5):
        origin = -scan.sensor @ rotation
    return np.asarray(scan.xyz @ rotation + origin, dtype=np.float32)


def _with_empty_rows(
    arrays: dict[str, NDArray[Any]], count: int, rng: Rng
) -> dict[str, NDArray[Any]]:
    """Return the arrays of N points with rows of zeros, "unlabeled", at ``count`` random places."""
    places = np.sort(rng.integers(0, len(arrays["xyz"]) + 1, count))
    unlabeled = concept_index("unlabeled")
    return {
        name: np.insert(arrays[name], places, unlabeled if name == "label" else 0, axis=0)
        for name in ("xyz", "label", "rgb", "intensity")
        if name in arrays
    }
