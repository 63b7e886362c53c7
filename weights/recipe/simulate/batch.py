"""One seed, one file: makes a scan of some kind and stores it."""

import time
from pathlib import Path

import numpy as np

from weights.recipe.simulate.aerial import aerial_scan
from weights.recipe.simulate.concepts import concept_names
from weights.recipe.simulate.driving import Scan, driving_scan
from weights.recipe.simulate.indoor import indoor_scan
from weights.recipe.simulate.primitives import Rng

MOST_POINTS = 170_000


def make_scan(kind: str, rng: Rng, meshes: Path | None) -> Scan:
    """Return points (N, 3), labels (N,) and a description of a driving, aerial or indoor scan."""
    if kind == "aerial":
        return aerial_scan(rng)
    if kind == "indoor":
        return indoor_scan(rng, meshes)
    return driving_scan(rng, meshes)


def write_scan(job: tuple[str, int, Path, Path | None]) -> str:
    """Make and store the scan of one seed; return a line that says what came out."""
    kind, seed, folder, meshes = job
    start = time.perf_counter()
    # The kind belongs to the seed, or scenes of two kinds would share their choices.
    rng = np.random.default_rng([seed, sum(kind.encode())])
    xyz, label, sensor = make_scan(kind, rng, meshes)
    kept = np.sort(rng.permutation(len(xyz))[:MOST_POINTS])
    origin, yaw = rng.uniform(-200, 200, 3) * [1, 1, 0.1], rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    path = folder / f"{kind}_{seed:06d}.npz"
    part = path.with_suffix(".part.npz")
    np.savez_compressed(
        part,
        xyz=(xyz[kept] @ turn + origin).astype(np.float32),
        label=label[kept],
        concepts=np.array(concept_names()),
        sensor=np.array(sensor),
    )
    part.rename(path)
    return f"{path.name} {len(kept)} points {sensor} {time.perf_counter() - start:.1f}s"
