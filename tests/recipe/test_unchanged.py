"""The recipe's random numbers stay the same: scans and training batches against stored results.

A change of the simulator or of the training batches that is meant to change what they compute
writes the stored results anew: ``python -m tests.recipe.test_unchanged`` (from the repository's
root).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("embreex")

from weights.recipe.points.batches import INPUTS, VOXEL_SIZES_M, Batches, BatchOptions
from weights.recipe.points.scan_lists import ScanLists
from weights.recipe.points.taxonomy import Taxonomy
from weights.recipe.simulate.concepts import concept_names
from weights.recipe.simulate.primitives import ellipsoid
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.scans import make_scan

STORED = Path(__file__).with_name("unchanged.json")
# Two sensors of each kind of scene.
SCANS = (
    ("driving", 1000),
    ("driving", 1004),
    ("mobile", 1001),
    ("mobile", 1003),
    ("aerial", 11),
    ("aerial", 19),
    ("indoor", 1003),
    ("indoor", 1012),
)


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def rounding_of_this_machine() -> str:
    """Return a hash of results whose last bits, or order of ties, differ between CPUs."""
    line = np.linspace(-9, 9, 4001)
    numbers = [function(line) for function in (np.sin, np.cos, np.exp, np.arctan, np.tanh)]
    turned = np.stack(numbers[:3], axis=1).astype(np.float32) @ np.eye(3, dtype=np.float32)[::-1]
    directions = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    starts = np.zeros_like(directions)
    hits = RayCaster(ellipsoid("car", (0, 0, 0), (3, 2, 1))).first_hit(starts, directions)
    nearest = np.argpartition(np.arange(4001) ** 2 % 17, 1000)
    return _sha256(*numbers, turned @ turned[:3].T, *hits, nearest)


def scan_summary(scene: str, seed: int) -> dict[str, Any]:
    """Return a hash of a simulated scan, and figures that rounding hardly changes."""
    scan = make_scan(scene, np.random.default_rng(seed), None)
    xyz, label = scan.xyz, scan.label
    values = [array for array in (scan.rgb, scan.intensity) if array is not None]
    counts = np.bincount(label, minlength=len(concept_names()))
    return {
        "description": scan.description,
        "sha256": _sha256(xyz, label, *values),
        "points": len(xyz),
        "points_of_concept": {
            name: int(count) for name, count in zip(concept_names(), counts, strict=True) if count
        },
        "mean_m": xyz.mean(axis=0, dtype=np.float64).tolist(),
        "deviation_m": xyz.std(axis=0, dtype=np.float64).tolist(),
    }


def batch_summary(folder: Path) -> dict[str, Any]:
    """Return a hash of one training batch, and figures that rounding hardly changes.

    Args:
        folder: an empty folder, for scans that are drawn from.
    """
    rng = np.random.default_rng(0)
    concepts = np.array(["unlabeled", "road", "car", "tree crown", "sofa|pillow"])
    for kind in ("driving", "aerial"):
        (folder / "sim" / kind).mkdir(parents=True)
        arrays = {
            "xyz": (rng.uniform(0, 40, (6000, 3)) * [1, 1, 0.05]).astype(np.float32),
            "label": rng.integers(0, len(concepts), 6000).astype(np.uint16),
            "rgb": rng.integers(0, 255, (6000, 3), dtype=np.uint8),
            "intensity": rng.random(6000).astype(np.float32),
        }
        np.savez(folder / "sim" / kind / "scan.npz", concepts=concepts, **arrays)
    words = Taxonomy.read().all_words
    vectors = torch.from_numpy(rng.normal(size=(len(words), 8)).astype(np.float32))
    options = BatchOptions({"sim-driving": 0.6, "sim-aerial": 0.4}, INPUTS, 4, 900, 300)
    lists = ScanLists(folder / "scans", None, folder / "sim", VOXEL_SIZES_M)
    batch = Batches(lists, options, dict(zip(words, vectors, strict=True)), 5, 100)(3)
    targets = [
        array.numpy()
        for queries in batch.targets
        for query in queries
        for array in (query.vectors, query.meaning, query.accepted)
    ]
    cells, feats = batch.voxels.cells.numpy(), batch.voxels.feats.numpy()
    weights = batch.target_weights.numpy()
    return {
        "sha256": _sha256(cells, feats, batch.target_rows.numpy(), weights, *targets),
        "voxels": len(feats),
        "channel_mean": feats.mean(axis=0, dtype=np.float64).tolist(),
        "channel_deviation": feats.std(axis=0, dtype=np.float64).tolist(),
    }


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return results


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "seed"), SCANS)
def test_a_seed_still_gives_the_same_scan(stored: dict[str, Any], scene: str, seed: int) -> None:
    wanted, scan = stored["scans"][f"{scene} {seed}"], scan_summary(scene, seed)
    assert scan["description"] == wanted["description"]
    if rounding_of_this_machine() == stored["rounding"]:
        assert scan["sha256"] == wanted["sha256"]
    # Where the last bits differ, a few rays hit another triangle; another draw changes the scene.
    share = 0.005 * wanted["points"]
    assert scan["points"] == pytest.approx(wanted["points"], abs=share)
    assert set(scan["points_of_concept"]) == set(wanted["points_of_concept"])
    assert scan["points_of_concept"] == pytest.approx(wanted["points_of_concept"], abs=share)
    assert scan["mean_m"] == pytest.approx(wanted["mean_m"], abs=0.05)
    assert scan["deviation_m"] == pytest.approx(wanted["deviation_m"], rel=0.01)


def test_a_seed_still_gives_the_same_training_batch(stored: dict[str, Any], tmp_path: Path) -> None:
    wanted, batch = stored["batch"], batch_summary(tmp_path)
    if rounding_of_this_machine() == stored["rounding"]:
        assert batch["sha256"] == wanted["sha256"]
    assert batch["voxels"] == wanted["voxels"]
    for figures in ("channel_mean", "channel_deviation"):
        assert batch[figures] == pytest.approx(wanted[figures], rel=0.02, abs=0.02)


def _store() -> None:
    scans = {f"{scene} {seed}": scan_summary(scene, seed) for scene, seed in SCANS}
    with TemporaryDirectory() as folder:
        batch = batch_summary(Path(folder))
    results = {"rounding": rounding_of_this_machine(), "batch": batch, "scans": scans}
    STORED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _store()
