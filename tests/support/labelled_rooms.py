"""Scenes with ground truth that a small network learns in seconds: a floor and a box above it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets_trees_folder import VOCABULARY, write_ply

# Numbers of VOCABULARY; its order is floor, box.
FLOOR, BOX = 3, 1
SPLITS = {"train": ("a", "b", "c", "d"), "val": ("e",), "test": ("f",)}


def write_rooms(
    root: Path, splits: Mapping[str, tuple[str, ...]] = SPLITS, *, unlabelled: tuple[str, ...] = ()
) -> Path:
    """One cloud a scene; those of ``test`` and of ``unlabelled`` have no labels."""
    (root / "splits").mkdir(parents=True)
    (root / "vocabulary.toml").write_text(VOCABULARY, encoding="utf-8")
    for split, names in splits.items():
        (root / "splits" / f"{split}.txt").write_text("\n".join(names), encoding="utf-8")
        for name in names:
            xyz, numbers = room(seed=ord(name[0]))
            write_ply(root / name / "cloud.ply", xyz)
            if split != "test" and name not in unlabelled:
                np.save(root / name / "labels.npy", numbers)
    return root


def room(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points, metres, and (N,) class numbers; a tenth of them is not judged."""
    random = np.random.default_rng(seed)
    floor = random.uniform((0, 0, 0), (8, 8, 0.1), (400, 3))
    corner = random.uniform((1, 1), (5, 5))
    box = random.uniform((*corner, 0.5), (*(corner + 2), 2.5), (200, 3))
    numbers = np.repeat([FLOOR, BOX], (400, 200))
    numbers[random.random(600) < 0.1] = 0
    return np.concatenate([floor, box]), numbers
