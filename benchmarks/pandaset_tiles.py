"""Cut a frame of PandaSet into square tiles: half of them to train on, half to evaluate on.

    python -m benchmarks.pandaset_tiles --data ../shared/data/driving/pandaset_001 -o proof/pandaset

Three frames of one recording show one place, so they cannot be split into training and evaluation.
Tiles of one frame share the street, but no point. Writes a folder for ``--dataset folder`` with the
splits ``train`` and ``val``, which `benchmarks.few_labels` uses. It takes a few seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from clip3d_cli.core.grouping import group_equal_rows
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import vocabulary_path
from clip3d_cli.datasets.pandaset.dataset import PandaSet
from clip3d_cli.datasets.sweeps import read_in_world

_COLUMNS = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("intensity", "<f4")]


def main() -> None:
    args = _arguments()
    dataset = PandaSet(args.data)
    scene = dataset.scenes("all")[args.frame]
    class_index = dataset.ground_truth(scene)
    if class_index is None:
        raise SystemExit(f"frame {args.frame} has no labels")
    cloud, keep = read_in_world(dataset, scene.sweeps[0])
    class_ids = np.where(class_index < 0, 0, dataset.vocabulary.class_ids[class_index])
    tiles = _cut(cloud, class_ids[keep].astype(np.int32), args)
    names = [_write_tile(args.out, number, tile) for number, tile in enumerate(tiles)]
    order = np.random.default_rng(args.seed).permutation(len(names))
    (args.out / "splits").mkdir()
    for split, members in (("train", order[::2]), ("val", order[1::2])):
        text = "".join(f"{names[member]}\n" for member in members)
        (args.out / "splits" / f"{split}.txt").write_text(text, encoding="utf-8")
    (args.out / "vocabulary.toml").write_text(args.vocabulary.read_text("utf-8"), "utf-8")
    print(f"{len(names)} tiles of {args.tile_m} m in {args.out}")


def _cut(
    cloud: PointCloud, class_ids: np.ndarray, args: argparse.Namespace
) -> list[tuple[PointCloud, np.ndarray]]:
    """Return points and class ids of each tile with enough labelled points."""
    tile_xy = np.floor(cloud.xyz[:, :2] / args.tile_m).astype(np.int64)
    _, tile_of_point = group_equal_rows(list(tile_xy.T))
    tiles = [np.flatnonzero(tile_of_point == tile) for tile in range(tile_of_point.max() + 1)]
    return [
        (cloud.select(rows), class_ids[rows])
        for rows in tiles
        if (class_ids[rows] > 0).sum() >= args.least_points
    ]


def _write_tile(root: Path, number: int, tile: tuple[PointCloud, np.ndarray]) -> str:
    """Write a tile as a scene of ``--dataset folder`` and return its name."""
    cloud, class_ids = tile
    folder = root / f"tile_{number:03d}"
    folder.mkdir(parents=True)
    columns = np.empty(len(cloud), dtype=_COLUMNS)
    for axis, name in enumerate("xyz"):
        columns[name] = cloud.xyz[:, axis]
    columns["intensity"] = 0 if cloud.intensity is None else cloud.intensity
    np.save(folder / "cloud.npy", columns)
    np.save(folder / "labels.npy", class_ids)
    return folder.name


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of PandaSet")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--frame", type=int, default=0, help="number of the frame (default: 0)")
    parser.add_argument("--tile-m", type=float, default=10.0, help="width of a tile in metres")
    parser.add_argument(
        "--least-points", type=int, default=300, help="leave out tiles with fewer labelled points"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the split")
    parser.add_argument(
        "--vocabulary",
        type=Path,
        default=vocabulary_path("pandaset"),
        help="vocabulary file to write beside the tiles",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
