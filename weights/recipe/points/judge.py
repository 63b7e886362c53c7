"""Judge point weights on labelled scans, through the labelling that users call.

    python -m weights.recipe.points.judge WEIGHTS --data ../shared/data

A score is the mean of intersection over union over the classes that truly occur, counted over
all points of all scans of a suite. A class of less than a thousandth of the judged points is
shown but left out of the mean: one point of water is no measure.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from clip3d_cli.core.vocabulary import ClassName, Vocabulary, palette_color
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.metrics.confusion import ConfusionMatrix
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from weights.recipe.points.sources import read_labelled
from weights.recipe.points.taxonomy import read_table

LEAST_SHARE = 0.001

# Judge, files, and whether the shipped weights saw them in training.
SUITES = {
    "ika val": ("ika", "driving/ika/val/*.npz", False),
    "IGN 0382_6565": ("aerial", "aerial/ign_2021_0382_6565.laz", False),
    "IGN 0382_6565, ASPRS": ("asprs", "aerial/ign_2021_0382_6565.laz", False),
    "laspy 2445180": ("aerial", "aerial/file_with_both_wkt_and_geotiff_vlrs.las", False),
    "PandaSet 001": ("pandaset", "driving/pandaset_001/*.npz", True),
    "ika train": ("ika", "driving/ika/train/*.npz", True),
    "IGN 770xx": ("aerial", "aerial/ign_770*.laz", True),
    "AHN Delft": ("ahn", "aerial/ahn3_delft.laz", True),
}


def judge(encoder: VoxelEncoder, name: str, paths: list[Path]) -> dict[str, object]:
    """The scores of one judge of judges.toml on some files."""
    table = read_table("judges.toml")[name]["classes"]
    classes = tuple(
        ClassName(title, tuple(row["words"]), position + 1, palette_color(position))
        for position, (title, row) in enumerate(table.items())
    )
    index_of_label = np.full(256, -1, dtype=np.int32)
    for position, row in enumerate(table.values()):
        index_of_label[row["labels"]] = position
    embeddings = embed_vocabulary(Vocabulary(name, classes), MiniTextEncoder(), ["{}"])
    counts = ConfusionMatrix(np.zeros((len(classes), len(classes) + 1), dtype=np.int64))
    for path in paths:
        cloud, label = read_labelled(path)
        labels = label_cloud(cloud, encoder, embeddings)
        counts += ConfusionMatrix.of(index_of_label[label], labels.class_index, len(classes))
    common = counts.counts.sum(axis=1) >= LEAST_SHARE * counts.counts.sum()
    iou = {entry.name: float(value) for entry, value in zip(classes, counts.iou, strict=True)}
    return {
        "mIoU": float(np.nanmean(counts.iou[common])),
        "left out of the mean": [
            entry.name
            for entry, kept, value in zip(classes, common, counts.iou, strict=True)
            if not kept and not np.isnan(value)
        ],
        "accuracy": float(np.diagonal(counts.counts).sum() / counts.counts.sum()),
        "points": int(counts.counts.sum()),
        "IoU": {name: value for name, value in iou.items() if not np.isnan(value)},
    }


def main() -> None:
    """Print a line per suite, and JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="only scans kept out of training")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    encoder = open_encoder(args.weights).encoder
    results = {}
    for title, (name, pattern, seen) in SUITES.items():
        if args.held_out and seen:
            continue
        result = judge(encoder, name, sorted(args.data.glob(pattern)))
        results[title] = {**result, "seen in training": seen}
        print(f"{title:24s} mIoU {result['mIoU']:.3f}  accuracy {result['accuracy']:.3f}", end="  ")
        print({key: round(value, 2) for key, value in result["IoU"].items()}, flush=True)  # type: ignore[attr-defined]
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
