"""Evaluate point weights on labelled scans, with the labelling that users call.

python -m weights.recipe.points.evaluate WEIGHTS --data ../shared/data

Prints mean IoU, accuracy and IoU per class for each suite of scans. IoU is counted over all points
of all scans of a suite. Its mean is over the classes that make up at least a thousandth of the
evaluated points; other classes are printed only, as one point of water measures nothing.

All suites take about half a minute on one core, those kept out of training (--held-out) a few
seconds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary, palette_color
from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.metrics.confusion import ConfusionMatrix
from weights.recipe.points.sources import read_labelled
from weights.recipe.points.taxonomy import read_table

MIN_SHARE_OF_POINTS = 0.001


@dataclass(frozen=True, slots=True)
class Suite:
    """Scans that are evaluated together.

    Attributes:
        classes: table of ``evaluation.toml`` with the classes.
        pattern: glob pattern of the files in ``../shared/data``.
        in_training: whether the shipped weights were trained on them.
    """

    classes: str
    pattern: str
    in_training: bool


SUITES = {
    "ika val": Suite("ika", "driving/ika/val/*.npz", False),
    "IGN 0382_6565": Suite("aerial", "aerial/ign_2021_0382_6565.laz", False),
    "IGN 0382_6565, ASPRS": Suite("asprs", "aerial/ign_2021_0382_6565.laz", False),
    "laspy 2445180": Suite("aerial", "aerial/file_with_both_wkt_and_geotiff_vlrs.las", False),
    "PandaSet 001": Suite("pandaset", "driving/pandaset_001/*.npz", True),
    "ika train": Suite("ika", "driving/ika/train/*.npz", True),
    "IGN 770xx": Suite("aerial", "aerial/ign_770*.laz", True),
    "AHN Delft": Suite("ahn", "aerial/ahn3_delft.laz", True),
}


def open_labeller(weights: str | Path, device: str = "cpu") -> Labeller:
    """Return a labeller that embeds each word by itself, without a sentence around it."""
    return Labeller.open(weights, templates=["{}"], device=device)


def evaluate(labeller: Labeller, suite: Suite, data: Path) -> dict[str, object]:
    """Return the scores of a labeller on a suite, ready for JSON.

    Args:
        labeller: opened weights.
        suite: the scans and their classes.
        data: the folder ``../shared/data``.
    """
    table = read_table("evaluation.toml")[suite.classes]["classes"]
    classes = tuple(
        SemanticClass(name, tuple(row["words"]), position + 1, palette_color(position))
        for position, (name, row) in enumerate(table.items())
    )
    # (256,) from label to class index, −1 for labels that are not evaluated.
    class_of_label = np.full(256, -1, dtype=np.int32)
    for position, row in enumerate(table.values()):
        class_of_label[row["labels"]] = position
    embeddings = labeller.embed_classes(Vocabulary(suite.classes, classes))
    counts = ConfusionMatrix(np.zeros((len(classes), len(classes) + 1), dtype=np.int64))
    for path in sorted(data.glob(suite.pattern)):
        cloud, label = read_labelled(path)
        predicted = labeller.label(cloud, embeddings)
        counts += ConfusionMatrix.of(class_of_label[label], predicted.class_index, len(classes))
    common = counts.counts.sum(axis=1) >= MIN_SHARE_OF_POINTS * counts.counts.sum()
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
    """Print a line per suite, and write JSON if requested."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="safetensors file of a point encoder")
    parser.add_argument("--data", type=Path, required=True, help="the folder ../shared/data")
    parser.add_argument(
        "--held-out", action="store_true", help="only suites that were kept out of training"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--json", type=Path, help="file to write all scores to")
    args = parser.parse_args()
    labeller = open_labeller(args.weights, args.device)
    results = {}
    for title, suite in SUITES.items():
        if args.held_out and suite.in_training:
            continue
        result = evaluate(labeller, suite, args.data)
        results[title] = {**result, "seen in training": suite.in_training}
        print(f"{title:24s} mIoU {result['mIoU']:.3f}  accuracy {result['accuracy']:.3f}", end="  ")
        print({key: round(value, 2) for key, value in result["IoU"].items()}, flush=True)  # type: ignore[attr-defined]
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
