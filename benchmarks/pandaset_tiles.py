"""Frames of PandaSet cut into square tiles, half of them to learn from and half to be judged on.

    python -m benchmarks.pandaset_tiles --data ../shared/data/driving -o proof/pandaset

Three frames of one drive are no split: they show one place. Tiles of one frame, drawn by chance
for one half or the other, share no point, though they share the street. Writes a folder that
`--dataset folder` reads, with the splits ``train`` and ``val``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from clip3d_cli.core.grouping import group_rows
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary_files import vocabulary_file
from clip3d_cli.datasets.pandaset.dataset import PandaSet
from clip3d_cli.datasets.sweeps import read_in_world

_COLUMNS = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("intensity", "<f4")]


def main() -> None:
    args = _arguments()
    dataset = PandaSet(args.data)
    scene = dataset.scenes("all")[args.frame]
    truth = dataset.ground_truth(scene)
    if truth is None:
        raise SystemExit(f"frame {args.frame} has no labels")
    cloud, keep = read_in_world(dataset, scene.sweeps[0])
    ids = np.where(truth < 0, 0, dataset.vocabulary.class_ids[truth])[keep].astype(np.int32)
    names = [_written(args.out, number, part) for number, part in _tiles(cloud, ids, args)]
    order = np.random.default_rng(args.seed).permutation(len(names))
    (args.out / "splits").mkdir()
    for split, chosen in (("train", order[::2]), ("val", order[1::2])):
        text = "".join(f"{names[place]}\n" for place in chosen)
        (args.out / "splits" / f"{split}.txt").write_text(text, encoding="utf-8")
    (args.out / "vocabulary.toml").write_text(args.vocabulary.read_text("utf-8"), "utf-8")
    print(f"{len(names)} tiles of {args.tile_m} m in {args.out}")


def _tiles(
    cloud: PointCloud, ids: np.ndarray, args: argparse.Namespace
) -> list[tuple[int, tuple[PointCloud, np.ndarray]]]:
    place = np.floor(cloud.xyz[:, :2] / args.tile_m).astype(np.int64)
    _, tile_of_point = group_rows(list(place.T))
    tiles = [np.flatnonzero(tile_of_point == tile) for tile in range(tile_of_point.max() + 1)]
    large = [rows for rows in tiles if (ids[rows] > 0).sum() >= args.least_points]
    return [(number, (cloud.only(rows), ids[rows])) for number, rows in enumerate(large)]


def _written(root: Path, number: int, part: tuple[PointCloud, np.ndarray]) -> str:
    cloud, ids = part
    folder = root / f"tile_{number:03d}"
    folder.mkdir(parents=True)
    rows = np.empty(len(cloud), dtype=_COLUMNS)
    for axis, name in enumerate("xyz"):
        rows[name] = cloud.xyz[:, axis]
    rows["intensity"] = 0 if cloud.intensity is None else cloud.intensity
    np.save(folder / "cloud.npy", rows)
    np.save(folder / "labels.npy", ids)
    return folder.name


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of PandaSet's drives")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--tile-m", type=float, default=10.0)
    parser.add_argument("--least-points", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocabulary", type=Path, default=vocabulary_file("pandaset"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
